"""Runs that were interrupted go on, and their reports are those of runs that were not."""

import dataclasses
import json
import os

import numpy as np
import pytest
import torch
from evaluation_data import write_aflw, write_photo, write_scans
from PIL import Image
from scipy.io import loadmat, savemat

from bfm.isolated import ReaderProcessError
from recon.datasets.pose_conventions import angles_to_matrix
from recon.evaluation.journal import PARTIAL_NAME, Journal
from recon.evaluation.outcome import Outcome, pack, unpack
from recon.evaluation.predict import Predictor
from recon.evaluation.protocols.alignment import evaluate_alignment
from recon.evaluation.protocols.depth import evaluate_depth
from recon.evaluation.protocols.pose import evaluate_pose
from recon.evaluation.protocols.scans import evaluate_scans
from recon.evaluation.protocols.synthetic import evaluate_synthetic
from recon.evaluation.report_folder import REPORT_NAMES
from recon.evaluation.reports.report import write_report
from recon.evaluation.reports.result import Sample
from recon.evaluation.run import Run
from recon.io.faults import UsageError
from recon.io.files import OutputError
from recon.io.image import read_image
from recon.synthesis import SynthesisConfig

CLEAN = SynthesisConfig.clean(framing="free", yaw_deg=30.0, pitch_deg=20.0, roll_deg=10.0, head_share=(0.3, 0.6))


@pytest.fixture
def start(tmp_path, make_head, parts, open_model):
    """A function for each protocol: ``start(name)(predictor, journal)`` measures a small data set."""

    def depth_folder():
        folder = tmp_path / "depth"
        folder.mkdir()
        for name in "ab":
            write_photo(folder / f"{name}.png")
            np.save(folder / f"{name}_depth.npy", make_head(read_image(folder / f"{name}.png")).depth_map())
            Image.fromarray(np.full((180, 240), 255, np.uint8)).save(folder / f"{name}_mask.png")
        return folder

    def choose(name):
        if name == "synthetic":
            return lambda predictor, journal: evaluate_synthetic(predictor, 3, 5, CLEAN, journal=journal)
        if name == "depth":
            folder = depth_folder()
            return lambda predictor, journal: evaluate_depth(folder, predictor, journal=journal)
        (tmp_path / name).mkdir()
        if name == "scans":
            folder = write_scans(tmp_path / name, parts, open_model)
            write_photo(folder / "person0" / "indoor" / "more.png")
            return lambda predictor, journal: evaluate_scans(folder, predictor, ("now",), journal=journal)
        folder = write_aflw(tmp_path / name, make_head)
        protocol = {"alignment": evaluate_alignment, "pose": evaluate_pose}[name]
        return lambda predictor, journal: protocol(folder, predictor, journal=journal)

    return choose


class _Heads:
    """A predictor with an error of its own for each photo, which counts what it is asked and stops where it is told."""

    def __init__(self, make_head, model, stop_at=None):
        self.asked, self._make, self._model, self._stop_at = 0, make_head, model, stop_at
        self.predictor = Predictor(self._head, model, "known heads", "none")

    def _head(self, photo, near):
        if self.asked == self._stop_at:
            raise KeyboardInterrupt
        self.asked += 1
        name = photo.source.replace("\\", "/").split("/")[-1].split()[-1].split(".")[0]
        if name in ("b", "more", "0001"):
            raise ValueError("no face")
        rng = np.random.default_rng(sum(os.fsencode(name)))
        identity = torch.as_tensor(rng.normal(size=(1, self._model.n_identity)), dtype=torch.float32)
        return self._make(photo, angles_to_matrix(rng.uniform(-20.0, 20.0, 3)), identity)


