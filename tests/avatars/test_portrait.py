"""A photo that plays a performance: a drawn head before a patterned wall is the photo."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import morphable
from avatars.mesh_performer import MeshPerformer, View
from avatars.painting import studio_lights
from avatars.portrait import Dubber, PortraitPerformer, PosedPhoto, absolute, frames, relative
from avatars.portrait.curtain import Curtain
from avatars.portrait.light import PhotoLight
from avatars.portrait.matte import person_matte, with_fringe
from avatars.portrait.unseen import enclosed, lids, mouth_depth
from morphable import ARKIT_NAMES, Head, Performance, default_textures
from renderers import Camera, Fragments

HEIGHT, WIDTH = 240, 256


@pytest.fixture(scope="module")
def person() -> Head:
    model = morphable.load()
    identity = torch.randn(model.identities, generator=torch.Generator().manual_seed(1))
    return Head.from_model(model, identity, default_textures(model, resolution=256))


@pytest.fixture(scope="module")
def photo(person: Head) -> PosedPhoto:
    return taken(person, shapes(mouthSmileLeft=0.3, mouthSmileRight=0.3))


def taken(person: Head, weights: np.ndarray) -> PosedPhoto:
    """The head over a dark shirt, before a wall with soft stripes."""
    camera = View(size=(150, 128)).camera(person, 0).cropped(-64, -40, HEIGHT, WIDTH)
    rows, columns = np.indices((HEIGHT, WIDTH))
    wall = np.stack([120 + 20 * np.sin(rows / 15), 150 + 15 * np.sin(columns / 20), 190 + 0 * rows], -1)
    shirt = (rows > 165 + 0.004 * (columns - WIDTH / 2) ** 2)[..., None]
    drawn = drawn_head(person, weights, camera)
    opacity = drawn[..., 3:] / 255.0
    pixels = opacity * drawn[..., :3] + (1 - opacity) * np.where(shirt, (40, 45, 50), wall)
    return PosedPhoto((pixels + 0.5).astype(np.uint8), person, camera, weights)


@pytest.fixture(scope="module")
def performer(photo: PosedPhoto) -> PortraitPerformer:
    return PortraitPerformer(photo)


def shapes(**weights: float) -> np.ndarray:
    return np.array([weights.get(name, 0.0) for name in ARKIT_NAMES], dtype=np.float32)


def drawn_head(person: Head, weights: np.ndarray, camera: Camera) -> np.ndarray:
    return MeshPerformer(person, 256).draw(Performance.of(np.zeros(1), weights[None]), camera, studio_lights())


def moment(photo: PosedPhoto, head: tuple[float, float, float] = (0, 0, 0), **more: float) -> Performance:
    return Performance.of(np.zeros(1), np.clip(photo.weights + shapes(**more), 0, 1)[None], head=np.array([head]))


def change(performer: PortraitPerformer, one: Performance) -> np.ndarray:
    return np.abs(performer.draw(one).astype(int) - performer.photo.pixels).max(2)


def test_at_rest_it_is_the_photo(performer: PortraitPerformer, photo: PosedPhoto) -> None:
    difference = performer.draw(moment(photo)).astype(float) - photo.pixels
    assert 10 * np.log10(255**2 / np.square(difference).mean()) > 38
    assert (np.abs(difference).max(2) > 3).mean() < 0.02


def test_the_jaw_carries_the_chin_down(performer: PortraitPerformer, photo: PosedPhoto) -> None:
    """A patch of the photo's chin is found again where the surface has gone."""
    wide = moment(photo, jawOpen=0.6)
    points = [photo.camera.project(performer.mesh.posed(each)[0]).numpy() for each in (moment(photo), wide)]
    regions = morphable.load().regions
    mouth, face = points[0][regions["lips"]].mean(0), regions["face"].nonzero()[:, 0].numpy()
    chin = face[np.linalg.norm(points[0][face] - mouth - [0, 11], axis=1).argmin()]
    (x, y), step = points[0][chin].astype(int), points[1][chin, 1] - points[0][chin, 1]
    assert step > 4
    patch, drawn = photo.pixels[y - 4 : y + 5, x - 8 : x + 9].astype(int), performer.draw(wide).astype(int)
    shifts = range(-3, 14)
    misfits = [np.abs(drawn[y - 4 + shift : y + 5 + shift, x - 8 : x + 9] - patch).mean() for shift in shifts]
    assert shifts[int(np.argmin(misfits))] == pytest.approx(step, abs=1.5)
    assert min(misfits) < 0.6 * misfits[shifts.index(0)]


