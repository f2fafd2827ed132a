"""Hats, caps, hoods and scarves over the hair; earrings."""

import numpy as np
from jaxtyping import Float

from face3d.synth.anatomy import CENTRE, LATITUDES, LONGITUDES, anatomy
from face3d.synth.background import muted
from face3d.synth.pieces import Mesh, Piece, joined, plain, ring_mesh, tube
from face3d.synth.skin import noise

HATS, EARRINGS = 0.12, 0.12
"""Shares of people."""
KINDS = ("beanie", "cap", "brim", "hood")


def hat(random: np.random.Generator, vertices: Float[np.ndarray, "vertex 3"]) -> tuple[Piece, float]:
    """A hat on a head, and the height (metres, in the world) of its edge at the back, below which hair shows."""
    kind = str(random.choice(KINDS, p=(0.35, 0.3, 0.15, 0.2)))
    front, back = {
        "beanie": (random.uniform(0.045, 0.075), random.uniform(-0.02, 0.02)),
        "cap": (random.uniform(0.04, 0.07), random.uniform(0.0, 0.03)),
        "brim": (random.uniform(0.05, 0.08), random.uniform(0.03, 0.05)),
        "hood": (random.uniform(0.06, 0.1), -0.14),
    }[kind]
    gap = random.uniform(0.012, 0.035) if kind in ("beanie", "hood") else random.uniform(0.008, 0.015)
    reach = vertices[anatomy().outline]
    offset = reach - CENTRE
    phi = (np.arange(LONGITUDES) + 0.5) / LONGITUDES * 2 * np.pi
    edge = back + (front - back) * (0.5 + 0.5 * np.cos(phi)) ** (4.0 if kind == "hood" else 1.0)
    radius = np.linalg.norm(offset, axis=-1)
    longest = np.arccos(np.clip((edge - CENTRE[1]) / np.median(radius), -0.95, 0.95))
    rows = np.linspace(0.0, 1.0, 14)[:, None] * longest[None]
    row = np.clip(rows / np.pi * LATITUDES - 0.5, 0, LATITUDES - 1.001)
    low, share, column = row.astype(int), row % 1, np.arange(LONGITUDES)[None]
    around = np.array([np.convolve(np.r_[r[-2:], r, r[:2]], np.ones(5) / 5, "valid") for r in radius])
    out = around[low, column] * (1 - share) + around[low + 1, column] * share + gap
    out *= 1 + 0.03 * random.normal() * np.sin(2 * phi) + (0.02 * np.sin(rows * 9) if kind == "beanie" else 0)
    top = random.uniform(1.0, 1.25) if kind == "beanie" else 1.0
    out = out * (1 + (top - 1) * np.cos(rows).clip(0) ** 2)
    place = CENTRE + out[..., None] * np.stack(
        [np.sin(rows) * np.sin(phi), np.cos(rows), np.sin(rows) * np.cos(phi)], -1
    )
    parts = [ring_mesh(place)]
    if kind in ("cap", "brim"):
        parts.append(_visor(random, place[-1], phi, around_head=kind == "brim"))
    mesh, triangles, normals = joined(parts)
    colour = 0.7 * muted(random)
    texture = np.exp(0.15 * noise(random, 2).ravel()[: len(mesh)])[:, None]
    return Piece(mesh, triangles, normals, (colour * texture).astype(np.float32), "hat", 0.05), back


def _visor(
    random: np.random.Generator, rim: Float[np.ndarray, "longitude 3"], phi: np.ndarray, around_head: bool
) -> Mesh:
    """A sheet from the rim outwards: all around, or in front alone."""
    length = random.uniform(0.04, 0.075)
    share = np.ones_like(phi) if around_head else np.clip(1.3 * np.cos(phi) - 0.15, 0, 1) ** 0.5
    outwards = np.stack([np.sin(phi), np.full_like(phi, random.uniform(-0.45, 0.0)), np.cos(phi)], -1)
    steps = np.linspace(0, 1, 5)[:, None, None]
    return ring_mesh(rim + steps * (length * share)[:, None] * outwards)


def earrings(random: np.random.Generator, vertices: Float[np.ndarray, "vertex 3"]) -> Piece:
    """One kind in both ears: drops or hoops."""
    ears = anatomy().model.regions["ears"].numpy()
    hoop, size = random.uniform() < 0.4, random.uniform(0.0025, 0.007)
    parts = []
    for side in (-1, 1):
        ear = vertices[ears & (np.sign(anatomy().model.mean[:, 0].numpy()) == side)]
        lobe = ear[np.argmin(ear[:, 1])] + np.array([0.002 * side, 0.002, 0.003])
        if hoop:
            turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
            ring = np.stack([0.2 * np.cos(turn), np.sin(turn) - 1, np.cos(turn)], 1) * size * 2.5
            parts.append(tube((lobe + ring).astype(np.float32), 0.0012, 5, closed=True))
        else:
            path = lobe + np.stack([np.zeros(5), -np.linspace(0, 2 * size, 5), np.zeros(5)], 1)
            parts.append(tube(path.astype(np.float32), size * np.array([0.2, 0.8, 1.0, 0.8, 0.1]), 8))
    mesh, triangles, normals = joined(parts)
    metal = random.choice([0, 1, 2])
    colour = ((0.8, 0.6, 0.25), (0.7, 0.7, 0.72), tuple(random.uniform(0.02, 0.8, 3)))[metal]
    return Piece(mesh, triangles, normals, plain(mesh, colour), "earring", 4.0)
