"""The kernel that colours samples: what each shows, and how bright the light makes it.

One pass over the picture; as tensor operations the same takes five times as long.
"""

# mypy: ignore-errors
# ruff: noqa: UP018 - in a kernel, float(0.0) declares a variable; bare literals are constants.

import warp as wp

SHADOW_BIAS = 0.004
"""Metres by which a surface may lie behind what the lamp sees first and still be lit."""
SHADOW_TAPS = 3
"""Looks at the shadow map for each sample, at places drawn by chance."""
HAIR_WRAP = 0.35
"""Cosine by which light reaches around the head's edge into hair."""
FIBRE_SHINE = 0.5
"""Strength of highlights along hair."""

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": "-march=native -ffp-contract=fast"})


@wp.struct
class Light:
    """`sky` is irradiance / pi per basis function of renderers.spherical_harmonics_basis; lamps are as `light.Lamp`."""

    sky: wp.array(dtype=wp.vec3)
    towards: wp.array(dtype=wp.vec3)
    radiance: wp.array(dtype=wp.vec3)
    shadow: wp.array2d(dtype=wp.float32)
    shadow_rotation: wp.mat33
    shadow_translation: wp.vec3
    shadow_focal: float
    spread: float
    seed: int


@wp.struct
class Eye:
    """The camera's pose and intrinsics, in samples."""

    rotation: wp.mat33
    translation: wp.vec3
    place: wp.vec3
    focal: wp.vec2
    principal: wp.vec2


@wp.struct
class Surface:
    """What triangles are: class and gloss of each; the first `skin` of them take both and their colour from the sheet
    and the map of classes, the others up to `head` colour and gloss from the sheet."""

    classes: wp.array(dtype=wp.uint8)
    gloss: wp.array(dtype=wp.float32)
    skin: int
    head: int
    sheet: wp.array3d(dtype=wp.float32)
    class_map: wp.array2d(dtype=wp.uint8)
    sheet_to_map: float
    first_fibre: int
    last_fibre: int


@wp.func
def sky_light(sky: wp.array(dtype=wp.vec3), n: wp.vec3):
    """The harmonics of order 2 at n, not below 0."""
    x, y, z = n[0], n[1], n[2]
    light = 0.28209479 * sky[0] + 0.48860251 * (y * sky[1] + z * sky[2] + x * sky[3])
    light += 1.09254843 * (x * y * sky[4] + y * z * sky[5] + x * z * sky[7])
    light += 0.31539157 * (3.0 * z * z - 1.0) * sky[6] + 0.54627422 * (x * x - y * y) * sky[8]
    return wp.max(light, wp.vec3(0.0, 0.0, 0.0))


@wp.func
def power16(x: float):
    y = x * x
    y = y * y
    y = y * y
    return y * y


@wp.func
def looked_up(sheet: wp.array3d(dtype=wp.float32), u: float, v: float):
    """Bilinear between the centres of texels."""
    x = u * float(sheet.shape[1]) - 0.5
    y = v * float(sheet.shape[0]) - 0.5
    i, j = int(wp.floor(y)), int(wp.floor(x))
    b, a = y - float(i), x - float(j)
    i0, i1 = wp.clamp(i, 0, sheet.shape[0] - 1), wp.clamp(i + 1, 0, sheet.shape[0] - 1)
    j0, j1 = wp.clamp(j, 0, sheet.shape[1] - 1), wp.clamp(j + 1, 0, sheet.shape[1] - 1)
    texel = wp.vec4()
    for c in range(4):
        upper = sheet[i0, j0, c] * (1.0 - a) + sheet[i0, j1, c] * a
        lower = sheet[i1, j0, c] * (1.0 - a) + sheet[i1, j1, c] * a
        texel[c] = upper * (1.0 - b) + lower * b
    return texel


