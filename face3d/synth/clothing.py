"""The body below the head: neck, shoulders, and what covers them."""

import numpy as np
from jaxtyping import Float

from face3d.synth.background import muted
from face3d.synth.pieces import Mesh, Piece, joined, plain, ring_mesh
from face3d.synth.skin import noise

COLUMNS, ROWS = 40, 22
NECK_BASE = -0.150
"""Metres: the height at which the head's own neck is left."""
COLLARS = ("round", "deep", "shirt", "high", "bare", "hood")


def clothing(random: np.random.Generator, skin: Float[np.ndarray, "3"], wide: float) -> list[Piece]:
    """A torso with bare skin (class neck) and cloth over it; `wide` is half the neck's width at its base,
    metres."""
    turn = np.linspace(0, 2 * np.pi, COLUMNS, endpoint=False)
    shoulders, slope = random.uniform(0.17, 0.25), random.uniform(0.03, 0.09)
    share = np.linspace(0, 1, ROWS)[:, None]
    half_wide = wide * 1.02 + (shoulders - wide) * np.clip(share / 0.6, 0, 1) ** 1.25
    half_deep = 0.058 + 0.065 * share**0.8
    height = NECK_BASE - 0.004 - slope * np.clip(share / 0.6, 0, 1) ** 0.8 - 0.26 * np.clip(share - 0.45, 0, 1)
    x, z = half_wide * np.sin(turn), half_deep * np.cos(turn) - 0.018 - 0.012 * share
    drop = 0.035 * share * np.clip(np.cos(turn), 0, 1)
    body = np.stack([x, height - drop + 0 * x, z], -1)
    flesh = ring_mesh(body)
    pieces = [Piece(*flesh, plain(flesh[0], skin), "neck", 0.2)]
    collar = str(random.choice(COLLARS, p=(0.34, 0.14, 0.22, 0.14, 0.06, 0.1)))
    if collar != "bare":
        pieces.append(_cloth(random, body, turn, share, collar))
    return pieces


def _cloth(random: np.random.Generator, body: np.ndarray, turn: np.ndarray, share: np.ndarray, collar: str) -> Piece:
    """The torso from the collar down, a little outside of it, with what stands up about the neck."""
    front = np.clip(np.cos(turn), 0, 1)
    start = {
        "round": 0.1 + 0.12 * front**2,
        "deep": 0.12 + random.uniform(0.25, 0.6) * front**6,
        "shirt": 0.02 + random.uniform(0.05, 0.4) * front**10,
        "high": 0.0 * front,
        "hood": 0.05 + 0.1 * front**2,
    }[collar]
    rows = start[None] + (1 - start[None]) * share
    row = rows * (ROWS - 1.001)
    low, part, column = row.astype(int), (row % 1)[..., None], np.arange(COLUMNS)[None]
    place = body[low, column] * (1 - part) + body[low + 1, column] * part
    outwards = np.stack([np.sin(turn), np.full_like(turn, 0.5), np.cos(turn)], -1)
    folds = 0.004 * np.sin(random.integers(3, 9) * turn + random.uniform(0, 6)) * share
    place = place + outwards * (random.uniform(0.003, 0.012) + folds)[..., None]
    parts = [ring_mesh(place)]
    if collar in ("shirt", "high", "hood"):
        parts.append(_standing(random, place[0], turn, collar))
    mesh = joined(parts)
    return Piece(*mesh, _pattern(random, mesh[0]), "cloth", random.uniform(0, 0.25))


def _standing(random: np.random.Generator, rim: np.ndarray, turn: np.ndarray, collar: str) -> Mesh:
    """The part of a collar that stands up from the cloth's rim about the neck."""
    height = {"shirt": 0.03, "high": random.uniform(0.03, 0.075), "hood": 0.05}[collar]
    lean = {"shirt": 0.25, "high": -0.1, "hood": 0.9}[collar]
    back = 1.0 if collar == "high" else 0.35 + 0.65 * np.clip(-np.cos(turn) + 0.6, 0, 1)
    steps = np.linspace(0, 1, 4)[:, None, None]
    outwards = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], -1)
    rise = steps * (height * back * np.ones_like(turn))[:, None]
    return ring_mesh(rim + rise * (np.array([0.0, 1.0, 0.0]) + lean * outwards * steps))


def _pattern(random: np.random.Generator, mesh: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
    first, second = 0.75 * muted(random), 0.75 * muted(random)
    kind = random.uniform()
    if kind < 0.6:
        share = 0.15 * noise(random, 3).ravel()[: len(mesh)]
    elif kind < 0.8:
        share = (np.sin(mesh[:, 1] * random.uniform(150, 500)) > random.uniform(-0.5, 0.7)).astype(np.float32)
    else:
        share = (mesh[:, 2] > 0.02) & (np.abs(mesh[:, 0]) < random.uniform(0.02, 0.06))
    return (first + np.asarray(share, np.float32)[:, None] * (second - first)).clip(0.003, 0.9).astype(np.float32)
