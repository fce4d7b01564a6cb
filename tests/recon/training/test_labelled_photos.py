"""300W-LP as a labelled source: framing, pose, coefficients, held-out photos, faulty files."""

import dataclasses
import itertools
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from test_mixed import SMALL, WEIGHTS, one_step, photos_only
from test_module import pytestmark  # noqa: F401
from training_parts import DIRECT, SIZE, sampled, tiny_module

from bfm.loaders.w300lp import LabelScale
from recon.datasets.pose_conventions import angles_to_matrix
from recon.training import labelled_photos
from recon.training.augment import Augmentation
from recon.training.held_out import HeldOutPeople
from recon.training.labelled_photos import LabelledPhotoData, LabelledPhotos
from recon.training.mixed import MixedBatch, MixedModule
from recon.training.mixed_data import MixedData
from recon.training.module import FaceModelConfig
from recon.training.photo_data import ReplacedPhotos
from recon.training.photos import PhotoSetError
from recon.training.stream import BatchPlan
from recon.training.validation import validate_batch

ANGLES = ((20.0, -8.0, 25.0), (-40.0, 12.0, -30.0), (5.0, 3.0, 2.0))
"""Yaw, pitch, roll in 300W-LP's own signs."""


def write_labelled(folder, model, angles=ANGLES, **more):
    """The mean head seen by a weak perspective camera, off the middle of each photo."""
    folder.mkdir(parents=True, exist_ok=True)
    points = model.landmarks68(model.shape())[0].double().numpy()
    for number, triple in enumerate(angles):
        turned = points @ angles_to_matrix(np.array(triple), "300wlp").T
        pixels = np.array([170.0, 110.0]) + 0.9 * turned[:, :2] * [1.0, -1.0]
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)).save(folder / f"p{number}.jpg")
        yaw, pitch, roll = np.deg2rad(triple)
        label = {"Pose_Para": np.array([[pitch, yaw, roll, 0.0, 0.0, 0.0, 1e-3]]), "pt2d": pixels.T, **more}
        savemat(folder / f"p{number}.mat", label)


def flat_error(points, rotation, wanted):
    """Root mean square gap after the best scale and shift of a weak perspective view, in shares of the face's size."""
    seen = (points @ rotation.T)[:, :2] * [1.0, -1.0]
    seen, wanted = seen - seen.mean(0), wanted - wanted.mean(0)
    scale = (seen * wanted).sum() / (seen**2).sum()
    return float(np.sqrt(((scale * seen - wanted) ** 2).sum(1).mean()) / np.ptp(wanted, axis=0).mean())


def test_crops_stand_upright_and_the_pose_turns_with_them(tmp_path, open_model):
    write_labelled(tmp_path, open_model)
    photos = LabelledPhotos(tmp_path, SIZE)
    points = open_model.landmarks68(open_model.shape())[0].double().numpy()
    assert len(photos) == 3
    for number, triple in enumerate(ANGLES):
        batch = photos[number]
        marks = batch.landmarks68_px[0].double().numpy()
        eyes = marks[42:48].mean(0) - marks[36:42].mean(0)
        assert abs(np.degrees(np.arctan2(eyes[1], eyes[0]))) < 12.0
        assert flat_error(points, batch.rotation[0].double().numpy(), marks) < 1e-3
        as_labelled = angles_to_matrix(np.array(triple), "300wlp")
        assert flat_error(points, as_labelled, marks) > (0.05 if abs(triple[2]) > 10 else 0.005)
        # The face fills the crop as everywhere else, and the camera sees it straight ahead.
        assert 0.35 * SIZE < np.ptp(marks[:, 1]) < 0.75 * SIZE
        torch.testing.assert_close(batch.intrinsics[0, :2, 2], torch.full((2,), SIZE / 2), atol=1e-3, rtol=0)
        assert float(batch.intrinsics[0, 0, 0]) == pytest.approx(1.02 * SIZE / 224 * 1000.0, rel=1e-4)
        assert batch.identity is None and batch.expression is None


