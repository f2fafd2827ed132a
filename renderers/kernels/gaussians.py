"""Projection of 3D Gaussians, compositing from front to back, and the gradients of both.

An image is cut into tiles. An *entry* is one Gaussian in one tile; entries are listed tile by tile, nearest first. The
backward pass writes what an entry's pixels say into a slot of its own, and slots of one Gaussian lie side by side: on
the CPU nothing is added by two threads, and the sums' order never changes.
"""

# mypy: ignore-errors
# ruff: noqa: RUF046, UP018 - in a kernel, int(0) and float(0.0) declare variables; bare literals are constants.

import warp as wp

from .compilation import MODULE

TILE = wp.constant(wp.int32(16))
"""Pixels a side of a tile."""

DILATION = wp.constant(0.3)
"""Square pixels added to the variances, so that no Gaussian falls between pixel centres (Kerbl et al. 2023)."""

FAINTEST = wp.constant(1.0 / 255.0)
"""Opacity below which a Gaussian leaves a pixel alone."""

DENSEST = wp.constant(0.99)
"""Opacity that a Gaussian has at most at a pixel."""

OPAQUE = wp.constant(1.0e-4)
"""Transmittance from which on nothing farther counts."""

FIELD = wp.constant(1.3)
"""How far off the image's middle, over half its side, slopes of the projection still grow (Kerbl et al. 2023)."""


@wp.kernel(module=MODULE)
def project(
    first: int,
    step: int,
    span: int,
    tiles_across: int,
    tiles_down: int,
    rotation: wp.array(dtype=wp.mat33),
    translation: wp.array(dtype=wp.vec3),
    lens: wp.array(dtype=wp.vec4),
    size: wp.vec2,
    depths: wp.vec2,
    means: wp.array(dtype=wp.vec3),
    axes: wp.array(dtype=wp.mat33),
    opacities: wp.array(dtype=wp.float32),
    places: wp.array(dtype=wp.vec4),
    shapes: wp.array(dtype=wp.vec4),
    depth: wp.array(dtype=wp.float32),
    boxes: wp.array(dtype=wp.vec4i),
    counts: wp.array(dtype=wp.int32),
):
    """Item = group of `span` Gaussians. `lens`: focal lengths and principal point; `size`: width and height; `depths`:
    the near and far plane.

    `places`: where on the image, squared distance at which it gets fainter than FAINTEST in deviations, half its
    height down to there. `shapes`: the inverse covariance (xx, xy, yy) and the opacity. `boxes`: first column and row,
    end column and row of the tiles that it touches, `counts` of them; 0 where it cannot be seen.
    """
    item = first + wp.tid() * step
    begin = item * span
    for i in range(begin, wp.min(begin + span, means.shape[0])):
        p = rotation[0] * means[i] + translation[0]
        depth[i] = p[2]
        counts[i] = 0
        opacity = opacities[i]
        if p[2] > depths[0] and p[2] < depths[1] and opacity > FAINTEST:
            a0, a1, _j0, _j1 = screen_axes(p, lens[0], size, rotation[0], axes[i])
            xx = wp.dot(a0, a0) + DILATION
            xy = wp.dot(a0, a1)
            yy = wp.dot(a1, a1) + DILATION
            share = 1.0 / (xx * yy - xy * xy)
            reach = 2.0 * wp.log(opacity / FAINTEST)
            x = lens[0][0] * p[0] / p[2] + lens[0][2]
            y = lens[0][1] * p[1] / p[2] + lens[0][3]
            half_width = wp.sqrt(reach * xx)
            half_height = wp.sqrt(reach * yy)
            side = float(TILE)
            if (
                x + half_width > 0.0
                and y + half_height > 0.0
                and x - half_width < size[0]
                and y - half_height < size[1]
            ):
                left = int(wp.max(x - half_width, 0.0) / side)
                top = int(wp.max(y - half_height, 0.0) / side)
                right = wp.min(int(wp.min(x + half_width, size[0]) / side) + 1, tiles_across)
                bottom = wp.min(int(wp.min(y + half_height, size[1]) / side) + 1, tiles_down)
                places[i] = wp.vec4(x, y, reach, half_height)
                shapes[i] = wp.vec4(yy * share, -xy * share, xx * share, opacity)
                boxes[i] = wp.vec4i(left, top, right, bottom)
                counts[i] = (right - left) * (bottom - top)


