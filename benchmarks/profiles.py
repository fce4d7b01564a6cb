"""Rendered profiles, yaw 75 to 90 degrees, everything on: how many are found and how far heads are turned from the truth.

python benchmarks/profiles.py --count 60 --quality fast
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict

import torch
from _report import print_header, print_table

from recon.detection import open_detector
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS
from recon.io.image import Photo
from recon.reconstructor import NoFaceError, Reconstructor
from recon.rotation import matrix_to_euler, rotation_angle
from recon.synthesis import FaceBatch, FaceSampler, SynthesisConfig

CONFIG = SynthesisConfig(
    framing="free",
    pose="uniform",
    yaw_deg=90.0,
    pitch_deg=25.0,
    roll_deg=20.0,
    distance_mm=(500.0, 1500.0),
    head_share=(0.35, 0.65),
)
SEED, SIZE = 771, (320, 320)
LEAST_YAW_DEG = 75.0
METHODS = ("regress", "hybrid", "fit")


def profiles(sampler: FaceSampler, count: int) -> list[FaceBatch]:
    """The first samples that are turned far enough."""
    chosen: list[FaceBatch] = []
    index = 0
    while len(chosen) < count:
        rotation = sampler.scene([index]).camera.rotation
        if abs(float(torch.rad2deg(matrix_to_euler(rotation))[0, 1])) >= LEAST_YAW_DEG:
            chosen.append(sampler[index])
        index += 1
    return chosen


def photo_of(face: FaceBatch, name: str) -> Photo:
    pixels = (255.0 * face.image[0].clamp(0.0, 1.0)).round().byte().permute(1, 2, 0).contiguous().numpy()
    return Photo(pixels, focal_px=float(face.intrinsics[0, 0, 0]), source=name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60, help="profiles [60]")
    parser.add_argument("--quality", default="fast", help="of the fits [fast]")
    parser.add_argument("--detector", choices=DETECTORS, default=DEFAULT_DETECTOR, help=f"[{DEFAULT_DETECTOR}]")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print_header(options.threads)
    errors_deg: dict[tuple[str, str], list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, int] = defaultdict(int)
    with open_detector(options.detector) as detector:
        made = {name: Reconstructor(method=name, quality=options.quality, detector=detector) for name in METHODS}
        faces = profiles(FaceSampler(made["fit"].model, CONFIG, SEED, SIZE), options.count)
        for number, face in enumerate(faces):
            photo = photo_of(face, f"profile {number}")
            began = time.perf_counter()
            try:
                found = made["fit"].detect(photo)[0]
            except NoFaceError:
                kinds["none"] += 1
                seconds["none"].append(time.perf_counter() - began)
                continue
            kind = found.detector
            kinds[kind] += 1
            seconds[kind].append(time.perf_counter() - began)
            for name, reconstructor in made.items():
                head = reconstructor.fit_face(photo, found)
                turn = rotation_angle(head.camera.rotation[0], face.rotation[0])
                errors_deg[kind, name].append(float(torch.rad2deg(turn)))
    rows = []
    for kind, count in kinds.items():
        shown = (errors_deg.get((kind, name), []) for name in METHODS)
        cells = [f"{statistics.mean(e):.1f} / {statistics.median(e):.1f}" if e else "-" for e in shown]
        rows.append((kind, str(count), f"{statistics.median(seconds[kind]):.2f}", *cells))
    heads = ["found by", "photos", "seconds", *(f"{name}, mean / median deg" for name in METHODS)]
    print_table(f"{len(faces)} rendered profiles, rotation error", heads, rows)


if __name__ == "__main__":
    main()
