"""Preparing photos: runs that end early go on, sets never mix, and nothing of the user's is touched."""

import dataclasses
import json
import types

import numpy as np
import pytest
import torch
from PIL import Image

from recon.camera import PerspectiveCamera
from recon.detection import align
from recon.fitting import FitSettings
from recon.io.files import OutputError
from recon.io.locks import locked
from recon.lighting import ambient
from recon.reconstruction import Reconstruction
from recon.reconstructor import NoFaceError, Reconstructor
from recon.training import preparing
from recon.training.photos import INDEX, LABELS, PhotoSet, PhotoSetError
from recon.training.preparing import RECORD, prepare_photos

_FIVE = np.array([[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]])


def half_bright(images, prior):
    """Twice the photo's grey where the head is, so that each mask tells its photo."""
    return 2.0 * images[:, :1] * prior.covered


class _Head(Reconstruction):
    """What preparing asks of a head."""

    landmarks68 = None

    def __init__(self, **known):
        vars(self).update(known)


class _Stub(Reconstructor):
    """Finds one face in every photo, marked by the photo's own colour, and counts."""

    method, checkpoint, _detector = "fit", None, "stub"

    def __init__(self, model):
        self.model, self.settings, self.fitted = model, FitSettings.of("fast"), 0
        self.at, self._segmenter = {}, half_bright

    def detect(self, photo):
        if photo.pixels[0, 0, 0] == 0:
            raise NoFaceError("no face was found")
        colour = float(photo.pixels[0, 0, 0])
        return [
            types.SimpleNamespace(points5=_FIVE, landmarks68=None if colour == 30 else np.full((68, 2), colour + 1))
        ]

    def fit_face(self, photo, face):
        self.fitted += 1
        error = self.at.get(self.fitted)
        if error is not None:
            raise error
        colour = float(photo.pixels[0, 0, 0])
        camera = PerspectiveCamera.at(torch.eye(3)[None], torch.tensor([[0.0, 0.0, -500.0]]), size=(120, 120))
        return _Head(
            camera=camera,
            landmarks68=np.full((68, 2), colour),
            model=self.model,
            vertices=self.model.mean_shape.numpy(),
            albedo=self.model.mean_albedo.numpy(),
            lighting=ambient(torch.ones(1, 3)),
            segmenter=self.segmenter,
        )


@pytest.fixture
def stub(open_model):
    return lambda: _Stub(open_model)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = []
    for colour in (10, 20, 0, 30, 40):
        paths.append(folder / f"{colour}.png")
        Image.fromarray(np.full((120, 120, 3), colour, np.uint8)).save(paths[-1])
    return paths


def _contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _colours(folder):
    """Of each crop; its label says the same, so they belong together."""
    batches = list(PhotoSet(folder, 64, mirror=False, landmarks="fit"))
    colours = [round(255 * float(batch.image[0, 0, 32, 32])) for batch in batches]
    for colour, batch in zip(colours, batches, strict=True):
        points = align(_FIVE, 64).crop_points(np.full((68, 2), float(colour)))
        assert np.allclose(batch.landmarks68_px[0].numpy(), points, atol=1e-3)
        assert round(255 * float(batch.face_mask.max())) == 2 * colour
    return colours


def test_a_run_that_ends_early_goes_on_to_the_same_files(tmp_path, photos, stub):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = prepare_photos(photos, whole, stub(), 64)
    assert len(done.kept) == 4 and list(done.refused) == [str(photos[2])] and "no face" in done.refused[str(photos[2])]
    assert _colours(whole) == [10, 20, 30, 40]
    first = stub()
    first.at[3] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        prepare_photos(photos, cut, first, 64)
    assert not (cut / INDEX).exists()
    with open(cut / RECORD, "ab") as file:  # a line that was being written
        file.write(b'{"sha256": "12')
    (cut / ".0123456789abcdef.part").write_bytes(b"half")
    second = stub()
    assert prepare_photos(photos, cut, second, 64) == done
    assert second.fitted == 2
    assert _contents(cut) == _contents(whole)
    third = stub()
    assert prepare_photos(photos, cut, third, 64) == done and third.fitted == 0
    assert _contents(cut) == _contents(whole)


