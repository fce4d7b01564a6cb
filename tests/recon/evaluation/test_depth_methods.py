"""Depth of several methods side by side: what is measured, over which pixels, and whether stated errors are true."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from evaluation_data import write_photo
from PIL import Image

from recon.cli import main
from recon.evaluation.depth_cases import CaseSource, case_of_face, drawn_heads, folder_cases
from recon.evaluation.depth_methods import DepthCase, DepthMethod, DepthMethodsOptions, FoundDepth, mean_head
from recon.evaluation.protocols.depth import evaluate_depth
from recon.evaluation.protocols.depth_methods import evaluate_depth_methods, normals_deg, sigma_bins
from recon.export import write_normals_png
from recon.export.camera_json import camera_numbers
from recon.io.faults import UsageError
from recon.io.image import Photo, read_image
from recon.rotation import euler_to_matrix
from recon.synthesis import FaceSampler, SynthesisConfig


def _case(size=(40, 60)) -> DepthCase:
    """A bowl that is seen from the front."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    depth_mm = 600.0 + 0.05 * ((x - 30.0) ** 2 + (y - 20.0) ** 2)
    face = np.zeros(size, dtype=bool)
    face[5:35, 10:50] = True
    normals = np.broadcast_to([0.0, 0.0, 1.0], (*size, 3))
    return DepthCase(Photo(np.zeros((*size, 3), np.uint8), focal_px=500.0), depth_mm, face, normals)


def _cases(*cases: DepthCase) -> CaseSource:
    names = tuple(f"{k}" for k in range(len(cases)))
    return CaseSource(names, lambda name: cases[int(name)], dict.fromkeys(names, ()), "bowls", "1")


def _method(name, change):
    return DepthMethod(name, lambda case: change(FoundDepth(case.depth_mm, case.normals)), name, "none")


def test_methods_are_measured_over_the_pixels_that_all_of_them_cover():
    case = _case()
    turned = euler_to_matrix(torch.tensor([[0.0, 0.1, 0.0]], dtype=torch.float64))[0].numpy()

    def large(found):
        return dataclasses.replace(found, depth_mm=1.02 * found.depth_mm, normals=found.normals @ turned.T)

    def half(found):
        """Right in the left half, wrong beyond the face, and without depth in the right half."""
        depth_mm = np.where(np.arange(60) < 30, found.depth_mm, np.nan)
        depth_mm[:5] = 1.0
        return dataclasses.replace(found, depth_mm=depth_mm)

    def broken_right(found):
        """Wrong where the method before has nothing: that does not count."""
        return dataclasses.replace(found, depth_mm=found.depth_mm + np.where(np.arange(60) < 30, 0.0, 300.0))

    found = evaluate_depth_methods(
        _cases(case), [_method("network", large), _method("fit", half), _method("mean", broken_right)]
    )
    (sample,) = found.samples
    assert sample.values["network_abs_rel"] == pytest.approx(0.02)
    assert sample.values["network_rmse_median"] == pytest.approx(0.0, abs=1e-6)
    assert sample.values["network_normals_deg"] == pytest.approx(math.degrees(0.1), rel=1e-6)
    assert sample.values["fit_rmse"] == sample.values["mean_rmse"] == pytest.approx(0.0, abs=1e-9)
    assert (sample.values["fit_covered"], sample.values["mean_covered"]) == (0.5, 1.0)
    rows = {row[0]: row[1:] for row in found.tables[0].rows}
    assert rows["network"][1] == pytest.approx(0.02) and rows["fit"][-1] == pytest.approx(50.0)


def test_a_face_that_one_method_cannot_do_is_a_failure_that_names_it():
    def never(found):
        raise ValueError("no face was found")

    cases = _cases(_case())
    found = evaluate_depth_methods(cases, [_method("fit", lambda f: f), _method("network", never)])
    assert not found.samples and found.failures[0].reason == "network: ValueError: no face was found"
    nothing = evaluate_depth_methods(
        cases, [_method("fit", lambda f: dataclasses.replace(f, depth_mm=np.full((40, 60), np.nan)))]
    )
    assert "share no pixel of the face" in nothing.failures[0].reason
    with pytest.raises(ValueError, match="no method of depth"):
        evaluate_depth_methods(cases, [])