@wp.func
def reaching(light: Light, point: wp.vec3, sample: int):
    """Share of the first lamp's light that is not in shadow."""
    seen = light.shadow_rotation * point + light.shadow_translation
    size = light.shadow.shape[0]
    x = seen[0] / seen[2] * light.shadow_focal + 0.5 * float(size)
    y = seen[1] / seen[2] * light.shadow_focal + 0.5 * float(size)
    state = wp.rand_init(light.seed, sample)
    lit = float(0.0)
    for _ in range(SHADOW_TAPS):
        j = wp.clamp(int(x + light.spread * (wp.randf(state) - 0.5)), 0, size - 1)
        i = wp.clamp(int(y + light.spread * (wp.randf(state) - 0.5)), 0, size - 1)
        nearest = light.shadow[i, j]
        if nearest == 0.0 or nearest > seen[2] - SHADOW_BIAS:
            lit += 1.0
    return lit / float(SHADOW_TAPS)


@wp.func
def solid_radiance(
    light: Light, albedo: wp.vec3, gloss: float, n: wp.vec3, openness: float, eye: wp.vec3, shaded: float
):
    """A diffuse part that wraps around skin, as scattering below the surface lets it, farthest in the red; Blinn-Phong
    highlights and a mirrored sky with Schlick's Fresnel term."""
    bounce = wp.vec3(1.0, 1.0, 1.0) + (1.0 - openness) * albedo
    colour = openness * wp.cw_mul(wp.cw_mul(albedo, bounce), sky_light(light.sky, n))
    facing = wp.dot(n, eye)
    edge = 1.0 - wp.clamp(facing, 0.0, 1.0)
    grazing = edge * edge * edge * edge * edge
    for k in range(light.towards.shape[0]):
        reach = shaded
        if k > 0:
            reach = openness
        towards = light.towards[k]
        cosine = wp.dot(n, towards)
        wrapped = wp.vec3((cosine + 0.32) / 1.32, (cosine + 0.14) / 1.14, (cosine + 0.09) / 1.09)
        diffuse = wp.max(wrapped, wp.vec3(0.0, 0.0, 0.0)) * (0.15 + 0.85 * openness)
        shine = float(0.0)
        if cosine > 0.0:
            angle = wp.max(wp.dot(n, wp.normalize(eye + towards)), 0.0)
            broad = power16(angle)
            narrow = broad * broad * broad * broad
            shine = gloss * (0.10 * broad + 0.22 * narrow) * (1.0 + 3.0 * grazing)
        colour += reach * wp.cw_mul(light.radiance[k], wp.cw_mul(albedo, diffuse) + wp.vec3(shine, shine, shine))
    mirrored = 2.0 * facing * n - eye
    return colour + gloss * (0.03 + 0.25 * grazing) * openness * sky_light(light.sky, mirrored)


@wp.func
def fibre_radiance(
    light: Light, albedo: wp.vec3, t: wp.vec3, outwards: wp.vec3, openness: float, eye: wp.vec3, shaded: float
):
    """Hair (Kajiya & Kay 1989), shaded besides by the direction in which its side of the head looks."""
    colour = openness * wp.cw_mul(albedo, sky_light(light.sky, outwards))
    for k in range(light.towards.shape[0]):
        reach = shaded
        if k > 0:
            reach = openness
        towards = light.towards[k]
        along = wp.dot(t, towards)
        side = wp.clamp((wp.dot(outwards, towards) + HAIR_WRAP) / (1.0 + HAIR_WRAP), 0.0, 1.0)
        diffuse = 0.8 * wp.sqrt(wp.max(1.0 - along * along, 0.0)) * side * openness
        across = wp.dot(t, wp.normalize(eye + towards))
        glint = power16(wp.sqrt(wp.max(1.0 - across * across, 0.0)))
        glint = glint * glint * glint * glint * side * openness
        white = 0.06 * FIBRE_SHINE * glint
        own = (diffuse + glint * (0.35 + 2.0 * FIBRE_SHINE * glint)) * albedo + wp.vec3(white, white, white)
        colour += reach * wp.cw_mul(light.radiance[k], own)
    return colour


