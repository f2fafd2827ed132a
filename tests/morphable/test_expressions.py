"""What every head's shapes must do: lids close on the eyeball, lips meet, teeth and tongue stay in the mouth."""

import pytest
import torch

from morphable import ARKIT_NAMES
from morphable.surface import Surface

EYES = ("eye_left", "eye_right")
MILLIMETRE = 1e-3
NUDGE = torch.tensor([0.1, 0.1, -0.2]) * MILLIMETRE
"""Rays that graze an edge are cast again from here."""


@pytest.fixture(scope="module")
def heads(model, people):
    """Each person's neutral mesh, joints and shapes."""
    with torch.no_grad():
        return [
            (model.neutral(one[None])[0], model.joints(one[None])[0], model.expressions(one[None])[0]) for one in people
        ]


def rims(model, side):
    """Vertices of the margin's rings, inner to outer, along the upper and the lower lid: (3, 13) each."""
    rings = model.soft[model.lids[side]][model.rim[side]]
    half = rings.shape[1] // 2
    return rings[:, 1:half], rings[:, half + 1 :].flip(1)


def heights(model, vertices, joints, side, chosen):
    """How far vertices lie outside of an eyeball."""
    radius = (vertices[model.parts[EYES[side]].vertices] - joints[2 + side]).norm(dim=1).max()
    return (vertices[chosen] - joints[2 + side]).norm(dim=1) - radius


@pytest.mark.parametrize("side", [0, 1])
def test_blinks_close_the_fissure(model, heads, weights, side):
    upper, lower = rims(model, side)
    for neutral, _, shapes in heads:
        closed = neutral + torch.tensordot(weights(eyeBlink=1)[0], shapes, 1)
        assert (closed[upper[0]] - closed[lower[0]]).norm(dim=-1).max() < 0.1 * MILLIMETRE
        assert (neutral[upper[0]] - neutral[lower[0]]).norm(dim=-1).max() > 4 * MILLIMETRE


@pytest.mark.parametrize("side", [0, 1])
def test_no_ray_from_the_front_reaches_a_closed_eye(model, heads, side):
    """Seen from 40° around, the lid hides all of the eyeball."""
    blink = ARKIT_NAMES.index(f"eyeBlink{('Left', 'Right')[side]}")
    skin = model.triangles[model.parts["head"].triangles].long()
    angle = torch.linspace(-0.7, 0.7, 25)
    yaw, pitch = (grid.flatten() for grid in torch.meshgrid(angle, angle, indexing="ij"))
    outwards = torch.stack([yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()], 1)
    for neutral, joints, shapes in heads[:13]:
        vertices = neutral + shapes[blink]
        near = (vertices[skin] - joints[2 + side]).norm(dim=-1).amin(1) < 0.06
        radius = (neutral[model.parts[EYES[side]].vertices] - joints[2 + side]).norm(dim=1).median()
        corners = vertices[skin[near]] - joints[2 + side]
        assert hit_distance(outwards, corners).min() > radius


def hit_distance(rays, corners):
    """Where rays from the origin first leave through triangles (Möller & Trumbore 1997); 0 where they hit none."""
    a, along, across = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = torch.linalg.cross(rays[:, None], across[None])
    scale = (p * along).sum(-1)
    u = -(p * a).sum(-1) / scale
    q = torch.linalg.cross(-a, along)
    v = rays @ q.T / scale
    distance = (q * across).sum(-1) / scale
    edge = 1e-4
    inside = (u >= -edge) & (v >= -edge) & (u + v <= 1 + edge) & (distance > 0)
    return torch.where(inside, distance, 0.0).amax(1)


@pytest.mark.parametrize("side", [0, 1])
def test_lids_stay_on_the_eyeball(model, heads, side):
    """At rest, in every shape, and on the way into it."""
    chosen = model.soft[model.lids[side]]
    for neutral, joints, shapes in heads:
        assert heights(model, neutral, joints, side, chosen).min() > 0.2 * MILLIMETRE
        for shape in shapes[model.lid_shapes[side]]:
            for share in (0.25, 0.5, 0.75, 1.0):
                assert heights(model, neutral + share * shape, joints, side, chosen).min() > 0.05 * MILLIMETRE


def test_sockets_stay_off_the_eyeballs(model, heads):
    skin = model.parts["head"].vertices
    for neutral, joints, _ in heads:
        for side in (0, 1):
            assert heights(model, neutral, joints, side, skin).min() > 0


def contacts(model, vertices):
    pairs = vertices[model.soft[model.lip_pairs]]
    return (pairs * model.lip_weights[..., None]).sum(1).norm(dim=-1)


def test_lips_touch_at_rest_and_when_a_lowered_jaw_closes_them(model, heads, weights):
    for neutral, _, shapes in heads:
        assert contacts(model, neutral).max() < 0.2 * MILLIMETRE
        for share in (0.5, 1.0):
            mix = weights(jawOpen=share, mouthClose=share)[0]
            assert contacts(model, neutral + torch.tensordot(mix, shapes, 1)).max() < 0.3 * MILLIMETRE
        opened = contacts(model, neutral + shapes[ARKIT_NAMES.index("jawOpen")])
        assert opened.max() > 20 * MILLIMETRE


def test_teeth_and_tongue_are_rigid(model, heads):
    """Upper teeth never move; lower teeth turn with the jaw alone, as one piece."""
    upper, lower = (model.parts[name].vertices for name in ("teeth_upper", "teeth_lower"))
    moving = {ARKIT_NAMES.index(name) for name in ("jawForward", "jawLeft", "jawOpen", "jawRight", "tongueOut")}
    still = [i for i in range(len(ARKIT_NAMES)) if i not in moving]
    jaw_open = ARKIT_NAMES.index("jawOpen")
    for neutral, _, shapes in heads:
        assert not shapes[:, upper].any()
        assert not shapes[still][:, lower].any()
        before, after = neutral[lower].double(), (neutral[lower] + shapes[jaw_open, lower]).double()
        assert torch.allclose(torch.pdist(before), torch.pdist(after), atol=1e-6)