def test_the_background_stands_still(performer: PortraitPerformer, photo: PosedPhoto) -> None:
    moved = change(performer, moment(photo, head=(0, 0.25, 0), jawOpen=0.4))
    assert moved[60:150, 80:180].mean() > 4
    wall = np.ones((HEIGHT, WIDTH), dtype=bool)
    wall[:, 40:-40] = wall[160:] = False
    assert moved[wall].max() <= 1


def test_a_turned_head_looks_like_the_head_turned(performer: PortraitPerformer, photo: PosedPhoto) -> None:
    mesh, grey = MeshPerformer(photo.head, 256), np.full(3, 0.2)
    for turn in ((0.0, 0.2, 0.0), (0.15, 0.0, 0.0)):
        turned = moment(photo, head=turn)
        truth = mesh.draw(turned, photo.camera, studio_lights(), grey).astype(int)
        face = np.abs(truth - truth[0, 0]).max(2) > 12
        face[round(0.7 * len(face)) :] = False
        ours, unmoved = (
            np.abs(each.astype(int) - truth)[face].mean() for each in (performer.draw(turned), photo.pixels)
        )
        assert ours < 0.7 * unmoved


def test_closed_eyes_are_covered_by_skin(performer: PortraitPerformer, photo: PosedPhoto) -> None:
    shut = performer.draw(moment(photo, eyeBlinkLeft=1, eyeBlinkRight=1)).astype(int)
    places = photo.camera.project(torch.as_tensor(photo.head.joints[2:])).round().long().tolist()
    for x, y in places:
        pupil = photo.pixels[y - 1 : y + 2, x - 1 : x + 2].astype(int)
        lid = shut[y - 1 : y + 2, x - 1 : x + 2]
        assert lid.mean() > pupil.mean() + 15
        assert np.all(lid[..., 0] > lid[..., 2])
    assert change(performer, moment(photo, eyeBlinkLeft=1, eyeBlinkRight=1))[: places[0][1] - 20].max() < 12


def test_an_open_mouth_keeps_what_the_photo_shows_in_it(person: Head) -> None:
    photo = taken(person, shapes(jawOpen=1.0))
    green = photo.pixels.copy()
    performer = PortraitPerformer(photo)
    inside = np.zeros((HEIGHT, WIDTH), dtype=bool)
    inside[performer.place] = (performer.mouth_seen == 1).numpy()
    assert inside.sum() > 20
    green[inside] = (20, 160, 40)
    performer = PortraitPerformer(replace(photo, pixels=green))
    turned = performer.draw(moment(photo, head=(0, 0.1, 0.05))).astype(int)
    is_green = (turned[..., 1] > turned[..., 0] + 60) & (turned[..., 1] > turned[..., 2] + 60)
    assert is_green.sum() > 0.6 * inside.sum()
    shut = performer.draw(moment(photo, jawOpen=-1)).astype(int)
    assert ((shut[..., 1] > shut[..., 0] + 60) & (shut[..., 1] > shut[..., 2] + 60)).sum() < 0.2 * inside.sum()


