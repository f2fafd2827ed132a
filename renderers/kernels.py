"""Warp kernels of the rasterizer: one source for CPU and CUDA, and the function that launches them.

Work is cut into *items*, and every kernel takes `first` and `step`: item = first + tid * step. On CUDA all items go in
one launch on torch's current stream; on the CPU each thread of a small pool launches its share (Warp runs a CPU launch
on the calling thread and releases the GIL).

Image kernels cut every image into `bands` of rows and every band into pieces of `segment` columns. On the CPU an item
is one of `BANDS` whole bands (for drawing, one of a few for each thread); on CUDA it is a single pixel. Gradients of
vertices are accumulated into `slots` private copies, one a band on the CPU, so that no two threads share one; the
copies are summed in fixed order afterwards. The result depends neither on timing nor on the number of threads. On CUDA
there is one slot and atomics, so the last bits of vertex and texel gradients may differ from run to run.

Screen space: x right, y down, in pixels, the centre of pixel (0, 0) at (0.5, 0.5).
"""

# ruff: noqa: RUF046, UP018 - in a kernel, int(0) and float(0.0) declare variables; bare literals are constants.

import ctypes
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cache
from typing import Any, NamedTuple

import torch
import warp as wp
from torch import Tensor

# Runs of pixels that see one triangle are short: vectorized loops are slower here, and compile longer. Hot loops are
# written with `while` over indices that cannot be negative: a `range` costs an iterator object, and an index of unknown
# sign a wrap-around, in every round. Products and sums may be fused, as on CUDA.
wp.set_module_options(
    {
        "enable_backward": False,
        "cpu_compiler_flags": "-march=native -fno-vectorize -fno-slp-vectorize -ffp-contract=fast",
    }
)

BANDS = 16
"""Bands of rows an image is cut into on the CPU: the unit of parallel work, and the copies of vertex gradients."""

SUBPIXEL_BITS = wp.constant(wp.int32(12))
"""Vertices are snapped to 1/4096 pixel, so that coverage is decided in exact integer arithmetic."""

GUARD = wp.constant(131072.0)
"""Largest screen coordinate in pixels: with 12 subpixel bits, edge functions then stay below 2^62."""

MOST_STEPS = wp.constant(wp.int32(64))
"""Triangles crossed between two neighbouring pixel centres in search of an outline before giving up."""

UNSEEN = wp.constant(-1.0e30)
"""Nearness of a vertex that cannot be projected."""

LAST_INDEX = wp.constant(wp.uint64(0x7FFFFFFF))
"""The key of a pixel holds this less the index of its triangle, beneath the bits of the nearness there."""


class Grid(NamedTuple):
    """How images are cut into items."""

    items: int
    bands: int
    segment: int
    slots: int


def image_grid(batch: int, height: int, width: int, device: torch.device) -> Grid:
    if device.type == "cpu":
        return Grid(batch * BANDS, BANDS, width, BANDS)
    return Grid(batch * height * width, height, 1, 1)


