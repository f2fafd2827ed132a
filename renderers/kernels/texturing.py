"""Screen-space derivatives of texture coordinates; bilinear and trilinear filtering and its gradients."""

# mypy: ignore-errors
# ruff: noqa: RUF046, UP018 - in a kernel, int(0) and float(0.0) declare variables; bare literals are constants.

import warp as wp

from .compilation import MODULE
from .screen_space import area_slopes, homogeneous_areas, locate, ndc, seen_from


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.func
def wrapped(i: int, count: int, repeat: int):
    if repeat != 0:
        return ((i % count) + count) % count
    return wp.clamp(i, 0, count - 1)


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