def test_driven_by_itself_the_first_frame_is_the_photo(photo: PosedPhoto) -> None:
    random = np.random.default_rng(0)
    clip = Performance.of(
        np.arange(4) / 10,
        random.random((4, 52)),
        head=random.normal(0, 0.2, (4, 3)),
        translation=random.normal(0, 0.02, (4, 3)),
    )
    played = relative(photo, clip)
    assert np.allclose(played.weights[0], photo.weights)
    assert np.allclose(played.head[0], 0, atol=1e-6)
    assert np.allclose(played.translation[0], 0)
    assert played.weights.min() >= 0
    assert played.weights.max() <= 1
    drawn = list(frames(photo, played, 10))
    assert [frame.shape for frame in drawn] == [photo.pixels.shape] * 4
    assert np.array_equal(drawn[2], PortraitPerformer(photo).draw(_frame(played, 2)))


def _frame(clip: Performance, index: int) -> Performance:
    kept = slice(index, index + 1)
    return Performance.of(
        clip.times[kept], clip.weights[kept], head=clip.head[kept], translation=clip.translation[kept]
    )


def test_a_nod_is_a_nod_however_the_photo_was_taken(photo: PosedPhoto) -> None:
    """The second frame is the first, nodded about the head's own axis."""
    nod, start = np.array([0.2, 0, 0]), np.array([0, 0.6, 0])
    import roma

    both = roma.rotvec_composition([torch.as_tensor(start), torch.as_tensor(nod)]).numpy()
    clip = Performance.of(np.arange(2.0), np.zeros((2, 52)), head=np.stack([start, both]))
    assert np.allclose(relative(photo, clip).head[1], nod, atol=1e-6)


def test_absolute_motion_turns_the_head_to_the_camera(person: Head) -> None:
    aside = View(yaw=0.5, size=(64, 64)).camera(person, 0)
    photo = PosedPhoto(np.zeros((64, 64, 3), np.uint8), person, aside, shapes(jawOpen=0.5))
    played = absolute(photo, Performance.of(np.zeros(1), shapes(browInnerUp=0.2)[None]))
    assert np.allclose(played.weights[0], shapes(browInnerUp=0.2))
    assert played.head[0, 1] == pytest.approx(0.5, abs=0.02)


def test_lips_and_pose_are_driven_apart(photo: PosedPhoto) -> None:
    clip = Performance.of(
        np.arange(2.0),
        np.stack([shapes(), shapes(jawOpen=0.5, eyeBlinkLeft=1, browInnerUp=1)]),
        head=[[0, 0, 0], [0, 1, 0]],
    )
    lips, pose = relative(photo, clip, ["lips"]), relative(photo, clip, ["pose"])
    assert np.allclose(lips.weights[1] - photo.weights, shapes(jawOpen=0.5))
    assert not lips.head.any()
    assert np.allclose(pose.weights, photo.weights)
    assert np.allclose(pose.head[1], [0, 1, 0], atol=1e-6)
    both = relative(photo, clip, ["eyes", "brows"])
    assert np.allclose(both.weights[1] - photo.weights, shapes(eyeBlinkLeft=1, browInnerUp=1))
    with pytest.raises(ValueError, match="'nose' cannot be driven"):
        relative(photo, clip, ["nose"])


def test_registration_moves_what_is_beside_its_place(photo: PosedPhoto) -> None:
    """Points that are seen 2 pixels to the right of where the head would show them."""
    inside = torch.as_tensor(photo.head.posed(photo.head.layout, photo.weights))
    skin = morphable.load().regions["face"]
    shown = photo.camera.project(inside[skin])[::40].double().numpy()
    moved = photo.registered(shown, shown + [2.0, 0.0])
    after = photo.camera.project(torch.as_tensor(moved.head.posed(moved.head.layout, moved.weights)))
    steps = (after - photo.camera.project(inside)).numpy()[skin.numpy()]
    assert np.allclose(np.median(steps, axis=0), [2, 0], atol=0.2)
    assert np.array_equal(moved.head.expressions, photo.head.expressions)


