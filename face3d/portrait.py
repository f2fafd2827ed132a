"""From a photo to what plays performances: whose head it shows, and how it was held."""

from __future__ import annotations

import numpy as np
import torch

from avatars.portrait import PosedPhoto
from face3d.perception import FaceObservation, MediaPipeDetector, select
from face3d.photo import Photo
from face3d.reconstruction import run_reconstruction
from face3d.stages import Progress, Stages
from face3d.track.following import Sighting
from face3d.track.person import known, rough_place
from face3d.track.pose_expression import projected
from face3d.track.sightings import Sightings
from morphable import Head
from renderers import Camera


def posed_photo(
    photo: Photo,
    *,
    head: Head | None = None,
    face: int = 0,
    detector: MediaPipeDetector | None = None,
    progress: Progress | None = None,
) -> PosedPhoto:
    """A photo with its head, camera and expression, measured as `track` measures a frame of a video.

    Args:
        head: the person's; reconstructed from the photo if not given.
        face: which one in the photo, most prominent first.
        detector: finds faces; MediaPipe's if not given.

    Raises:
        Face3DError: there is no such face, or the head has a mesh of its own.
    """
    if detector is None:
        with MediaPipeDetector() as own:
            return posed_photo(photo, head=head, face=face, detector=own, progress=progress)
    if head is None:
        head = run_reconstruction(photo, face=face, detector=detector, progress=progress).head
    stages = Stages(progress)
    stages("posing the head")
    observation = select(detector.detect(photo.pixels), face, photo.name)
    posed = _posed(photo, head, observation, detector)
    stages.finish()
    return posed


def _posed(photo: Photo, head: Head, observation: FaceObservation, detector: MediaPipeDetector) -> PosedPhoto:
    size = photo.pixels.shape[:2]
    sightings = Sightings.of([0.0], [Sighting(observation, sharpness=1.0)])
    person = known(head, (size[0], size[1]), sightings, detector)
    place = rough_place(person, sightings, 0)
    camera = Camera(
        torch.full((2,), person.lens.focal),
        torch.as_tensor(person.lens.principal).float(),
        torch.as_tensor(place.rotation).float(),
        torch.as_tensor(place.translation).float(),
        (size[0], size[1]),
    )
    posed = PosedPhoto(photo.pixels, head, camera, place.weights.astype(np.float32))
    return posed.registered(projected(person.response, person.lens, place), observation.landmarks[:, :2])