def test_coefficients_are_given_to_the_model_they_belong_to(tmp_path, open_model, monkeypatch):
    rng = np.random.default_rng(3)
    shape, expression = rng.normal(size=(199, 1)), rng.normal(size=(29, 1))
    write_labelled(tmp_path, open_model, Shape_Para=shape, Exp_Para=expression)
    scale = LabelScale(np.full(199, 2.0), np.full(29, 4.0))
    batch = LabelledPhotos(tmp_path, SIZE, scale)[1]
    np.testing.assert_allclose(batch.identity[0], 0.5 * shape[:, 0], rtol=1e-5)
    np.testing.assert_allclose(batch.expression[0], 0.25 * expression[:, 0], rtol=1e-5)
    asked = []
    monkeypatch.setattr(labelled_photos, "read_label_scale", lambda path: asked.append(path) or scale)
    LabelledPhotoData(str(tmp_path), FaceModelConfig("300wlp", str(tmp_path / "basel")), SIZE, plan=BatchPlan(1))
    LabelledPhotoData(str(tmp_path), FaceModelConfig("open"), SIZE, plan=BatchPlan(1))
    assert asked == [tmp_path / "basel"]
    with pytest.raises(PhotoSetError, match=r"p0: no usable coefficients \(Shape_Para must hold 5 values"):
        LabelledPhotos(tmp_path, SIZE, LabelScale(np.ones(5), np.ones(29)))[0]


def test_batches_follow_from_the_step_and_held_out_photos_are_measured(tmp_path, open_model):
    write_labelled(tmp_path / "train", open_model)
    write_labelled(tmp_path / "test", open_model, ANGLES[:2])
    settings = {"size": SIZE, "plan": BatchPlan(2), "workers": 0, "augmentation": Augmentation()}
    data = LabelledPhotoData(str(tmp_path / "train"), test=str(tmp_path / "test"), **settings)
    batches = list(itertools.islice(iter(data.train_dataloader()), 6))
    assert all(len(batch) == 2 and batch.rotation.shape == (2, 3, 3) for batch in batches)
    assert any(not torch.equal(batches[0].image, batch.image) for batch in batches[1:])
    (held,) = list(data.test_dataloader())
    assert len(held) == 2
    module = tiny_module().eval()
    errors = validate_batch(module.decoder, module(held.image, held.intrinsics), held)
    assert set(errors) == {"nme", "pose_deg", "geodesic_deg"} and errors["nme"].shape == (2,)


def test_people_are_held_out_whole_and_the_test_set_is_not_validated_on(tmp_path, open_model):
    """A person's poses and mirrored pictures are on one side; the same seed samples the same people."""
    write_labelled(tmp_path / "one", open_model, ANGLES[:1])
    (source,) = (tmp_path / "one").rglob("*.mat")
    for person in range(40):
        for folder in ("AFW", "AFW_Flip"):
            for turn in range(2):
                place = tmp_path / "set" / folder
                place.mkdir(parents=True, exist_ok=True)
                for suffix in (".mat", ".jpg"):
                    shutil.copy(source.with_suffix(suffix), place / f"AFW_{person}_1_{turn}{suffix}")

    def people(photos):
        return set(photos.originals)

    settings = {"size": SIZE, "plan": BatchPlan(2), "workers": 0, "test": str(tmp_path / "one")}
    data = LabelledPhotoData(str(tmp_path / "set"), held_out=HeldOutPeople(0.25), **settings)
    trained, held = people(data.photos), people(data.held_out)
    assert not trained & held and len(trained | held) == 40 and 4 <= len(held) <= 18
    assert len(data.photos) + len(data.held_out) == 160 and len(data.held_out) == 4 * len(held)
    again = LabelledPhotoData(str(tmp_path / "set"), held_out=HeldOutPeople(0.25), **settings)
    other = LabelledPhotoData(
        str(tmp_path / "set"), held_out=HeldOutPeople(0.25), **{**settings, "plan": BatchPlan(2, seed=1)}
    )
    assert people(again.held_out) == held != people(other.held_out)
    assert sum(len(batch) for batch in data.val_dataloader()) == len(data.held_out)
    assert sum(len(batch) for batch in data.test_dataloader()) == 1
    few = LabelledPhotoData(str(tmp_path / "set"), held_out=HeldOutPeople(0.25, count=3), **settings)
    assert sum(len(batch) for batch in few.val_dataloader()) == 3
    with pytest.raises(ValueError, match=r"share of people held out must lie in \[0, 1\), got 1.0"):
        HeldOutPeople(share=1.0)