def test_the_curtain_follows_the_head_and_fades(photo: PosedPhoto) -> None:
    lens = replace(photo.camera, rotation=torch.eye(3), translation=torch.zeros(3))
    height, width = lens.resolution
    fragments = Fragments(
        torch.zeros(1, height, width, dtype=torch.int32),
        torch.full((1, height, width, 3), 1 / 3),
        torch.ones(1, height, width),
    )
    follows = torch.zeros(height, width)
    follows[80:140, 70:120] = 1
    curtain = Curtain(lens, fragments, follows, reach=30)
    assert torch.allclose(lens.project(curtain.points), curtain.pixels, atol=1e-3)
    corners = torch.tensor([[0, 1, 2]])
    assert torch.equal(curtain.moved(corners, torch.zeros(3, 3)), curtain.points)
    step = (curtain.moved(corners, torch.tensor([[0.1, 0, 0]] * 3)) - curtain.points)[:, 0]
    x, y = curtain.pixels.unbind(1)
    middle = (x > 85) & (x < 105) & (y > 95) & (y < 125)
    assert step[middle].min() > 0.08
    assert step[(x == 0) | (y == 0)].abs().max() == 0
    assert step.min() >= -1e-6
    assert step.max() <= 0.1 + 1e-6


def test_a_person_is_told_from_the_wall(photo: PosedPhoto, performer: PortraitPerformer) -> None:
    """Above the shirt."""
    truth = drawn_head(photo.head, photo.weights, photo.camera)[..., 3] > 128
    matte = np.zeros((HEIGHT, WIDTH))
    matte[performer.place] = performer.layer[..., 3]
    found, truth = matte[:160] > 0.5, truth[:160]
    assert (found & truth).sum() > 0.85 * (found | truth).sum()
    assert matte[200:, 40:-40].min() > 0.9


def test_where_all_is_person_there_is_no_background() -> None:
    pixels = np.full((40, 30, 3), 90, np.uint8)
    everywhere = np.ones((40, 30), dtype=bool)
    matte = person_matte(pixels, everywhere, chin=39.0, width=30.0)
    assert matte.min() > 0.9
    behind, _ = with_fringe(np.full((40, 30, 3), 0.2, np.float32), matte.astype(np.float32), 1)
    assert np.isfinite(behind).all()


def test_light_is_found_again() -> None:
    random = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(500, 3, generator=random), dim=1)
    albedo = torch.rand(500, 3, generator=random) * 0.5 + 0.2
    white = 0.5 + 0.3 * normals[:, 1:2].expand(-1, 3)
    light = PhotoLight.fitted(normals, albedo, albedo * white)
    assert torch.allclose(light.on(normals), white, atol=0.1)
    assert (light.on(normals) - white).abs().mean() < 0.05
    nothing = PhotoLight.fitted(normals[:0], albedo[:0], albedo[:0])
    assert torch.allclose(nothing.on(normals), torch.ones(500, 3), atol=1e-4)


def test_what_is_inside_the_head_is_known(person: Head) -> None:
    hidden = enclosed(torch.as_tensor(person.neutral), torch.as_tensor(person.layout.triangles))
    regions = morphable.load().regions
    depth = mouth_depth(person, hidden)
    assert hidden[person.layout.parts["tongue"].vertices].float().mean() > 0.9
    assert (depth[person.layout.parts["teeth_lower"].vertices] >= 0).all()
    assert (depth[regions["ears"] | regions["brows"]] < 0).all()
    closing = lids(person)
    assert closing.max() == 1
    assert closing[regions["lips"] | regions["ears"]].max() == 0


def test_photos_and_cameras_that_do_not_belong_together(photo: PosedPhoto) -> None:
    with pytest.raises(ValueError, match="256 x 240"):
        replace(photo, pixels=photo.pixels[:-1])
    nothing = Performance.of(np.zeros(0), np.zeros((0, 52)))
    for play in (relative, absolute):
        with pytest.raises(ValueError, match="without frames"):
            play(photo, nothing)


