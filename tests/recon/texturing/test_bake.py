"""Textures: values of vertices at texels, mirror images, rims, and what a photo of a known head leaves in them."""

import numpy as np
import pytest
import torch
from heads_in_photos import PHOTO, Turned, cheek, everything, marked

import bfm
from recon.texturing.bake import bake_texture
from recon.texturing.uv_map import UvMap, padded


def test_texels_hold_the_values_of_the_surface_and_nothing_elsewhere():
    model = bfm.load("open", n_identity=2, n_albedo=2)
    texels = UvMap.of(model, 64)
    places = texels.sample(model.mean_shape, model.faces)
    covered = texels.triangle_ids >= 0
    assert 0.3 < float(covered.float().mean()) < 1.0
    assert not bool(places[~covered].any())
    # The slow way, texel by texel.
    for row, column in torch.nonzero(covered)[::97].tolist():
        corners = model.mean_shape[model.faces[texels.triangle_ids[row, column]]]
        wanted = texels.barycentrics[row, column] @ corners
        assert torch.allclose(places[row, column], wanted, rtol=0.0, atol=1e-4)


def test_the_mirror_lookup_shows_the_mirror_image():
    model = bfm.load("open", n_identity=2, n_albedo=2)
    texels = UvMap.of(model, 128)
    face = texels.sample(model.region("face")[:, None].float(), model.faces)[..., 0] > 0.99
    lookup = texels.mirror_lookup(model, face)
    known = np.isfinite(lookup).all(axis=-1)
    assert not known[~face.numpy()].any()
    assert known[face.numpy()].mean() > 0.95
    places = texels.sample(model.mean_shape, model.faces).numpy()
    there = lookup[known].round().astype(int)
    gap = np.linalg.norm(places[there[:, 1], there[:, 0]] * [-1, 1, 1] - places[known], axis=1)
    assert gap.max() < 4.0 and np.median(gap) < 1.0
    # The mirror image's mirror image is the texel itself, but for rounding.
    back = lookup[there[:, 1], there[:, 0]] - np.argwhere(known)[:, ::-1]
    assert np.nanmedian(np.abs(back)) < 1.0


def test_across_a_seam_there_is_no_partner():
    """A vertex on a seam has several places in the texture; between them lies something else."""
    model = bfm.load("open", n_identity=2, n_albedo=2)
    texels = UvMap.of(model, 128)
    everywhere = texels.triangle_ids >= 0
    lookup = texels.mirror_lookup(model, everywhere)
    known = np.isfinite(lookup).all(axis=-1)
    places = texels.sample(model.mean_shape, model.faces).numpy()
    there = lookup[known].round().astype(int).clip(0, 127)
    assert (np.linalg.norm(places[there[:, 1], there[:, 0]] * [-1, 1, 1] - places[known], axis=1) < 4.0).all()
    assert 0.5 < known[everywhere.numpy()].mean() < 1.0


def test_colours_spread_eight_texels_beyond_an_island_and_the_rest_is_the_mean():
    covered = torch.zeros(50, 50, dtype=torch.bool)
    covered[10:15, 10:20] = True
    covered[35:40, 10:20] = True
    colours = torch.full((50, 50, 3), 0.9)
    colours[10:15, 10:20] = torch.tensor([0.2, 0.4, 0.6])
    colours[35:40, 10:20] = torch.tensor([0.4, 0.6, 0.8])
    before = colours.clone()
    spread = padded(colours, covered)
    assert torch.equal(colours, before)
    assert (spread[2:23, 2:28] == np.round(255 * np.array([0.2, 0.4, 0.6]))).all()
    assert (np.abs(spread[12, 29:] - 255 * np.array([0.3, 0.5, 0.7])) <= 1.0).all()


def test_the_rim_takes_the_colour_of_a_nearest_texel():
    rng = np.random.default_rng(2)
    covered = rng.random((37, 37)) < 0.02
    colours = rng.random((37, 37, 3)).astype(np.float32)
    spread = padded(torch.from_numpy(colours), torch.from_numpy(covered))
    known = np.argwhere(covered)
    for row, column in np.argwhere(~covered)[::7]:
        away = np.abs(known - [row, column]).max(axis=1)
        if away.min() > 8:
            continue
        nearest = known[away == away.min()]
        choices = np.round(255 * colours[nearest[:, 0], nearest[:, 1]]).astype(np.uint8)
        assert (choices == spread[row, column]).all(axis=1).any()


def test_a_texture_without_any_island_is_black():
    assert not padded(torch.rand(7, 7, 3), torch.zeros(7, 7, dtype=torch.bool)).any()


@pytest.fixture(scope="module")
def model():
    return bfm.load("open", n_identity=2, n_albedo=2)


def test_a_photo_of_plain_paint_gives_plain_paint(model):
    head = Turned(model, 20.0)
    difference = np.abs(head.texture() - head.plain())[head.texels.triangle_ids.numpy() >= 0]
    assert difference.mean() < 0.01