def test_errors_of_the_stated_size_are_found_to_be_true():
    case = _case((300, 200))
    case = dataclasses.replace(case, depth_mm=np.full((300, 200), 600.0), face=np.ones((300, 200), dtype=bool))
    rng = np.random.default_rng(0)
    sigma_mm = np.where(np.arange(200) < 100, 1.5, 5.0) * np.ones((300, 1))
    found = FoundDepth(case.depth_mm + sigma_mm * rng.laplace(size=sigma_mm.shape), case.normals, sigma_mm, 0.05)
    bins = sigma_bins(found, case, case.face)
    assert bins[:, 0].tolist() == [0, 30_000, 0, 0, 30_000, 0, 0]
    for row, sigma in ((bins[1], 1.5), (bins[4], 5.0)):
        assert row[1] / row[0] == pytest.approx(sigma) and row[2] / row[0] == pytest.approx(sigma, rel=0.03)
        assert row[3] / row[0] == pytest.approx(1.0 - math.exp(-1.0), abs=0.01)
    # A head that is too far by some share is taken back first: sigma is of the shape.
    farther = dataclasses.replace(found, depth_mm=1.05 * found.depth_mm)
    np.testing.assert_allclose(sigma_bins(farther, case, case.face), bins, rtol=1e-9)
    method = DepthMethod("network", lambda _: found, "noisy", "none")
    told = evaluate_depth_methods(_cases(case), [method])
    assert told.samples[0].values["within_sigma"] == pytest.approx(0.632, abs=0.01)
    assert told.samples[0].values["distance_over_sigma"] < 0.01
    assert [row[0] for row in told.tables[1].rows] == ["1 to 2", "4 to 6", "all"]


def test_angles_between_normals_do_not_round_to_zero():
    turned = euler_to_matrix(torch.tensor([[1e-6, 0.0, 0.0]], dtype=torch.float64))[0].numpy()
    normals = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert normals_deg(normals @ turned.T, normals) == pytest.approx(math.degrees(1e-6), rel=1e-4)
    assert normals_deg(normals, -normals) == pytest.approx(180.0)


def test_the_mean_head_stands_where_the_truth_says(open_model, make_head, tmp_path):
    write_photo(tmp_path / "x.png")
    turned = euler_to_matrix(torch.tensor([[0.1, 0.4, 0.0]]))[0]
    head = make_head(read_image(tmp_path / "x.png"), turned)
    depth_mm = head.depth_map().astype(np.float64)
    case = DepthCase(head.photo, depth_mm, np.isfinite(depth_mm), head.normal_map(), head.camera)
    method = mean_head(open_model)
    found = evaluate_depth_methods(_cases(case), [method])
    assert found.samples[0].values["mean_rmse"] < 1e-2 and found.samples[0].values["mean_normals_deg"] < 0.1
    unposed = evaluate_depth_methods(_cases(dataclasses.replace(case, camera=None)), [method])
    assert "the head's true pose is not told" in unposed.failures[0].reason


def test_drawn_heads_count_where_the_face_is_seen(open_model):
    face = FaceSampler(open_model, SynthesisConfig(hair=1.0, glasses=1.0), 3, (64, 64))[0]
    case = case_of_face(face, "3")
    assert case.face.sum() > 100 and not (case.face & ~face.face_mask[0, 0].numpy()).any()
    np.testing.assert_allclose(case.depth_mm[case.face], face.depth_mm[0, 0].numpy()[case.face], atol=0.05)
    assert np.isfinite(case.normals[case.face]).all() and case.photo.focal_px == float(face.intrinsics[0, 0, 0])
    with pytest.raises(ValueError, match="nothing of the face is seen"):
        case_of_face(dataclasses.replace(face, face_mask=torch.zeros_like(face.face_mask)), "3")
    with pytest.raises(UsageError, match="at least one head must be measured, got 0"):
        drawn_heads("open", 0)


