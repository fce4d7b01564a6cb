"""Photos for training: prepared once, read back, mirrored."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage.data import astronaut

from recon.reconstructor import Reconstructor
from recon.training.augment import Augmentation, augment
from recon.training.batch import TrainingBatch
from recon.training.photo_data import PhotoData, PhotoSamples, photo_loader
from recon.training.photos import PhotoSet, PhotoSetError, mirrored_photo
from recon.training.preparing import prepare_photos
from recon.training.stream import BatchPlan, StreamPlace


def write_set(folder, count=3, size=40, old=False):
    """The fit's points; the detector's lie 1 px to the right of and below them. An old set has neither these nor masks."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    names = []
    for k in range(count):
        pixels = (255 * torch.rand(size, size, 3, generator=generator)).byte().numpy()
        Image.fromarray(pixels).save(folder / f"{k}.png")
        names.append(f"{k}.png")
    matrix = torch.tensor([[180.0, 0.0, 22.0], [0.0, 180.0, 17.0], [0.0, 0.0, 1.0]]).expand(count, 3, 3).contiguous()
    points = size * torch.rand(count, 68, 2, generator=generator)
    labels = {"landmarks68_px": points, "intrinsics": matrix}
    index = {"size": size, "names": names}
    if not old:
        labels["landmarks68_detector_px"] = points + 1.0
        index["masks"] = [f"{k}.mask.png" for k in range(count)]
        for k, name in enumerate(index["masks"]):
            mask = np.zeros((size, size), np.uint8)
            mask[:, : size // 2] = 255 - k
            Image.fromarray(mask).save(folder / name)
    save_file(labels, folder / "photos.safetensors")
    (folder / "photos.json").write_text(json.dumps(index))
    return points


def test_photos_are_read_at_the_size_of_the_network(tmp_path):
    points = write_set(tmp_path / "set")
    photos = PhotoSet(tmp_path / "set", 20, landmarks="fit")
    assert len(photos) == 6
    batch = photos[2]
    assert batch.image.shape == (1, 3, 20, 20)
    torch.testing.assert_close(batch.landmarks68_px[0], 0.5 * points[1])
    torch.testing.assert_close(batch.intrinsics[0, :2], 0.5 * torch.tensor([[180.0, 0.0, 22.0], [0.0, 180.0, 17.0]]))
    torch.testing.assert_close(photos[3].image, batch.image.flip(-1))
    assert batch.face_mask.shape == (1, 1, 20, 20)
    assert float(batch.face_mask[..., :9].min()) == pytest.approx(254 / 255) and not bool(
        batch.face_mask[..., 11:].any()
    )
    torch.testing.assert_close(photos[3].face_mask, batch.face_mask.flip(-1))


def test_the_target_is_the_detectors_or_the_fits_points(tmp_path):
    points = write_set(tmp_path / "set")
    by_default, fitted = PhotoSet(tmp_path / "set", 40), PhotoSet(tmp_path / "set", 40, landmarks="fit")
    torch.testing.assert_close(by_default[2].landmarks68_px[0], points[1] + 1.0)
    torch.testing.assert_close(fitted[2].landmarks68_px[0], points[1])
    data = PhotoData(
        str(tmp_path / "set"),
        size=40,
        plan=BatchPlan(2),
        workers=0,
        samples=PhotoSamples(mirror=False, landmarks="fit"),
    )
    wanted = {round(float(points[k].sum()), 2) for k in range(3)}
    assert {round(float(data.photos[k].landmarks68_px.sum()), 2) for k in range(3)} == wanted


def test_photos_without_the_points_asked_for_are_left_out_and_counted(tmp_path, caplog):
    points = write_set(tmp_path / "set")
    labels = load_file(tmp_path / "set" / "photos.safetensors")
    labels["landmarks68_detector_px"][1] = torch.nan
    save_file(labels, tmp_path / "set" / "photos.safetensors")
    photos = PhotoSet(tmp_path / "set", 40, mirror=False)
    assert photos.names == ["0.png", "2.png"] and photos.masks == ["0.mask.png", "2.mask.png"]
    torch.testing.assert_close(photos[1].landmarks68_px[0], points[2] + 1.0)
    assert "1 of 3 photos in" in caplog.text and "no landmarks of the detector" in caplog.text
    assert len(PhotoSet(tmp_path / "set", 40, mirror=False, landmarks="fit")) == 3
    labels["landmarks68_detector_px"][:] = torch.nan
    save_file(labels, tmp_path / "set" / "photos.safetensors")
    with pytest.raises(PhotoSetError, match="no photo in .* has landmarks of the detector"):
        PhotoSet(tmp_path / "set", 40)


def test_sets_of_before_are_read_with_the_fits_points_or_refused_with_the_way_out(tmp_path):
    points = write_set(tmp_path / "set", old=True)
    with pytest.raises(
        PhotoSetError, match="an earlier version prepared it: .* recon prepare-photos, or .* landmarks: fit"
    ):
        PhotoSet(tmp_path / "set", 40)
    batch = PhotoSet(tmp_path / "set", 40, landmarks="fit")[2]
    torch.testing.assert_close(batch.landmarks68_px[0], points[1])
    assert batch.face_mask is None


def test_a_stored_mask_loses_what_augmentation_paints_over(tmp_path):
    write_set(tmp_path / "set")
    photo = PhotoSet(tmp_path / "set", 40)[0]
    settings = Augmentation(least_scale=1.0, shift=0.0, gain=0.0, noise=0.0, erase=1.0)
    erased, plain = (
        augment(photo, dataclasses.replace(settings, erase=share), torch.Generator().manual_seed(3))
        for share in (1.0, 0.0)
    )
    changed = (erased.image != plain.image).any(dim=1, keepdim=True)
    assert bool(changed[..., :20].any())
    assert float(erased.face_mask[changed].max()) == 0.0
    assert torch.equal(erased.face_mask[~changed], plain.face_mask[~changed])


def test_mirroring_twice_is_nothing_and_sides_are_exchanged():
    mask = torch.rand(2, 1, 5, 7)
    batch = TrainingBatch(torch.rand(2, 3, 5, 7), torch.rand(2, 3, 3), torch.rand(2, 68, 2), face_mask=mask)
    once = mirrored_photo(batch)
    torch.testing.assert_close(once.landmarks68_px[:, 36, 0], 7.0 - batch.landmarks68_px[:, 45, 0])
    again = mirrored_photo(once)
    for name, tensor in batch.tensors().items():
        torch.testing.assert_close(again.tensors()[name], tensor)


def test_loaded_batches_follow_from_the_step(tmp_path):
    write_set(tmp_path / "set")
    photos = PhotoSet(tmp_path / "set", 32)
    plan = BatchPlan(batch_size=2, seed=1)
    whole = list(itertools.islice(iter(photo_loader(photos, plan, StreamPlace(), Augmentation(), 0)), 5))
    late = next(iter(photo_loader(photos, plan, StreamPlace(step=4), Augmentation(), 0)))
    assert torch.equal(whole[4].image, late.image) and len(late) == 2


def test_faulty_sets_are_named(tmp_path):
    with pytest.raises(PhotoSetError, match="no prepared photos in"):
        PhotoSet(tmp_path, 32)
    write_set(tmp_path / "set")
    (tmp_path / "set" / "1.png").write_bytes(b"zzz")
    with pytest.raises(PhotoSetError, match=r"cannot read .*1\.png"):
        PhotoSet(tmp_path / "set", 32)[2]
    (tmp_path / "set" / "photos.json").write_text(json.dumps({"size": 40, "names": []}))
    with pytest.raises(PhotoSetError, match="is empty"):
        PhotoSet(tmp_path / "set", 32)


@pytest.mark.slow
def test_damaged_photos_are_counted_at_the_start_and_replaced(tmp_path, caplog):
    write_set(tmp_path / "set")
    names = json.loads((tmp_path / "set" / "photos.json").read_text())["names"]
    (tmp_path / "set" / names[1]).write_bytes(b"no picture")
    data = PhotoData(str(tmp_path / "set"), size=20, plan=BatchPlan(6), workers=0)
    assert "1 of 3 photos in" in caplog.records[0].getMessage()
    assert [len(batch) for batch in itertools.islice(iter(data.train_dataloader()), 2)] == [6, 6]
    for name in names:
        (tmp_path / "set" / name).write_bytes(b"no picture")
    with pytest.raises(PhotoSetError, match="no photo in .* can be read"):
        PhotoData(str(tmp_path / "set"), size=20, plan=BatchPlan(6), workers=0)


def test_preparing_keeps_faces_and_says_why_not(tmp_path):
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(tmp_path / "b.png")
    done = prepare_photos(
        [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out", Reconstructor(quality="fast"), 128
    )
    assert len(done.kept) == 1 and "no face" in done.refused[str(tmp_path / "b.png")]
    batch = PhotoSet(tmp_path / "out", 128, mirror=False)[0]
    eyes, mouth = batch.landmarks68_px[0, 36:48].mean(0), batch.landmarks68_px[0, 48:].mean(0)
    assert abs(float(eyes[0]) - 64) < 12 and float(eyes[1]) < 64 < float(mouth[1])
    fitted = PhotoSet(tmp_path / "out", 128, mirror=False, landmarks="fit")[0]
    apart_px = (batch.landmarks68_px - fitted.landmarks68_px).norm(dim=-1)
    assert 0.2 < float(apart_px.mean()) < 4.0
    inside = batch.face_mask[0, 0, int(eyes[1]) : int(mouth[1]), int(eyes[0])]
    assert float(inside.mean()) > 0.6 and float(batch.face_mask[..., :8].max()) == 0.0


def test_a_mirrored_photo_has_a_mirrored_camera():
    intrinsics = torch.tensor([[[180.0, 0.0, 22.0], [0.0, 190.0, 17.0], [0.0, 0.0, 1.0]]])
    mirrored = mirrored_photo(TrainingBatch(torch.rand(1, 3, 5, 40), intrinsics, torch.rand(1, 68, 2)))
    torch.testing.assert_close(mirrored.intrinsics[0, :2, 2], torch.tensor([40.0 - 22.0, 17.0]))
