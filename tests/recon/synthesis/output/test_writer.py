"""Data sets on disk: layouts, resuming, shards, faults."""

import functools
import json

import numpy as np
import pytest
import torch

import bfm
from recon.datasets import C3iReader, FolderReader, ShardReader
from recon.datasets.c3i_world import Capture, world_angles_deg, world_rotation
from recon.rotation import rotation_angle
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.synthesis.camera.c3i_path import sample_capture
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.output import layouts, writer
from recon.synthesis.output.writer import DatasetError, DatasetPlan, begin, write_block

_CONFIG = SynthesisConfig.clean()


def _plan(folder, **changes):
    return DatasetPlan(
        **{"folder": folder, "count": 5, "layout": "folder", "config": _CONFIG, "size": (32, 40), "block": 2, **changes}
    )


@functools.cache
def _sampler(config, seed, size):
    return FaceSampler(bfm.load("open"), config, seed, size)


def make_sampler(plan):
    """As the writer's, but kept: preparing one takes a second."""
    return _sampler(plan.config, plan.seed, plan.size)


def _begin(plan):
    begin(plan, bfm.load("open"))


def _write(plan, blocks=None):
    _begin(plan)
    sampler = make_sampler(plan)
    return [write_block(plan, sampler, block) for block in (plan.blocks if blocks is None else blocks)]


def test_a_folder_reads_back(tmp_path):
    plan = _plan(tmp_path / "a")
    assert _write(plan) == [2, 2, 1]
    reader = FolderReader(plan.folder)
    records = list(reader)
    assert len(records) == 5
    assert not reader.faults
    batch = make_sampler(plan).batch(range(5))
    for k, record in enumerate(records):
        assert np.allclose(record.depth_mm, batch.scene_depth_mm[k, 0].numpy(), atol=1e-3)
        assert np.allclose(record.landmarks68_px, batch.landmarks68_px[k].numpy(), atol=1e-3)
        assert np.allclose(record.rotation, batch.rotation[k].numpy(), atol=1e-6)
        assert np.abs(record.image / 255.0 - batch.image[k].permute(1, 2, 0).numpy()).mean() < 0.01
        assert record.labels["expression"].shape == (52,)
        assert (record.mask == batch.mask[k, 0].numpy()).mean() > 0.999


def test_shards_read_back_and_are_the_same_bytes_again(tmp_path):
    plans = [_plan(tmp_path / name, layout="webdataset") for name in "ab"]
    for plan in plans:
        _write(plan)
    names = sorted(path.name for path in plans[0].folder.glob("*.tar"))
    assert names == [layouts.shard_name(k) for k in range(3)]
    reader = ShardReader(plans[0].folder)
    assert [record.name for record in reader] == [f"{k:09d}" for k in range(5)]
    assert not reader.faults
    for name in names:
        first, second = (ShardReader(plan.folder) for plan in plans)
        assert np.array_equal(first[0].image, second[0].image)
        assert (plans[0].folder / name).stat().st_size == (plans[1].folder / name).stat().st_size


def test_several_machines_fill_one_folder(tmp_path):
    parts = [_plan(tmp_path / "a", shard=(k, 2)) for k in range(2)]
    assert parts[0].blocks == [0, 2]
    assert parts[1].blocks == [1]
    for part in parts:
        _write(part)
    assert len(FolderReader(tmp_path / "a")) == 5


def test_finished_blocks_are_left_alone(tmp_path):
    plan = _plan(tmp_path / "a", layout="webdataset")
    _write(plan, [0])
    before = (plan.folder / layouts.shard_name(0)).stat().st_mtime_ns
    assert _write(plan) == [0, 2, 1]
    assert (plan.folder / layouts.shard_name(0)).stat().st_mtime_ns == before


@pytest.mark.parametrize("layout", ["folder", "webdataset"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, layout):
    plan = _plan(tmp_path / "a", layout=layout)
    _begin(plan)
    sampler = make_sampler(plan)
    real, placed = writer.place, []

    def full(part, path):
        if len(placed) == (4 if layout == "folder" else 0):
            raise OSError(28, "No space left on device")
        placed.append(path)
        return real(part, path)

    monkeypatch.setattr(writer, "place", full)
    with pytest.raises(DatasetError, match="No space left on device"):
        write_block(plan, sampler, 0)
    left = {path for path in plan.folder.rglob("*") if path.is_file()}
    assert left == {plan.folder / "dataset.json", plan.folder / "README.md", *placed}
    assert not plan.is_done(0)
    monkeypatch.undo()
    assert write_block(plan, sampler, 0) == 2
    reader = FolderReader(plan.folder) if layout == "folder" else ShardReader(plan.folder)
    assert len(list(reader)) == 2 and not reader.faults


def test_another_data_set_is_not_overwritten(tmp_path):
    _begin(_plan(tmp_path / "a"))
    with pytest.raises(DatasetError, match=r"holds another data set \(seed was 0, is 1\)"):
        _begin(_plan(tmp_path / "a", seed=1))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("important")
    with pytest.raises(DatasetError, match="is not empty"):
        _begin(_plan(tmp_path / "b"))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match="is no data set card"):
        _begin(_plan(tmp_path / "c"))
    (tmp_path / "d").write_text("")
    with pytest.raises(DatasetError, match="cannot write to"):
        _begin(_plan(tmp_path / "d"))