def mouth_lid(model):
    """Triangles of the skin without its mouth's lining, and the loop that its edge makes around the mouth."""
    skin = model.triangles[model.parts["head"].triangles].long()
    outer = skin[~model.regions["inner_mouth"][skin].any(1)]
    edges = {(a, b) for face in outer.tolist() for a, b in zip(face, face[1:] + face[:1], strict=True)}
    following = {b: a for a, b in edges if (a, b) not in edges or (b, a) not in edges}
    loops = []
    while following:
        loop = [next(iter(following))]
        while (ahead := following.pop(loop[-1], None)) is not None and ahead != loop[0]:
            loop.append(ahead)
        loops.append(loop)
    lips = model.mean[model.regions["lips"]].mean(0)
    return outer, min(loops, key=lambda loop: (model.mean[loop].mean(0) - lips).norm())


def covered(points, vertices, triangles):
    """Whether a ray towards +z leaves an odd number of times through the triangles."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    low, high = points.amin(0)[:2], points.amax(0)[:2]
    bounds = torch.stack([a, b, c])[..., :2]
    near = (bounds.amax(0) > low).all(1) & (bounds.amin(0) < high).all(1)
    a, b, c = a[near], b[near], c[near]

    def side(p, q):
        return (q - p)[:, 0] * (points[:, None, 1] - p[:, 1]) - (q - p)[:, 1] * (points[:, None, 0] - p[:, 0])

    sides = torch.stack([side(b, c), side(c, a), side(a, b)], -1)
    inside = (sides > 0).all(-1) | (sides < 0).all(-1)
    depth = (sides * torch.stack([a[:, 2], b[:, 2], c[:, 2]], -1)).sum(-1) / sides.sum(-1)
    return (inside & (depth > points[:, None, 2])).sum(1) % 2 == 1


def test_teeth_and_tongue_stay_inside_the_skin(model, heads):
    """What shows between parted lips, before the flat lid that closes them here, is not through the skin."""
    outer, loop = mouth_lid(model)
    count = len(model.mean)
    ring = torch.tensor(loop)
    cap = torch.stack([ring, ring.roll(-1), torch.full_like(ring, count)], 1)
    triangles = torch.cat([outer, cap])
    moves = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth", "cheek", "tongue"))]
    outside = []
    for neutral, _, shapes in heads:
        for shape in moves:
            vertices = neutral + shapes[shape]
            closed = torch.cat([vertices, vertices[ring].mean(0, keepdim=True)])
            for name in ("teeth_upper", "teeth_lower", "tongue"):
                if (ARKIT_NAMES[shape], name) != ("tongueOut", "tongue"):
                    points = vertices[model.parts[name].vertices]
                    seen = ~covered(points, closed, triangles) & ~covered(points + NUDGE, closed, triangles)
                    if seen.any():
                        surface = Surface(closed.double().numpy(), triangles.numpy())
                        nearest = surface.closest(points[seen].double().numpy()).triangles
                        through = int((nearest < len(outer)).sum())
                        outside += [(ARKIT_NAMES[shape], name, through)] * bool(through)
    assert not outside, outside


def test_tongue_comes_out_between_the_lips(model, heads, weights):
    tongue, lips, teeth = (
        model.parts["tongue"].vertices,
        model.regions["lip_lower"],
        model.parts["teeth_lower"].vertices,
    )
    for neutral, _, shapes in heads:
        assert neutral[tongue, 2].max() < neutral[lips, 2].max()
        alone = neutral + torch.tensordot(weights(tongueOut=1)[0], shapes, 1)
        assert alone[tongue, 2].max() > alone[lips, 2].max() + 2 * MILLIMETRE
        opened = neutral + torch.tensordot(weights(tongueOut=1, jawOpen=0.5)[0], shapes, 1)
        assert opened[tongue, 2].max() > opened[teeth, 2].max() + 5 * MILLIMETRE


def test_left_and_right_mirror_each_other(model):
    shapes = model.expressions(torch.zeros(1, model.identities))[0]
    flip = torch.tensor([-1.0, 1.0, 1.0])
    mirror = torch.cdist(model.mean * flip, model.mean).argmin(1)
    for name in ARKIT_NAMES:
        if name.endswith("Left"):
            left, right = (shapes[ARKIT_NAMES.index(each)] for each in (name, name.replace("Left", "Right")))
            assert (left - right[mirror] * flip).norm(dim=1).median() < 0.05 * MILLIMETRE
            assert (left - right[mirror] * flip).norm(dim=1).quantile(0.99) < 1.0 * MILLIMETRE, name


@pytest.mark.parametrize(
    ("name", "side", "axis", "sign"),
    [
        ("eyeLookUp", 1, 1, 1),
        ("eyeLookDown", 1, 1, -1),
        ("eyeLookIn", 1, 0, -1),
        ("eyeLookOut", 1, 0, 1),
    ],
)
def test_gaze_shapes_turn_the_eyeball_by_30_degrees(model, name, side, axis, sign):
    shape = model.expressions(torch.zeros(1, model.identities))[0, ARKIT_NAMES.index(f"{name}Left")]
    ball = model.parts["eye_left"].vertices
    rest = model.mean[ball] - model.joint_mean[2]
    front = rest[:, 2].argmax()
    gaze = (rest + shape[ball])[front]
    assert gaze[axis] * sign == pytest.approx(gaze.norm().item() / 2, rel=0.02)
