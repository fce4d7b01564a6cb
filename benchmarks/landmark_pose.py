"""Pose in closed form and the 68 points, by the landmark network alone, on photos with AFLW2000-3D's labels.

python benchmarks/landmark_pose.py --data FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _report import print_header, print_table

import bfm
from recon.datasets.pose_conventions import matrix_to_angles
from recon.detection import detect
from recon.evaluation.aflw2000 import read_label
from recon.evaluation.metrics.nme import box_size, normalised_error
from recon.evaluation.metrics.pose import angle_differences, geodesic_deg
from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.inference.landmark_pose import LandmarkPose
from recon.io.image import read_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print_header(options.threads)
    pose_of = LandmarkPose(bfm.load("open"))
    errors, found_deg, true_deg, missed = [], [], [], 0
    with DenseLandmarkDetector() as detector:
        for path in sorted(options.data.glob("*.jpg")):
            label = read_label(path)
            true = label.landmarks
            heads = [face.dense for face in detect(read_image(path).pixels, detector) if face.dense is not None]
            if not heads:
                missed += 1
                continue
            middle = true[:, :2].mean(axis=0)
            _, nearest = min(
                (float(np.linalg.norm(d.points_px[:, :2].mean(axis=0) - middle)), number)
                for number, d in enumerate(heads)
            )
            rotation, marks = pose_of(heads[nearest]), heads[nearest].subset("68").points_px[:, :2]
            angles = matrix_to_angles(rotation, "300wlp")
            parts = [slice(None), slice(17, None), slice(0, 17)]
            errors.append(
                [
                    *(normalised_error(marks[part], true[part, :2], size=box_size(true)) for part in parts),
                    *angle_differences(angles, label.angles_deg),
                    geodesic_deg(rotation, label.rotation),
                ]
            )
            found_deg.append(angles)
            true_deg.append(label.angles_deg)
    if not errors:
        raise SystemExit(f"no face was found in the photos of {options.data}")
    mean = np.mean(errors, axis=0)
    columns = ["", "68, %", "inner 51, %", "jaw, %", "yaw", "pitch", "roll", "mean of the three", "geodesic"]
    row = ["open", *(f"{value:.2f}" for value in (*mean[:6], mean[3:6].mean(), mean[6]))]
    print_table(f"{len(errors)} photos, {missed} without a face; angles in degrees", columns, [row])
    slopes = [np.polyfit(np.array(true_deg)[:, k], np.array(found_deg)[:, k], 1)[0] for k in (0, 1)]
    print(f"slope of found against true: yaw {slopes[0]:.3f}, pitch {slopes[1]:.3f}")


if __name__ == "__main__":
    main()
