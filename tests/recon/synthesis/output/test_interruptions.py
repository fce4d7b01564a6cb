"""Runs that are killed, that meet a full disk, and that are shared by processes leave the files of an undisturbed run."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import bfm
from recon.datasets import FolderReader, ShardReader
from recon.io.locks import locked
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.synthesis.output import card
from recon.synthesis.output.layouts import shard_name
from recon.synthesis.output.workers import make_blocks
from recon.synthesis.output.writer import DatasetError, DatasetPlan, begin, write_block

_ROOT = Path(__file__).parents[4]
_COUNT, _BLOCK = 36, 6


def _command(out, layout, *more):
    arguments = ["-o", str(out), "--count", str(_COUNT), "--block", str(_BLOCK), "--layout", layout, "--size", "40x48"]
    return [sys.executable, "-m", "recon.cli", "synthesize", *arguments, *more]


def _run(out, layout, *more):
    done = subprocess.run(_command(out, layout, *more), cwd=_ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _n_files(out):
    try:
        return sum(path.is_file() and path.parts[-2] != ".facerecon" and path.suffix != "" for path in out.rglob("*"))
    except FileNotFoundError:  # the run removes its work folder while it is looked through
        return 0


def _killed_after(out, layout, n_files):
    """Start a run and kill it, without a chance to tidy up, once so many files are there."""
    process = subprocess.Popen(_command(out, layout), cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 120.0
        while process.poll() is None and time.monotonic() < limit:
            if _n_files(out) >= n_files:
                break
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "moments"), [("folder", (21, 50)), ("webdataset", (4,))])
def test_a_killed_run_goes_on_to_the_same_files(tmp_path, layout, moments):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _run(whole, layout)
    for n_files in moments:
        _killed_after(cut, layout, n_files)
        for path in cut.rglob("*.jpg"):
            Image.open(path).load()
        assert not list(ShardReader(cut)._broken) if layout == "webdataset" else True
    before = _contents(cut)
    assert len(before) < len(_contents(whole))
    assert "finished blocks were there already" in _run(cut, layout)
    assert _contents(cut) == _contents(whole)


@pytest.mark.slow
def test_processes_write_the_files_of_one(tmp_path):
    # this one has several threads to share sums between
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    _run(alone, "folder", "--workers", "0")
    _run(shared, "folder", "--workers", "2")
    assert _contents(alone) == _contents(shared)


def _plan(folder, **changes):
    config = SynthesisConfig.clean()
    return DatasetPlan(**{"folder": folder, "count": 6, "layout": "folder", "config": config, "size": (32, 40), "block": 2, **changes})  # fmt: skip


@pytest.fixture(scope="module")
def sampler():
    return FaceSampler(bfm.load("open"), SynthesisConfig.clean(), 0, (32, 40))


def _write(plan, sampler, blocks=None):
    begin(plan, sampler.model)
    return [write_block(plan, sampler, block) for block in (plan.blocks if blocks is None else blocks)]


@pytest.mark.parametrize("layout", ["folder", "webdataset"])
def test_a_disk_that_fills_within_a_file_leaves_nothing_of_it(tmp_path, sampler, layout):
    plan = _plan(tmp_path / "a", layout=layout)
    _write(plan, sampler, [0])
    before = _contents(plan.folder)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (2000, limit[1])
    )  # no file may grow beyond: how a full disk looks to a write
    try:
        with pytest.raises(DatasetError, match="cannot write to .*: File too large"):
            write_block(plan, sampler, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert _contents(plan.folder) == before
    _write(plan, sampler)
    reader = FolderReader(plan.folder) if layout == "folder" else ShardReader(plan.folder)
    assert len(list(reader)) == 6
    assert not reader.faults


@pytest.mark.parametrize("layout", ["folder", "webdataset"])
def test_a_file_of_the_users_is_never_taken_for_ours(tmp_path, sampler, layout):
    plan = _plan(tmp_path / "a", layout=layout)
    begin(plan, sampler.model)
    mine = plan.folder / ("000000003.jpg" if layout == "folder" else shard_name(1))
    mine.write_bytes(b"my holiday")
    assert write_block(plan, sampler, 0) == 2
    with pytest.raises(
        DatasetError, match=rf"{mine.name} is there already and is not what this run writes: move it away"
    ):
        write_block(plan, sampler, 1)
    assert mine.read_bytes() == b"my holiday" and not plan.is_done(1)
    mine.unlink()
    assert _write(plan, sampler) == [0, 2, 2]


def test_what_killed_runs_left_goes_but_not_what_a_run_is_making(tmp_path, sampler):
    plan = _plan(tmp_path / "a")
    _write(plan, sampler, [0])
    for name in ("block-000001", "block-000002"):
        (plan.work / f"{name}.0123456789abcdef.part").mkdir(parents=True)
        (plan.work / f"{name}.0123456789abcdef.part" / "000000").write_bytes(b"half")
    (plan.work / "block-000001.lock").touch()
    (plan.work / ".0123456789abcdef.part").write_bytes(b"half")
    (plan.work / "notes.part").write_bytes(b"mine")
    with locked(plan.work / "block-000002.lock"):
        begin(plan, sampler.model)
        left = {path.name for path in plan.work.iterdir()}
        assert left == {"block-000002.0123456789abcdef.part", "block-000002.lock", "notes.part"}
    (plan.work / "notes.part").unlink()
    begin(plan, sampler.model)
    assert not plan.work.exists()


def test_a_shard_started_twice_makes_each_sample_once(tmp_path, sampler):
    plan = _plan(tmp_path / "a")
    begin(plan, sampler.model)
    with locked(plan.work / "block-000000.lock"):  # as another run that is making block 0
        assert write_block(plan, sampler, 0, wait=False) is None
        blocks = make_blocks(plan, plan.blocks, sampler)
        assert [next(blocks), next(blocks)] == [2, 2]
        assert [plan.is_done(block) for block in plan.blocks] == [False, True, True]
    assert list(blocks) == [2]
    assert list(make_blocks(plan, plan.blocks, sampler)) == [0, 0, 0]


def test_shards_that_begin_together_agree_on_the_card(tmp_path, sampler, monkeypatch):
    plan, other = _plan(tmp_path / "a"), _plan(tmp_path / "a", seed=1)
    check = card._check_empty

    def overtaken(ours, readme):
        check(ours, readme)
        monkeypatch.undo()
        begin(winner, sampler.model)

    for winner in (plan, other):
        folder = tmp_path / str(winner.seed)
        plan, winner = _plan(folder), _plan(folder, seed=winner.seed)
        monkeypatch.setattr(card, "_check_empty", overtaken)
        if winner.seed == 0:
            begin(plan, sampler.model)
        else:
            with pytest.raises(DatasetError, match="seed was 1, is 0"):
                begin(plan, sampler.model)
        assert json.loads((folder / "dataset.json").read_text())["seed"] == winner.seed


def test_a_run_killed_at_the_start_does_not_lock_the_folder_up(tmp_path, sampler):
    plan = _plan(tmp_path / "a")
    begin(plan, sampler.model)
    before = _contents(plan.folder)
    for lost in (["dataset.json"], ["README.md"], ["dataset.json", "README.md"]):
        for name in lost:
            (plan.folder / name).unlink()
        (plan.work).mkdir()
        (plan.work / "card.lock").touch()
        begin(plan, sampler.model)
        assert _contents(plan.folder) == before
    (plan.folder / "dataset.json").unlink()
    (plan.folder / "README.md").write_text("my notes")
    with pytest.raises(DatasetError, match="is not empty and holds no dataset.json"):
        begin(plan, sampler.model)
    assert (plan.folder / "README.md").read_text() == "my notes"


def test_data_sets_are_not_mixed_from_other_code_models_or_pictures(tmp_path, sampler, monkeypatch, make_tiny):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"a")
    config = SynthesisConfig.clean(background="folder", background_folder=str(pictures))
    plan = _plan(tmp_path / "a", config=config)
    begin(plan, sampler.model)
    begin(_plan(tmp_path / "a", config=config, shard=(1, 2)), sampler.model)
    with pytest.raises(DatasetError, match="face_model was"):
        begin(plan, bfm.MorphableModel(make_tiny()))
    (pictures / "a.png").write_bytes(b"b")
    with pytest.raises(DatasetError, match="contents_of_background_folder was"):
        begin(plan, sampler.model)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"a")
    moved = SynthesisConfig.clean(background="folder", background_folder=str(tmp_path / "elsewhere"))
    plan = _plan(tmp_path / "a", config=moved)
    begin(plan, sampler.model)
    monkeypatch.setattr(card, "code_hash", lambda: "0" * 16)
    with pytest.raises(DatasetError, match="code was"):
        begin(plan, sampler.model)
    monkeypatch.undo()
    path = plan.folder / "dataset.json"
    old = json.loads(path.read_text())
    del old["made_with"]
    path.write_text(json.dumps(old))
    with pytest.raises(DatasetError, match="was begun by an earlier version of recon"):
        begin(plan, sampler.model)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path, sampler):
    tmp_path.chmod(0o500)
    with pytest.raises(DatasetError, match="cannot write to"):
        begin(_plan(tmp_path / "a"), sampler.model)