def spans(count: int, device: torch.device) -> tuple[int, int]:
    """Cut a list of vertices, triangles or samples: (how many an item, items). Many on the CPU, one on CUDA."""
    span = min(max((count + BANDS - 1) // BANDS, 1024), max(count, 1)) if device.type == "cpu" else 1
    return span, (count + span - 1) // span


def launch(kernel: wp.Kernel, items: int, arguments: Sequence[Any], device: torch.device) -> None:
    """Run `kernel` over `items`; `arguments` follow `first` and `step`, tensors paired with their Warp element type.

    The calling thread takes back shares that no other thread has begun: on a busy machine some wake up late.
    """
    if items == 0:
        return
    _compile(device)
    values = [_array(*a) if isinstance(a, tuple) else a for a in arguments]
    if device.type != "cpu":
        stream = wp.stream_from_torch(torch.cuda.current_stream(device))
        wp.launch(kernel, items, [0, 1, *values], stream=stream)
        return
    shares = min(items, torch.get_num_threads())
    commands = [_command(kernel, items, share, shares, values) for share in range(shares)]
    others = [(command, _pool(shares - 1).submit(command.launch)) for command in commands[1:]]
    commands[0].launch()
    for command, other in others:
        if other.cancel():
            command.launch()
        else:
            other.result()


def _command(kernel: wp.Kernel, items: int, share: int, shares: int, values: Sequence[Any]) -> wp.Launch:
    """A launch of every `shares`-th item on the CPU. `wp.launch` takes 50 µs to check and pack the arguments, and would
    for each thread; a recorded launch given other arguments takes 10."""
    recorded = _recorded.get(kernel.key)
    if recorded is None:
        recorded = _recorded[kernel.key] = wp.launch(kernel, 1, [0, 1, *values], device="cpu", record_cmd=True)
    command = copy(recorded)
    packed = zip(recorded.params[1:], (share, shares, *values), strict=True)
    command.params = [None, *(v if isinstance(v, ctypes.Structure) else type(kind)(v) for kind, v in packed)]
    command.set_dim((items - share + shares - 1) // shares)
    return command


_recorded: dict[str, wp.Launch] = {}


def _array(tensor: Tensor, dtype: Any) -> Any:
    return wp.from_torch(tensor, dtype=dtype, requires_grad=False, return_ctype=True)


@cache
def _compile(device: torch.device) -> None:
    wp.config.log_level = max(wp.config.log_level, wp.LOG_ERROR)
    _start()
    wp.load_module(__name__, device=str(device))


def _start() -> None:
    """Initialize Warp. It writes to the process's stderr, past its own log level, that there is no CUDA driver; that
    line is left out, all others are passed on."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            for line in said:
                if b"Could not find or load the NVIDIA CUDA driver" not in line:
                    os.write(2, line)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="renderers")


@wp.func
def locate(item: int, bands: int, segment: int, height: int, width: int):
    """Item → (image, first row, end row, first column, end column, band)."""
    segments = (width + segment - 1) // segment
    rows = (height + bands - 1) // bands
    x = (item % segments) * segment
    band = (item // segments) % bands
    y = band * rows
    return item // segments // bands, y, wp.min(y + rows, height), x, wp.min(x + segment, width), band


# Rasterization


@wp.func
def on_screen(p: wp.vec4, width: int, height: int):
    return wp.vec2((0.5 + 0.5 * p[0] / p[3]) * float(width), (0.5 - 0.5 * p[1] / p[3]) * float(height))


@wp.func
def snap(position: wp.vec2):
    scale = float(1 << SUBPIXEL_BITS)
    return wp.vec2i(int(wp.rint(position[0] * scale)), int(wp.rint(position[1] * scale)))


@wp.func
def projected(p: wp.vec4, width: int, height: int):
    """Clip space → nearness (w - z) / w, which is affine on screen and 0 at the far plane, and snapped position."""
    if p[3] > 0.0 and p[2] >= -p[3]:
        position = on_screen(p, width, height)
        if wp.abs(position[0]) < GUARD and wp.abs(position[1]) < GUARD:
            return (p[3] - p[2]) / p[3], snap(position)
    return UNSEEN, wp.vec2i()


@wp.func
def first_centre(position: int):
    """First row or column whose pixel centres are not before a snapped coordinate."""
    return (position + (1 << (SUBPIXEL_BITS - 1)) - 1) >> SUBPIXEL_BITS


@wp.func
def crossing(a: wp.vec2i, b: wp.vec2i):
    """Where rows of pixel centres cross an edge that runs down from a to b: (column at row 0, columns a row).

    Columns are counted in pixel centres. Rounded up, a crossing is the first column whose centre is not left of the
    edge: the top-left rule, for triangles that take the pixels from their left edge to before their right one.

    It is exact. Times the edge's height dy and rounded up, a crossing is an integer, n + row * dx; the half taken off
    keeps the quotient at least 1/2 / dy away from all integers, and doubles err by less than 1/4 / dy.
    """
    dx = wp.int64(b[0] - a[0])
    dy = wp.int64(wp.max(b[1] - a[1], 1))
    bits = int(SUBPIXEL_BITS)
    unit = wp.int64(1 << bits)
    half = unit / wp.int64(2)
    n = ((wp.int64(a[0]) - half) * dy + (half - wp.int64(a[1])) * dx + unit - wp.int64(1)) >> wp.int64(bits)
    share = wp.float64(1.0) / wp.float64(dy)
    return (wp.float64(n) - wp.float64(0.5)) * share, wp.float64(dx) * share


@wp.kernel
def set_up(
    first: int,
    step: int,
    span: int,
    height: int,
    width: int,
    clip: wp.array2d(dtype=wp.vec4),
    triangles: wp.array(dtype=wp.vec3i),
    rows: wp.array2d(dtype=wp.vec4i),
    edges: wp.array2d(dtype=wp.mat33d),
    planes: wp.array2d(dtype=wp.mat44),
):
    """Item = (image, group of `span` triangles). All that drawing and resolving need to know of a triangle.

    `rows`: first row, end row, the row from which the lower of its two short edges bounds it, and whether the long
    edge, which spans all rows, is the left one; no rows where it covers no pixel centre.
    `edges`: columns at row 0 of the long, upper and lower edge; the same in columns a row; nearness at the first
    pixel, a column, a row.
    `planes`: homogeneous areas at a pixel near by, a column, a row; w of the corners; last column: that pixel.
    """
    item = first + wp.tid() * step
    count = triangles.shape[0]
    groups = (count + span - 1) // span
    b = item // groups
    begin = (item % groups) * span
    half = 1 << (SUBPIXEL_BITS - 1)
    for t in range(begin, wp.min(begin + span, count)):
        rows[b, t] = wp.vec4i()
        ids = triangles[t]
        c0 = clip[b, ids[0]]
        c1 = clip[b, ids[1]]
        c2 = clip[b, ids[2]]
        q0, p0 = projected(c0, width, height)
        q1, p1 = projected(c1, width, height)
        q2, p2 = projected(c2, width, height)
        u = p1 - p0
        v = p2 - p0
        area = wp.int64(u[0]) * wp.int64(v[1]) - wp.int64(v[0]) * wp.int64(u[1])
        x = wp.max(first_centre(wp.min(p0[0], wp.min(p1[0], p2[0]))), 0)
        x_end = wp.min(first_centre(wp.max(p0[0], wp.max(p1[0], p2[0]))), width)
        y = wp.max(first_centre(wp.min(p0[1], wp.min(p1[1], p2[1]))), 0)
        y_end = wp.min(first_centre(wp.max(p0[1], wp.max(p1[1], p2[1]))), height)
        if x < x_end and y < y_end and area != wp.int64(0) and wp.min(q0, wp.min(q1, q2)) != UNSEEN:
            unit = wp.float64(half + half)
            scale = unit / wp.float64(area)
            dq1 = wp.float64(q1 - q0) * scale
            dq2 = wp.float64(q2 - q0) * scale
            q_right = dq1 * wp.float64(v[1]) - dq2 * wp.float64(u[1])
            q_down = dq2 * wp.float64(u[0]) - dq1 * wp.float64(v[0])
            q_first = wp.float64(q0)
            q_first += (wp.float64(half - p0[0]) * q_right + wp.float64(half - p0[1]) * q_down) / unit
            if p1[1] < p0[1]:
                p0, p1 = p1, p0
                area = -area
            if p2[1] < p1[1]:
                p1, p2 = p2, p1
                area = -area
                if p1[1] < p0[1]:
                    p0, p1 = p1, p0
                    area = -area
            long_x, long_lean = crossing(p0, p2)
            upper_x, upper_lean = crossing(p0, p1)
            lower_x, lower_lean = crossing(p1, p2)
            rows[b, t] = wp.vec4i(y, y_end, first_centre(p1[1]), wp.where(area > wp.int64(0), 1, 0))
            edges[b, t] = wp.mat33d(
                long_x, upper_x, lower_x, long_lean, upper_lean, lower_lean, q_first, q_right, q_down
            )
            f = ndc(x, y, width, height)
            d0 = seen_from(f, c0)
            d1 = seen_from(f, c1)
            d2 = seen_from(f, c2)
            a = homogeneous_areas(d0, d1, d2)
            sign = wp.sign(wp.dot(a, wp.vec3(c0[3], c1[3], c2[3])))
            a = sign * a
            right = (2.0 * sign / float(width)) * area_slopes(d0, d1, d2, c0[3], c1[3], c2[3])
            down = (2.0 * sign / float(height)) * area_slopes_down(d0, d1, d2, c0[3], c1[3], c2[3])
            planes[b, t] = wp.matrix_from_rows(
                wp.vec4(a[0], a[1], a[2], float(x)),
                wp.vec4(right[0], right[1], right[2], float(y)),
                wp.vec4(down[0], down[1], down[2], 0.0),
                wp.vec4(c0[3], c1[3], c2[3], 0.0),
            )


@wp.func
def draw_triangles(
    b: int,
    t_first: int,
    t_end: int,
    y_first: int,
    y_end: int,
    width: int,
    origin: int,
    rows: wp.array2d(dtype=wp.vec4i),
    edges: wp.array2d(dtype=wp.mat33d),
    keys: wp.array(dtype=wp.uint64),
):
    """Depth-test the pixels of triangles [t_first, t_end), as `set_up` leaves them, in rows [y_first, y_end).

    `origin` is where the keys of row 0 would begin. The largest key is that of the nearest triangle, and of equally
    near ones that of the first in the list.
    """
    most = wp.float64(width)
    none = wp.float64(0.0)
    t = wp.max(t_first, 0)
    while t < t_end:
        r = rows[b, t]
        y = wp.max(r[0], y_first)
        last = wp.min(r[1], y_end)
        if y < last:
            e = edges[b, t]
            index = LAST_INDEX - wp.uint64(t)
            while y < last:
                row = wp.float64(y)
                start = e[0, 1] + row * e[1, 1]
                if y >= r[2]:
                    start = e[0, 2] + row * e[1, 2]
                end = e[0, 0] + row * e[1, 0]
                if r[3] != 0:
                    start, end = end, start
                x = int(wp.ceil(wp.min(wp.max(start, none), most)))
                near = e[2, 0] + wp.float64(x) * e[2, 1] + row * e[2, 2]
                pixel = wp.max(origin + y * width + x, 0)
                stop = pixel - x + int(wp.ceil(wp.min(wp.max(end, none), most)))
                while pixel < stop:
                    q = float(near)
                    if q > 0.0:
                        wp.atomic_max(keys, pixel, (wp.uint64(wp.cast(q, wp.uint32)) << wp.uint64(32)) | index)
                    near += e[2, 1]
                    pixel += 1
                y += 1
        t += 1


@wp.kernel
def draw(
    first: int,
    step: int,
    height: int,
    width: int,
    rows: wp.array2d(dtype=wp.vec4i),
    edges: wp.array2d(dtype=wp.mat33d),
    keys: wp.array(dtype=wp.uint64),
):
    """Item = (image, triangle)."""
    item = first + wp.tid() * step
    b = item // rows.shape[1]
    t = item % rows.shape[1]
    draw_triangles(b, t, t + 1, 0, height, width, b * height * width, rows, edges, keys)


@wp.func
def ndc(x: int, y: int, width: int, height: int):
    return wp.vec2(
        2.0 * (float(x) + 0.5) / float(width) - 1.0,
        1.0 - 2.0 * (float(y) + 0.5) / float(height),
    )


@wp.func
def seen_from(f: wp.vec2, p: wp.vec4):
    """Homogeneous position of a vertex relative to the pixel: (x - f_x w, y - f_y w)."""
    return wp.vec2(p[0] - f[0] * p[3], p[1] - f[1] * p[3])


@wp.func
def cross2(a: wp.vec2, b: wp.vec2):
    return a[0] * b[1] - a[1] * b[0]


@wp.func
def homogeneous_areas(d0: wp.vec2, d1: wp.vec2, d2: wp.vec2):
    """Areas in proportion to the perspective-correct barycentrics, from the corners relative to the pixel (Olano &
    Greer 1997). Affine in the pixel's position; of either sign."""
    return wp.vec3(cross2(d1, d2), cross2(d2, d0), cross2(d0, d1))


@wp.func
def area_slopes(d0: wp.vec2, d1: wp.vec2, d2: wp.vec2, w0: float, w1: float, w2: float):
    """d(areas) / d(f_x)."""
    return wp.vec3(w2 * d1[1] - w1 * d2[1], w0 * d2[1] - w2 * d0[1], w1 * d0[1] - w0 * d1[1])


@wp.func
def area_slopes_down(d0: wp.vec2, d1: wp.vec2, d2: wp.vec2, w0: float, w1: float, w2: float):
    """-d(areas) / d(f_y): rows run down, f_y up."""
    return wp.vec3(w2 * d1[0] - w1 * d2[0], w0 * d2[0] - w2 * d0[0], w1 * d0[0] - w0 * d1[0])


@wp.func
def positive(a: wp.vec3):
    """Clamped at 0, where snapping let a pixel just outside the exact triangle be covered."""
    return wp.vec3(wp.max(a[0], 0.0), wp.max(a[1], 0.0), wp.max(a[2], 0.0))


@wp.func
def resolve_row(
    b: int,
    y: int,
    x_first: int,
    x_end: int,
    height: int,
    width: int,
    origin: int,
    planes: wp.array2d(dtype=wp.mat44),
    keys: wp.array(dtype=wp.uint64),
    triangle: wp.array(dtype=wp.int32),
    barycentric: wp.array(dtype=wp.vec3),
    depth: wp.array(dtype=wp.float32),
):
    """Keys → triangle index, perspective-correct barycentrics and depth of the pixels of one row."""
    x = wp.max(x_first, 0)
    pixel = wp.max((b * height + y) * width + x, 0)
    place = wp.max(origin + y * width + x, 0)
    while x < x_end:
        key = keys[place]
        t = int(-1)
        weights = wp.vec3()
        w = float(0.0)
        if key != wp.uint64(0):
            t = int(LAST_INDEX - (key & LAST_INDEX))
            p = planes[b, t]
            right = float(x) - p[0, 3]
            down = float(y) - p[1, 3]
            inside = positive(
                wp.vec3(
                    p[0, 0] + right * p[1, 0] + down * p[2, 0],
                    p[0, 1] + right * p[1, 1] + down * p[2, 1],
                    p[0, 2] + right * p[1, 2] + down * p[2, 2],
                )
            )
            weights = (1.0 / wp.max(inside[0] + inside[1] + inside[2], 1.0e-37)) * inside
            w = weights[0] * p[3, 0] + weights[1] * p[3, 1] + weights[2] * p[3, 2]
        triangle[pixel] = t
        barycentric[pixel] = weights
        depth[pixel] = w
        x += 1
        pixel += 1
        place += 1


@wp.kernel
def resolve(
    first: int,
    step: int,
    height: int,
    width: int,
    planes: wp.array2d(dtype=wp.mat44),
    keys: wp.array(dtype=wp.uint64),
    triangle: wp.array(dtype=wp.int32),
    barycentric: wp.array(dtype=wp.vec3),
    depth: wp.array(dtype=wp.float32),
):
    """Item = pixel."""
    item = first + wp.tid() * step
    x = item % width
    y = (item // width) % height
    b = item // width // height
    resolve_row(b, y, x, x + 1, height, width, b * height * width, planes, keys, triangle, barycentric, depth)


@wp.kernel
def draw_and_resolve(
    first: int,
    step: int,
    bands: int,
    height: int,
    width: int,
    rows: wp.array2d(dtype=wp.vec4i),
    edges: wp.array2d(dtype=wp.mat33d),
    planes: wp.array2d(dtype=wp.mat44),
    keys: wp.array2d(dtype=wp.uint64),
    triangle: wp.array(dtype=wp.int32),
    barycentric: wp.array(dtype=wp.vec3),
    depth: wp.array(dtype=wp.float32),
):
    """Item = (image, band). Each share of the items has its own `keys`, which stay in the cache of its core."""
    item = first + wp.tid() * step
    b = item // bands
    size = (height + bands - 1) // bands
    y_first = wp.min((item % bands) * size, height)
    y_end = wp.min(y_first + size, height)
    origin = -y_first * width
    mine = keys[first]
    place = int(0)
    while place < (y_end - y_first) * width:
        mine[place] = wp.uint64(0)
        place += 1
    draw_triangles(b, 0, rows.shape[1], y_first, y_end, width, origin, rows, edges, mine)
    y = y_first
    while y < y_end:
        resolve_row(b, y, 0, width, height, width, origin, planes, mine, triangle, barycentric, depth)
        y += 1


@wp.kernel
def rasterize_backward(
    first: int,
    step: int,
    bands: int,
    segment: int,
    slots: int,
    height: int,
    width: int,
    clip: wp.array2d(dtype=wp.vec4),
    triangles: wp.array(dtype=wp.vec3i),
    triangle: wp.array(dtype=wp.int32),
    barycentric_gradient: wp.array(dtype=wp.vec3),
    depth_gradient: wp.array(dtype=wp.float32),
    clip_gradient: wp.array3d(dtype=wp.vec4),
):
    """Gradients of barycentrics and depth → gradients of clip positions (x, y, w)."""
    b, y0, y1, x0, x1, band = locate(first + wp.tid() * step, bands, segment, height, width)
    slot = band % slots
    current = int(-1)
    ids = wp.vec3i()
    p0 = wp.vec4()
    p1 = wp.vec4()
    p2 = wp.vec4()
    g0 = wp.vec4()
    g1 = wp.vec4()
    g2 = wp.vec4()
    for y in range(y0, y1):
        for x in range(x0, x1):
            pixel = (b * height + y) * width + x
            t = triangle[pixel]
            if t >= 0:
                if t != current:
                    if current >= 0:
                        wp.atomic_add(clip_gradient, slot, b, ids[0], g0)
                        wp.atomic_add(clip_gradient, slot, b, ids[1], g1)
                        wp.atomic_add(clip_gradient, slot, b, ids[2], g2)
                    ids = triangles[t]
                    p0 = clip[b, ids[0]]
                    p1 = clip[b, ids[1]]
                    p2 = clip[b, ids[2]]
                    g0 = wp.vec4()
                    g1 = wp.vec4()
                    g2 = wp.vec4()
                    current = t
                f = ndc(x, y, width, height)
                d0 = seen_from(f, p0)
                d1 = seen_from(f, p1)
                d2 = seen_from(f, p2)
                a = homogeneous_areas(d0, d1, d2)
                sign = wp.sign(a[0] + a[1] + a[2])
                a = positive(sign * a)
                scale = 1.0 / wp.max(a[0] + a[1] + a[2], 1.0e-37)
                weights = scale * a
                gd = depth_gradient[pixel]
                gb = barycentric_gradient[pixel] + gd * wp.vec3(p0[3], p1[3], p2[3])
                ga = (gb - wp.vec3(wp.dot(gb, weights))) * (sign * scale)
                ga = wp.vec3(
                    wp.where(a[0] > 0.0, ga[0], 0.0),
                    wp.where(a[1] > 0.0, ga[1], 0.0),
                    wp.where(a[2] > 0.0, ga[2], 0.0),
                )
                h0 = ga[2] * wp.vec2(d1[1], -d1[0]) - ga[1] * wp.vec2(d2[1], -d2[0])
                h1 = ga[0] * wp.vec2(d2[1], -d2[0]) - ga[2] * wp.vec2(d0[1], -d0[0])
                h2 = ga[1] * wp.vec2(d0[1], -d0[0]) - ga[0] * wp.vec2(d1[1], -d1[0])
                g0 += wp.vec4(h0[0], h0[1], 0.0, gd * weights[0] - wp.dot(h0, f))
                g1 += wp.vec4(h1[0], h1[1], 0.0, gd * weights[1] - wp.dot(h1, f))
                g2 += wp.vec4(h2[0], h2[1], 0.0, gd * weights[2] - wp.dot(h2, f))
    if current >= 0:
        wp.atomic_add(clip_gradient, slot, b, ids[0], g0)
        wp.atomic_add(clip_gradient, slot, b, ids[1], g1)
        wp.atomic_add(clip_gradient, slot, b, ids[2], g2)


# Interpolation


@wp.kernel
def interpolate_forward(
    first: int,
    step: int,
    bands: int,
    segment: int,
    height: int,
    width: int,
    attributes: wp.array3d(dtype=wp.float32),
    triangles: wp.array(dtype=wp.vec3i),
    triangle: wp.array(dtype=wp.int32),
    barycentric: wp.array(dtype=wp.vec3),
    output: wp.array2d(dtype=wp.float32),
):
    b, y0, y1, x0, x1, _band = locate(first + wp.tid() * step, bands, segment, height, width)
    channels = attributes.shape[2]
    for y in range(y0, y1):
        for x in range(x0, x1):
            pixel = (b * height + y) * width + x
            t = triangle[pixel]
            if t >= 0:
                ids = triangles[t]
                weights = barycentric[pixel]
                for c in range(channels):
                    output[pixel, c] = (
                        weights[0] * attributes[b, ids[0], c]
                        + weights[1] * attributes[b, ids[1], c]
                        + weights[2] * attributes[b, ids[2], c]
                    )
            else:
                for c in range(channels):
                    output[pixel, c] = 0.0


@wp.kernel
def interpolate_backward(
    first: int,
    step: int,
    bands: int,
    segment: int,
    slots: int,
    height: int,
    width: int,
    attributes: wp.array3d(dtype=wp.float32),
    triangles: wp.array(dtype=wp.vec3i),
    triangle: wp.array(dtype=wp.int32),
    barycentric: wp.array(dtype=wp.vec3),
    output_gradient: wp.array2d(dtype=wp.float32),
    attribute_gradient: wp.array4d(dtype=wp.float32),
    barycentric_gradient: wp.array(dtype=wp.vec3),
):
    """Gradients to barycentrics always; to attributes where `attribute_gradient` is not empty."""
    b, y0, y1, x0, x1, band = locate(first + wp.tid() * step, bands, segment, height, width)
    slot = band % slots
    channels = attributes.shape[2]
    wanted = attribute_gradient.shape[0] > 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            pixel = (b * height + y) * width + x
            t = triangle[pixel]
            gradient = wp.vec3()
            if t >= 0:
                ids = triangles[t]
                weights = barycentric[pixel]
                for c in range(channels):
                    g = output_gradient[pixel, c]
                    gradient += g * wp.vec3(
                        attributes[b, ids[0], c], attributes[b, ids[1], c], attributes[b, ids[2], c]
                    )
                    if wanted:
                        wp.atomic_add(attribute_gradient, slot, b, ids[0], c, g * weights[0])
                        wp.atomic_add(attribute_gradient, slot, b, ids[1], c, g * weights[1])
                        wp.atomic_add(attribute_gradient, slot, b, ids[2], c, g * weights[2])
            barycentric_gradient[pixel] = gradient


# Texture


@wp.kernel
def footprint(
    first: int,
    step: int,
    bands: int,
    segment: int,
    height: int,
    width: int,
    clip: wp.array2d(dtype=wp.vec4),
    triangles: wp.array(dtype=wp.vec3i),
    uv: wp.array2d(dtype=wp.vec2),
    uv_triangles: wp.array(dtype=wp.vec3i),
    triangle: wp.array(dtype=wp.int32),
    output: wp.array(dtype=wp.vec4),
):
    """(du/dx, du/dy, dv/dx, dv/dy) per pixel, x right and y down: the derivative of the quotient a_i / (sum a)."""
    b, y0, y1, x0, x1, _band = locate(first + wp.tid() * step, bands, segment, height, width)
    for y in range(y0, y1):
        for x in range(x0, x1):
            pixel = (b * height + y) * width + x
            t = triangle[pixel]
            value = wp.vec4()
            if t >= 0:
                ids = triangles[t]
                p0 = clip[b, ids[0]]
                p1 = clip[b, ids[1]]
                p2 = clip[b, ids[2]]
                f = ndc(x, y, width, height)
                d0 = seen_from(f, p0)
                d1 = seen_from(f, p1)
                d2 = seen_from(f, p2)
                a = homogeneous_areas(d0, d1, d2)
                total = a[0] + a[1] + a[2]
                ax = area_slopes(d0, d1, d2, p0[3], p1[3], p2[3])
                ay = wp.vec3(
                    p1[3] * d2[0] - p2[3] * d1[0], p2[3] * d0[0] - p0[3] * d2[0], p0[3] * d1[0] - p1[3] * d0[0]
                )
                wx = (ax - a * ((ax[0] + ax[1] + ax[2]) / total)) * (2.0 / (total * float(width)))
                wy = (ay - a * ((ay[0] + ay[1] + ay[2]) / total)) * (-2.0 / (total * float(height)))
                corners = uv_triangles[t]
                dx = wx[0] * uv[b, corners[0]] + wx[1] * uv[b, corners[1]] + wx[2] * uv[b, corners[2]]
                dy = wy[0] * uv[b, corners[0]] + wy[1] * uv[b, corners[1]] + wy[2] * uv[b, corners[2]]
                value = wp.vec4(dx[0], dy[0], dx[1], dy[1])
            output[pixel] = value


@wp.func
def wrapped(i: int, count: int, repeat: int):
    if repeat != 0:
        return ((i % count) + count) % count
    return wp.clamp(i, 0, count - 1)


@wp.func
def taps(uv: wp.vec2, level: int, texture_height: int, texture_width: int, repeat: int):
    """The four texels around `uv` in one level of the pyramid, as indices into it, and the bilinear fractions."""
    offset = int(0)
    h = texture_height
    w = texture_width
    for _ in range(level):
        offset += h * w
        h = h // 2
        w = w // 2
    s = uv[0] * float(w) - 0.5
    t = uv[1] * float(h) - 0.5
    left = int(wp.floor(s))
    top = int(wp.floor(t))
    xa = wrapped(left, w, repeat)
    xb = wrapped(left + 1, w, repeat)
    ya = offset + wrapped(top, h, repeat) * w
    yb = offset + wrapped(top + 1, h, repeat) * w
    return wp.vec4i(ya + xa, ya + xb, yb + xa, yb + xb), s - float(left), t - float(top), w, h


@wp.kernel
def texture_forward(
    first: int,
    step: int,
    span: int,
    texture_height: int,
    texture_width: int,
    repeat: int,
    pyramid: wp.array3d(dtype=wp.float32),
    uv: wp.array2d(dtype=wp.vec2),
    level: wp.array2d(dtype=wp.float32),
    output: wp.array3d(dtype=wp.float32),
):
    """Item = group of `span` samples of one image. No `level` (empty) means the full resolution."""
    samples = uv.shape[1]
    groups = (samples + span - 1) // span
    item = first + wp.tid() * step
    b = item // groups
    begin = (item % groups) * span
    for i in range(begin, wp.min(begin + span, samples)):
        fine = int(0)
        blend = float(0.0)
        if level.shape[0] > 0:
            fine = int(level[b, i])
            blend = level[b, i] - float(fine)
        at, fx, fy, _w, _h = taps(uv[b, i], fine, texture_height, texture_width, repeat)
        for c in range(output.shape[2]):
            top = (1.0 - fx) * pyramid[b, at[0], c] + fx * pyramid[b, at[1], c]
            bottom = (1.0 - fx) * pyramid[b, at[2], c] + fx * pyramid[b, at[3], c]
            output[b, i, c] = (1.0 - blend) * ((1.0 - fy) * top + fy * bottom)
        if blend > 0.0:
            at, fx, fy, _w, _h = taps(uv[b, i], fine + 1, texture_height, texture_width, repeat)
            for c in range(output.shape[2]):
                top = (1.0 - fx) * pyramid[b, at[0], c] + fx * pyramid[b, at[1], c]
                bottom = (1.0 - fx) * pyramid[b, at[2], c] + fx * pyramid[b, at[3], c]
                output[b, i, c] = output[b, i, c] + blend * ((1.0 - fy) * top + fy * bottom)


@wp.kernel
def texture_backward_uv(
    first: int,
    step: int,
    span: int,
    texture_height: int,
    texture_width: int,
    repeat: int,
    pyramid: wp.array3d(dtype=wp.float32),
    uv: wp.array2d(dtype=wp.vec2),
    level: wp.array2d(dtype=wp.float32),
    output_gradient: wp.array3d(dtype=wp.float32),
    uv_gradient: wp.array2d(dtype=wp.vec2),
):
    samples = uv.shape[1]
    groups = (samples + span - 1) // span
    item = first + wp.tid() * step
    b = item // groups
    begin = (item % groups) * span
    for i in range(begin, wp.min(begin + span, samples)):
        fine = int(0)
        blend = float(0.0)
        if level.shape[0] > 0:
            fine = int(level[b, i])
            blend = level[b, i] - float(fine)
        gradient = wp.vec2()
        for k in range(2):
            weight = wp.where(k == 0, 1.0 - blend, blend)
            if weight > 0.0:
                at, fx, fy, w, h = taps(uv[b, i], fine + k, texture_height, texture_width, repeat)
                for c in range(output_gradient.shape[2]):
                    g = weight * output_gradient[b, i, c]
                    t0 = pyramid[b, at[0], c]
                    t1 = pyramid[b, at[1], c]
                    t2 = pyramid[b, at[2], c]
                    t3 = pyramid[b, at[3], c]
                    gradient += g * wp.vec2(
                        float(w) * ((1.0 - fy) * (t1 - t0) + fy * (t3 - t2)),
                        float(h) * ((1.0 - fx) * (t2 - t0) + fx * (t3 - t1)),
                    )
        uv_gradient[b, i] = gradient


@wp.func
def add_texel(
    pyramid_gradient: wp.array3d(dtype=wp.float32),
    output_gradient: wp.array3d(dtype=wp.float32),
    b: int,
    i: int,
    texel: int,
    weight: float,
    begin: int,
    end: int,
):
    if texel >= begin and texel < end:
        for c in range(output_gradient.shape[2]):
            wp.atomic_add(pyramid_gradient, b, texel, c, weight * output_gradient[b, i, c])


@wp.kernel
def texture_backward_texels(
    first: int,
    step: int,
    owners: int,
    span: int,
    texture_height: int,
    texture_width: int,
    repeat: int,
    uv: wp.array2d(dtype=wp.vec2),
    level: wp.array2d(dtype=wp.float32),
    output_gradient: wp.array3d(dtype=wp.float32),
    pyramid_gradient: wp.array3d(dtype=wp.float32),
):
    """Item = (image, owner, group of samples). An owner reads the samples in order and adds to its own texels only: on
    the CPU no two threads write the same texel, and each texel adds up in the order of the samples."""
    samples = uv.shape[1]
    groups = (samples + span - 1) // span
    item = first + wp.tid() * step
    first_sample = (item % groups) * span
    owner = (item // groups) % owners
    b = item // groups // owners
    share = (pyramid_gradient.shape[1] + owners - 1) // owners
    begin = owner * share
    end = begin + share
    for i in range(first_sample, wp.min(first_sample + span, samples)):
        fine = int(0)
        blend = float(0.0)
        if level.shape[0] > 0:
            fine = int(level[b, i])
            blend = level[b, i] - float(fine)
        for k in range(2):
            weight = wp.where(k == 0, 1.0 - blend, blend)
            if weight > 0.0:
                at, fx, fy, _w, _h = taps(uv[b, i], fine + k, texture_height, texture_width, repeat)
                add_texel(pyramid_gradient, output_gradient, b, i, at[0], weight * (1.0 - fx) * (1.0 - fy), begin, end)
                add_texel(pyramid_gradient, output_gradient, b, i, at[1], weight * fx * (1.0 - fy), begin, end)
                add_texel(pyramid_gradient, output_gradient, b, i, at[2], weight * (1.0 - fx) * fy, begin, end)
                add_texel(pyramid_gradient, output_gradient, b, i, at[3], weight * fx * fy, begin, end)


# Antialiasing (Laine et al. 2020, section 3.5, with a walk to outlines on triangles that no pixel centre sees)


@wp.func
def folds(edge: wp.vec2, inner: wp.vec2, outer: wp.vec2):
    """Whether both sides of an edge lie on the same side of it on screen."""
    return cross2(edge, inner) * cross2(edge, outer) >= 0.0


@wp.kernel
def find_silhouettes(
    first: int,
    step: int,
    span: int,
    width: int,
    height: int,
    clip: wp.array2d(dtype=wp.vec4),
    triangles: wp.array(dtype=wp.vec3i),
    neighbours: wp.array(dtype=wp.vec3i),
    silhouettes: wp.array2d(dtype=wp.int32),
    on_outline: wp.array2d(dtype=wp.int32),
):
    """Bit k of a triangle's mask: its edge opposite corner k is an outline seen from the camera.

    That is an edge with nothing drawn beyond it, or one where the surface folds back. `on_outline` starts at 0 and
    becomes 1 for the ends of outlines, whichever triangle writes it.
    """
    count = triangles.shape[0]
    groups = (count + span - 1) // span
    item = first + wp.tid() * step
    b = item // groups
    begin = (item % groups) * span
    for t in range(begin, wp.min(begin + span, count)):
        mask = int(0)
        ids = triangles[t]
        p0 = clip[b, ids[0]]
        p1 = clip[b, ids[1]]
        p2 = clip[b, ids[2]]
        if wp.min(p0[3], wp.min(p1[3], p2[3])) > 0.0:
            s0 = on_screen(p0, width, height)
            s1 = on_screen(p1, width, height)
            s2 = on_screen(p2, width, height)
            for k in range(3):
                origin = s1
                end = s2
                inner = s0
                if k == 1:
                    origin = s2
                    end = s0
                    inner = s1
                if k == 2:
                    origin = s0
                    end = s1
                    inner = s2
                outline = bool(True)
                beyond = neighbours[t][k]
                if beyond >= 0:
                    others = triangles[beyond]
                    corner = others[0] + others[1] + others[2] - (ids[0] + ids[1] + ids[2] - ids[k])
                    q = clip[b, corner]
                    if q[3] > 0.0:
                        outline = folds(end - origin, inner - origin, on_screen(q, width, height) - origin)
                if outline:
                    mask += 1 << k
                    on_outline[b, ids[(k + 1) % 3]] = 1
                    on_outline[b, ids[(k + 2) % 3]] = 1
        silhouettes[b, t] = mask


@wp.func
def along(s: wp.vec2, centre: wp.vec2, vertical: int, direction: float):
    """Screen position → (distance from the pixel centre towards its neighbour, distance across)."""
    d = s - centre
    if vertical != 0:
        return wp.vec2(d[1] * direction, d[0])
    return wp.vec2(d[0] * direction, d[1])


@wp.func
def walk_to_outline(
    start: int,
    goal: int,
    b: int,
    centre: wp.vec2,
    vertical: int,
    direction: float,
    width: int,
    height: int,
    clip: wp.array2d(dtype=wp.vec4),
    triangles: wp.array(dtype=wp.vec3i),
    neighbours: wp.array(dtype=wp.vec3i),
    silhouettes: wp.array2d(dtype=wp.int32),
):
    """Follow the surface from a pixel centre inside triangle `start` towards the next pixel, which sees `goal`, from
    triangle to triangle until it ends: (3 triangle + edge, distance), or (-1, 0) if it does not end in between.

    Outlines that run more along the step than across it are left to the pairs in the other direction, so that every
    piece of an outline counts once.
    """
    t = int(start)
    found = int(-1)
    distance = float(0.0)
    steps = int(0)
    while t >= 0 and steps < MOST_STEPS:
        ids = triangles[t]
        leaving = int(-1)
        steep = bool(False)
        distance = -1.0e30
        corner = along(on_screen(clip[b, ids[1]], width, height), centre, vertical, direction)
        for k in range(3):
            following = along(on_screen(clip[b, ids[(k + 2) % 3]], width, height), centre, vertical, direction)
            if (corner[1] < 0.0) != (following[1] < 0.0):
                s = cross2(corner, following) / (following[1] - corner[1])
                if s > distance:
                    distance = s
                    leaving = k
                    steepness = wp.abs(following[1] - corner[1]) - wp.abs(following[0] - corner[0])
                    steep = steepness > 0.0 or (steepness == 0.0 and vertical == 0)
            corner = following
        beyond = int(-1)
        if leaving >= 0 and distance <= 1.0:
            if (silhouettes[b, t] >> leaving) & 1 == 0:
                beyond = neighbours[t][leaving]
            elif steep:
                found = 3 * t + leaving
        t = wp.where(beyond == goal, -1, beyond)
        steps += 1
    return found, distance


@wp.func
def joined(b: int, one: wp.vec3i, other: wp.vec3i, on_outline: wp.array2d(dtype=wp.int32)):
    """Whether two triangles share a corner around which the surface neither ends nor folds: no outline parts them."""
    for i in range(3):
        shared = one[i] == other[0] or one[i] == other[1] or one[i] == other[2]
        if shared and on_outline[b, one[i]] == 0:
            return True
    return False


@wp.func
def outline_between(
    b: int,
    x: int,
    y: int,
    vertical: int,
    height: int,
    width: int,
    clip: wp.array2d(dtype=wp.vec4),
    triangles: wp.array(dtype=wp.vec3i),
    neighbours: wp.array(dtype=wp.vec3i),
    silhouettes: wp.array2d(dtype=wp.int32),
    on_outline: wp.array2d(dtype=wp.int32),
    triangle: wp.array(dtype=wp.int32),
    depth: wp.array(dtype=wp.float32),
):
    """The outline between a pixel and the one to its right, or below it: (code, reach).

    code = 2 (3 triangle + edge) + whether the right or lower pixel is the one in front; -1 if there is no outline.
    reach = its distance from the centre of the pixel in front, less 1/2.
    """
    nx = x + 1 - vertical
    ny = y + vertical
    pixel = (b * height + y) * width + x
    neighbour = (b * height + ny) * width + nx
    start = triangle[pixel]
    goal = triangle[neighbour]
    if start >= 0 and goal >= 0 and joined(b, triangles[start], triangles[goal], on_outline):
        return -1, 0.0
    reversed = int(0)
    direction = float(1.0)
    centre = wp.vec2(float(x) + 0.5, float(y) + 0.5)
    if start < 0 or (goal >= 0 and depth[neighbour] < depth[pixel]):
        start, goal = goal, start
        reversed = 1
        direction = -1.0
        centre = wp.vec2(float(nx) + 0.5, float(ny) + 0.5)
    edge, distance = walk_to_outline(
        start, goal, b, centre, vertical, direction, width, height, clip, triangles, neighbours, silhouettes
    )
    if edge < 0:
        return -1, 0.0
    return 2 * edge + reversed, distance - 0.5


@wp.kernel
def find_outlines(
    first: int,
    step: int,
    bands: int,
    segment: int,
    height: int,
    width: int,
    clip: wp.array2d(dtype=wp.vec4),
    triangles: wp.array(dtype=wp.vec3i),
    neighbours: wp.array(dtype=wp.vec3i),
    silhouettes: wp.array2d(dtype=wp.int32),
    on_outline: wp.array2d(dtype=wp.int32),
    triangle: wp.array(dtype=wp.int32),
    depth: wp.array(dtype=wp.float32),
    codes: wp.array2d(dtype=wp.int32),
    reaches: wp.array2d(dtype=wp.float32),
):
    b, y0, y1, x0, x1, _band = locate(first + wp.tid() * step, bands, segment, height, width)
    for y in range(y0, y1):
        for x in range(x0, x1):
            pixel = (b * height + y) * width + x
            for vertical in range(2):
                code = int(-1)
                reach = float(0.0)
                differs = bool(False)
                if vertical == 0 and x + 1 < width:
                    differs = triangle[pixel] != triangle[pixel + 1]
                if vertical == 1 and y + 1 < height:
                    differs = triangle[pixel] != triangle[pixel + width]
                if differs:
                    code, reach = outline_between(
                        b,
                        x,
                        y,
                        vertical,
                        height,
                        width,
                        clip,
                        triangles,
                        neighbours,
                        silhouettes,
                        on_outline,
                        triangle,
                        depth,
                    )
                codes[pixel, vertical] = code
                reaches[pixel, vertical] = reach


@wp.func
def pair(k: int, x: int, y: int, pixel: int, width: int):
    """The k-th pair of a pixel (right, left, below, above): (the pixel that stores it, the other pixel)."""
    stride = wp.where(k < 2, 1, width)
    if k % 2 == 0:
        return pixel, pixel + stride
    if (k == 1 and x == 0) or (k == 3 and y == 0):
        return -1, -1
    return pixel - stride, pixel - stride


@wp.kernel
def antialias_forward(
    first: int,
    step: int,
    bands: int,
    segment: int,
    height: int,
    width: int,
    codes: wp.array2d(dtype=wp.int32),
    reaches: wp.array2d(dtype=wp.float32),
    image: wp.array2d(dtype=wp.float32),
    output: wp.array2d(dtype=wp.float32),
):
    """`output` starts as a copy of `image`; each pixel gathers from its four neighbours."""
    b, y0, y1, x0, x1, _band = locate(first + wp.tid() * step, bands, segment, height, width)
    for y in range(y0, y1):
        for x in range(x0, x1):
            pixel = (b * height + y) * width + x
            for k in range(4):
                holder, other = pair(k, x, y, pixel, width)
                if holder >= 0:
                    code = codes[holder, k // 2]
                    if code >= 0:
                        reach = reaches[holder, k // 2]
                        front = code % 2 == k % 2
                        if (reach > 0.0) != front:
                            for c in range(image.shape[1]):
                                output[pixel, c] = output[pixel, c] + wp.abs(reach) * (
                                    image[other, c] - image[pixel, c]
                                )


@wp.func
def screen_to_clip(g: wp.vec2, p: wp.vec4, width: int, height: int):
    gx = 0.5 * float(width) * g[0] / p[3]
    gy = -0.5 * float(height) * g[1] / p[3]
    return wp.vec4(gx, gy, 0.0, -(gx * p[0] + gy * p[1]) / p[3])


@wp.kernel
def antialias_backward(
    first: int,
    step: int,
    bands: int,
    segment: int,
    slots: int,
    height: int,
    width: int,
    clip: wp.array2d(dtype=wp.vec4),
    triangles: wp.array(dtype=wp.vec3i),
    codes: wp.array2d(dtype=wp.int32),
    reaches: wp.array2d(dtype=wp.float32),
    image: wp.array2d(dtype=wp.float32),
    output_gradient: wp.array2d(dtype=wp.float32),
    image_gradient: wp.array2d(dtype=wp.float32),
    clip_gradient: wp.array3d(dtype=wp.vec4),
):
    """`image_gradient` starts as a copy of `output_gradient`.

    The image's part is gathered by each pixel from its four neighbours; the outline's part is added by the pixel that
    stores the pair: the blend moves by the difference of the two colours for each pixel that the outline moves.
    """
    b, y0, y1, x0, x1, band = locate(first + wp.tid() * step, bands, segment, height, width)
    slot = band % slots
    for y in range(y0, y1):
        for x in range(x0, x1):
            pixel = (b * height + y) * width + x
            for k in range(4):
                vertical = k // 2
                holder, other = pair(k, x, y, pixel, width)
                code = int(-1)
                if holder >= 0:
                    code = codes[holder, vertical]
                if code >= 0:
                    reach = reaches[holder, vertical]
                    front = code % 2 == k % 2
                    slope = float(0.0)
                    for c in range(image.shape[1]):
                        g = output_gradient[other, c]
                        kept = wp.abs(reach) * g
                        if (reach > 0.0) != front:
                            g = output_gradient[pixel, c]
                            kept = -wp.abs(reach) * g
                        image_gradient[pixel, c] = image_gradient[pixel, c] + kept
                        slope += g * (image[pixel, c] - image[other, c])
                    if k % 2 == 0:
                        direction = float(1.0)
                        centre = wp.vec2(float(x) + 0.5, float(y) + 0.5)
                        if not front:
                            slope = -slope
                            direction = -1.0
                            centre += wp.vec2(float(1 - vertical), float(vertical))
                        edge = code // 2
                        ids = triangles[edge // 3]
                        vi = ids[(edge + 1) % 3]
                        vj = ids[(edge + 2) % 3]
                        pi = clip[b, vi]
                        pj = clip[b, vj]
                        i = along(on_screen(pi, width, height), centre, vertical, direction)
                        j = along(on_screen(pj, width, height), centre, vertical, direction)
                        s = reach + 0.5
                        scale = slope / (j[1] - i[1])
                        gi = scale * wp.vec2(j[1], s - j[0])
                        gj = scale * wp.vec2(-i[1], i[0] - s)
                        if vertical != 0:
                            gi = wp.vec2(gi[1], gi[0] * direction)
                            gj = wp.vec2(gj[1], gj[0] * direction)
                        else:
                            gi = wp.vec2(gi[0] * direction, gi[1])
                            gj = wp.vec2(gj[0] * direction, gj[1])
                        wp.atomic_add(clip_gradient, slot, b, vi, screen_to_clip(gi, pi, width, height))
                        wp.atomic_add(clip_gradient, slot, b, vj, screen_to_clip(gj, pj, width, height))
