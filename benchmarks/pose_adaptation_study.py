"""What domain adaptation gains for FSA-Net: drawn faces as source, other pictures as target, equal budgets, several seeds.

    python benchmarks/pose_adaptation_study.py --faces runs/faces -o study --ict FaceXModel --engine cycles --pictures 160
    python benchmarks/pose_adaptation_study.py --faces runs/faces -o study_photos --target lfw158 --test ytf68

The first study renders people of ICT-FaceKit (other geometry; other shading with Cycles), adapts to three fifths of them without their
labels, and is measured on these (transductive, as in the paper), on the others (inductive) and on held-out drawn faces. The second adapts
to a folder of photos and is measured on a folder with ``points68.csv``. Every seed trains phase one once, or all begin with ``--first``;
then each arm goes on from it for the same number of steps: ``supervised`` without the target, ``paired`` with the source samples nearest to
the target but no reversed gradient, ``adapted`` with it, ``constant`` with it at full strength from the beginning, ``jittered`` with pairs
moved by up to 2 degrees, and ``unpaired`` with the reversed gradient and drawn faces in the poses they were drawn in. Fusion, for which
labels are used: ``fine-tuned`` on the pictures adapted to, or on half of the people of the test, and ``fused`` with as many drawn faces
beside them in each batch; they are measured on other people. Nothing is chosen by the test. Finished pictures, seeds and arms are kept in the folder, so a run that was cut short goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table
from ict_scans import DRAWN, ENGINES, Painter, Setting, Take, developed

import bfm
from bfm.loaders import ict
from recon.alignment import fit_similarity
from recon.evaluation.pose_labels import find_poses
from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.io.files import write_file
from recon.io.png import encode_png
from recon.networks.pose.fsanet import FsaNetConfig
from recon.networks.pose.prediction import rotation_to_angles
from recon.rotation import turn_to_ray
from recon.synthesis import SynthesisConfig
from recon.synthesis.cycles.engine import CyclesSettings
from recon.training.face_cache import FaceCache
from recon.training.landmark_config import CropConfig, DrawingConfig
from recon.training.landmark_data import CachedFaces
from recon.training.pose_adaptation import PairingConfig, ReversalConfig, adaptation_rows
from recon.training.pose_adaptation_data import PoseAdaptationData, TargetConfig
from recon.training.pose_adaptation_module import PoseAdaptationModule
from recon.training.pose_batch import PoseBatch
from recon.training.pose_fusion_data import FusionStream, LabelledConfig, PoseFusionData
from recon.training.pose_losses import pose_metrics
from recon.training.pose_module import PoseModule
from recon.training.pose_pictures import PictureSource, PosePictures, frame_pictures, photos_below
from recon.training.schedule import OptimiserConfig
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed

SEED, TURNED = 77, Setting("turned", 75.0, 40.0, 0.5, 1.5)
OTHERS, SOURCE_TESTED = 0.4, 512
"""Share of the people who are not adapted to, and held-out drawn faces that are measured."""
ARMS = {
    "supervised": None,
    "paired": (0.0, 0.0),
    "adapted": (1.0, 0.0),
    "constant": (1.0, 0.0),
    "jittered": (1.0, 2.0),
    "unpaired": (1.0, None),
}
"""Strength of the reversed gradient and jitter of the pairs, degrees, None without pairs; None sees no target."""
FUSION = {"fine-tuned": 1.0, "fused": 0.5}
"""Shares of labelled pictures in a batch."""
OTHER_PEOPLE = "other people"
RANGES_DEG = ((0.0, 25.0), (25.0, 50.0), (50.0, 90.0))
Told = dict[tuple[int, str], dict[str, dict[str, list[float]]]]


def resized(take: Take, side: int) -> Take:
    """The same photo with fewer pixels."""
    share = side / take.behind.shape[-1]
    behind = torch.nn.functional.interpolate(take.behind, size=(side, side), mode="area")
    return dataclasses.replace(take, camera=take.camera.resized(share, share), behind=behind)


def render_people(options: argparse.Namespace, folder: Path) -> list[PictureSource]:
    """Pictures of ICT people, one a person, with their rotations against the ray; those that are there are kept."""
    model, subjects = bfm.load("open"), ict.load(options.ict)
    painter, ours = Painter.of(model, subjects), model.data()
    marks = subjects.landmarks["68"].at(subjects.mean_shape, subjects.faces).astype(np.float64)
    to_ours = fit_similarity(marks, ours.landmarks["68"].at(ours.mean_shape, ours.faces).astype(np.float64))
    origin = to_ours.inverse().apply(np.zeros((1, 3)))[0]  # between the eyes, where our head has its origin
    keep = np.any([subjects.regions[name] for name in DRAWN], axis=0)
    faces = subjects.faces[keep[subjects.faces].all(axis=1)]
    settings = CyclesSettings(samples=options.samples, threads=options.threads or 0)
    # Kept pictures need no Blender.
    engine = functools.cache(lambda: ENGINES[options.engine](subjects, faces, settings))
    rng, found = np.random.default_rng(SEED), []
    for number in range(options.pictures):
        identity = rng.normal(size=subjects.identity_basis.shape[2])
        head = (subjects.mean_shape + subjects.identity_basis @ identity).astype(np.float64)
        albedo = painter.albedo(rng.normal(size=model.n_albedo) * 0.8)
        take = resized(Take.sampled(head, albedo, TURNED, rng, number), options.side)
        path = folder / f"person{number:04d}" / "0.png"
        noise = rng.normal(0.0, 1.5, (*take.behind.shape[2:], 3))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, encode_png(developed(engine().photo(take), noise)))
        turn, place = take.camera.rotation[0].double(), take.camera.translation_mm[0].double()
        eyes = torch.from_numpy(origin - head.mean(axis=0))  # Take has the head about its middle
        ray = turn_to_ray((turn @ eyes + place)[None])[0]
        rotation = (ray.T @ turn).numpy() @ to_ours.rotation.T
        found.append(PictureSource(path.relative_to(folder).as_posix(), path, rotation))
    return found


def pictures(options: argparse.Namespace) -> tuple[PosePictures, PosePictures, dict[str, PosePictures]]:
    """What is adapted to, without labels; labelled pictures for fusion; and what is tested on."""
    out: Path = options.out
    with DenseLandmarkDetector() as detector:
        if options.ict is not None:
            people = frame_pictures(render_people(options, out / "people"), out / "framed_test", detector)
            for sentence in people.left_out:
                print(f"left out: {sentence}")
            adapted, others = (people.part(rows) for rows in adaptation_rows(people.names, "inductive", OTHERS))
            return dataclasses.replace(adapted, rotation=None), adapted, {"adapted to": adapted, OTHER_PEOPLE: others}
        labels, _ = find_poses(options.test, "points68")
        sources = [PictureSource(one.name, one.photo, one.rotation_ray, one.box) for one in labels]
        test = frame_pictures(sources, out / "framed_test", detector)
        target = frame_pictures(photos_below(options.target), out / "framed_target", detector)
    people = [name.split("_")[0] for name in test.names]
    labelled, others = (test.part(rows) for rows in adaptation_rows(people, "inductive", 0.5))
    return target, labelled, {"photos": test, OTHER_PEOPLE: others}


def optimiser(rate: float, steps: int) -> OptimiserConfig:
    return OptimiserConfig(kind="adam", rate=rate, warm_up=min(50, steps // 4 + 1), schedule="cosine", total=steps)


def train(module: PoseModule, batches: Iterator[PoseBatch], steps: int, bfloat16: bool) -> None:
    """As Lightning would: clipped steps, the schedule, the average."""
    module.log = module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    moved = module.configure_optimizers()
    step_of, schedule = moved["optimizer"], moved["lr_scheduler"]["scheduler"]
    module.train()
    for _ in range(steps):
        step_of.zero_grad()
        batch = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = module.training_step(batch, 0)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        step_of.step()
        schedule.step()
        module.update_average()


def drawn(
    faces: CachedFaces, rows: range, plan: BatchPlan, data: PoseAdaptationData, target: PosePictures | None = None
) -> Iterator[PoseBatch]:
    """Supervised batches of some of the faces, beside pictures of the target in whatever poses they have."""
    beside = iter(EndlessOrder(len(target), plan, StreamPlace())) if target is not None else None
    for step, chosen in enumerate(EndlessOrder(len(rows), plan, StreamPlace())):
        seed = step_seed(plan.seed + 1, step, 0)
        shown = faces.batch([rows[k] for k in chosen], data.size, data.jitter, data.degradation, seed)
        crops = None
        if target is not None and beside is not None:
            crops, _ = target.batch(next(beside), data.size, data.jitter, torch.Generator().manual_seed(seed))
        yield PoseBatch(shown.image, shown.rotation, crops)


@torch.no_grad()
def errors(module: PoseModule, crops: torch.Tensor, rotation: torch.Tensor) -> dict[str, list[float]]:
    """Errors of each picture in degrees, and its true yaw."""
    network = module.averaged.eval()
    parts = [pose_metrics(network(x), r) for x, r in zip(crops.split(64), rotation.split(64), strict=True)]
    found = {name: torch.cat([part[name] for part in parts]).tolist() for name in parts[0]}
    return {**found, "true_yaw_deg": rotation_to_angles(rotation)[:, 0].tolist()}


def study(options: argparse.Namespace) -> Told:
    """All seeds and arms; those that are there are read."""
    target, labelled, tests = pictures(options)
    if len(labelled) < options.batch:
        raise SystemExit(f"fusion needs a batch of {options.batch} labelled pictures, there are {len(labelled)}")
    size, told = FsaNetConfig().size, {}
    margin = json.loads((options.faces / "train" / "faces.json").read_text())["synthesis"]["crop_margin"]
    shown = {name: test.batch(range(len(test)), size, None, torch.Generator()) for name, test in tests.items()}
    held = CachedFaces(FaceCache(options.faces / "held_out", SOURCE_TESTED), ("520",), margin)
    faces = CachedFaces(FaceCache(options.faces / "train", options.count), ("520",), margin)
    for seed in range(options.seeds):
        weights = options.first or options.out / f"seed{seed}" / "first.safetensors"
        data = PoseAdaptationData(
            str(options.faces),
            DrawingConfig(SynthesisConfig(crop_margin=margin), count=options.count),
            TargetConfig("", ""),
            size=size,
            initial_weights=str(weights),
            source_first=0 if options.first else options.count * 3 // 4,
            plan=BatchPlan(options.batch, 1000 * seed),
            crops=CropConfig(workers=0),
        )
        data.adapted = target
        tight = dataclasses.replace(data.jitter, wide_share=0.0)
        source = held.batch(list(range(len(held))), size, tight, None, SEED)
        shown["drawn faces"] = (source.image, source.rotation)
        for arm in ("first", *ARMS, *FUSION):
            kept = options.out / f"seed{seed}" / f"{arm}.json"
            if not kept.exists():
                torch.manual_seed(seed)
                if arm in FUSION:
                    module = fused(FUSION[arm], labelled, faces, data, weights, options)
                else:
                    module = carried_out(arm, data, faces, weights, options)
                kept.parent.mkdir(parents=True, exist_ok=True)
                if arm == "first" and not options.first:
                    module.save_weights(weights, {})
                write_file(kept, json.dumps({name: errors(module, *test) for name, test in shown.items()}).encode())
            told[seed, arm] = json.loads(kept.read_text())
            counts = {name: len(errors["pose_deg"]) for name, errors in told[seed, arm].items()}
            if counts != {name: len(rotation) for name, (_, rotation) in shown.items()}:
                raise SystemExit(f"{kept} was measured on other pictures ({counts}); remove it or give another folder")
    return told


def carried_out(
    arm: str, data: PoseAdaptationData, faces: CachedFaces, weights: Path, options: argparse.Namespace
) -> PoseModule:
    """One arm of one seed, trained."""
    network, half = FsaNetConfig(), options.bfloat16
    if arm == "first":
        if options.first:
            return PoseModule(network, initial_weights=str(weights))
        module = PoseModule(network, optimiser=optimiser(1e-3, options.first_steps), average=0.99)
        train(module, drawn(faces, range(data.source_first), data.plan, data), options.first_steps, half)
        return module
    settings, second = ARMS[arm], optimiser(options.rate, options.second_steps)
    rows = range(data.source_first, options.count)
    if settings is None:
        module = PoseModule(network, optimiser=second, average=0.99, initial_weights=str(weights))
        train(module, drawn(faces, rows, data.plan, data), options.second_steps, half)
        return module
    strength, jitter_deg = settings
    reversal = ReversalConfig("constant" if arm == "constant" else "ramp", strength)
    module = PoseAdaptationModule(network, str(weights), reversal, optimiser=second, average=0.99)
    if jitter_deg is None:
        batches = drawn(faces, rows, data.plan, data, data.adapted)
    else:
        data.pairing = PairingConfig(jitter_deg)
        batches = iter(data.pairs(StreamPlace()))
    train(module, batches, options.second_steps, half)
    return module


def fused(
    share: float,
    labelled: PosePictures,
    faces: CachedFaces,
    data: PoseAdaptationData,
    weights: Path,
    options: argparse.Namespace,
) -> PoseModule:
    """Phase one gone on with labelled pictures, which are this share of each batch."""
    second = optimiser(options.rate, options.second_steps)
    module = PoseModule(FsaNetConfig(), optimiser=second, average=0.99, initial_weights=str(weights))
    mixed = PoseFusionData(
        data.folder.as_posix(),
        DrawingConfig(SynthesisConfig()),
        LabelledConfig("", share=share),
        size=data.size,
        plan=data.plan,
    )
    batches = iter(FusionStream(faces, labelled, mixed, StreamPlace()))
    train(module, batches, options.second_steps, options.bfloat16)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder with the caches 'train' and 'held_out'")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--ict", type=Path, help="ICT-FaceKit: its people are the target")
    parser.add_argument("--engine", choices=("raster", "cycles"), default="cycles")
    parser.add_argument("--pictures", type=int, default=160, help="of ICT people")
    parser.add_argument("--side", type=int, default=192, help="of these pictures, px")
    parser.add_argument("--samples", type=int, default=16, help="paths a pixel")
    parser.add_argument("--target", type=Path, help="folder of unlabelled photos")
    parser.add_argument("--test", type=Path, help="folder of photos with points68.csv")
    parser.add_argument("--count", type=int, default=12288, help="drawn faces")
    parser.add_argument("--first", type=Path, help="weights of phase one, taught by other drawn faces than --faces")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--first-steps", type=int, default=6000)
    parser.add_argument("--second-steps", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=1e-4, help="of the second phase")
    parser.add_argument("--bfloat16", action="store_true", help="convolutions in bfloat16: twice as fast")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if (options.ict is None) == (options.target is None or options.test is None):
        parser.error("give --ict, or --target and --test")
    print_header(options.threads)
    told = study(options)
    for name in told[0, "first"]:
        # Fusion learns from the others' labels.
        report(told, name, options.seeds, ("first", *ARMS, *(FUSION if name == OTHER_PEOPLE else ())))


def report(told: Told, name: str, seeds: int, arms: Sequence[str]) -> None:
    """Print one set of pictures: errors of each arm, and what it gains on the supervised one."""
    rows, by_yaw = [], []
    for arm in arms:
        found = {k: np.array([told[seed, arm][name][k] for seed in range(seeds)]) for k in told[0, arm][name]}
        gain = np.array([told[seed, "supervised"][name]["pose_deg"] for seed in range(seeds)]) - found["pose_deg"]
        means = [f"{found[k].mean():.2f}" for k in ("pose_deg", "yaw_deg", "pitch_deg", "roll_deg", "geodesic_deg")]
        rows.append(
            [arm, *means, f"{gain.mean():.2f}", over_seeds(gain.mean(axis=1)), over_pictures(gain.mean(axis=0))]
        )
        turned = np.abs(found["true_yaw_deg"][0])
        within = [(turned >= low) & (turned < high) for low, high in RANGES_DEG]
        by_yaw.append([arm, *(f"{found['pose_deg'][:, part].mean():.2f}" for part in within)])
    count = len(told[0, "first"][name]["pose_deg"])
    heads = ["arm", "mean", "yaw", "pitch", "roll", "geodesic", "gain", "95 % over seeds", "95 % over pictures"]
    print_table(f"{name}: {count} pictures, degrees, means over {seeds} seeds", heads, rows)
    print_table(
        f"{name}: mean error by true yaw", ["arm", *(f"{low:.0f} to {high:.0f}" for low, high in RANGES_DEG)], by_yaw
    )


def over_seeds(gains: np.ndarray) -> str:
    """The interval of the mean gain of seeds by Student's distribution."""
    from scipy.stats import t

    if len(gains) < 2:
        return "-"
    half = float(t.ppf(0.975, len(gains) - 1)) * np.std(gains, ddof=1) / len(gains) ** 0.5
    return f"{gains.mean() - half:.2f} to {gains.mean() + half:.2f}"


def over_pictures(gains: np.ndarray) -> str:
    """The bootstrap interval of the mean gain of pictures."""
    drawn_again = np.random.default_rng(0).choice(gains, (2000, len(gains))).mean(axis=1)
    low, high = np.quantile(drawn_again, (0.025, 0.975))
    return f"{low:.2f} to {high:.2f}"


if __name__ == "__main__":
    main()
