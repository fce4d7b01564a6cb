"""The interface to segmenters: what a rendered head says, and what is no mask."""

import numpy as np
import pytest
import torch

from recon.camera import PerspectiveCamera
from recon.color import encode_srgb_unclamped
from recon.lighting import ambient
from recon.render import Mesh, Topology, render
from recon.segmentation.grabcut import GrabCutSegmenter
from recon.segmentation.numpy_parser import FaceGuess, ParserSegmenter, cut_face, guess_face
from recon.segmentation.segmenter import RenderedRegions, SegmentationError, segment

_SIDE = 96


def _ids(model):
    on_cheek = model.region("cheeks")[model.faces].all(dim=1).nonzero()[0, 0]
    on_forehead = (model.region("forehead") & model.region("face"))[model.faces].all(dim=1).nonzero()[0, 0]
    on_scalp = model.region("scalp")[model.faces].all(dim=1).nonzero()[0, 0]
    return torch.tensor([[-1, int(on_cheek), int(on_forehead), int(on_scalp)]])


def test_the_prior_of_a_rendered_model_takes_its_regions(open_model):
    ids = _ids(open_model)
    prior = RenderedRegions.of_triangles(open_model, torch.stack([ids, ids.flip(1)]))
    for name, wanted in {
        "covered": [False, True, True, True],
        "face": [False, True, True, False],
        "skin_core": [False, True, False, False],
        "forehead": [False, False, True, False],
    }.items():
        assert getattr(prior, name)[:, 0, 0].tolist() == [wanted, wanted[::-1]], name
    assert prior.rendered is None


@pytest.fixture(scope="module")
def rendered(open_model):
    """The mean head, too bright, so that clamping would show."""
    camera = PerspectiveCamera.at(
        torch.eye(3)[None], torch.tensor([[0.0, 0.0, -800.0]]), size=(_SIDE, _SIDE), focal_px=torch.full((1, 2), 330.0)
    )
    mesh = Mesh.of(
        open_model.mean_shape[None],
        Topology.of(open_model.faces, open_model.n_vertices),
        open_model.mean_albedo[None].clone().requires_grad_(),
    )
    return render(mesh, camera, ambient(torch.full((1, 3), 3.0)), (_SIDE, _SIDE))


def test_the_prior_of_a_render_has_its_picture_without_gradient(open_model, rendered):
    prior = RenderedRegions.of_render(open_model, rendered)
    assert torch.equal(prior.covered, rendered.covered)
    assert not prior.rendered.requires_grad
    assert torch.equal(prior.rendered, encode_srgb_unclamped(rendered.image.detach(), open_model.albedo_space))
    assert float(prior.rendered.max()) > 1.0


def test_an_answer_that_is_no_mask_is_refused():
    images = torch.zeros(2, 3, 8, 9)
    assert (
        segment(lambda images, prior: torch.ones(2, 1, 8, 9, dtype=torch.double), images, None).dtype == torch.float32
    )
    with pytest.raises(SegmentationError, match=r"shape \(2, 1, 8, 9\), got \(2, 8, 9\)"):
        segment(lambda images, prior: images[:, 0], images, None)
    with pytest.raises(SegmentationError, match="got ndarray"):
        segment(lambda images, prior: np.ones((2, 1, 8, 9)), images, None)


def test_parsers_of_the_old_form_get_what_they_got_and_give_equal_masks(open_model, rendered):
    prior = RenderedRegions.of_render(open_model, rendered)
    generator = torch.Generator().manual_seed(0)
    pixels = (
        255.0 * prior.rendered.clamp(0, 1) * (0.7 + 0.3 * torch.rand(1, 3, _SIDE, _SIDE, generator=generator))
    ).byte()
    images = pixels.float() / 255.0
    seen = []

    def parser(pixels, guess):
        seen.append((pixels, guess))
        return cut_face(pixels, guess)

    by_parser, by_segmenter = ParserSegmenter(parser)(images, prior), GrabCutSegmenter()(images, prior)
    assert torch.equal(by_parser, by_segmenter) and float(by_parser.max()) > 0.5
    ((given, guess),) = seen
    assert np.array_equal(given, pixels[0].permute(1, 2, 0).numpy())
    assert isinstance(guess, FaceGuess)
    old = guess_face(open_model, rendered.triangle_ids[0])
    for name in ("face", "bare", "forehead", "head"):
        assert np.array_equal(getattr(guess, name), getattr(old, name)) and getattr(old, name).any(), name


def test_a_parser_that_answers_with_no_mask_is_named(open_model, rendered):
    prior = RenderedRegions.of_render(open_model, rendered)
    images = torch.zeros(1, 3, _SIDE, _SIDE)
    with pytest.raises(SegmentationError, match=r"face parser answered with an array of shape \(3, 3\)"):
        ParserSegmenter(lambda pixels, guess: np.ones((3, 3)))(images, prior)
