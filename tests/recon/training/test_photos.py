"""Photos for training: prepared once, read back, mirrored."""

import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage.data import astronaut

from recon.reconstructor import Reconstructor
from recon.training.augment import Augmentation
from recon.training.batch import TrainingBatch
from recon.training.photo_data import PhotoData, photo_loader
from recon.training.photos import PhotoSet, PhotoSetError, mirrored_photo
from recon.training.preparing import prepare_photos
from recon.training.stream import StreamPlan


def write_set(folder, count=3, size=40):
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    names = []
    for k in range(count):
        pixels = (255 * torch.rand(size, size, 3, generator=generator)).byte().numpy()
        Image.fromarray(pixels).save(folder / f"{k}.png")
        names.append(f"{k}.png")
    matrix = torch.tensor([[180.0, 0.0, 22.0], [0.0, 180.0, 17.0], [0.0, 0.0, 1.0]]).expand(count, 3, 3).contiguous()
    points = size * torch.rand(count, 68, 2, generator=generator)
    save_file({"landmarks68_px": points, "intrinsics": matrix}, folder / "photos.safetensors")
    (folder / "photos.json").write_text(json.dumps({"size": size, "names": names}))
    return points


def test_photos_are_read_at_the_size_of_the_network(tmp_path):
    points = write_set(tmp_path / "set")
    photos = PhotoSet(tmp_path / "set", 20)
    assert len(photos) == 6
    batch = photos[2]
    assert batch.image.shape == (1, 3, 20, 20)
    torch.testing.assert_close(batch.landmarks68_px[0], 0.5 * points[1])
    torch.testing.assert_close(batch.intrinsics[0, :2], 0.5 * torch.tensor([[180.0, 0.0, 22.0], [0.0, 180.0, 17.0]]))
    torch.testing.assert_close(photos[3].image, batch.image.flip(-1))


def test_mirroring_twice_is_nothing_and_sides_are_exchanged():
    batch = TrainingBatch(torch.rand(2, 3, 5, 7), torch.rand(2, 3, 3), torch.rand(2, 68, 2))
    once = mirrored_photo(batch)
    torch.testing.assert_close(once.landmarks68_px[:, 36, 0], 7.0 - batch.landmarks68_px[:, 45, 0])
    again = mirrored_photo(once)
    for name, tensor in batch.tensors().items():
        torch.testing.assert_close(again.tensors()[name], tensor)


def test_loaded_batches_follow_from_the_step(tmp_path):
    write_set(tmp_path / "set")
    photos = PhotoSet(tmp_path / "set", 32)
    plan = StreamPlan(batch_size=2, seed=1)
    whole = list(itertools.islice(iter(photo_loader(photos, plan, 0, Augmentation(), 0)), 5))
    late = next(iter(photo_loader(photos, plan, 4, Augmentation(), 0)))
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
    data = PhotoData(str(tmp_path / "set"), size=20, batch_size=6, workers=0)
    assert "1 of 3 photos in" in caplog.records[0].getMessage()
    assert [len(batch) for batch in itertools.islice(iter(data.train_dataloader()), 2)] == [6, 6]
    for name in names:
        (tmp_path / "set" / name).write_bytes(b"no picture")
    with pytest.raises(PhotoSetError, match="no photo in .* can be read"):
        PhotoData(str(tmp_path / "set"), size=20, batch_size=6, workers=0)


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


def test_a_mirrored_photo_has_a_mirrored_camera():
    intrinsics = torch.tensor([[[180.0, 0.0, 22.0], [0.0, 190.0, 17.0], [0.0, 0.0, 1.0]]])
    mirrored = mirrored_photo(TrainingBatch(torch.rand(1, 3, 5, 40), intrinsics, torch.rand(1, 68, 2)))
    torch.testing.assert_close(mirrored.intrinsics[0, :2, 2], torch.tensor([40.0 - 22.0, 17.0]))
