"""What backgrounds teach a pose network: FSA-Net on drawn faces that differ in nothing else, as in the head pose paper's ablation.

    python benchmarks/pose_backgrounds.py -o study --photos FOLDER --test ytf68
    python benchmarks/pose_backgrounds.py -o study --photos FOLDER --test ytf68 --ict FaceXModel --engine cycles

The same heads are drawn four times: before grey, before drawn patterns, before photos (of ``--photos``, which should show no people), and
half before patterns and half before photos. A network is trained on each for the same number of steps, for several seeds. It is measured on
held-out heads before each background, on photos with ``points68.csv``, and on rendered people of ICT-FaceKit if they are given. Nothing is
chosen by a test. Finished caches and networks are kept in the folder, so a run that was cut short goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table
from pose_adaptation_study import errors, optimiser, over_pictures, render_people, train

from recon.evaluation.pose_labels import find_poses
from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.io.files import write_file
from recon.networks.pose.fsanet import FsaNetConfig
from recon.synthesis import SynthesisConfig
from recon.training.degrade import Degradation
from recon.training.face_cache import FaceCache, FaceCacheConfig, synthesize_faces
from recon.training.framing import CropJitter
from recon.training.landmark_data import CachedFaces
from recon.training.pose_batch import PoseBatch
from recon.training.pose_module import PoseModule
from recon.training.pose_pictures import PictureSource, frame_pictures
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed

KINDS = {"grey": "plain", "patterns": "procedural", "photos": "folder"}
ARMS = {"grey": ("grey",), "patterns": ("patterns",), "photos": ("photos",), "both": ("patterns", "photos")}
MARGIN, SIDE_PX, TESTED, SEED, HELD_OUT_SEED = 0.2, 192, 512, 300, 7_919_300
JITTER = CropJitter(wide_share=0.15)
DEGRADATION = Degradation(gray=0.15, patches=0.25, low_resolution=0.15, blur=0.2, noise=0.03, jpeg=0.15)
"""As in configs/pose/fsanet.yaml."""
Tests = dict[str, tuple[torch.Tensor, torch.Tensor]]


def look(kind: str, photos: Path) -> SynthesisConfig:
    """The faces of configs/pose/fsanet.yaml before a background."""
    plain = dict.fromkeys(("noise", "blur", "motion_blur", "low_resolution", "jpeg", "gray"), 0.0)
    return SynthesisConfig(
        pose="300w-lp",
        yaw_deg=90.0,
        pitch_deg=55.0,
        roll_deg=40.0,
        upright=True,
        turn_jitter_deg=8.0,
        scale_jitter=0.04,
        shift_jitter=0.02,
        crop_margin=MARGIN,
        glasses=0.2,
        occluders=0.2,
        beard=0.5,
        background=KINDS[kind],  # type: ignore[arg-type]
        background_folder=str(photos) if KINDS[kind] == "folder" else None,
        **plain,
    )


def cached(options: argparse.Namespace, kind: str, held_out: bool) -> CachedFaces:
    """Heads before a background; those that are there are kept."""
    folder, count = options.out / f"{kind}{'_held_out' if held_out else ''}", TESTED if held_out else options.count
    seed = HELD_OUT_SEED if held_out else SEED
    config = FaceCacheConfig(look(kind, options.photos), seed=seed, size=SIDE_PX, count=count)
    synthesize_faces(folder, config, options.workers)
    return CachedFaces(FaceCache(folder, count), ("520",), MARGIN)


def batches(parts: list[CachedFaces], plan: BatchPlan, size: int = FsaNetConfig().size) -> Iterator[PoseBatch]:
    """Faces of one cache, or of several by turns."""
    for step, chosen in enumerate(EndlessOrder(len(parts[0]), plan, StreamPlace())):
        seed = step_seed(plan.seed + 1, step, 0)
        shown = parts[step % len(parts)].batch(chosen, size, JITTER, DEGRADATION, seed)
        yield PoseBatch(shown.image, shown.rotation, None)


def tests(options: argparse.Namespace, held: dict[str, CachedFaces], size: int = FsaNetConfig().size) -> Tests:
    """Crops and rotations of all that is measured."""
    found: Tests = {}
    tight = dataclasses.replace(JITTER, wide_share=0.0)
    for kind, faces in held.items():
        batch = faces.batch(list(range(len(faces))), size, tight, None, SEED)
        found[f"held-out heads before {kind}"] = (batch.image, batch.rotation)
    with DenseLandmarkDetector() as detector:
        sets = {}
        if options.test is not None:
            labels, _ = find_poses(options.test, "points68")
            sets["photos with 68 points"] = [
                PictureSource(one.name, one.photo, one.rotation_ray, one.box) for one in labels
            ]
        if options.ict is not None:
            sets["ICT people"] = render_people(options, options.out / "people")
        for name, sources in sets.items():
            framed = frame_pictures(sources, options.out / "framed" / name.replace(" ", "_"), detector)
            found[name] = framed.batch(range(len(framed)), size, None, torch.Generator())
    return found


def study(options: argparse.Namespace) -> dict[tuple[str, int], dict[str, dict[str, list[float]]]]:
    """Errors of all arms and seeds; those that are there are read."""
    faces = {kind: cached(options, kind, False) for kind in KINDS}
    shown = tests(options, {kind: cached(options, kind, True) for kind in KINDS})
    told = {}
    for seed in range(options.seeds) if options.only_seed is None else [options.only_seed]:
        for arm, kinds in ARMS.items():
            kept = options.out / f"seed{seed}" / f"{arm}.json"
            if not kept.exists():
                torch.manual_seed(seed)
                module = PoseModule(FsaNetConfig(), optimiser=optimiser(1e-3, options.steps), average=0.99)
                plan = BatchPlan(options.batch, 1000 * seed)
                train(module, batches([faces[kind] for kind in kinds], plan), options.steps, True)
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_file(kept, json.dumps({name: errors(module, *test) for name, test in shown.items()}).encode())
            told[arm, seed] = json.loads(kept.read_text())
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos without people")
    parser.add_argument("--test", type=Path, help="folder of photos with points68.csv")
    parser.add_argument("--ict", type=Path, help="ICT-FaceKit")
    parser.add_argument("--engine", choices=("raster", "cycles"), default="cycles")
    parser.add_argument("--pictures", type=int, default=160, help="of ICT people")
    parser.add_argument("--side", type=int, default=192, help="of these pictures, px")
    parser.add_argument("--samples", type=int, default=16, help="paths a pixel")
    parser.add_argument("--count", type=int, default=4096, help="drawn heads")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--only-seed", type=int, help="train this one, print nothing: for several processes in one folder"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print_header(options.threads)
    told = study(options)
    for name in told["grey", 0] if options.only_seed is None else ():
        rows = []
        for arm in ARMS:
            found = {k: np.array([told[arm, s][name][k] for s in range(options.seeds)]) for k in told[arm, 0][name]}
            apart = np.array([told["grey", s][name]["pose_deg"] for s in range(options.seeds)]) - found["pose_deg"]
            means = [f"{found[k].mean():.2f}" for k in ("pose_deg", "yaw_deg", "pitch_deg", "roll_deg", "geodesic_deg")]
            seeds = " ".join(f"{mean:.2f}" for mean in found["pose_deg"].mean(axis=1))
            rows.append([arm, *means, seeds, f"{apart.mean():.2f}", over_pictures(apart.mean(axis=0))])
        heads = ["trained before", "mean", "yaw", "pitch", "roll", "geodesic", "seeds", "gain on grey", "95 %"]
        count = len(told["grey", 0][name]["pose_deg"])
        print_table(f"{name}: {count} pictures, degrees, means over {options.seeds} seeds", heads, rows)


if __name__ == "__main__":
    main()
