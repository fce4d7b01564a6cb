"""From how far was a photo taken, if its focal length is not known? One head from several distances, each as large.

    python benchmarks/distance.py                        8 rendered heads, quality fast, our own landmarks
    python benchmarks/distance.py --detector mediapipe

The heads are those of ``benchmarks/fit.py``. Columns: mean over heads of the logarithm of found over true distance, its
standard deviation, the share of true distances within one and two of the fit's own standard deviations, mean error of the
vertices of the face after rigid and scale alignment, that of the rotation, and how far the shape is from that of the same
head at the first distance.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from _report import print_header, print_table
from fit import render_head, vertex_error_mm

import bfm
from recon.detection.detect import open_detector
from recon.fitting import FaceFitter, FitSettings, View
from recon.inference.landmark_observation import landmark_observation
from recon.render import Topology
from recon.rotation import rotation_angle

DISTANCES_MM = (300.0, 500.0, 900.0, 1500.0, 2500.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="open")
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--quality", default="fast", help="fast, default, best, or points for the landmarks alone")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print_header(arguments.threads)
    settings = FitSettings(levels=()) if arguments.quality == "points" else FitSettings.of(arguments.quality)
    model = bfm.load("open")
    topology = Topology.of(model.faces, model.n_vertices)
    face = model.region("face").numpy()
    fitter = FaceFitter(model)
    found: dict[float, list[tuple[float, float, float, float]]] = {far: [] for far in DISTANCES_MM}
    shapes: dict[tuple[float, int], np.ndarray] = {}
    mean_head = []
    with open_detector(arguments.detector) as detector:
        for number in range(arguments.heads):
            for far in DISTANCES_MM:
                head = render_head(model, topology, number, far)
                faces = detector.detect(head.pixels, 60.0)
                points = landmark_observation(faces[0], "478") if faces else None
                if points is None:
                    continue
                result = fitter([View(head.pixels, points)], settings)
                vertices = model.shape(result.parameters.identity, result.parameters.expression)[0].numpy()[face]
                shapes[far, number] = vertices
                truth = head.vertices[face]
                mean_head.append(vertex_error_mm(model.mean_shape.numpy()[face], truth))
                found[far].append(
                    (
                        float(np.log(-float(result.parameters.translation_mm[0, 2]) / far)),
                        result.distance_sigma[0],
                        vertex_error_mm(vertices, truth),
                        float(torch.rad2deg(rotation_angle(result.parameters.rotation[0], head.rotation))),
                    )
                )
    rows = []
    for far, values in found.items():
        if not values:
            rows.append((f"{far:.0f}", 0, *["-"] * 8))
            continue
        logarithm, sigma, error_mm, turn_deg = np.array(values).T
        both = [n for n in range(arguments.heads) if (far, n) in shapes and (DISTANCES_MM[0], n) in shapes]
        apart = [vertex_error_mm(shapes[far, n], shapes[DISTANCES_MM[0], n]) for n in both]
        within = [100.0 * float(np.mean(np.abs(logarithm) < k * sigma)) for k in (1.0, 2.0)]
        figures = (logarithm.mean(), logarithm.std(), sigma.mean())
        rows.append(
            (
                f"{far:.0f}",
                len(values),
                *(f"{value:.2f}" for value in figures),
                *(f"{share:.0f}" for share in within),
                f"{error_mm.mean():.2f}",
                f"{turn_deg.mean():.2f}",
                f"{np.mean(apart):.2f}" if apart else "-",
            )
        )
    columns = ["mm", "found", "log ratio", "sd", "own sigma", "% in 1", "% in 2", "error, mm", "degrees", "apart, mm"]
    print_table(f"{arguments.heads} heads, {arguments.detector}, {arguments.quality}", columns, rows)
    print(f"\nThe mean head is {np.mean(mean_head):.2f} mm off.")


if __name__ == "__main__":
    main()