def test_another_run_over_other_photos_never_gets_the_labels_of_the_first(tmp_path, photos, stub):
    out = tmp_path / "out"
    prepare_photos(photos[:3], out, stub(), 64)
    second = stub()
    second.at[2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        prepare_photos(photos[3:] + photos[:1], out, second, 64)
    assert _colours(out) == [10, 20]
    third = stub()
    prepare_photos(photos[3:] + photos[:1], out, third, 64)
    assert third.fitted == 1 and _colours(out) == [30, 40, 10]


def test_a_run_killed_between_labels_and_index_leaves_no_set(tmp_path, photos, stub, monkeypatch):
    out = tmp_path / "out"
    prepare_photos(photos[:3], out, stub(), 64)
    real = preparing.write_file

    def killed(path, data, **options):
        if path.name == INDEX:
            raise KeyboardInterrupt
        return real(path, data, **options)

    monkeypatch.setattr(preparing, "write_file", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_photos(photos, out, stub(), 64)
    with pytest.raises(PhotoSetError, match=r"photos.json .*is missing.*run that again if it was interrupted"):
        PhotoSet(out, 64)
    monkeypatch.undo()
    again = stub()
    prepare_photos(photos, out, again, 64)
    assert again.fitted == 0 and _colours(out) == [10, 20, 30, 40]


def test_one_bad_photo_is_a_reported_skip_that_is_tried_again(tmp_path, photos, stub):
    photos[0].write_bytes(b"no picture")
    photos.append(tmp_path / "gone.png")
    first = stub()
    first.at[2] = MemoryError("too large")
    done = prepare_photos(photos, tmp_path / "out", first, 64)
    assert len(done.kept) == 2 and set(done.refused) == {str(photos[k]) for k in (0, 2, 3, 5)}
    assert done.refused[str(photos[3])] == "MemoryError: too large"
    assert len(prepare_photos(photos, tmp_path / "out", stub(), 64).kept) == 3


def test_a_full_disk_ends_the_run_and_what_is_done_is_kept(tmp_path, photos, stub, monkeypatch):
    out = tmp_path / "out"
    real, calls = preparing.write_new, []

    def full(path, data):
        calls.append(path)
        if len(calls) == 5:  # the second photo's mask, after its crop
            raise OSError(28, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(preparing, "write_new", full)
    with pytest.raises(OutputError, match="cannot write to .*out: No space left on device"):
        prepare_photos(photos, out, stub(), 64)
    monkeypatch.undo()
    again = stub()
    assert len(prepare_photos(photos, out, again, 64).kept) == 4 and again.fitted == 3


def test_the_same_picture_twice_is_kept_once(tmp_path, photos, stub):
    done = prepare_photos([photos[0], photos[1], photos[0]], tmp_path / "out", stub(), 64)
    assert len(done.kept) == 2 and done.refused == {str(photos[0]): "the same picture as another"}


def test_other_settings_and_files_of_the_users_are_refused(tmp_path, photos, stub):
    out = tmp_path / "out"
    prepare_photos(photos, out, stub(), 64)
    with pytest.raises(PhotoSetError, match="prepared otherwise .*size was 64, is 80.*: choose another folder"):
        prepare_photos(photos, out, stub(), 80)
    other = stub()
    other.settings = dataclasses.replace(FitSettings.of("default"))
    with pytest.raises(PhotoSetError, match="another settings"):
        prepare_photos(photos, out, other, 64)
    (out / LABELS).write_bytes(b"mine")
    with pytest.raises(PhotoSetError, match=f"{LABELS} was changed"):
        prepare_photos(photos, out, stub(), 64)
    assert (out / LABELS).read_bytes() == b"mine"
    old = tmp_path / "old"
    old.mkdir()
    (old / INDEX).write_text("{}")
    with pytest.raises(PhotoSetError, match=f"holds {INDEX} without {RECORD}"):
        prepare_photos(photos, old, stub(), 64)
    assert [path.name for path in old.iterdir()] == [INDEX]
    named = tmp_path / "named"
    crop = prepare_photos(photos[:1], named, stub(), 64).kept[0]
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / crop).write_bytes(b"mine")
    with pytest.raises(PhotoSetError, match="is there already and is not what this run writes"):
        prepare_photos(photos[:1], taken, stub(), 64)
    assert (taken / crop).read_bytes() == b"mine"


def test_two_runs_in_one_folder(tmp_path, photos, stub):
    out = tmp_path / "out"
    with locked(out / ".facerecon" / "prepare.lock"):
        with pytest.raises(PhotoSetError, match="another run is preparing photos"):
            prepare_photos(photos, out, stub(), 64)


def test_damaged_sets_are_named(tmp_path, photos, stub):
    prepare_photos(photos, tmp_path / "out", stub(), 64)
    for name, data in ((LABELS, b"zzz"), (INDEX, b"{"), (INDEX, b"[]")):
        (tmp_path / "out" / name).write_bytes(data)
        with pytest.raises(PhotoSetError, match="is damaged"):
            PhotoSet(tmp_path / "out", 32)


def test_both_kinds_of_landmarks_are_stored_and_a_face_without_a_mesh_has_one(tmp_path, photos, stub):
    prepare_photos(photos, tmp_path / "out", stub(), 64)
    detected = PhotoSet(tmp_path / "out", 64, mirror=False)
    greys = [round(255 * float(batch.image[0, 0, 32, 32])) for batch in detected]
    assert greys == [10, 20, 40], "the detector marked all but 30"
    for grey, batch in zip(greys, detected, strict=True):
        points = align(_FIVE, 64).crop_points(np.full((68, 2), grey + 1.0))
        assert np.allclose(batch.landmarks68_px[0].numpy(), points, atol=1e-3)


def test_a_mask_that_is_gone_is_made_again(tmp_path, photos, stub):
    out = tmp_path / "out"
    prepare_photos(photos[:2], out, stub(), 64)
    before = _contents(out)
    next(out.glob("*.mask.png")).unlink()
    again = stub()
    prepare_photos(photos[:2], out, again, 64)
    assert again.fitted == 1 and {name: data for name, data in _contents(out).items() if name != RECORD} == {
        name: data for name, data in before.items() if name != RECORD
    }


def test_folders_of_an_earlier_format_and_masks_of_another_segmenter_are_refused(tmp_path, photos, stub):
    out = tmp_path / "out"
    prepare_photos(photos[:1], out, stub(), 64)
    other = stub()
    other._segmenter = lambda images, prior: images[:, :1]
    with pytest.raises(PhotoSetError, match="another segmenter"):
        prepare_photos(photos[:1], out, other, 64)
    header, *lines = (out / RECORD).read_text().splitlines(keepends=True)
    facts = json.loads(header)
    del facts["facts"]["format"]
    (out / RECORD).write_text("".join([json.dumps(facts) + "\n", *lines]))
    with pytest.raises(PhotoSetError, match="prepared otherwise .format was null, is 2.: choose another folder"):
        prepare_photos(photos[:1], out, stub(), 64)
