"""Vertex attributes at the pixels, and their gradients."""

# mypy: ignore-errors

import warp as wp

from .compilation import MODULE
from .screen_space import locate


@wp.kernel(module=MODULE)
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


@wp.kernel(module=MODULE)
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