@wp.kernel
def shade(
    triangle: wp.array2d(dtype=wp.int32),
    depth: wp.array2d(dtype=wp.float32),
    values: wp.array3d(dtype=wp.float32),
    surface: Surface,
    light: Light,
    eye: Eye,
    middle: wp.vec3,
    radiance: wp.array2d(dtype=wp.vec3),
    normals: wp.array2d(dtype=wp.vec3),
    classes: wp.array2d(dtype=wp.uint8),
):
    """Colour, normal and class of every sample. `values` are normals (tangents of fibres), colours (of the head: places
    on the sheet) and openness. Each item is a row."""
    i = wp.tid()
    for j in range(triangle.shape[1]):
        t = triangle[i, j]
        if t < 0:
            radiance[i, j] = wp.vec3(0.0, 0.0, 0.0)
            normals[i, j] = wp.vec3(0.0, 0.0, 0.0)
            classes[i, j] = wp.uint8(0)
        else:
            z = depth[i, j]
            x = (float(j) + 0.5 - eye.principal[0]) / eye.focal[0] * z
            y = (float(i) + 0.5 - eye.principal[1]) / eye.focal[1] * z
            point = wp.transpose(eye.rotation) * (wp.vec3(x, y, z) - eye.translation)
            towards = wp.normalize(eye.place - point)
            n = wp.normalize(wp.vec3(values[i, j, 0], values[i, j, 1], values[i, j, 2]))
            albedo = wp.vec3(values[i, j, 3], values[i, j, 4], values[i, j, 5])
            openness = wp.clamp(values[i, j, 6], 0.0, 1.0)
            gloss = surface.gloss[t]
            kind = surface.classes[t]
            if t < surface.head:
                texel = looked_up(surface.sheet, albedo[0], albedo[1])
                if t < surface.skin:
                    size = surface.class_map.shape[0]
                    row = wp.clamp(int(albedo[1] * float(size)), 0, size - 1)
                    column = wp.clamp(int(albedo[0] * surface.sheet_to_map * float(size)), 0, size - 1)
                    kind = surface.class_map[row, column]
                albedo = wp.vec3(texel[0], texel[1], texel[2])
                gloss = texel[3]
            shaded = openness
            if light.shadow.shape[0] > 0:
                shaded = reaching(light, point, i * triangle.shape[1] + j)
            classes[i, j] = kind
            if t >= surface.head and int(kind) >= surface.first_fibre and int(kind) <= surface.last_fibre:
                outwards = wp.normalize(point - middle)
                radiance[i, j] = fibre_radiance(light, albedo, n, outwards, openness, towards, shaded)
                normals[i, j] = wp.vec3(0.0, 0.0, 0.0)
            else:
                if t >= surface.head and wp.dot(n, towards) < 0.0:
                    n = -n
                normals[i, j] = n
                radiance[i, j] = solid_radiance(light, albedo, gloss, n, openness, towards, shaded)


@wp.kernel
def shade_lens(
    triangle: wp.array2d(dtype=wp.int32),
    depth: wp.array2d(dtype=wp.float32),
    normal: wp.array3d(dtype=wp.float32),
    behind: wp.array2d(dtype=wp.float32),
    tint: wp.vec3,
    gloss: float,
    opacity: float,
    kind: wp.uint8,
    light: Light,
    eye: Eye,
    radiance: wp.array2d(dtype=wp.vec3),
    normals: wp.array2d(dtype=wp.vec3),
    classes: wp.array2d(dtype=wp.uint8),
):
    """Lenses drawn over what is there, where they lie before it; dark ones are what is seen."""
    i, j = wp.tid()
    z = depth[i, j]
    if triangle[i, j] < 0 or (behind[i, j] > 0.0 and z > behind[i, j]):
        return
    x = (float(j) + 0.5 - eye.principal[0]) / eye.focal[0] * z
    y = (float(i) + 0.5 - eye.principal[1]) / eye.focal[1] * z
    point = wp.transpose(eye.rotation) * (wp.vec3(x, y, z) - eye.translation)
    towards = wp.normalize(eye.place - point)
    n = wp.normalize(wp.vec3(normal[i, j, 0], normal[i, j, 1], normal[i, j, 2]))
    own = solid_radiance(light, opacity * tint, gloss, n, 1.0, towards, 1.0)
    radiance[i, j] = (1.0 - opacity) * radiance[i, j] + own
    if opacity > 0.5:
        classes[i, j] = kind
        normals[i, j] = n
        behind[i, j] = z