def test_the_mixed_step_learns_pose_from_labelled_photos(tmp_path, open_model):
    write_labelled(tmp_path, open_model)
    data = LabelledPhotoData(str(tmp_path), None, SIZE, plan=BatchPlan(2), workers=0)
    pair = next(iter(MixedData(data, size=SIZE).train_dataloader()))
    assert isinstance(pair, MixedBatch) and pair.photos is None
    critic = dataclasses.replace(SMALL, real="prior")
    module = tiny_module(MixedModule, weights=WEIGHTS, critic=critic)
    before = {name: p.clone() for name, p in module.named_parameters()}
    run = one_step(module, MixedBatch(pair.labelled, photos_only(sampled(open_model))))
    names = set(run.callback_metrics)
    assert {"labelled/landmark", "labelled/rotation", "labelled/adversarial", "photos/landmark", "loss/critic"} <= names
    assert not {"labelled/shape", "labelled/identity", "labelled/translation"} & names
    moved = {name.split(".")[0] for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"regressor", "averaged", "critic"}
    from_labels = tiny_module(MixedModule, weights=DIRECT, critic=SMALL)
    with pytest.raises(ValueError, match="not known; set critic.real to prior"):
        batch = pair.labelled
        from_labels.discriminator_step_loss(batch, from_labels.regressor(batch.image, batch.intrinsics))


def test_faulty_sets_are_named(tmp_path, open_model):
    with pytest.raises(PhotoSetError, match="no labelled photos: .* does not exist; 300W-LP is a folder of"):
        LabelledPhotos(tmp_path / "none", SIZE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotoSetError, match=r"holds no \.mat files"):
        LabelledPhotoData(str(tmp_path / "empty"), size=SIZE)
    write_labelled(tmp_path / "set", open_model)
    with pytest.raises(ValueError, match="holds 3 samples, fewer than one batch of 5"):
        LabelledPhotoData(str(tmp_path / "set"), size=SIZE)
    photos = LabelledPhotos(tmp_path / "set", SIZE)
    jpeg = (tmp_path / "set" / "p1.jpg").read_bytes()
    (tmp_path / "set" / "p1.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    with pytest.raises(PhotoSetError, match=r"p1: the picture cannot be read .* repair it or move it out"):
        photos[1]
    savemat(tmp_path / "set" / "p2.mat", {"Pose_Para": np.zeros((1, 7))})
    with pytest.raises(PhotoSetError, match="p2: no 68 points"):
        photos[2]
    savemat(tmp_path / "set" / "p2.mat", {"Pose_Para": np.zeros((1, 7)), "pt2d": np.ones((2, 68))})
    with pytest.raises(PhotoSetError, match="p2.*five points on one spot|five points on one spot"):
        photos[2]


def test_damaged_photos_are_left_out_at_the_start(tmp_path, open_model, caplog):
    write_labelled(tmp_path, open_model)
    sound = [LabelledPhotos(tmp_path, SIZE)[k].image for k in range(3)]
    (tmp_path / "p1.jpg").write_bytes(b"zzz")
    (tmp_path / "p3.mat").write_bytes(b"")
    caplog.clear()
    photos = LabelledPhotos(tmp_path, SIZE)
    assert len(photos) == 2 and torch.equal(photos[1].image, sound[2])
    (record,) = caplog.records
    assert "2 of 4 labelled photos in" in record.getMessage() and "p1.jpg is not an image" in record.getMessage()
    for name in ("p0.jpg", "p2.jpg"):
        (tmp_path / name).unlink()
    with pytest.raises(PhotoSetError, match=r"no labelled photos in .* can be read; the first: "):
        LabelledPhotos(tmp_path, SIZE)


def test_photos_that_turn_out_damaged_do_not_end_a_training(tmp_path, open_model, caplog):
    write_labelled(tmp_path, open_model)
    data = LabelledPhotoData(str(tmp_path), test=str(tmp_path), size=SIZE, plan=BatchPlan(3), workers=0)
    jpeg = (tmp_path / "p1.jpg").read_bytes()
    (tmp_path / "p1.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    first, second = itertools.islice(iter(data.train_dataloader()), 2)
    assert len(first) == len(second) == 3
    replaced = ReplacedPhotos(data.photos)
    assert torch.equal(replaced[1].image, data.photos[2].image)
    with pytest.raises(PhotoSetError, match="p1"):  # a photo that stands for another would count twice in a figure
        list(data.test_dataloader())
    assert "1 of 3 photos turned out to be damaged" in caplog.records[0].getMessage()
    for name in ("p0.jpg", "p2.jpg"):
        (tmp_path / name).unlink()
    with pytest.raises(PhotoSetError, match="3 photos in a row cannot be used; the last: "):
        replaced[0]