def _json(camera) -> str:
    numbers = camera_numbers(camera)
    return json.dumps({"camera": {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in numbers.items()}})


@pytest.fixture
def folder(tmp_path, make_head):
    """The mean head, turned, with all that a folder can tell."""
    place = tmp_path / "data"
    place.mkdir()
    write_photo(place / "x.png")
    head = make_head(read_image(place / "x.png"), euler_to_matrix(torch.tensor([[0.0, -0.3, 0.1]]))[0])
    np.save(place / "x_depth.npy", head.depth_map())
    write_normals_png(place / "x_normals.png", head.normal_map())
    mask = np.isfinite(head.depth_map()).astype(np.uint8)[..., None] * 255
    Image.fromarray(mask[..., 0]).save(place / "x_mask.png")
    (place / "x_camera.json").write_text(_json(head.camera))
    return place


def test_folders_tell_normals_and_the_pose(folder, open_model):
    cases = folder_cases(folder, "pairs", None)
    assert cases.names == ("x",) and len(cases.files["x"]) == 5
    case = cases.load("x")
    assert case.photo.focal_px == 720.0
    lengths = np.linalg.norm(case.normals, axis=2)[case.face]
    np.testing.assert_allclose(lengths, 1.0, atol=1e-6)
    found = evaluate_depth_methods(cases, [mean_head(open_model)])
    assert found.samples[0].values["mean_rmse"] < 1e-2 and found.samples[0].values["mean_normals_deg"] < 1.0
    assert folder_cases(folder, "pairs", 800.0).load("x").photo.focal_px == 800.0
    whole = evaluate_depth(folder, mean_head(open_model))
    assert whole.samples[0].values["face_raw_rmse"] < 1e-2 and whole.provenance.method.startswith("mean head of")
    (folder / "x_camera.json").write_text("{}")
    dropped = evaluate_depth_methods(folder_cases(folder, "pairs", None), [mean_head(open_model)]).dropped
    assert "is no face.json" in dropped[0].reason
    write_normals_png(folder / "x_normals.png", np.full((9, 7, 3), np.nan), overwrite=True)
    (folder / "x_camera.json").unlink()
    dropped = evaluate_depth_methods(folder_cases(folder, "pairs", None), [mean_head(open_model)]).dropped
    assert "the map of normals is (9, 7, 3), the photo (180, 240)" in dropped[0].reason


def test_the_command_measures_methods_of_a_folder_and_of_drawn_heads(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["evaluate", "depth", "--data", str(folder), "--methods", "mean", "-o", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["protocol"] == "depth/methods" and report["samples"][0]["values"]["mean_rmse"] < 1e-2
    drawn = tmp_path / "drawn"
    assert main(["evaluate", "depth", "--heads", "2", "--methods", "mean", "-o", str(drawn)]) == 0
    report = json.loads((drawn / "report.json").read_text())
    (table, *_) = report["tables"]
    assert table["rows"][0][0] == "mean" and 1.0 < report["samples"][0]["values"]["mean_rmse_median"] < 40.0
    assert "mean: RMSE after the median scale [mm]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "give a folder with --data, or a number of drawn heads with --heads"),
        (["--heads", "2", "--data", "."], "give a folder with --data, or a number of drawn heads with --heads"),
        (["--heads", "2", "--focal-px", "900", "--methods", "mean"], "--focal-px is for --data"),
        (["--heads", "2", "--predictions", "."], "go neither with --predictions nor with --method"),
        (["--data", ".", "--methods", "fit", "--network", "open"], "--network goes with --methods network"),
        (["--heads", "0", "--methods", "mean"], "at least one head must be measured, got 0"),
        (["--heads", "2", "--network", "none.safetensors"], "no checkpoint at none.safetensors"),
        (["--heads", "2", "--network", "nobody"], "no depth network of this name; known: open"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, monkeypatch, capsys, arguments, text):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "depth", *arguments]) == 2
    assert text in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_unknown_methods_are_named():
    with pytest.raises(UsageError, match="methods of depth are network, fit, mean, got guess"):
        DepthMethodsOptions(("fit", "guess"))
