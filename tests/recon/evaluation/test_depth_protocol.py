"""Depth, measured with predictors whose errors are known."""

import numpy as np
import pytest
from evaluation_data import write_photo
from PIL import Image

from recon.evaluation.depth_folder import DepthDataError
from recon.evaluation.protocols.depth import evaluate_depth
from recon.io.image import read_image
from recon.io.write_exr import encode_exr


def test_depth_of_the_true_head_is_zero(tmp_path, make_head, predictor_of):
    write_photo(tmp_path / "x.png")
    true = make_head(read_image(tmp_path / "x.png")).depth_map()
    np.save(tmp_path / "x_depth.npy", true)
    Image.fromarray(np.where(np.isfinite(true), 255, 0).astype(np.uint8)).save(tmp_path / "x_mask.png")
    Image.fromarray(np.nan_to_num(true).round().astype(np.uint16)).save(tmp_path / "y_depth.png")
    write_photo(tmp_path / "y.png")
    write_photo(tmp_path / "z.png")
    found = evaluate_depth(tmp_path, predictor_of(make_head))
    values = {s.name: s.values for s in found.samples}
    assert values["x"]["face_raw_rmse"] < 1e-3 and values["x"]["whole_covered"] == 1.0
    assert values["y"]["whole_raw_mae"] < 0.6  # 16-bit PNGs hold whole millimetres
    assert "face_raw_mae" not in values["y"]  # nothing is nearer than 50 cm and there is no mask
    assert "no z_depth.npy" in found.dropped[0].reason


def test_depth_maps_of_other_methods_and_their_faults(tmp_path, predictor_of, make_head):
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir(), other.mkdir()
    rng = np.random.default_rng(0)
    true = rng.uniform(300.0, 450.0, (180, 240))
    for name in "abcde":
        write_photo(data / f"{name}.png")
        np.save(data / f"{name}_depth.npy", true)
    np.save(other / "a_depth.npy", true * 1.1)
    np.save(other / "b_depth.npy", true[:90])
    (other / "c_depth.npy").write_bytes(b"x")
    np.save(other / "e_depth.npy", np.zeros_like(true))
    found = evaluate_depth(data, other)
    values = found.samples[0].values
    assert values["face_raw_abs_rel"] == pytest.approx(0.1) and values["face_scaled_abs_rel"] == pytest.approx(
        0.0, abs=1e-9
    )
    reasons = {entry.name[0]: entry.reason for entry in found.failures}
    assert set(reasons) == set("bcde")
    assert "(90, 240), the true one (180, 240)" in reasons["b"] and "cannot be read" in reasons["c"]
    assert "no d_depth.npy" in reasons["d"] and "no positive depth" in reasons["e"]
    Image.fromarray(np.zeros((9, 7), np.uint8)).save(data / "a_mask.png")
    assert "mask is (9, 7), the photo (180, 240)" in evaluate_depth(data, other).dropped[0].reason
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="unknown depth layout"):
        evaluate_depth(data, other, layout="nyu")
    with pytest.raises(DepthDataError, match="none with a depth map"):
        evaluate_depth(tmp_path / "empty", other)