@wp.kernel(module=MODULE)
def enter(
    first: int,
    step: int,
    span: int,
    tiles_across: int,
    order: wp.array(dtype=wp.int64),
    ends: wp.array(dtype=wp.int64),
    boxes: wp.array(dtype=wp.vec4i),
    tile: wp.array(dtype=wp.int32),
    gaussian: wp.array(dtype=wp.int32),
):
    """Item = group of `span` Gaussians in their order. Writes the entries of each before its end."""
    item = first + wp.tid() * step
    begin = item * span
    for rank in range(begin, wp.min(begin + span, order.shape[0])):
        i = int(order[rank])
        box = boxes[i]
        place = int(0)
        if rank > 0:
            place = int(ends[rank - 1])
        if int(ends[rank]) > place:
            for y in range(box[1], box[3]):
                for x in range(box[0], box[2]):
                    tile[place] = y * tiles_across + x
                    gaussian[place] = i
                    place += 1


@wp.kernel(module=MODULE)
def composite(
    first: int,
    step: int,
    piece: int,
    height: int,
    width: int,
    starts: wp.array(dtype=wp.int32),
    entries: wp.array(dtype=wp.int32),
    places: wp.array(dtype=wp.vec4),
    shapes: wp.array(dtype=wp.vec4),
    features: wp.array(dtype=wp.vec4),
    output: wp.array(dtype=wp.vec4),
    transmittance: wp.array(dtype=wp.float32),
):
    """Item = square of `piece` pixels a side, which divides a tile's."""
    x0, y0, x1, y1, tile = square(first + wp.tid() * step, piece, height, width)
    for y in range(y0, y1):
        for x in range(x0, x1):
            output[y * width + x] = wp.vec4()
            transmittance[y * width + x] = 1.0
    open = (x1 - x0) * (y1 - y0)
    entry = starts[tile]
    while entry < starts[tile + 1] and open > 0:
        i = entries[entry]
        place = places[i]
        shape = shapes[i]
        feature = features[i]
        row, row_end = rows(place, y0, y1)
        while row < row_end:
            dy = float(row) + 0.5 - place[1]
            column, column_end = columns(place, shape, dy, x0, x1)
            while column < column_end:
                pixel = row * width + column
                t = transmittance[pixel]
                if t > OPAQUE:
                    alpha = wp.min(shape[3] * falloff(shape, float(column) + 0.5 - place[0], dy), DENSEST)
                    output[pixel] = output[pixel] + (t * alpha) * feature
                    t = t * (1.0 - alpha)
                    transmittance[pixel] = t
                    if t <= OPAQUE:
                        open -= 1
                column += 1
            row += 1
        entry += 1


