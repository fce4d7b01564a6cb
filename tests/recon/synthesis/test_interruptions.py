"""Runs that are killed, that meet a full disk, and that are shared by processes leave the files of an undisturbed run."""

import builtins
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import bfm
from recon.datasets import FolderReader, ShardReader
from recon.synthesis import FaceSampler, SynthesisConfig, writer
from recon.synthesis.layouts import shard_name
from recon.synthesis.writer import DatasetError, Plan, begin, write_block

_ROOT = Path(__file__).parents[3]
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


def _killed_after(out, layout, n_files):
    """Start a run and kill it, without a chance to tidy up, once so many files are there."""
    process = subprocess.Popen(_command(out, layout), cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 120.0
        while process.poll() is None and time.monotonic() < limit:
            if out.is_dir() and sum(path.is_file() for path in out.rglob("*")) >= n_files:
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
            if not path.name.endswith(".part"):
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
    return Plan(**{"folder": folder, "count": 6, "layout": "folder", "config": config, "size": (32, 40), "block": 2, **changes})  # fmt: skip


@pytest.fixture(scope="module")
def sampler():
    return FaceSampler(bfm.load("open"), SynthesisConfig.clean(), 0, (32, 40))


class _Full(io.BytesIO):
    """A file on a disk that has room for 100 more bytes."""

    def __init__(self, file):
        super().__init__()
        self.file = file

    def write(self, data):
        self.file.write(data[:100])
        raise OSError(28, os.strerror(28))

    def close(self):
        self.file.close()
        super().close()


@pytest.mark.parametrize("layout", ["folder", "webdataset"])
def test_a_disk_that_fills_within_a_file_leaves_nothing_of_it(tmp_path, monkeypatch, sampler, layout):
    plan = _plan(tmp_path / "a", layout=layout)
    begin(plan)
    write_block(plan, sampler, 0, lambda n: None)
    before = _contents(plan.folder)
    monkeypatch.setattr(writer, "open", lambda *a, **k: _Full(builtins.open(*a, **k)), raising=False)
    with pytest.raises(DatasetError, match=f"cannot write to .*: {os.strerror(28)}"):
        write_block(plan, sampler, 1, lambda n: None)
    assert _contents(plan.folder) == before
    monkeypatch.undo()
    for block in plan.blocks:
        write_block(plan, sampler, block, lambda n: None)
    reader = FolderReader(plan.folder) if layout == "folder" else ShardReader(plan.folder)
    assert len(list(reader)) == 6
    assert not reader.faults


def test_leftovers_of_a_killed_run_go_but_not_those_of_other_machines(tmp_path, sampler):
    plan = _plan(tmp_path / "a", shard=(0, 2))
    begin(plan)
    write_block(plan, sampler, 0, lambda n: None)
    own = [".000000005.npz.0123abcd.part", ".000002.done.0123abcd.part"]
    others = [
        ".000000002.jpg.0123abcd.part",
        ".000001.done.00ff00ff.part",
        ".000000001.jpg.0123abcd.part",
        ".notes.part",
    ]
    for name in own + others:
        (plan.folder / name).write_bytes(b"half")
    begin(plan)
    left = {path.name for path in plan.folder.glob(".*.part")}
    assert left == set(others)
    tar = _plan(tmp_path / "b", layout="webdataset")
    begin(tar)
    (tar.folder / f".{shard_name(1)}.0123abcd.part").write_bytes(b"half")
    begin(tar)
    assert not list(tar.folder.glob(".*.part"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DatasetError, match="cannot write to"):
        begin(_plan(tmp_path / "a"))
