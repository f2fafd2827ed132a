"""Heads from one model to another: the same person on the other's mesh, with its coefficients.

The default head lies in the middle: `face3d.correspondence` lays it onto the mean head of any other model. A head then
is a deformation of one of the two meshes that lie on each other, and deformation transfer carries it to the other.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

import morphable
from face3d.appearance.scan_albedo import ColouredPoints, scan_albedo
from face3d.correspondence import default_on
from face3d.errors import Face3DError
from face3d.registration.alignment import aligning
from face3d.registration.fitted import fitted_head
from morphable import Head, MorphableModel, Texture
from morphable.appearance import default_textures
from morphable.catalogue import DEFAULT, load_albedo
from morphable.surface import Surface
from morphable.transfer import Transfer, stiffened
from morphable.uniform import uniform_textures
from renderers import srgb_to_linear

MISFIT = 1e-3
"""Metres of a vertex that the model cannot explain, as one standard deviation against its prior."""
RIGID_PARTS = ("eye_left", "eye_right", "teeth_upper", "teeth_lower")
COLOUR_POINTS = 200_000
TEXTURE_SIZE = 1024


@dataclass(frozen=True)
class Conversion:
    """A head on another model's mesh.

    Attributes:
        head: its rest is the person's surface, whether or not the model's coefficients reach it.
        surface_mm: median distance of the new mesh's skin from the old one.
        model_mm: median distance between the rest and what the identity coefficients alone make.
    """

    head: Head
    surface_mm: float
    model_mm: float


def convert(head: Head, to: str) -> Conversion:
    """The same person on the mesh of another model.

    Args:
        head: of a model that is there.
        to: the other model's name.

    Raises:
        Face3DError: one of the models is not there, or the head has a mesh of its own.
    """
    try:
        source, target = (morphable.load(name) for name in (head.model, to))
    except ValueError as error:
        raise Face3DError(f"{error}.") from error
    if head.topology is not None:
        raise Face3DError("The head has a mesh of its own; `face3d reconstruct` makes a default head of it first.")
    if source.name == target.name:
        return Conversion(head, 0.0, _unexplained(head, target))
    if DEFAULT not in (source.name, target.name):
        return convert(convert(head, DEFAULT).head, to)
    return _onto_default(head, source, target) if target.name == DEFAULT else _from_default(head, source, target)


def carried_shapes(model: MorphableModel) -> Float[np.ndarray, "52 vertex 3"]:
    """The 52 shapes of the default head, carried to the mean head of another model; metres in that model's frame."""
    default = morphable.load()
    lying = default_on(model)
    _, shapes = _dressed(default, lying)
    carried = Transfer.between(_surface(default, lying), _surface(model, model.mean.double().numpy()))(shapes)
    return _with_rigid_parts(model, model.mean.double().numpy(), carried)


def fitted_identity(
    model: MorphableModel, vertices: Float[np.ndarray, "vertex 3"]
) -> tuple[Float[np.ndarray, " identity"], Float[np.ndarray, "vertex 3"]]:
    """The model's likeliest coefficients for a head, wherever it stands, and the head moved to where the model has it:
    regularised least squares and rigid alignment in turns."""
    mean, basis = model.mean.double().numpy(), model.identity_basis.double().numpy().reshape(model.identities, -1)
    skin = np.zeros(len(mean), bool)
    skin[model.parts["head"].vertices] = True
    chosen = np.repeat(skin, 3)
    normal = basis[:, chosen] @ basis[:, chosen].T / MISFIT**2 + np.eye(len(basis))
    identity, placed = np.zeros(len(basis)), vertices
    for _ in range(10):
        now = mean + (identity @ basis).reshape(-1, 3)
        placed = aligning(placed[skin], now[skin])(placed)
        right = basis[:, chosen] @ (placed - mean).ravel()[chosen] / MISFIT**2
        identity = np.linalg.solve(normal, right)
    return identity, placed


def _from_default(head: Head, default: MorphableModel, model: MorphableModel) -> Conversion:
    lying, mean = default_on(model), model.mean.double().numpy()
    neutral = head.neutral.astype(float)
    away = aligning(neutral, lying)(neutral) - lying
    moved = Transfer.between(_surface(default, lying), _surface(model, mean))(away[None])
    person = mean + _with_rigid_parts(model, mean, moved)[0]
    identity, person = fitted_identity(model, person)
    place = aligning(neutral, lying + away)  # where the default head's rest lies on `mean + moved`
    onto_person = aligning(mean + moved[0], person)
    here = onto_person.after(place)
    shapes = Transfer.between(_surface(default, here(neutral)), _surface(model, person))(
        head.expressions @ here.rotation.T
    )
    joints = fitted_head(model, identity, person).joints
    textures = _textures(head, default, model, here(neutral), person)
    return _conversion(
        head,
        model,
        identity,
        person,
        _with_rigid_parts(model, person, shapes),
        joints,
        textures,
        _surface(default, here(neutral)),
    )