@wp.kernel(module=MODULE)
def composite_backward(
    first: int,
    step: int,
    piece: int,
    height: int,
    width: int,
    starts: wp.array(dtype=wp.int32),
    entries: wp.array(dtype=wp.int32),
    slots: wp.array(dtype=wp.int64),
    places: wp.array(dtype=wp.vec4),
    shapes: wp.array(dtype=wp.vec4),
    features: wp.array(dtype=wp.vec4),
    output_gradient: wp.array(dtype=wp.vec4),
    transmittance: wp.array(dtype=wp.float32),
    behind: wp.array(dtype=wp.float32),
    moments: wp.array2d(dtype=wp.float32),
    feature_gradient: wp.array(dtype=wp.vec4),
):
    """Item as of `composite`, which is gone through once more from the front.

    `behind` begins as what all that is seen adds to the loss's differential, and loses what lies before it entry by
    entry. `moments`, for each slot: of the gradient of a Gaussian's exponent, over its pixels, times 1, dx, dy, dx²,
    dx dy, dy².
    """
    x0, y0, x1, y1, tile = square(first + wp.tid() * step, piece, height, width)
    for y in range(y0, y1):
        for x in range(x0, x1):
            transmittance[y * width + x] = 1.0
    open = (x1 - x0) * (y1 - y0)
    entry = starts[tile]
    while entry < starts[tile + 1] and open > 0:
        i = entries[entry]
        place = places[i]
        shape = shapes[i]
        feature = features[i]
        share = wp.vec4()
        m = float(0.0)
        mx = float(0.0)
        my = float(0.0)
        mxx = float(0.0)
        mxy = float(0.0)
        myy = float(0.0)
        row, row_end = rows(place, y0, y1)
        while row < row_end:
            dy = float(row) + 0.5 - place[1]
            column, column_end = columns(place, shape, dy, x0, x1)
            s = float(0.0)
            sx = float(0.0)
            sxx = float(0.0)
            while column < column_end:
                pixel = row * width + column
                t = transmittance[pixel]
                if t > OPAQUE:
                    dx = float(column) + 0.5 - place[0]
                    alpha = shape[3] * falloff(shape, dx, dy)
                    dense = alpha > DENSEST
                    alpha = wp.min(alpha, DENSEST)
                    gradient = output_gradient[pixel]
                    worth = wp.dot(feature, gradient)
                    rest = behind[pixel] - t * alpha * worth
                    behind[pixel] = rest
                    share += (t * alpha) * gradient
                    if not dense:
                        g = alpha * (t * worth - rest / (1.0 - alpha))
                        s += g
                        sx += g * dx
                        sxx += g * dx * dx
                    t = t * (1.0 - alpha)
                    transmittance[pixel] = t
                    if t <= OPAQUE:
                        open -= 1
                column += 1
            m += s
            mx += sx
            my += s * dy
            mxx += sxx
            mxy += sx * dy
            myy += s * dy * dy
            row += 1
        slot = int(slots[entry])
        wp.atomic_add(moments, slot, 0, m)
        wp.atomic_add(moments, slot, 1, mx)
        wp.atomic_add(moments, slot, 2, my)
        wp.atomic_add(moments, slot, 3, mxx)
        wp.atomic_add(moments, slot, 4, mxy)
        wp.atomic_add(moments, slot, 5, myy)
        wp.atomic_add(feature_gradient, slot, share)
        entry += 1


@wp.kernel(module=MODULE)
def project_backward(
    first: int,
    step: int,
    span: int,
    rotation: wp.array(dtype=wp.mat33),
    translation: wp.array(dtype=wp.vec3),
    lens: wp.array(dtype=wp.vec4),
    size: wp.vec2,
    order: wp.array(dtype=wp.int64),
    ends: wp.array(dtype=wp.int64),
    means: wp.array(dtype=wp.vec3),
    axes: wp.array(dtype=wp.mat33),
    shapes: wp.array(dtype=wp.vec4),
    moments: wp.array2d(dtype=wp.float32),
    feature_gradient: wp.array(dtype=wp.vec4),
    mean_gradient: wp.array(dtype=wp.vec3),
    axis_gradient: wp.array(dtype=wp.mat33),
    opacity_gradient: wp.array(dtype=wp.float32),
    colour_gradient: wp.array(dtype=wp.vec3),
):
    """Item = group of `span` Gaussians in their order. Adds up the slots of each; gradients begin as 0."""
    item = first + wp.tid() * step
    begin = item * span
    for rank in range(begin, wp.min(begin + span, order.shape[0])):
        slot = int(0)
        if rank > 0:
            slot = int(ends[rank - 1])
        end = int(ends[rank])
        if end > slot:
            i = int(order[rank])
            m = float(0.0)
            mx = float(0.0)
            my = float(0.0)
            mxx = float(0.0)
            mxy = float(0.0)
            myy = float(0.0)
            share = wp.vec4()
            while slot < end:
                m += moments[slot, 0]
                mx += moments[slot, 1]
                my += moments[slot, 2]
                mxx += moments[slot, 3]
                mxy += moments[slot, 4]
                myy += moments[slot, 5]
                share += feature_gradient[slot]
                slot += 1
            shape = shapes[i]
            opacity_gradient[i] = m / shape[3]
            colour_gradient[i] = wp.vec3(share[0], share[1], share[2])
            inverse = wp.mat22(shape[0], shape[1], shape[1], shape[2])
            of_inverse = -0.5 * wp.mat22(mxx, mxy, mxy, myy)
            of_covariance = -(inverse * of_inverse * inverse)
            p = rotation[0] * means[i] + translation[0]
            a0, a1, j0, j1 = screen_axes(p, lens[0], size, rotation[0], axes[i])
            g0 = 2.0 * (of_covariance[0, 0] * a0 + of_covariance[0, 1] * a1)
            g1 = 2.0 * (of_covariance[1, 0] * a0 + of_covariance[1, 1] * a1)
            to_world = wp.transpose(rotation[0])
            axis_gradient[i] = wp.outer(to_world * j0, g0) + wp.outer(to_world * j1, g1)
            of_j0 = rotation[0] * (axes[i] * g0)
            of_j1 = rotation[0] * (axes[i] * g1)
            gx = shape[0] * mx + shape[1] * my
            gy = shape[1] * mx + shape[2] * my
            fx = lens[0][0]
            fy = lens[0][1]
            z = p[2]
            gz = -(gx * fx * p[0] + gy * fy * p[1]) / (z * z) + share[3]
            gz -= (of_j0[0] * fx + of_j1[1] * fy) / (z * z)
            slope_x, inside_x = slope(p[0] / z, lens[0][2], fx, size[0])
            slope_y, inside_y = slope(p[1] / z, lens[0][3], fy, size[1])
            gz += (of_j0[2] * fx * slope_x * (1.0 + inside_x) + of_j1[2] * fy * slope_y * (1.0 + inside_y)) / (z * z)
            gx = fx * (gx / z - inside_x * of_j0[2] / (z * z))
            gy = fy * (gy / z - inside_y * of_j1[2] / (z * z))
            mean_gradient[i] = to_world * wp.vec3(gx, gy, gz)