def _written(evaluation, folder):
    """All files of the report but for the time, which must not matter."""
    origin = dataclasses.replace(evaluation.provenance, date="", seconds=0.0, hardware="")
    write_report(dataclasses.replace(evaluation, provenance=origin), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("protocol", ["alignment", "pose", "depth", "scans", "synthetic"])
def test_an_interrupted_run_goes_on_to_the_same_report(start, make_head, open_model, tmp_path, protocol):
    measure = start(protocol)
    whole = _Heads(make_head, open_model)
    wanted = _written(measure(whole.predictor, None), tmp_path / "whole")
    path, asked = tmp_path / PARTIAL_NAME, 0
    for stop_at in (1, 1, 0, None):
        heads = _Heads(make_head, open_model, stop_at)
        with Journal(path) as journal:
            try:
                found = measure(heads.predictor, journal)
            except KeyboardInterrupt:
                assert f"{asked + heads.asked} of {whole.asked} samples are kept" in journal.kept()
        asked += heads.asked
    assert asked == whole.asked >= 2
    assert _written(found, tmp_path / "parts") == wanted
    assert set(wanted) <= set(REPORT_NAMES)
    again = _Heads(make_head, open_model)
    with Journal(path) as journal:
        assert _written(measure(again.predictor, journal), tmp_path / "again") == wanted
    assert again.asked == 0 and path.is_file()


def test_only_photos_that_changed_are_measured_again(tmp_path, make_head, open_model):
    folder = tmp_path / "data"
    folder.mkdir()
    write_aflw(folder, make_head)
    for change, asked in ((None, 5), (folder / "b.png", 1), (folder / "c.mat", 1), (folder / "a_520.npy", 0)):
        if change is not None and change.exists():
            if change.suffix == ".mat":  # something that no reader looks at
                labels = {key: value for key, value in loadmat(change).items() if not key.startswith("__")}
                savemat(change, {**labels, "Remark": 1.0})
            else:
                change.write_bytes(change.read_bytes() + b"\x00")
        elif change is not None:
            change.write_bytes(b"no array")
        heads = _Heads(make_head, open_model)
        with Journal(tmp_path / PARTIAL_NAME) as journal:
            found = evaluate_alignment(folder, heads.predictor, journal=journal)
        assert heads.asked == asked, change
    assert [entry.name for entry in found.dropped] == ["a.png"]


def test_another_method_is_not_mixed_in(tmp_path, make_head, open_model):
    folder = tmp_path / "data"
    folder.mkdir()
    write_aflw(folder, make_head)
    heads = _Heads(make_head, open_model, stop_at=2)
    with pytest.raises(KeyboardInterrupt), Journal(tmp_path / PARTIAL_NAME) as journal:
        evaluate_pose(folder, heads.predictor, journal=journal)
    other = dataclasses.replace(heads.predictor, settings={"quality": "best"})
    with pytest.raises(UsageError, match='keeps 2 samples .*quality was null, is "best"'):
        evaluate_pose(folder, other, journal=Journal(tmp_path / PARTIAL_NAME))
    with pytest.raises(UsageError, match='protocol was "pose", is "alignment"'):
        evaluate_alignment(folder, heads.predictor, journal=Journal(tmp_path / PARTIAL_NAME))


def test_an_item_that_fails_in_any_way_is_a_row(tmp_path):
    run = Run({}, 3)

    def fault(error):
        def measure():
            raise error

        return measure

    for name, error in (("a", RuntimeError("x")), ("b", MemoryError()), ("c", IndexError("face 9\nof 3"))):
        run.outcome(name, (), fault(error))
    run.outcome("c", (), lambda: Outcome(Sample("c", "c", {})))
    assert [entry.reason for entry in run.failures] == ["RuntimeError: x", "MemoryError", "IndexError: face 9 of 3"]
    assert [entry.reason for entry in run.dropped] == ["an item before it has the same name"]


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), ReaderProcessError("cannot be started")])
def test_what_would_come_again_ends_the_run_and_is_no_failure_of_a_photo(tmp_path, fault):
    def raising():
        if isinstance(fault, OSError):
            raise OutputError("cannot write x") from fault
        raise fault

    with Journal(tmp_path / PARTIAL_NAME) as journal:
        run = Run({}, 2, journal)
        run.outcome("a", (), lambda: Outcome(Sample("a", "a", {})))
        with pytest.raises((OutputError, ReaderProcessError)):
            run.outcome("b", (), raising)
        assert journal.n_kept == 1


def test_outcomes_come_back_exactly():
    values = {"a": 1 / 3, "b": float("nan"), "c": np.float32(0.1), "d": -float("inf")}
    array = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    one = Outcome(Sample("n\udce9", "g", values, {"k": "v"}), kept={"x": pack(array), "yaw": 0.1})
    back = Outcome.of_record(json.loads(json.dumps(one.to_record())))
    assert back.sample.name == "n\\xe9" and back.kept["yaw"] == 0.1
    np.testing.assert_equal(dict(back.sample.values), {key: float(value) for key, value in values.items()})
    np.testing.assert_array_equal(unpack(back.kept["x"]), array)
    assert unpack(back.kept["x"]).dtype == np.float32


@pytest.mark.skipif(os.name != "posix", reason="only there can names hold such bytes")
@pytest.mark.slow
def test_names_that_are_no_utf8_pass_through_every_protocol(tmp_path, make_head, parts, open_model):
    odd = os.fsdecode(b"caf\xe9")
    try:
        (tmp_path / odd).mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    heads = _Heads(make_head, open_model).predictor
    aflw, scans, depth = tmp_path / "aflw", tmp_path / "scans", tmp_path / "depth"
    for place in (aflw, scans, depth):
        place.mkdir()
    write_aflw(aflw, make_head)
    for suffix in (".png", ".mat"):
        (aflw / f"a{suffix}").rename(aflw / f"{odd}{suffix}")
    write_photo(aflw / f"lone{odd}.png")
    write_scans(scans, parts, open_model)
    (scans / "person0" / "0.png").rename(scans / "person0" / f"{odd}.png")
    (scans / "person1").rename(scans / odd)
    write_photo(depth / f"{odd}.png")
    np.save(depth / f"{odd}_depth.npy", make_head(read_image(depth / f"{odd}.png")).depth_map())
    runs = {
        "alignment": lambda journal: evaluate_alignment(aflw, heads, journal=journal),
        "pose": lambda journal: evaluate_pose(aflw, heads, journal=journal),
        "scans": lambda journal: evaluate_scans(scans, heads, ("micc",), journal=journal),
        "depth": lambda journal: evaluate_depth(depth, heads, journal=journal),
        "maps": lambda journal: evaluate_depth(depth, depth, journal=journal),
    }
    for name, measure in runs.items():
        place = tmp_path / odd / name
        place.mkdir()
        for folder in ("first", "restored"):
            with Journal(place / PARTIAL_NAME) as journal:
                found = measure(journal)
            write_report(found, place / folder)
        names = [entry.name for entry in (*found.samples, *found.failures, *found.dropped)]
        assert any("caf\\xe9" in name for name in names), name
        assert not any("cannot" in entry.reason for entry in (*found.failures, *found.dropped)), name