@pytest.fixture(scope="module")
def talking(person: Head) -> PosedPhoto:
    return taken(person, shapes(jawOpen=0.5, mouthSmileLeft=0.3, mouthSmileRight=0.3))


def mouth_opening(person: Head, frame: np.ndarray, camera: Camera) -> float:
    """Rows of dark pixels below the middle of the upper lip."""
    lips = torch.as_tensor(person.neutral)[morphable.load().regions["lips"]]
    x, y = camera.project(lips.mean(0, keepdim=True))[0].round().long().tolist()
    column = frame[y - 8 : y + 25, x - 1 : x + 2].astype(float).mean((1, 2))
    return float((column < 0.5 * np.median(frame[y + 28 : y + 34, x - 3 : x + 4])).sum())


def assert_upper_face_stays(person: Head, photo: PosedPhoto, frame: np.ndarray) -> None:
    eyes = photo.camera.project(torch.as_tensor(person.joints[2:]))
    rows = round(float(eyes[0, 1])) + 4
    assert np.abs(frame[:rows].astype(int) - photo.pixels[:rows]).max() <= 8
    assert np.array_equal(frame[: rows - 40], photo.pixels[: rows - 40])


def test_dubbed_with_its_own_expression_a_frame_stays(person: Head, talking: PosedPhoto) -> None:
    same = Dubber(person)(talking, talking.weights)
    difference = same.astype(float) - talking.pixels
    assert 10 * np.log10(255**2 / np.square(difference).mean()) > 32
    assert_upper_face_stays(person, talking, same)


def test_a_dubbed_mouth_shuts_and_all_else_stays(person: Head, talking: PosedPhoto) -> None:
    shut = Dubber(person)(talking, shapes(eyeBlinkLeft=1, eyeBlinkRight=1, browInnerUp=1))
    truth = taken(person, shapes()).pixels.astype(int)
    assert_upper_face_stays(person, talking, shut)
    mouth = torch.as_tensor(person.neutral)[morphable.load().regions["lips"]]
    (x0, y0), (x1, y1) = (edge.round().long().tolist() for edge in talking.camera.project(mouth).aminmax(dim=0))
    near = slice(y0 - 2, y1 + 14), slice(x0 - 4, x1 + 4)
    assert np.abs(shut[near] - truth[near]).mean() < 0.5 * np.abs(talking.pixels[near] - truth[near]).mean()
    assert mouth_opening(person, shut, talking.camera) < 0.4 * mouth_opening(person, talking.pixels, talking.camera)


def test_a_flash_does_not_light_up_the_mouth(person: Head) -> None:
    """The photo of a shut mouth, and the same twice as bright."""
    photo = taken(person, shapes())
    flash = replace(photo, pixels=np.minimum(photo.pixels.astype(int) * 4 // 3, 255).astype(np.uint8))
    wide = shapes(jawOpen=0.8)

    def inside(frame: np.ndarray) -> float:
        lips = torch.as_tensor(person.neutral)[morphable.load().regions["lips"]]
        x, y = photo.camera.project(lips.mean(0, keepdim=True))[0].round().long().tolist()
        return float(frame[y + 2 : y + 12, x - 4 : x + 5].mean())

    steady, anew = Dubber(person), Dubber(person)
    calm = inside(steady(photo, wide))
    anew(photo, wide)
    brighter = [inside(dub) - calm for dub in (steady(flash, wide), anew(flash, wide, new_scene=True))]
    assert brighter[1] > 1
    assert abs(brighter[0]) < 0.75 * brighter[1]


def test_the_pose_of_a_video_stays(person: Head) -> None:
    with pytest.raises(ValueError, match="in a video the pose stays"):
        Dubber(person, ["lips", "pose"])
