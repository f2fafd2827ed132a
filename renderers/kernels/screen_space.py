"""Device functions of several kernels: the pixels of an item, projection, perspective-correct areas.

Screen space: x right, y down, in pixels, the centre of pixel (0, 0) at (0.5, 0.5).
"""

# mypy: ignore-errors

import warp as wp


@wp.func
def locate(item: int, bands: int, segment: int, height: int, width: int):
    """Item → (image, first row, end row, first column, end column, band)."""
    segments = (width + segment - 1) // segment
    rows = (height + bands - 1) // bands
    x = (item % segments) * segment
    band = (item // segments) % bands
    y = band * rows
    return item // segments // bands, y, wp.min(y + rows, height), x, wp.min(x + segment, width), band


@wp.func
def on_screen(p: wp.vec4, width: int, height: int):
    return wp.vec2((0.5 + 0.5 * p[0] / p[3]) * float(width), (0.5 - 0.5 * p[1] / p[3]) * float(height))


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
