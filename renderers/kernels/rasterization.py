"""Triangle setup, drawing, resolving what each pixel sees, and the gradients of vertices."""

# mypy: ignore-errors
# ruff: noqa: RUF046, UP018 - in a kernel, int(0) and float(0.0) declare variables; bare literals are constants.

# Hot loops are written with `while` over indices that cannot be negative: a `range` costs an iterator object, and an
# index of unknown sign a wrap-around, in every round.

import warp as wp

from .compilation import MODULE
from .screen_space import area_slopes, area_slopes_down, homogeneous_areas, locate, ndc, on_screen, seen_from

SUBPIXEL_BITS = wp.constant(wp.int32(12))
"""Vertices are snapped to 1/4096 pixel, so that coverage is decided in exact integer arithmetic."""

GUARD = wp.constant(131072.0)
"""Largest screen coordinate in pixels: with 12 subpixel bits, edge functions then stay below 2^62."""

UNSEEN = wp.constant(-1.0e30)
"""Nearness of a vertex that cannot be projected."""

LAST_INDEX = wp.constant(wp.uint64(0x7FFFFFFF))
"""The key of a pixel holds this less the index of its triangle, beneath the bits of the nearness there."""


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.func
def projected(p: wp.vec4, width: int, height: int):
    """Clip space → nearness (w - z) / w, which is affine on screen and 0 at the far plane, and snapped position."""
    if p[3] > 0.0 and p[2] >= -p[3]:
        position = on_screen(p, width, height)
        if wp.abs(position[0]) < GUARD and wp.abs(position[1]) < GUARD:
            return (p[3] - p[2]) / p[3], snap(position)
    return UNSEEN, wp.vec2i()


@wp.func
def snap(position: wp.vec2):
    scale = float(1 << SUBPIXEL_BITS)
    return wp.vec2i(int(wp.rint(position[0] * scale)), int(wp.rint(position[1] * scale)))


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


@wp.func
def positive(a: wp.vec3):
    """Clamped at 0, where snapping let a pixel just outside the exact triangle be covered."""
    return wp.vec3(wp.max(a[0], 0.0), wp.max(a[1], 0.0), wp.max(a[2], 0.0))