def test_the_card_says_how_it_was_made(tmp_path):
    plan = _plan(tmp_path / "a")
    _begin(plan)
    card = json.loads((plan.folder / "dataset.json").read_text())
    assert card["count"] == 5
    assert SynthesisConfig.of(card["config"]) == plan.config
    assert "No person is shown" in (plan.folder / "README.md").read_text()


def test_a_card_with_former_names_of_settings_is_compared_by_the_present_ones(tmp_path):
    plan = _plan(tmp_path / "a")
    _begin(plan)
    path = plan.folder / "dataset.json"
    card = json.loads(path.read_text())
    former = {"ambient_occlusion": "occlusion", "specular": "shine", "subsurface": "softness"}
    card["config"] = {former.get(name, name): value for name, value in card["config"].items()}
    assert {"occlusion", "shine", "softness"} <= set(card["config"])
    path.write_text(json.dumps(card))
    _begin(plan)
    card["config"]["shine"] = 0.5
    path.write_text(json.dumps(card))
    with pytest.raises(DatasetError, match=r"holds another data set \(specular was 0.5, is 0.0\): choose another"):
        _begin(plan)


def test_impossible_plans_are_refused(tmp_path):
    with pytest.raises(ValueError, match="0 <= i < n, got 3/3"):
        _plan(tmp_path, shard=(3, 3))
    with pytest.raises(ValueError, match="at least 1"):
        _plan(tmp_path, count=0)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    config = SynthesisConfig.clean(
        capture="c3i", framing="free", field_of_view_deg=60.0, expressions="basic", identities=2, hair=1.0
    )
    plan = DatasetPlan(tmp_path_factory.mktemp("c3i") / "set", 7, "c3i", config, size=(48, 64), block=4)
    _write(plan)
    return plan


def test_the_published_layout_reads_back(published):
    batch = make_sampler(published).batch(range(7))
    reader = C3iReader(published.folder)
    assert len(reader) == 7
    for record in reader:
        k = int(record.name.rsplit("_", 1)[1].removesuffix(".jpg"))
        sex, person, complex_, place, expression, mode = record.name.split("/")[:6]
        assert sex == ("male" if batch.attributes[k, 0] > 0.5 else "female")
        assert int(person) == record.identity_number == int(batch.identity_number[k]) + 1
        assert complex_ == "Complex"
        assert place in ("Barbershop", "Classroom")
        assert record.name.endswith(f"rgb_{k:04d}.jpg")  # as the published data_0046.txt
        assert expression in ("neutral", "angry", "happy", "sad", "scared")
        assert mode in ("HeadRot", "CameraTran", "HeadCameraRotTran")
        assert np.allclose(record.intrinsics, batch.intrinsics[k].numpy(), atol=1e-3)
        assert np.allclose(record.depth_mm, batch.scene_depth_mm[k, 0].numpy(), atol=1e-3)
        turned = rotation_angle(torch.as_tensor(record.rotation), batch.rotation[k].double())
        assert torch.rad2deg(turned) < 0.03  # angles are printed to 0.01 degrees
        assert np.abs(record.translation_mm - batch.translation_mm[k].numpy()).max() < 0.3
    assert not reader.faults


def test_the_published_text_is_to_the_letter(published):
    text = next(published.folder.rglob("data_*.txt")).read_text().splitlines()
    assert len(text) == 4
    assert text[0].startswith("Camera Location: (")
    assert text[1] == "Head Point Location: (0.0, 0.0, 1.65)"
    assert text[2].startswith("Camera Rotation: Yaw ")
    assert text[3].startswith("Head Rotation: Yaw ")


def test_captures_are_those_of_the_specification():
    capture = sample_capture(CounterRng.of(0, range(90)))
    modes = capture.mode.tolist()
    assert set(modes) == {0, 1, 2}
    away = torch.linalg.vector_norm(capture.camera_m - capture.head_m, dim=1)
    still, moved, around = (capture.mode == k for k in range(3))
    assert torch.allclose(away[still | around], torch.tensor(0.3), atol=1e-5)
    step = capture.camera_m[moved] - torch.tensor([0.0, -0.3, 1.65])
    assert (step[:, 0] >= 0.001).all() and (step[:, 0] <= 0.14).all()
    assert (step[:, 2] >= 0.001).all() and (step[:, 2] <= 0.0401).all()
    assert torch.allclose(world_angles_deg(capture.camera_rotation)[still], torch.tensor([0.0, 90.0, 0.0]), atol=1e-3)
    assert world_angles_deg(capture.camera_rotation)[around, 2].abs().max() < 1e-3
    aimed = capture.head_to_camera[1][around]
    assert aimed[:, :2].abs().max() < 0.01
    yaw = world_angles_deg(capture.head_rotation)[:, 0]
    assert yaw.abs().max() <= 30.001
    assert (yaw[moved] == 0).all()


def test_a_head_at_rest_faces_the_camera():
    angles = torch.tensor([[0.0, 90.0, 0.0]])
    capture = Capture(
        torch.zeros(1, dtype=torch.int64), torch.tensor([[0.0, -0.3, 1.65]]), torch.tensor([[0.0, 0.0, 1.65]]),
        world_rotation(angles), world_rotation(torch.zeros(1, 3)),
    )  # fmt: skip
    assert torch.allclose(capture.head_to_camera[0], torch.eye(3)[None], atol=1e-6)
    assert torch.allclose(capture.head_to_camera[1], torch.tensor([[0.0, 0.0, -300.0]]), atol=1e-4)
    random = 60.0 * (torch.rand(20, 3) - 0.5)
    assert torch.allclose(world_angles_deg(world_rotation(random)), random, atol=1e-3)