@pytest.mark.parametrize("side", [1, -1])
def test_a_mole_is_kept_and_what_the_photo_hides_takes_the_mirror_image(model, side):
    # Turned to +yaw the head shows one cheek; which one is asked of the picture, not of the convention.
    place, other = cheek(model, side), cheek(model, -side)
    yaw = 65.0 * side
    head = Turned(model, yaw, worn=marked(model, place))
    if (
        head.camera.to_camera(torch.tensor([[place]]))[0, 0, 2]
        < head.camera.to_camera(torch.tensor([[other]]))[0, 0, 2]
    ):
        head = Turned(model, -yaw, worn=marked(model, place))
    texture, plain = head.texture(), head.plain()
    for where in (place, other):
        assert head.at(plain, where).mean() - head.at(texture, where).mean() > 0.05


def test_from_the_front_the_halves_keep_their_own_marks(model):
    place, other = cheek(model, 1), cheek(model, -1)
    head = Turned(model, 0.0, worn=marked(model, place))
    texture, plain = head.texture(), head.plain()
    assert head.at(plain, place).mean() - head.at(texture, place).mean() > 0.05
    assert abs(head.at(plain, other).mean() - head.at(texture, other).mean()) < 0.02


def test_a_cast_shadow_hardly_stays_in_the_paint_but_stays_when_baked(model):
    def half_dark(picture):
        picture = picture.copy()
        picture[:, : PHOTO[1] // 2] *= 0.5
        return picture

    head, lit = Turned(model, 0.0, shade=half_dark), Turned(model, 0.0)
    sides = [cheek(model, side) for side in (1, -1)]
    of_paint = [head.at(head.texture(), place).mean() - head.at(head.plain(), place).mean() for place in sides]
    assert abs(of_paint[0] - of_paint[1]) < 0.06
    baked, without = head.texture("baked"), lit.texture("baked")
    darker = sorted(head.at(baked, place).mean() / lit.at(without, place).mean() for place in sides)
    assert darker[0] < 0.6 and darker[1] > 0.95


def test_a_baked_texture_shows_the_photo_as_it_is(model):
    head = Turned(model, 0.0, shade=lambda picture: picture[..., ::-1] * 0.8)
    place = torch.tensor([[cheek(model, 1)]])
    column, row = head.camera.to_pixels(head.camera.to_camera(place))[0, 0].round().int().tolist()
    seen = head.photo[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3).mean(axis=0) / 255.0
    np.testing.assert_allclose(head.at(head.texture("baked"), cheek(model, 1)), seen, atol=0.02)


def test_eyes_take_the_irises_colour_of_the_photo_and_no_lid(model):
    worn = model.mean_albedo[None].clamp(0, 1).clone()
    worn[0, model.region("irises")] *= torch.tensor([1.2, 1.8, 2.4])
    head = Turned(model, 10.0, worn=worn)
    texture, plain = head.texture(), head.plain()
    iris, white = (
        head.texels.sample(part[:, None].float(), model.faces)[..., 0].numpy() > 0.99
        for part in (model.region("irises"), model.region("eyes") & ~model.region("irises") & ~model.region("pupils"))
    )
    gained = texture[iris].mean(axis=0) / plain[iris].mean(axis=0)
    assert gained[2] > gained[1] > gained[0] and gained[2] > 1.25
    assert np.abs(texture[white] - plain[white]).mean() < 0.03
    # One colour: what varies within the painted iris is all that varies.
    assert (texture[iris] / plain[iris]).std(axis=0).max() < 0.05


def test_the_skin_beside_the_border_of_what_the_segmenter_finds_is_left_out(model):
    """Roots of hair lie on the skin's side of the border: here a dark line across the forehead."""
    line = slice(PHOTO[0] // 2 - 76, PHOTO[0] // 2 - 72)

    def rooted(picture):
        picture = picture.copy()
        picture[line] *= 0.2
        return picture

    def from_the_line(images, prior):
        mask = prior.face.float()
        half = images.shape[-1] // 2
        middle = (images[0].mean(dim=0) * prior.face[0, 0])[:, half].numpy()
        dark = np.nonzero((middle > 0) & (middle < 0.5 * np.median(middle[middle > 0])))[0]
        mask[:, :, : dark[0]] = 0.0
        return mask

    head = Turned(model, 0.0, shade=rooted)
    forehead = head.texels.sample(model.region("forehead")[:, None].float(), model.faces)[..., 0].numpy() > 0.99
    darker = [
        (head.plain() - bake_texture(head.head(), head.texels, "removed", segmenter) / 255.0)[forehead].max()
        for segmenter in (everything, from_the_line)
    ]
    assert darker[0] > 0.1 and darker[1] < 0.04


def test_a_segmenter_sees_the_head_as_it_is_rendered_over_the_photo(model):
    seen = []

    def keeps(images, prior):
        seen.append((images, prior))
        return prior.face.float()

    head = Turned(model, 15.0)
    bake_texture(head.head(), head.texels, "removed", keeps)
    ((image, prior),) = seen
    inside = prior.face.expand(-1, 3, -1, -1)
    assert image.shape == prior.rendered.shape == (1, 3, 160, 160) and int(prior.face.sum()) > 5000
    assert float((image - prior.rendered)[inside].abs().mean()) < 0.03
    assert float((image - prior.rendered.flip(-1))[inside].abs().mean()) > 0.05
