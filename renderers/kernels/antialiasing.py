"""Antialiasing (Laine et al. 2020, section 3.5, with a walk to outlines on triangles that no pixel centre sees)."""

# mypy: ignore-errors
# ruff: noqa: RUF046, UP018 - in a kernel, int(0) and float(0.0) declare variables; bare literals are constants.

import warp as wp

from .compilation import MODULE
from .screen_space import cross2, locate, on_screen

MOST_STEPS = wp.constant(wp.int32(64))
"""Triangles crossed between two neighbouring pixel centres in search of an outline before giving up."""


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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


@wp.func
def folds(edge: wp.vec2, inner: wp.vec2, outer: wp.vec2):
    """Whether both sides of an edge lie on the same side of it on screen."""
    return cross2(edge, inner) * cross2(edge, outer) >= 0.0


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


@wp.func
def joined(b: int, one: wp.vec3i, other: wp.vec3i, on_outline: wp.array2d(dtype=wp.int32)):
    """Whether two triangles share a corner around which the surface neither ends nor folds: no outline parts them."""
    for i in range(3):
        shared = one[i] == other[0] or one[i] == other[1] or one[i] == other[2]
        if shared and on_outline[b, one[i]] == 0:
            return True
    return False


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
def along(s: wp.vec2, centre: wp.vec2, vertical: int, direction: float):
    """Screen position → (distance from the pixel centre towards its neighbour, distance across)."""
    d = s - centre
    if vertical != 0:
        return wp.vec2(d[1] * direction, d[0])
    return wp.vec2(d[0] * direction, d[1])


@wp.func
def pair(k: int, x: int, y: int, pixel: int, width: int):
    """The k-th pair of a pixel (right, left, below, above): (the pixel that stores it, the other pixel)."""
    stride = wp.where(k < 2, 1, width)
    if k % 2 == 0:
        return pixel, pixel + stride
    if (k == 1 and x == 0) or (k == 3 and y == 0):
        return -1, -1
    return pixel - stride, pixel - stride


@wp.func
def screen_to_clip(g: wp.vec2, p: wp.vec4, width: int, height: int):
    gx = 0.5 * float(width) * g[0] / p[3]
    gy = -0.5 * float(height) * g[1] / p[3]
    return wp.vec4(gx, gy, 0.0, -(gx * p[0] + gy * p[1]) / p[3])
