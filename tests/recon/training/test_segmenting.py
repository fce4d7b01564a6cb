"""Whose mask reaches the photometric loss: the config's segmenter's, unless a batch brings its own."""

import dataclasses

import pytest
import torch
from test_mixed import one_step, photos_only
from test_module import pytestmark  # noqa: F401
from training_parts import DIRECT, SIZE, sampled, tiny_module

from losses.photometric import photometric_loss
from losses.total import LossWeights
from recon.segmentation.residual import ResidualSegmenter
from recon.segmentation.segmenter import RenderedRegions, Segmenter
from train import main

PICTURE = dataclasses.replace(DIRECT, photometric=1.0)


class LeftHalf(Segmenter):
    """Sees skin on the left only, on and off the head, and keeps what it was given."""

    def __init__(self):
        self.asked = []

    def __call__(self, images, prior):
        self.asked.append((images, prior))
        mask = torch.zeros_like(images[:, :1])
        mask[..., : SIZE // 2] = 1.0
        return mask


def expected(module, batch, mask):
    """The photometric loss of the next step where a mask and the rendered head agree."""
    with torch.no_grad():
        faces = module.decoder.decode(module.regressor(batch.image, batch.intrinsics), batch.intrinsics)
        rendered = faces.render(batch.size)
        return float(photometric_loss(faces.srgb_image(rendered), batch.image, rendered.covered * mask))


def test_a_step_trains_with_the_segmenter_of_the_config(open_model):
    segmenter = LeftHalf()
    module = tiny_module(weights=PICTURE, segmenter=segmenter)
    batch = photos_only(sampled(open_model))
    left = torch.zeros(2, 1, SIZE, SIZE)
    left[..., : SIZE // 2] = 1.0
    wanted, everywhere = expected(module, batch, left), expected(module, batch, torch.ones_like(left))
    run = one_step(module, batch)
    assert float(run.callback_metrics["loss/photometric"]) == pytest.approx(wanted, rel=2e-3)
    assert wanted != pytest.approx(everywhere, rel=0.01)
    ((images, prior),) = segmenter.asked
    assert torch.equal(images, batch.image)
    assert prior.rendered.shape == images.shape and not prior.rendered.requires_grad
    assert bool((prior.skin_core & prior.covered).any()) and bool((prior.face <= prior.covered).all())


def test_a_stored_mask_goes_before_the_segmenter(open_model):
    segmenter = LeftHalf()
    module = tiny_module(weights=PICTURE, segmenter=segmenter)
    stored = torch.full((2, 1, SIZE, SIZE), 0.5)
    stored[..., : SIZE // 2, :] = 0.0
    batch = dataclasses.replace(photos_only(sampled(open_model)), face_mask=stored)
    wanted = expected(module, batch, stored)
    run = one_step(module, batch)
    assert float(run.callback_metrics["loss/photometric"]) == pytest.approx(wanted, rel=2e-3)
    assert not segmenter.asked


def test_without_a_segmenter_the_residual_decides(open_model):
    module = tiny_module(weights=PICTURE)
    batch = photos_only(sampled(open_model))
    with torch.no_grad():
        faces = module.decoder.decode(module.regressor(batch.image, batch.intrinsics), batch.intrinsics)
        prior = RenderedRegions.of_render(module.decoder.rendered_model, faces.render(batch.size))
    wanted = expected(module, batch, ResidualSegmenter()(batch.image, prior))
    run = one_step(module, batch)
    assert float(run.callback_metrics["loss/photometric"]) == pytest.approx(wanted, rel=2e-3)


class Learned(torch.nn.Module, Segmenter):
    """A network as a segmenter; its answer is its own weight."""

    def __init__(self, level: float = 0.25):
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(level))

    def forward(self, images, prior):
        return self.level.expand(len(images), 1, *images.shape[2:])


def test_a_network_segments_and_is_neither_trained_nor_saved(open_model):
    segmenter = Learned()
    module = tiny_module(weights=PICTURE, segmenter=segmenter)
    batch = photos_only(sampled(open_model))
    wanted = expected(module, batch, torch.full((2, 1, SIZE, SIZE), 0.25))
    run = one_step(module, batch)
    assert float(run.callback_metrics["loss/photometric"]) == pytest.approx(wanted, rel=2e-3)
    assert float(segmenter.level.detach()) == 0.25 and segmenter.level.grad is None
    assert not any("level" in name for name in module.state_dict())


def test_configs_name_a_segmenter_by_its_class(capsys, monkeypatch, request):
    monkeypatch.setattr("sys.argv", ["train.py"])
    smoke = str(request.config.rootpath / "configs" / "smoke.yaml")
    key = "--model.init_args.segmenter"
    chosen = [f"{key}.class_path=recon.segmentation.residual.ResidualSegmenter", f"{key}.init_args.scale=2.0"]
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", smoke, *chosen, "--print_config"])
    assert stop.value.code == 0 and "scale: 2.0" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", smoke, f"{key}.class_path=recon.detection.face.Face", "--print_config"])
    assert stop.value.code == 2 and "segmenter" in capsys.readouterr().err


def test_unlabelled_photos_keep_the_weights_of_their_terms_alone():
    everything = LossWeights(**dict.fromkeys([field.name for field in dataclasses.fields(LossWeights)], 2.0))
    kept = {name for name, value in dataclasses.asdict(everything.for_photos()).items() if value == 2.0}
    assert kept == set(LossWeights.PHOTO_TERMS) and set(dataclasses.asdict(everything.for_photos()).values()) == {
        0.0,
        2.0,
    }
    halved = everything.scaled(LossWeights.RENDERED_TERMS, 0.5)
    assert halved.photometric == halved.depth == 1.0 and halved.landmark == 2.0
    with pytest.raises(KeyError):
        everything.scaled(["colour"], 0.5)