def _onto_default(head: Head, model: MorphableModel, default: MorphableModel) -> Conversion:
    lying, mean = default_on(model), model.mean.double().numpy()
    neutral = head.neutral.astype(float)
    place = aligning(neutral, mean)
    moved = Transfer.between(_surface(model, mean), _surface(default, lying))((place(neutral) - mean)[None])
    person = lying + _with_rigid_parts(default, lying, moved)[0]
    identity, placed = fitted_identity(default, person)
    here = aligning(person, placed).after(place)
    fitted = fitted_head(default, identity, placed)
    textures = _textures(head, model, default, here(neutral), fitted.neutral)
    return _conversion(
        head,
        default,
        identity,
        fitted.neutral,
        fitted.expressions,
        fitted.joints,
        textures,
        _surface(model, here(neutral)),
    )


def _conversion(
    before: Head,
    model: MorphableModel,
    identity: np.ndarray,
    neutral: np.ndarray,
    expressions: np.ndarray,
    joints: np.ndarray,
    textures: dict[str, Texture],
    old: Surface,
) -> Conversion:
    head = Head(
        model.name,
        identity.astype(np.float32),
        neutral.astype(np.float32),
        expressions.astype(np.float32),
        joints.astype(np.float32),
        textures,
        provenance={**before.provenance, "converted_from": before.model},
    )
    skin = neutral[model.parts["head"].vertices]
    off = old.closest(skin, _surface(model, neutral).normals[model.parts["head"].vertices]).distances
    return Conversion(head, 1000 * float(np.median(off)), _unexplained(head, model))


def _unexplained(head: Head, model: MorphableModel) -> float:
    with torch.no_grad():
        made = model.neutral(torch.as_tensor(head.identity)[None])[0].numpy()
    skin = model.parts["head"].vertices
    return 1000 * float(np.median(np.linalg.norm(made[skin] - head.neutral[skin], axis=1)))


def _surface(model: MorphableModel, vertices: Float[np.ndarray, "vertex 3"]) -> Surface:
    return Surface(vertices, model.triangles.long().numpy())


def _dressed(
    default: MorphableModel, lying: Float[np.ndarray, "vertex 3"]
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "52 vertex 3"]]:
    """The default head where it lies, and its shapes there."""
    identity, placed = fitted_identity(default, lying)
    back = aligning(placed, lying)
    fitted = fitted_head(default, identity, placed)
    return back(fitted.neutral), fitted.expressions @ back.rotation.T


def _with_rigid_parts(
    model: MorphableModel, vertices: Float[np.ndarray, "vertex 3"], moved: Float[np.ndarray, "shape vertex 3"]
) -> Float[np.ndarray, "shape vertex 3"]:
    moved = moved.copy()
    for name in RIGID_PARTS:
        if name in model.parts:
            part = model.parts[name].vertices
            moved[:, part] = stiffened(vertices[part], moved[:, part])
    return moved


def _textures(
    head: Head,
    source: MorphableModel,
    target: MorphableModel,
    lying: Float[np.ndarray, "source 3"],
    person: Float[np.ndarray, "target 3"],
) -> dict[str, Texture]:
    """The skin's texture is carried over; other parts have the target's own."""
    known = target.name == DEFAULT
    own = default_textures(target) if known else uniform_textures(target, load_albedo(target.name))
    if "head" in head.textures:
        seen = _coloured(head.textures["head"].pixels, source, lying)
        own["head"] = scan_albedo(seen, target, person, own["head"], TEXTURE_SIZE)
    return {name: Texture.encode(image) for name, image in own.items()}


def _coloured(
    pixels: UInt8[np.ndarray, "h w c"], model: MorphableModel, vertices: Float[np.ndarray, "vertex 3"]
) -> ColouredPoints:
    """Points all over the skin with the texture's colours."""
    span = model.parts["head"].triangles
    skin = Surface(vertices, model.triangles.long().numpy()[span])
    generator = np.random.default_rng(0)
    owners = generator.choice(len(skin.triangles), COLOUR_POINTS, p=skin.areas / skin.areas.sum())
    weights = generator.dirichlet(np.ones(3), COLOUR_POINTS)
    uv = np.einsum("pk,pki->pi", weights, model.uv.numpy()[model.uv_triangles.long().numpy()[span][owners]])
    height, width = pixels.shape[:2]
    column, row = (uv * [width, height]).astype(int).clip(0, [width - 1, height - 1]).T
    colours = srgb_to_linear(torch.as_tensor(pixels[row, column, :3] / 255.0)).numpy()
    return ColouredPoints(skin.at(owners, weights), skin.triangle_normals[owners], colours)