@wp.func
def screen_axes(p: wp.vec3, lens: wp.vec4, size: wp.vec2, rotation: wp.mat33, axes: wp.mat33):
    """Rows of the axes projected by the slope of the projection at p (Zwicker et al. 2001), and rows of that slope."""
    slope_x, _x = slope(p[0] / p[2], lens[2], lens[0], size[0])
    slope_y, _y = slope(p[1] / p[2], lens[3], lens[1], size[1])
    j0 = wp.vec3(lens[0] / p[2], 0.0, -lens[0] * slope_x / p[2])
    j1 = wp.vec3(0.0, lens[1] / p[2], -lens[1] * slope_y / p[2])
    turned = wp.transpose(rotation * axes)
    return turned * j0, turned * j1, j0, j1


@wp.func
def slope(tangent: float, principal: float, focal: float, side: float):
    """The tangent of the angle off the optical axis, held near the image, and 1 where it need not be held, else 0."""
    low = -(principal + (FIELD - 1.0) * 0.5 * side) / focal
    high = (side - principal + (FIELD - 1.0) * 0.5 * side) / focal
    held = wp.clamp(tangent, low, high)
    return held, wp.where(held == tangent, 1.0, 0.0)


@wp.func
def square(item: int, piece: int, height: int, width: int):
    """Item → (first column, first row, end column, end row, tile)."""
    across = (width + piece - 1) // piece
    x = (item % across) * piece
    y = (item // across) * piece
    tile = (y // TILE) * ((width + TILE - 1) // TILE) + x // TILE
    return x, y, wp.min(x + piece, width), wp.min(y + piece, height), tile


@wp.func
def rows(place: wp.vec4, y0: int, y1: int):
    """First and end row whose pixel centres a Gaussian reaches."""
    first = int(wp.ceil(place[1] - place[3] - 0.5))
    end = int(wp.floor(place[1] + place[3] - 0.5)) + 1
    return wp.max(first, y0), wp.min(end, y1)


@wp.func
def columns(place: wp.vec4, shape: wp.vec4, dy: float, x0: int, x1: int):
    """First and end column whose pixel centres a Gaussian reaches in a row."""
    inside = wp.max(shape[0] * place[2] - (shape[0] * shape[2] - shape[1] * shape[1]) * dy * dy, 0.0)
    middle = place[0] - shape[1] * dy / shape[0] - 0.5
    half = wp.sqrt(inside) / shape[0]
    return wp.max(int(wp.ceil(middle - half)), x0), wp.min(int(wp.floor(middle + half)) + 1, x1)


@wp.func
def falloff(shape: wp.vec4, dx: float, dy: float):
    return wp.exp(-0.5 * (shape[0] * dx * dx + shape[2] * dy * dy) - shape[1] * dx * dy)
