"""How near the default head comes to heads of ICT-FaceKit, to whose identities it was not fitted: the median distance
from true vertices of the face to the registered surface. Silent where ICT-FaceKit's data is absent: the environment
variable FACE3D_ICT names it, else it is looked for beside the repository."""

import time
from collections.abc import Iterator

import numpy as np

import morphable
from benchmarks.ict import DATA, FACE, HEAD, NARROW
from benchmarks.timing import figure
from face3d.perception import MediaPipeDetector
from face3d.registration import find_landmarks, register
from morphable.surface import Surface

HEADS = 20
WITH_DETAIL_LIMIT, WITHOUT_LIMIT = 0.35, 0.5
"""Millimetres."""


def figures() -> Iterator[dict]:
    if not DATA.exists():
        return
    model = morphable.load()
    skin = model.triangles[model.parts["head"].triangles].long().numpy()
    stored = np.load(DATA)
    neutral, modes = stored["v"][:HEAD] / 100.0, stored["identity"][:, :HEAD] / 100.0
    triangles = stored["f"][(stored["f"] < HEAD).all(1)]
    distances: dict[bool, list[np.ndarray]] = {True: [], False: []}
    seconds = []
    with MediaPipeDetector() as detector:
        for seed in range(HEADS):
            vertices = neutral + np.tensordot(np.random.default_rng(seed).normal(size=len(modes)), modes, 1)
            start = time.perf_counter()
            landmarks = find_landmarks(model, vertices, triangles, detector)
            for detail, kept in distances.items():
                found = register(model, vertices, triangles, landmarks, detail=detail)
                if detail:
                    seconds.append(time.perf_counter() - start)
                feet = Surface(found.vertices(model), skin).closest(found.to_model(vertices[:FACE]))
                kept.append(1000 * feet.distances)
    for detail, limit in ((True, WITH_DETAIL_LIMIT), (False, WITHOUT_LIMIT)):
        name = "registration_with_detail" if detail else "registration_without_detail"
        for part, count in (("face", NARROW), ("face_ears_neck", FACE)):
            median = float(np.mean([np.median(each[:count]) for each in distances[detail]]))
            yield figure(f"{name}_{part}", median, "mm", "limit", limit)
    yield figure("registration_time", float(np.median(seconds)), "s")
