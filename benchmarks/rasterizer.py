"""The rasterizer against ray casting with Embree, and against PyTorch3D where installed; growth with size.

The meshes are an ellipsoid of 9 024 triangles, which covers 57 % of the image, and the default head. Embree casts one
primary ray a pixel (embreex, as trimesh uses it), which finds the visible triangle; ours finds it with barycentrics and
depth as well.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

import morphable
from renderers import Camera, rasterize
from renderers.backends import load
from renderers.rasterization import Backend

from .timing import figure, growth, medians

RESOLUTION = 512


def figures() -> Iterator[dict]:
    vertices, triangles = ellipsoid(96, 48)
    yield from against_embree("rasterize_ellipsoid", vertices, triangles)
    yield from against_embree("rasterize", *head())
    yield from against_pytorch3d(vertices, triangles)
    yield from growth_with_pixels(vertices, triangles)
    yield from growth_with_triangles()


def against_embree(name: str, vertices: Tensor, triangles: Tensor) -> Iterator[dict]:
    camera = framing(vertices, RESOLUTION)
    clip = camera.clip(vertices[None])
    seen = rasterize(clip, triangles, camera.resolution).triangle
    cast = embree_caster(vertices, triangles, camera)
    forward, both, embree = medians(
        [
            lambda: rasterize(clip, triangles, camera.resolution),
            forward_and_backward(clip, triangles, camera.resolution),
            cast,
        ]
    )
    yield figure(f"{name}_triangles", len(triangles), "triangles")
    yield figure(f"{name}_coverage", (seen >= 0).float().mean().item(), "of the image")
    yield figure(
        f"{name}_agreement", float((cast() == seen.flatten().numpy()).mean()), "of pixels see Embree's triangle"
    )
    yield figure(f"{name}_forward", forward, "ms", "embree primary rays", embree)
    yield figure(f"{name}_forward_backward", both, "ms", "embree primary rays, forward only", embree)


def forward_and_backward(clip: Tensor, triangles: Tensor, resolution: tuple[int, int], backend: Backend = "warp"):
    """Rasterize, then carry a gradient of every barycentric and depth back to the vertices."""
    clip = clip.detach().requires_grad_()
    weight = torch.rand(1, *resolution, 3)
    depth_weight = torch.rand(1, *resolution)

    def run() -> None:
        fragments = rasterize(clip, triangles, resolution, backend=backend)
        torch.autograd.grad([fragments.barycentric, fragments.depth], clip, [weight, depth_weight])

    return run


def embree_caster(vertices: Tensor, triangles: Tensor, camera: Camera):
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, vertices.numpy().astype(np.float32), triangles.numpy().astype(np.int32))
    height, width = camera.resolution
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    plane = (torch.stack([x, y], -1) - camera.principal) / camera.focal
    rays = torch.nn.functional.pad(plane, (0, 1), value=1.0).reshape(-1, 3) @ camera.rotation
    directions = np.ascontiguousarray(rays.numpy())
    origins = np.ascontiguousarray(camera.position.expand(len(rays), 3).numpy())
    return lambda: scene.run(origins, directions)


def against_pytorch3d(vertices: Tensor, triangles: Tensor) -> Iterator[dict]:
    try:
        load("pytorch3d")
    except ImportError:
        return
    size = (RESOLUTION, RESOLUTION)
    clip = framing(vertices, RESOLUTION).clip(vertices[None])
    forward, both, peer_forward, peer_both = medians(
        [
            lambda: rasterize(clip, triangles, size),
            forward_and_backward(clip, triangles, size),
            lambda: rasterize(clip, triangles, size, backend="pytorch3d"),
            forward_and_backward(clip, triangles, size, backend="pytorch3d"),
        ],
        repetitions=1,
    )
    yield figure("rasterize_forward_against_pytorch3d", forward, "ms", "pytorch3d", peer_forward)
    yield figure("rasterize_forward_backward_against_pytorch3d", both, "ms", "pytorch3d", peer_both)


def growth_with_pixels(vertices: Tensor, triangles: Tensor) -> Iterator[dict]:
    sides = (512, 1024, 2048)
    cameras = [framing(vertices, side) for side in sides]
    clips = [camera.clip(vertices[None]) for camera in cameras]
    runs = [
        forward_and_backward(clip, triangles, camera.resolution) for clip, camera in zip(clips, cameras, strict=True)
    ]
    yield from growth_figures("pixels", [side * side for side in sides], runs)


def growth_with_triangles() -> Iterator[dict]:
    counts, runs = [], []
    for columns in (192, 384, 768):
        vertices, triangles = ellipsoid(columns, columns // 2)
        camera = framing(vertices, RESOLUTION)
        counts.append(len(triangles))
        runs.append(forward_and_backward(camera.clip(vertices[None]), triangles, camera.resolution))
    yield from growth_figures("triangles", counts, runs)


def growth_figures(what: str, sizes: list[int], runs: list) -> Iterator[dict]:
    times = medians(runs, repetitions=7)
    memory = [peak_memory(run) for run in runs]
    for size, milliseconds, mebibytes in zip(sizes, times, memory, strict=True):
        yield figure(f"rasterize_{size}_{what}_time", milliseconds, "ms")
        yield figure(f"rasterize_{size}_{what}_memory", mebibytes, "MiB")
    yield figure(f"rasterize_time_growth_with_{what}", growth(sizes, times), "exponent")
    yield figure(f"rasterize_memory_growth_with_{what}", growth(sizes, memory), "exponent")


def peak_memory(run) -> float:
    """Most MiB of tensors that a run holds at once."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    held = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most / 2**20


def head() -> tuple[Tensor, Tensor]:
    """The default head with its eyes, mouth and lashes: vertices in metres and triangles."""
    model = morphable.load()
    return model.mean, model.triangles


def ellipsoid(columns: int, rows: int) -> tuple[Tensor, Tensor]:
    polar = torch.linspace(0, math.pi, rows + 1)[1:-1, None]
    around = (torch.arange(columns) * (2 * math.pi / columns))[None]
    ring = torch.stack([polar.sin() * around.sin(), polar.cos().expand(-1, columns), polar.sin() * around.cos()], -1)
    poles = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    top = columns * (rows - 1)
    i, j = torch.meshgrid(torch.arange(rows - 2), torch.arange(columns), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    last = torch.arange(columns)
    following, bottom_ring = (last + 1) % columns, columns * (rows - 2)
    triangles = torch.cat(
        [
            torch.stack([a, a + columns, b], -1).reshape(-1, 3),
            torch.stack([b, a + columns, b + columns], -1).reshape(-1, 3),
            torch.stack([torch.full_like(last, top), last, following], -1),
            torch.stack([torch.full_like(last, top + 1), bottom_ring + following, bottom_ring + last], -1),
        ]
    )
    return torch.cat([ring.reshape(-1, 3), poles]) * torch.tensor([0.085, 0.115, 0.1]), triangles


def framing(vertices: Tensor, side: int) -> Camera:
    """A camera 60 cm in front whose square image the mesh fills from top to bottom, less a small margin."""
    centre = (vertices.amin(0) + vertices.amax(0)) / 2
    half = float((vertices.amax(0) - vertices.amin(0))[1]) / 2
    eye = centre + torch.tensor([0.0, 0.0, 0.6])
    return Camera.looking_at(eye, centre, (0, 1, 0), 2 * math.atan(half * 1.02 / 0.6), (side, side))
