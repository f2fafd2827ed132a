import math

import pytest
import torch

from renderers import Camera, DirectionalLight, EnvironmentLight, render_mesh, vertex_normals


@pytest.fixture
def camera():
    return Camera.looking_at((0.1, 0.05, 0.6), (0, 0, 0), (0, 1, 0), 0.45, (48, 40))


def test_vertex_normals_point_outwards_and_are_unit(make_ellipsoid):
    vertices, triangles = make_ellipsoid(64, 48, radii=(1.0, 1.0, 1.0))
    normals = vertex_normals(vertices, triangles)
    torch.testing.assert_close(normals, vertices, atol=0.02, rtol=0)
    batch = torch.stack([vertices, 2 * vertices])
    torch.testing.assert_close(vertex_normals(batch, triangles)[1], normals, atol=1e-5, rtol=0)
    assert (vertex_normals(torch.ones(1, 3), torch.zeros(0, 3, dtype=torch.long)) == 0).all()


def test_a_white_mesh_in_white_light_is_white(make_ellipsoid, camera):
    vertices, triangles = make_ellipsoid()
    ambient = EnvironmentLight(torch.cat([torch.full((1, 3), 2 * math.sqrt(math.pi)), torch.zeros(8, 3)]))
    result = render_mesh(camera, vertices[None], triangles, lights=[ambient])
    torch.testing.assert_close(result.colour, result.alpha[..., None].expand(-1, -1, -1, 3), atol=1e-5, rtol=0)
    assert result.colour.shape == (1, 48, 40, 3)
    assert ((result.alpha > 0) & (result.alpha < 1)).any()
    seen = result.fragments.triangle >= 0
    torch.testing.assert_close(result.normals[seen].norm(dim=-1), torch.ones(int(seen.sum())))
    assert (result.depth[seen] > 0.4).all()


def test_antialiasing_approaches_supersampling(make_ellipsoid, camera):
    vertices, triangles = make_ellipsoid(12, 8)
    reference = render_mesh(camera, vertices[None], triangles, antialias=False, supersample=8).alpha
    plain = render_mesh(camera, vertices[None], triangles, antialias=False).alpha
    blended = render_mesh(camera, vertices[None], triangles).alpha
    assert (blended - reference).square().sum() < 0.1 * (plain - reference).square().sum()


def test_texture_and_vertex_colours_agree(make_ellipsoid, camera):
    """A texture that holds its own coordinates shows what uv would as a vertex colour."""
    vertices, triangles = make_ellipsoid()
    uv = vertices[:, :2] * 4 + 0.5
    size = 64
    axis = (torch.arange(size) + 0.5) / size
    ramp = torch.stack([axis.expand(size, size), axis[:, None].expand(size, size), torch.zeros(size, size)], -1)
    textured = render_mesh(camera, vertices[None], triangles, uv=uv, texture=ramp[None])
    coloured = render_mesh(camera, vertices[None], triangles, colour=torch.cat([uv, torch.zeros(len(uv), 1)], -1))
    torch.testing.assert_close(textured.colour, coloured.colour, atol=2e-2, rtol=0)
    split = torch.arange(triangles.numel()).view(-1, 3)
    again = render_mesh(
        camera, vertices[None], triangles, uv=uv[triangles.flatten()], uv_triangles=split, texture=ramp[None]
    )
    torch.testing.assert_close(again.colour, textured.colour)


def test_backgrounds(make_ellipsoid, camera):
    vertices, triangles = make_ellipsoid()
    picture = torch.rand(1, 48, 40, 3)
    for background in (0.3, torch.tensor([0.1, 0.2, 0.3]), picture):
        result = render_mesh(camera, vertices[None], triangles, background=background)
        behind = torch.as_tensor(background).expand(1, 48, 40, 3)
        assert torch.equal(result.colour[result.alpha == 0], behind[result.alpha == 0])


def test_an_outline_pulls_the_mesh_into_place(make_ellipsoid, camera):
    """Only the silhouette: descent on the alpha image recovers a shift and a scale."""
    vertices, triangles = make_ellipsoid(24, 16)
    target = render_mesh(camera, (1.08 * vertices + torch.tensor([0.012, -0.008, 0.0]))[None], triangles).alpha
    shift, scale = torch.zeros(3, requires_grad=True), torch.ones((), requires_grad=True)
    optimiser = torch.optim.Adam([{"params": [shift], "lr": 2e-3}, {"params": [scale], "lr": 1e-2}])
    for _ in range(60):
        optimiser.zero_grad()
        alpha = render_mesh(camera, (scale * vertices + shift * torch.tensor([1.0, 1, 0]))[None], triangles).alpha
        (alpha - target).square().sum().backward()
        optimiser.step()
    assert shift[0].item() == pytest.approx(0.012, abs=1e-3)
    assert shift[1].item() == pytest.approx(-0.008, abs=1e-3)
    assert scale.item() == pytest.approx(1.08, abs=0.01)


def test_everything_is_differentiable(make_ellipsoid, camera):
    vertices, triangles = make_ellipsoid()
    leaves = {
        "vertices": vertices[None].clone().requires_grad_(),
        "colour": torch.rand(len(vertices), 3).requires_grad_(),
        "texture": torch.rand(1, 16, 16, 3).requires_grad_(),
        "uv": (vertices[:, :2] * 4 + 0.5).requires_grad_(),
        "direction": torch.tensor([-0.3, -0.5, -1.0], requires_grad=True),
        "focal": camera.focal.clone().requires_grad_(),
    }
    moved = Camera(leaves["focal"], camera.principal, camera.rotation, camera.translation, camera.resolution)
    result = render_mesh(
        moved,
        leaves["vertices"],
        triangles,
        colour=leaves["colour"],
        uv=leaves["uv"],
        texture=leaves["texture"],
        lights=[DirectionalLight(leaves["direction"], torch.ones(3), specular=0.2)],
        supersample=2,
    )
    result.colour.square().sum().backward()
    for name, leaf in leaves.items():
        assert leaf.grad.isfinite().all(), name
        assert leaf.grad.abs().sum() > 0, name


def test_wrong_inputs_are_named(make_ellipsoid, camera):
    vertices, triangles = make_ellipsoid()
    with pytest.raises(ValueError, match="texture and uv"):
        render_mesh(camera, vertices[None], triangles, texture=torch.zeros(1, 4, 4, 3))
    with pytest.raises(ValueError, match="supersample"):
        render_mesh(camera, vertices[None], triangles, supersample=0)
