"""Poses of data sets, measured with predictors whose errors are known."""

import numpy as np
import pytest
import scipy.io
from evaluation_data import angles_of, first_letter, write_aflw, write_photo

from recon.datasets.pose_conventions import angles_to_matrix, matrix_to_angles
from recon.evaluation.aflw2000 import LabelError
from recon.evaluation.pose_labels import find_poses
from recon.evaluation.protocols.pose import evaluate_pose


@pytest.fixture
def aflw(tmp_path, make_head):
    return write_aflw(tmp_path, make_head)


TRUE_POSE = np.array([25.0, -12.0, 7.0])


def _write_pose_data(folder, layout):
    """One picture with TRUE_POSE (our convention) in a data set's own files."""
    rotation = angles_to_matrix(TRUE_POSE)
    if layout == "biwi":
        flip = np.diag([1.0, -1.0, -1.0])
        place = folder / "01"
        place.mkdir()
        write_photo(place / "frame_00003_rgb.png")
        rows = "\n".join(" ".join(map(str, row)) for row in flip @ rotation @ flip)
        (place / "frame_00003_pose.txt").write_text(f"{rows}\n\n10.0 20.0 900.0\n")
        return place / "frame_00003_pose.txt"
    # Blender: Rx(90) takes our axes to its world; R = C^T H Rx(90), so H = Rx(90) R Rx(-90) with C = Rx(90).
    quarter = angles_to_matrix(np.array([0.0, 90.0, 0.0]))
    about_y, about_x, about_z = matrix_to_angles(quarter @ rotation @ quarter.T)
    place = folder / "female" / "0001"
    place.mkdir(parents=True)
    write_photo(place / "rgb_0007.jpg")
    (place / "data_0007.txt").write_text(
        "Camera Location: (-0.0002, -0.3136, 1.6779)\n"
        "Head Point Location: (-0.0002, -0.0136, 1.6779)\n"
        "Camera Rotation: Yaw 0.00 Pitch 90.00 Roll -0.00\n"
        f"Head Rotation: Yaw {about_z:.2f} Pitch {about_x:.2f} Roll {about_y:.2f}\n"
    )
    return place / "data_0007.txt"


@pytest.mark.parametrize("layout", ["biwi", "c3i"])
def test_poses_of_other_data_sets_are_read_in_our_frame(tmp_path, layout, make_head, predictor_of):
    label_file = _write_pose_data(tmp_path, layout)
    predictor = predictor_of(lambda photo: make_head(photo, angles_to_matrix(TRUE_POSE)))
    found = evaluate_pose(tmp_path, predictor, layout)
    assert found.summary("geodesic").mean < 0.02 and found.summary("mae").mean < 0.02
    turned = predictor_of(lambda photo: make_head(photo, angles_to_matrix(TRUE_POSE + [3.0, 0.0, 0.0])))
    assert evaluate_pose(tmp_path, turned, layout).summary("geodesic").mean == pytest.approx(3.0, abs=0.1)
    label_file.write_text("nothing of use")
    with pytest.raises(LabelError, match="no picture with a usable label"):
        evaluate_pose(tmp_path, predictor, layout)


def test_biwi_angles_are_those_of_the_usual_labels(tmp_path):
    """The label code of FSA-Net and HopeNet: transpose, then three arc tangents."""
    path = _write_pose_data(tmp_path, "biwi")
    r = np.loadtxt(path.read_text().splitlines()[:3]).T
    usual = np.rad2deg(
        [-np.arctan2(-r[2, 0], np.hypot(r[2, 1], r[2, 2])), np.arctan2(r[2, 1], r[2, 2]), -np.arctan2(r[1, 0], r[0, 0])]
    )
    np.testing.assert_allclose(find_poses(tmp_path, "biwi")[0][0].angles_deg, usual, atol=1e-6)


def test_ranges_and_dropped_frames_of_pose(aflw, make_head, predictor_of):
    content = scipy.io.loadmat(aflw / "a.mat")
    scipy.io.savemat(aflw / "a.mat", {"pt3d_68": content["pt3d_68"], "Pose_Para": np.deg2rad([[0.0, 110.0, 0.0]])})
    found = evaluate_pose(
        aflw, predictor_of(lambda p: make_head(p, angles_to_matrix(angles_of(first_letter(p)), "300wlp")))
    )
    assert "yaw 110.0 degrees is beyond the protocol's 99" in found.dropped[0].reason
    rows = {row[0]: row for row in found.tables[0].rows}
    assert rows["all"][6] == 4 and rows["Y90P10R10"][6] == 4 and rows["Y10P90R10"][6] == 0
    with pytest.raises(ValueError, match="unknown pose layout"):
        evaluate_pose(aflw, predictor_of(make_head), "pandora")
