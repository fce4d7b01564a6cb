import pytest
import torch
from render_scenes import SIZE, camera_of, lights, two_heads

from recon.lighting import ambient
from recon.render import Mesh, RenderInputError, Texture, render


def textured(batch=1, dtype=torch.float32):
    """A texture that is linear in uv, and the same colours per vertex."""
    v_obj, faces = two_heads(dtype)
    uv = 0.5 + 0.003 * v_obj[0, :, :2]
    columns = (torch.arange(64, dtype=dtype) + 0.5) / 64
    rows = 1 - columns
    image = torch.stack((columns.expand(64, 64), rows[:, None].expand(64, 64), torch.full((64, 64), 0.5, dtype=dtype)))
    vertex_colours = torch.cat((uv, torch.full_like(uv[:, :1], 0.5)), dim=-1)
    return v_obj, faces, Texture(image.expand(batch, -1, -1, -1), uv, faces), vertex_colours


@pytest.mark.parametrize("batch", [1, 2])
def test_a_linear_texture_equals_vertex_colours(batch):
    v_obj, faces, texture, colours = textured(batch)
    light = ambient(torch.ones(1, 3))
    by_texture = render(Mesh.of(v_obj, faces, texture), camera_of(), light, SIZE)
    by_vertex = render(Mesh.of(v_obj, faces, colours[None]), camera_of(), light, SIZE)
    torch.testing.assert_close(by_texture.albedo, by_vertex.albedo, rtol=0, atol=1e-5)
    torch.testing.assert_close(by_texture.image, by_vertex.image, rtol=0, atol=1e-5)


def test_each_picture_uses_its_own_texture():
    v_obj, faces, texture, _ = textured()
    images = torch.stack((texture.image[0], 1 - texture.image[0]))
    both = render(Mesh.of(v_obj, faces, Texture(images, texture.uv, faces)), camera_of(), lights(), SIZE)
    first = render(Mesh.of(v_obj, faces, texture), camera_of(), lights(), SIZE)
    torch.testing.assert_close(both.albedo[0], first.albedo[0])
    torch.testing.assert_close(both.albedo[1], torch.where(first.covered[1], 1 - first.albedo[1], 0.0))


def test_gradients_reach_the_texture_and_the_geometry():
    v_obj, faces, texture, _ = textured(dtype=torch.float64)
    image = texture.image.clone().requires_grad_()
    v_obj = v_obj.requires_grad_()
    result = render(
        Mesh.of(v_obj, faces, Texture(image, texture.uv, faces)),
        camera_of(dtype=torch.float64),
        lights(torch.float64),
        SIZE,
    )
    result.image.square().sum().backward()
    assert image.grad.abs().sum() > 0 and v_obj.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"image": torch.zeros(3, 3, 8, 8)}, r"texture image must be \(1 or 2, 3, h, w\), got \(3, 3, 8, 8\)"),
        ({"image": torch.zeros(1, 4, 8, 8)}, r"got \(1, 4, 8, 8\)"),
        (
            {"uv_faces": torch.zeros(5, 3, dtype=torch.int64)},
            r"uv_faces must be \(\d+, 3\) like the faces, got \(5, 3\)",
        ),
        ({"uv": torch.zeros(4, 2)}, r"indices in \[0, 4\)"),
        ({"uv": torch.full((282, 2), torch.nan)}, r"uv\[0, 0\] is nan"),
    ],
)
def test_textures_that_do_not_fit_are_refused(change, text, as_users_call_it):
    v_obj, faces, texture, _ = textured()
    fields = {"image": texture.image, "uv": texture.uv, "uv_faces": texture.uv_faces, **change}
    with pytest.raises(RenderInputError, match=text):
        Mesh.of(v_obj, faces, Texture(**fields))