def test_depth_tables_stand_beside_the_papers(tmp_path):
    """Depth a tenth too large: wrong in the papers' units as it is, right after the median scale."""
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir(), other.mkdir()
    true = np.random.default_rng(0).uniform(300.0, 450.0, (180, 240))
    write_photo(data / "a.png")
    np.save(data / "a_depth.npy", true)
    np.save(other / "a_depth.npy", true * 1.1)
    _, khan, pini = evaluate_depth(data, other).tables
    assert "other data" in khan.title and "other data" in pini.title
    rows = {row[0]: dict(zip(khan.columns, row, strict=True)) for row in khan.rows}
    assert rows["FaceDepth, facial crop"]["NRMSE"] == 0.0204 and rows["BTS"]["delta 3"] == 0.9956
    raw, scaled = (rows[f"ours, face, alignment: {alignment}"] for alignment in ("none", "median"))
    error_m = 1e-4 * true
    assert raw["RMSE"] == pytest.approx(np.sqrt((error_m**2).mean())) and raw["AbsRel"] == pytest.approx(0.1)
    assert raw["SqRel"] == pytest.approx((1e-5 * true).mean()) and raw["RMSElog"] == pytest.approx(np.log(1.1))
    assert raw["NRMSE"] == pytest.approx(raw["RMSE"] / (1e-3 * np.ptp(true)))
    assert scaled["RMSE"] == pytest.approx(0.0, abs=1e-9) and scaled["R2"] == pytest.approx(1.0)
    rows = {row[0]: dict(zip(pini.columns, row, strict=True)) for row in pini.rows}
    assert len(rows) == 13 and rows["delta_1/4"]["Pandora: Cui"] == 0.0740 and rows["sq_rel"]["BIWI: pix2pix"] == 100.89
    assert rows["rmse"]["ours, face, none"] > 10.0
    assert rows["l2"]["ours, face, none"] == pytest.approx(96.0 * rows["rmse"]["ours, face, none"])
    assert rows["mae"]["ours, face, median"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("factor", [10.0, 0.1, 0.001])
def test_depth_files_of_another_unit_are_noticed(factor, tmp_path):
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir(), other.mkdir()
    true = np.random.default_rng(0).uniform(300.0, 450.0, (180, 240))
    write_photo(data / "a.png")
    np.save(data / "a_depth.npy", true)
    np.save(other / "a_depth.npy", 1.08 * factor * true)
    (failure,) = evaluate_depth(data, other).failures
    assert f"is {factor:g} times the true one" in failure.reason
    np.save(data / "a_depth.npy", 0.001 * true)
    (dropped,) = evaluate_depth(data, other).dropped
    assert "another unit (metres?); convert it to mm" in dropped.reason


def test_depth_of_the_c3i_layout_is_read_as_planar_depth(tmp_path):
    """A wall at 400 mm: its rays are longer towards the corners, its planar depth is not."""
    place, other = tmp_path / "data" / "male" / "0001", tmp_path / "other" / "male" / "0001"
    place.mkdir(parents=True), other.mkdir(parents=True)
    write_photo(place / "rgb_3.jpg", (48, 64))
    write_photo(place / "rgb_4.jpg", (48, 64))
    (place / "data_3.txt").write_text(
        "Camera Location: (0.0, -0.3, 1.6)\nHead Point Location: (0.0, 0.0, 1.6)\n"
        "Camera Rotation: Yaw 0.00 Pitch 90.00 Roll 0.00\nHead Rotation: Yaw 0.00 Pitch 0.00 Roll 0.00\n"
    )
    down, across = np.mgrid[0:48, 0:64] + 0.5
    focal_px = 32.0 / np.tan(np.deg2rad(30.0))
    rays_m = 0.4 * np.sqrt(1.0 + ((across - 32.0) / focal_px) ** 2 + ((down - 24.0) / focal_px) ** 2)
    (place / "depthExr_3.exr").write_bytes(encode_exr({"R": rays_m.astype(np.float32)}))
    np.save(other / "rgb_3_depth.npy", np.full((48, 64), 400.0))
    found = evaluate_depth(tmp_path / "data", tmp_path / "other", layout="c3i")
    assert found.samples[0].name == "male/0001/rgb_3"
    assert found.samples[0].values["face_raw_rmse"] < 1e-3
    assert found.provenance.n_files == 4
    assert "data_<number>.txt is missing" in found.dropped[0].reason
    (place / "depthExr_3.exr").write_bytes(encode_exr({"R": np.full((48, 64), 0.4, np.float32)}))
    planar = evaluate_depth(tmp_path / "data", tmp_path / "other", layout="c3i-planar")
    assert planar.samples[0].values["face_raw_rmse"] < 1e-3
    assert evaluate_depth(tmp_path / "data", tmp_path / "other", layout="c3i").samples[0].values["face_raw_rmse"] > 1.0
