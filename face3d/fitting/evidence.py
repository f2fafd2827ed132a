"""What the points of MediaPipe's face mesh are worth as evidence.

Indices are those of MediaPipe's canonical face model; left and right are the person's own.
"""

from jaxtyping import Float
from torch import Tensor

OUTER_EYE_CORNERS = (33, 263)
"""Right, left."""
IRISES = (range(468, 473), range(473, 478))
"""Right, left: the centre, then four points on the limbus."""
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
RIGHT_EYE = 468, (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = 473, (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
"""The middle of the iris; the lids' edges from the outer corner below the eye to the inner one, and back above it."""
EYELIDS = (*RIGHT_EYE[1], *LEFT_EYE[1])

SIGMA = 0.05
"""Expected deviation of a point, relative to the distance between the outer eye corners. MediaPipe's own error is about
1 % of it, but errors of neighbours agree: 478 points are worth some 20 independent ones, and weigh accordingly."""
SHARP_SIGMA = 0.035
"""Of lids, lips and irises, which lie on visible edges."""
OVAL_SIGMA = 0.1
"""Of the face's outline, which slides over the cheek as the head turns."""
HIDDEN_FACTOR = 3.0
"""How much less a point is worth where the surface looks away from the camera."""


def landmark_sigma(facing: Float[Tensor, "478"], eye_distance: float) -> Float[Tensor, "478"]:
    """Expected deviation of each landmark in pixels.

    Args:
        facing: cosine between the surface's normal at a landmark and the direction to the camera.
        eye_distance: distance between the outer eye corners in pixels, foreshortening undone.
    """
    sigma = facing.new_full((478,), SIGMA)
    sigma[list(FACE_OVAL)] = OVAL_SIGMA
    sigma[[*LIPS, *EYELIDS, *IRISES[0], *IRISES[1]]] = SHARP_SIGMA
    hidden = ((0.25 - facing) / 0.25).clamp(0.0, 1.0)
    return sigma * (1.0 + (HIDDEN_FACTOR - 1.0) * hidden) * eye_distance
