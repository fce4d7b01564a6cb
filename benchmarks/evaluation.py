"""How fast scans are measured, and how exactly a known motion is found again.

    python benchmarks/evaluation.py [--threads 2]
    python benchmarks/evaluation.py --aflw2000 shared/photos/aflw2000    # and the alignment protocol, quality fast

The scan is a random head of the open model with 100 000 vertices and 0.2 mm of noise, turned by 10 degrees and moved by 10
mm; what is measured against it is the mean head. Targets: 10 s for 100 000 vertices with ICP, 40 s for the eight photos,
1e-3 mm and 1e-3 degrees for the motion (without noise, the head against itself).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import trimesh
from _report import median_seconds, print_header, print_table
from scipy.spatial.transform import Rotation

import bfm
from recon.alignment import Similarity
from recon.evaluation.metrics.pose import geodesic_deg
from recon.evaluation.scans.errors import HeadSurface, micc_errors, now_errors
from recon.evaluation.scans.heads import HeadParts
from recon.evaluation.scans.icp import align_to_surface
from recon.evaluation.scans.nonrigid import correspond, nonrigid_errors
from recon.evaluation.scans.scan import Scan
from recon.evaluation.scans.triangles import TriangleSurface

N_VERTICES = 100_000
NOISE_MM = 0.2


def motion_about(points: np.ndarray, angle_deg: float, distance_mm: float) -> Similarity:
    """A turn about the middle of the points and a shift."""
    turn = Rotation.from_rotvec(np.deg2rad(angle_deg) * np.array([2.0, -1.0, 2.0]) / 3.0).as_matrix()
    centre = points.mean(axis=0)
    return Similarity(1.0, turn, centre - turn @ centre + distance_mm * np.array([1.0, 2.0, -2.0]) / 3.0)


def dense_scan(head: HeadSurface) -> Scan:
    """The head with many more vertices, noisy and moved. Only the face is refined, as only the face is measured."""
    face = head.surface.within(head.nose_tip, 110.0)
    vertices, faces = face.vertices, face.faces
    rng = np.random.default_rng(0)
    while len(vertices) < N_VERTICES:
        # The longest edges first, so that the number can be met closely.
        edges = np.linalg.norm(vertices[faces] - vertices[np.roll(faces, 1, axis=1)], axis=2).max(axis=1)
        n_split = min(len(faces), max(1, (N_VERTICES - len(vertices)) // 2))
        chosen = np.argsort(-edges)[:n_split]
        vertices, faces = trimesh.remesh.subdivide(vertices, faces, face_index=chosen)
    noisy = vertices + NOISE_MM * rng.normal(size=vertices.shape)
    motion = motion_about(noisy, 10.0, 10.0)
    return Scan("dense", TriangleSurface(motion.apply(noisy), np.asarray(faces)), motion.apply(head.landmarks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--aflw2000", type=Path, help="folder of .jpg and .mat")
    options = parser.parse_args()
    print_header(options.threads)
    model = bfm.load("open")
    parts = HeadParts.of(model)
    person = parts.head(parts.vertices(np.random.default_rng(1).normal(size=model.n_identity)))
    mean = parts.head(parts.vertices())
    scan = dense_scan(person)
    print(f"scan      {len(scan.surface.vertices)} vertices, head {len(mean.surface.vertices)} vertices")
    rows = []
    for name, call in (
        ("micc", lambda: micc_errors(scan, mean)),
        ("micc, with scale", lambda: micc_errors(scan, mean, with_scale=True)),
        ("now", lambda: now_errors(scan, mean)),
        ("non-rigid", lambda: nonrigid_errors(correspond(scan, mean))),
    ):
        call()
        started = time.process_time()
        seconds, least = median_seconds(call, options.repeats, warm_up=0)
        processor = (time.process_time() - started) / options.repeats
        rows.append((name, f"{seconds:.2f}", f"{least:.2f}", f"{processor:.2f}"))
    print_table(
        f"One head against one scan, s (median and least of {options.repeats}, and processor time of all threads)",
        ("rule", "s", "least", "processor"),
        rows,
    )
    surface = person.surface.within(person.nose_tip, 95.0)
    motion = motion_about(surface.vertices, 10.0, 10.0)
    found = motion.then(align_to_surface(motion.apply(surface.vertices), surface).motion)
    gap_mm = np.abs(found.apply(surface.vertices) - surface.vertices).max()
    print_table(
        "A motion of 10 degrees and 10 mm found again",
        ("", "error", "target"),
        (
            ("largest distance, mm", f"{gap_mm:.1e}", "1e-3"),
            ("rotation, degrees", f"{geodesic_deg(found.rotation, np.eye(3)):.1e}", "1e-3"),
        ),
    )
    if options.aflw2000 is not None:
        alignment(options.aflw2000)


def alignment(folder: Path) -> None:
    """Time of the whole protocol, reports included."""
    from recon.evaluation.predict import PredictorOptions, open_predictor
    from recon.evaluation.protocols.alignment import evaluate_alignment
    from recon.evaluation.reports.report import write_report

    started = time.perf_counter()
    with open_predictor(PredictorOptions(quality="fast")) as predictor, tempfile.TemporaryDirectory() as out:
        found = evaluate_alignment(folder, predictor)
        write_report(found, out)
    seconds = time.perf_counter() - started
    rows = [(f"{len(found.samples)} photos", f"{seconds:.1f}", f"{found.summary('nme2d').mean:.2f}")]
    print_table("Alignment protocol, quality fast", ("", "s", "NME %"), rows)


if __name__ == "__main__":
    main()
