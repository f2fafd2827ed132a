"""What is known of the default head before any head is drawn: computed once in a process, never changed."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import cKDTree

import morphable
from avatars.painting import paint
from face3d.synth.classes import INDEX
from morphable import MorphableModel, on_surface
from morphable.appearance import default_textures
from renderers import Camera, rasterize, vertex_normals

TEXELS = 256
"""Texels a side of the skin on the sheet."""
CLASS_TEXELS = 512
"""Texels a side of the map of classes over the skin."""
SMALL = TEXELS // 4
"""Texels a side of the other parts' textures, in a column beside the skin: eyes, teeth, tongue."""
LASHES = "lashes"
CENTRE = np.array([0.0, 0.03, 0.01], np.float32)
"""A point inside the skull from which every direction meets the head's outline once."""
LONGITUDES, LATITUDES = 48, 32
"""Directions from CENTRE in which the outline is known."""
TEETH_POINTS = 8
"""Landmarks along the edge of each row of teeth."""
OCCLUSION_DIRECTIONS = 48
"""From which it is looked how open to the sky each vertex is."""
SOCKET, LID_SHADE = 0.35, 0.75
"""Share of the sky that the flesh in the eyes' corners sees at least, and what lids leave an eyeball."""
OPEN_MOUTH = {"teeth_upper": 0.5, "teeth_lower": 0.4, "tongue": 0.25}
"""Share of the sky that parts of an open mouth see at least."""
PART_CLASS = {"eye_left": "eye_left", "eye_right": "eye_right", "teeth_upper": "mouth", "teeth_lower": "mouth"}
LID_RIGHT = (70, 63, 105, 66, 107, 55, 189, 244, 133, 173, 157, 158, 159, 160, 161, 246, 33, 130, 226, 124)
LID_LEFT = (300, 293, 334, 296, 336, 285, 413, 464, 362, 398, 384, 385, 386, 387, 388, 466, 263, 359, 446, 353)
"""MediaPipe's points around the skin between brow and eye."""
JAW = (
    *(127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356),
    *(447, 376, 433, 416, 434, 432, 287, 410, 391, 393, 164, 167, 165, 186, 57, 212, 214, 192, 213, 147, 227),
)
"""MediaPipe's points around where beards grow."""
MOUSTACHE = (61, 186, 92, 165, 98, 97, 2, 326, 327, 391, 322, 410, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
"""MediaPipe's points around the upper lip's skin."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The default head made ready for drawing.

    Attributes:
        model: the default head.
        corner_vertices: the vertex of each texture corner; triangles below index corners.
        triangles: of all parts but the lashes.
        uv: of corners, on the sheet (TEXELS x (TEXELS + SMALL)), (0, 0) at the top left.
        part_classes: class of each triangle outside of the skin, 0 for the skin's.
        class_map: classes over the skin's own texture, brows not among them.
        sheet: default linear colours of the sheet.
        iris: what the sheet's eye gains for a unit of the iris' colour.
        occlusion: share of the sky that each vertex of the average head sees.
        hairline, fine_hairline: over the skin's texture and the map of classes, how far inside of the scalp a texel
            lies, in texture coordinates.
        masks: name → soft mask over the skin's texture, (TEXELS, TEXELS), in [0, 1].
        points: MediaPipe's landmarks in the skin's texture coordinates.
        teeth: vertices along the edges of the upper and the lower row, from the person's right to left.
        landmark_mirror: the landmark that each becomes in a mirrored picture.
        outline: (LATITUDES, LONGITUDES) vertices that lie farthest out in their directions from CENTRE.
    """

    model: MorphableModel
    corner_vertices: Int[np.ndarray, " corner"]
    triangles: Int[np.ndarray, "triangle 3"]
    uv: Float[np.ndarray, "corner 2"]
    part_classes: UInt8[np.ndarray, " triangle"]
    class_map: UInt8[np.ndarray, "height width"]
    sheet: Float[np.ndarray, "height width 3"]
    iris: Float[np.ndarray, "height width"]
    occlusion: Float[np.ndarray, " vertex"]
    hairline: Float[np.ndarray, "height width"]
    fine_hairline: Float[np.ndarray, "fine_height fine_width"]
    masks: dict[str, Float[np.ndarray, "height width"]]
    points: Float[np.ndarray, "478 2"]
    teeth: Int[np.ndarray, "2 8"]
    landmark_mirror: Int[np.ndarray, " landmark"]
    outline: Int[np.ndarray, "latitude longitude"]

    def landmarks(self, vertices: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "landmark 3"]:
        """MediaPipe's 478 points, then the edges of the upper and the lower teeth."""
        on_skin = on_surface(self.model.landmarks["mediapipe"], torch.from_numpy(vertices), self.model.triangles)
        return np.concatenate([on_skin.numpy(), vertices[self.teeth.ravel()]])


@cache
def anatomy() -> Anatomy:
    """Takes about a second the first time."""
    model = morphable.load()
    corners = _corner_vertices(model)
    opaque = model.parts[LASHES].triangles.start
    triangles = model.uv_triangles[:opaque].int().numpy()
    hairline = _hairline(model)
    sheet, iris, uv = _sheet(model)
    class_map = _class_map(model)
    teeth = np.stack([_teeth_edge(model, "teeth_upper", -1), _teeth_edge(model, "teeth_lower", 1)])
    embedding = model.landmarks["mediapipe"]
    in_texture = model.uv[model.uv_triangles[embedding.triangles.long()].long()]
    points = (in_texture * embedding.barycentric[..., None]).sum(1).numpy()
    return Anatomy(
        model=model,
        corner_vertices=corners,
        triangles=triangles,
        uv=uv,
        part_classes=_part_classes(model)[:opaque],
        class_map=class_map,
        sheet=sheet,
        iris=iris,
        occlusion=_openness(model),
        hairline=hairline,
        fine_hairline=cv2.resize(hairline, (CLASS_TEXELS, CLASS_TEXELS)),
        masks=_masks(model, points),
        points=points,
        teeth=teeth,
        landmark_mirror=_landmark_mirror(model, teeth),
        outline=_outline(model),
    )


def _corner_vertices(model: MorphableModel) -> np.ndarray:
    corners = np.zeros(len(model.uv), np.int64)
    corners[model.uv_triangles.numpy().ravel()] = model.triangles.numpy().ravel()
    return corners


def _sheet(model: MorphableModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The default colours, what the iris' colour adds, and where corners lie on the sheet."""
    dark, bright = (
        paint(model, default_textures(model, iris_colour=(c, c, c), resolution=2 * SMALL), TEXELS) for c in (0.0, 0.25)
    )
    sheets = [p.sheet.texels[0, : TEXELS * (TEXELS + SMALL)].view(TEXELS, -1, 3).numpy() for p in (dark, bright)]
    gain = (sheets[1] - sheets[0])[:SMALL, TEXELS:].mean(-1) / 0.25
    return sheets[0], gain, dark.uv.numpy()


def _part_classes(model: MorphableModel) -> np.ndarray:
    classes = np.zeros(len(model.triangles), np.uint8)
    for name, part in model.parts.items():
        if name != "head":
            classes[part.triangles] = INDEX[PART_CLASS.get(name, "mouth")]
    return classes


def _class_map(model: MorphableModel) -> np.ndarray:
    """From the model's regions; the nose, which is none of them in the texture, from its triangles."""
    table = np.full(len(model.region_names), INDEX["skin"], np.uint8)
    for region, name in (("lip_upper", "lip_upper"), ("lip_lower", "lip_lower"), ("inner_mouth", "mouth")):
        table[model.region_names.index(region)] = INDEX[name]
    table[model.region_names.index("neck")] = INDEX["neck"]
    regions = cv2.resize(model.region_map.numpy(), (CLASS_TEXELS, CLASS_TEXELS), interpolation=cv2.INTER_NEAREST)
    classes = table[regions]
    half = CLASS_TEXELS // 2
    for region, left, right in (("ears", "ear_left", "ear_right"), ("eye_socket", "eye_left", "eye_right")):
        inside = regions == model.region_names.index(region)
        classes[:, :half][inside[:, :half]] = INDEX[right]
        classes[:, half:][inside[:, half:]] = INDEX[left]
    nose = _drawn(model, model.regions["nose"] | model.regions["nostrils"], CLASS_TEXELS) > 0
    classes[nose & (classes == INDEX["skin"])] = INDEX["nose"]
    return classes


def _drawn(model: MorphableModel, vertices: Bool[torch.Tensor, " vertex"], size: int) -> np.ndarray:
    """The skin's triangles whose corners are all among the vertices, as a mask over the texture."""
    span = model.parts["head"].triangles
    inside = vertices[model.triangles[span].long()].all(1)
    polygons = (model.uv[model.uv_triangles[span][inside].long()] * size).round().int().numpy()
    mask = np.zeros((size, size), np.uint8)
    for polygon in polygons:
        cv2.fillConvexPoly(mask, polygon, 255)
    return mask


def _hairline(model: MorphableModel) -> np.ndarray:
    scalp = (model.region_map.numpy() == model.region_names.index("scalp")).astype(np.uint8)
    inside, outside = (cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (scalp, 1 - scalp))
    return cv2.resize(inside - outside, (TEXELS, TEXELS), interpolation=cv2.INTER_AREA) / len(scalp)


def _masks(model: MorphableModel, points: Float[np.ndarray, "478 2"]) -> dict[str, np.ndarray]:
    """Soft masks over the skin's texture, of regions and about landmarks at these places in it."""
    names = {name: index for index, name in enumerate(model.region_names)}
    regions = model.region_map.numpy()

    def of(*wanted: str, softness: float) -> np.ndarray:
        mask = np.isin(regions, [names[each] for each in wanted]).astype(np.float32)
        small = cv2.resize(mask, (TEXELS, TEXELS), interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(small, (0, 0), softness * TEXELS)

    def blobs(indices: tuple[int, ...], radius: float) -> np.ndarray:
        at = (np.arange(TEXELS, dtype=np.float32) + 0.5) / TEXELS
        spots = [
            np.exp(-((at - y) ** 2)[:, None] / radius**2) * np.exp(-((at - x) ** 2)[None] / radius**2)
            for x, y in points[list(indices)]
        ]
        return np.clip(np.sum(spots, 0), 0, 1).astype(np.float32)

    def area(outline: tuple[int, ...], softness: float) -> np.ndarray:
        mask = np.zeros((TEXELS, TEXELS), np.float32)
        cv2.fillPoly(mask, [(points[list(outline)] * TEXELS * 16).astype(np.int32)], 1.0, shift=4)
        return cv2.GaussianBlur(mask, (0, 0), softness * TEXELS)

    masks = {
        "lips": of("lip_upper", "lip_lower", softness=0.003),
        "ears": of("ears", softness=0.01),
        "neck": of("neck", softness=0.02),
        "socket": of("eye_socket", softness=0.0015),
        "mouth": of("inner_mouth", softness=0.0015),
        "nostrils": of("nostrils", softness=0.003),
        "cheeks": blobs((50, 280, 205, 425), 0.045),
        "nose": blobs((4, 48, 278), 0.025),
        "chin": blobs((199,), 0.035),
        "forehead": blobs((151, 108, 337), 0.08),
        "under_eyes": blobs((230, 450, 119, 348), 0.022),
        "lids": np.clip(area(LID_RIGHT, 0.006) + area(LID_LEFT, 0.006), 0, 1),
        "freckled": np.clip(blobs((50, 280, 4, 195, 117, 346), 0.07), 0, 1),
        "beard": np.clip(area(JAW, 0.012) - 1.5 * of("lip_upper", "lip_lower", "inner_mouth", softness=0.006), 0, 1),
        "moustache": np.clip(
            area(MOUSTACHE, 0.005) - 1.5 * of("lip_upper", "lip_lower", "inner_mouth", softness=0.003), 0, 1
        ),
    }
    return {name: np.where(mask > 0.01, mask, 0) for name, mask in masks.items()}


def _teeth_edge(model: MorphableModel, part: str, way: int) -> np.ndarray:
    """Vertices of the outermost edge of a row: of those farthest up (way 1) or down in slices from right to left."""
    span = model.parts[part].vertices
    place = model.mean[span].numpy()
    front = place[:, 2] > place[:, 2].max() - 0.018
    slices = np.linspace(-0.9, 0.9, TEETH_POINTS) * np.abs(place[front, 0]).max()
    cost = np.abs(place[None, :, 0] - slices[:, None]) - 0.7 * way * place[None, :, 1] - 0.5 * place[None, :, 2]
    return span.start + np.where(front, cost, np.inf).argmin(1)


def _landmark_mirror(model: MorphableModel, teeth: np.ndarray) -> np.ndarray:
    points = on_surface(model.landmarks["mediapipe"], model.mean, model.triangles).numpy()
    mirrored = cKDTree(points).query(points * [-1, 1, 1])[1]
    rows = len(points) + np.arange(teeth.size).reshape(teeth.shape)[:, ::-1].ravel()
    return np.concatenate([mirrored, rows])


def _openness(model: MorphableModel) -> np.ndarray:
    """That of the head at rest, but teeth and tongue in an open mouth, and eyes in the lids' shade."""
    openness = _occlusion(model)
    socket = model.regions["eye_socket"].numpy()
    openness[socket] = np.maximum(openness[socket], SOCKET)
    for part in ("eye_left", "eye_right"):
        openness[model.parts[part].vertices] *= LID_SHADE
    for part, least in OPEN_MOUTH.items():
        span = model.parts[part].vertices
        openness[span] = np.maximum(openness[span], least)
    return openness


def _occlusion(model: MorphableModel) -> np.ndarray:
    """Over directions spread evenly on the sphere (Fibonacci's lattice), weighed by the cosine."""
    step = np.arange(OCCLUSION_DIRECTIONS) + 0.5
    height, turn = 1 - 2 * step / OCCLUSION_DIRECTIONS, step * np.pi * (1 + np.sqrt(5))
    across = np.sqrt(1 - height**2)
    directions = np.stack([across * np.cos(turn), height, across * np.sin(turn)], 1).astype(np.float32)
    normals = vertex_normals(model.mean, model.triangles).numpy()
    skin = model.triangles[: model.parts[LASHES].triangles.start]
    seen = np.zeros(len(model.mean), np.float32)
    total = np.zeros_like(seen)
    for direction in directions:
        camera = from_afar(direction, 256)
        clip = camera.clip(model.mean[None])
        depth = rasterize(clip, skin, camera.resolution).depth[0].numpy()
        x, y = camera.project(model.mean).numpy().T.astype(int)
        cosine = np.clip(normals @ direction, 0, None)
        seen += cosine * (clip[0, :, 3].numpy() < depth[np.clip(y, 0, 255), np.clip(x, 0, 255)] + 0.004)
        total += cosine
    return seen / np.maximum(total, 1e-6)


def from_afar(direction: Float[np.ndarray, "3"], size: int, radius: float = 0.24) -> Camera:
    """A camera so far away in a unit direction that its rays are all but parallel; it sees a ball about the head."""
    up = (0.0, 0.0, 1.0) if abs(float(direction[1])) > 0.9 else (0.0, 1.0, 0.0)
    centre = np.array([0.0, -0.03, 0.0], np.float32)
    eye = torch.from_numpy(centre + 20 * direction)
    return Camera.looking_at(eye, centre.tolist(), up, 2 * float(np.arctan(radius / 20)), (size, size), near=10.0)


def _outline(model: MorphableModel) -> np.ndarray:
    span = model.parts["head"].vertices
    vertices = model.mean[span].numpy()
    ears = model.regions["ears"][span].numpy() | model.regions["inner_mouth"][span].numpy()
    offset = vertices - CENTRE
    direction = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    latitude = (np.arange(LATITUDES) + 0.5) / LATITUDES * np.pi
    longitude = (np.arange(LONGITUDES) + 0.5) / LONGITUDES * 2 * np.pi
    theta, phi = np.meshgrid(latitude, longitude, indexing="ij")
    cells = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], -1)
    closeness = cells.reshape(-1, 3) @ direction.T + 0.3 * np.linalg.norm(offset, axis=1) - 10.0 * ears
    return closeness.argmax(1).reshape(LATITUDES, LONGITUDES)
