"""What the parts of drawn faces teach a landmark network: the same network, trained on faces that lack one part each.

    python benchmarks/landmark_ablation.py -o ablation --test ytf68 --ict FaceXModel --scans ict_traced

The same heads are drawn anew without hair, without beards, in even light, from the front, and so on, and a network is trained on each for the
same number of steps of the same order; what cameras do is left out of what happens to crops. The network of the whole
recipe is trained with several seeds, by which the spread of one run is known. Measured are clean crops of held-out drawn faces with everything else on, one
frame of each person of one half of a folder with ``points68.csv``, and path-traced people of ICT-FaceKit (``--scans``: what
``benchmarks/ict_scans.py --engine cycles --photos 1`` wrote). Every network sees the same crops, framed by the network of the package. Errors are those
of the 51 inner points, percent of the root of the area of the points' box, with each point's mean offset taken off on photos and other models, where points
are defined otherwise. Finished caches and networks are kept in the folder, so a run that was cut short goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import yaml
from _report import print_header, print_table
from ict_scans import kept_shots
from landmarks import photos_of
from pose_adaptation_study import optimiser, over_pictures, train

from bfm.landmarks import five_points_of_68
from bfm.loaders import ict
from recon.detection import detect, open_detector
from recon.detection.align import align
from recon.io.files import write_file
from recon.io.image import read_image
from recon.networks.landmark_network import LandmarkNetworkConfig
from recon.synthesis import SynthesisConfig
from recon.training.degrade import Degradation
from recon.training.face_cache import FaceCache, FaceCacheConfig, synthesize_faces
from recon.training.framing import CropJitter
from recon.training.landmark_batch import LandmarkBatch
from recon.training.landmark_data import CachedFaces
from recon.training.landmark_module import LandmarkModule
from recon.training.stream import BatchPlan, EndlessOrder, StreamPlace, step_seed

SIDE_PX, CROP_PX, TESTED, SEED, HELD_OUT_SEED = 144, 96, 512, 500, 7_919_500
DRAWN, INNER = "drawn faces", slice(17, 68)
NETWORK = LandmarkNetworkConfig(size=CROP_PX, point_sets=("520",))
RECIPE = Path(__file__).parents[1] / "configs" / "landmarks.yaml"
WHOLE = SynthesisConfig.of(yaml.safe_load(RECIPE.read_text())["data"]["init_args"]["drawing"]["synthesis"])
"""The faces of configs/landmarks.yaml."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """What differs from the whole recipe: settings of the drawn faces, and of what happens to crops of them."""

    drawn: dict[str, object] = dataclasses.field(default_factory=dict)
    crops: dict[str, float] = dataclasses.field(default_factory=dict)


CAMERA = ("exposure", "gamma", "colour", "saturation", "gray", "patches", "low_resolution", "blur", "noise", "jpeg")
ARMS = {
    "hair and brows": Arm({"hair": 0.0}),
    "beards": Arm({"beard": 0.0}),
    "glasses, hands, hats, things": Arm({"glasses": 0.0, "occluders": 0.0}),
    "light, shadows, highlights, scattering, occlusion": Arm(
        dict.fromkeys(("lighting", "shadows", "specular", "subsurface", "ambient_occlusion"), 0.0)
    ),
    "colours of people, pores, make-up": Arm({"albedo": 0.0, "skin_detail": 0.0, "make_up": 0.0}),
    "shapes of people": Arm({"identity": 0.0}),
    "expressions, gaze": Arm({"expression": 0.0, "gaze": 0.0, "eyelids": 0.0}),
    "yaw beyond 30, pitch beyond 15": Arm({"yaw_deg": 30.0, "pitch_deg": 15.0}),
    "backgrounds": Arm({"background": "plain"}),
    "all that cameras do": Arm(crops=dict.fromkeys(CAMERA, 0.0)),
}
"""What is left out."""


@dataclasses.dataclass(frozen=True, eq=False)
class Test:
    """Crops with their points.

    Attributes:
        crops: ``(N, 3, S, S)``.
        points: ``(N, 68, 2)`` in shares of the crop's side from the middle.
        offsets_off: points are defined otherwise than ours: each one's mean offset is no error.
    """

    crops: torch.Tensor
    points: torch.Tensor
    offsets_off: bool


def cached(options: argparse.Namespace, drawn: dict[str, object], held_out: bool = False) -> CachedFaces:
    """Faces of the recipe with some settings changed; those that are there are kept."""
    changed = "_".join(f"{name}_{value}" for name, value in drawn.items()) or "whole"
    folder = options.out / "faces" / ("held_out" if held_out else changed)
    count, seed = (TESTED, HELD_OUT_SEED) if held_out else (options.count, SEED)
    look = dataclasses.replace(WHOLE, **drawn)  # type: ignore[arg-type]
    synthesize_faces(folder, FaceCacheConfig(look, seed=seed, size=SIDE_PX, count=count), options.workers)
    return CachedFaces(FaceCache(folder, count), NETWORK.point_sets, WHOLE.crop_margin)


def batches(faces: CachedFaces, plan: BatchPlan, degradation: Degradation) -> Iterator[LandmarkBatch]:
    """Framed and degraded anew in every pass, as in training."""
    for step, chosen in enumerate(EndlessOrder(len(faces), plan, StreamPlace())):
        yield faces.batch(chosen, CROP_PX, CropJitter(), degradation, step_seed(plan.seed + 1, step, 0))


def labelled_photos(options: argparse.Namespace) -> Iterator[tuple[Path, np.ndarray]]:
    """One frame of each person, with its points."""
    for photo in photos_of(options.test, options.half):
        yield photo.path, photo.labels


def traced_people(options: argparse.Namespace) -> Iterator[tuple[Path, np.ndarray]]:
    """Pictures of ICT people, with the points of their own heads."""
    subjects = ict.load(options.ict)
    for _, shot, path in kept_shots(options.scans, subjects):
        marks = torch.from_numpy(subjects.landmarks["68"].at(shot.take.v_obj.numpy(), subjects.faces)).float()
        camera = shot.take.camera
        yield path, camera.to_pixels(camera.to_camera(marks[None]))[0].numpy()


def framed(photos: Iterator[tuple[Path, np.ndarray]]) -> Test:
    """Crops as the package's network frames them on its second look; photos without a face at the place are left out."""
    crops, points = [], []
    with open_detector("open") as detector:
        for path, labels in photos:
            pixels, middle = read_image(path).pixels, labels.mean(axis=0)
            found = detect(pixels, detector)
            near = min(found, key=lambda face: float(np.linalg.norm(face.points5.mean(axis=0) - middle)), default=None)
            size = float(np.sqrt(np.prod(np.ptp(labels, axis=0))))
            if near is None or near.dense is None or np.linalg.norm(near.points5.mean(axis=0) - middle) > 0.5 * size:
                continue
            looked_at = five_points_of_68(near.dense.subset("68").points_px[:, :2])
            alignment = align(looked_at, CROP_PX, remove_roll=True)
            crops.append(torch.from_numpy(alignment.crop(pixels).copy()).permute(2, 0, 1).float() / 255.0)
            points.append(torch.from_numpy(alignment.crop_points(labels) / CROP_PX - 0.5).float())
    return Test(torch.stack(crops), torch.stack(points), True)


def tests(options: argparse.Namespace) -> dict[str, Test]:
    """All that is measured."""
    held = cached(options, {}, held_out=True)
    shown = held.batch(list(range(len(held))), CROP_PX, CropJitter(wide_share=0.0), None, SEED)
    found = {DRAWN: Test(shown.image, shown.points[:, :68, :2], False)}
    if options.test is not None:
        found["video frames"] = framed(labelled_photos(options))
    if options.scans is not None:
        found["path-traced people"] = framed(traced_people(options))
    return found


@torch.no_grad()
def errors(module: LandmarkModule, test: Test) -> list[float]:
    """Of each picture, percent."""
    network = module.averaged.eval()
    found = torch.cat([network(crops).points[:, :68, :2] for crops in test.crops.split(64)])
    difference = found - test.points
    if test.offsets_off:
        difference = difference - difference.mean(dim=0)
    box = (test.points.amax(dim=1) - test.points.amin(dim=1)).prod(dim=-1).sqrt()
    each = 100.0 * difference[:, INNER].norm(dim=-1).mean(dim=1) / box
    return [float(value) for value in each]


def trained(options: argparse.Namespace, arm: Arm, seed: int) -> LandmarkModule:
    """The network of an arm."""
    torch.manual_seed(seed)
    faces = cached(options, arm.drawn)
    module = LandmarkModule(NETWORK, optimiser=optimiser(2e-3, options.steps), average=0.99)
    mean = faces.mean_points()
    for one in (module.network, module.averaged):
        one.start_from(mean)
    degradation = dataclasses.replace(Degradation(), **arm.crops)
    train(module, batches(faces, BatchPlan(options.batch, 1000 * seed), degradation), options.steps, False)
    return module


def begin(options: argparse.Namespace) -> None:
    """Refuse a folder with results of another budget or other tests.

    Raises:
        SystemExit: it holds them.
    """
    names = ("count", "steps", "batch", "half", "test", "scans")
    wanted = {name: str(getattr(options, name)) for name in names}
    description = options.out / "study.json"
    options.out.mkdir(parents=True, exist_ok=True)
    if not description.exists():
        write_file(description, json.dumps(wanted).encode())
    if (found := json.loads(description.read_text())) != wanted:
        raise SystemExit(f"{options.out} holds results of {found}, asked for are {wanted}; give another folder")


def study(options: argparse.Namespace) -> dict[str, list[dict[str, list[float]]]]:
    """Errors of all arms and their seeds; those that are there are read."""
    begin(options)
    wanted = {"whole": (Arm(), options.seeds), **{name: (arm, 1) for name, arm in ARMS.items()}}
    shown: dict[str, Test] = {}
    told: dict[str, list[dict[str, list[float]]]] = {}
    for name, (arm, seeds) in wanted.items():
        told[name] = []
        for seed in range(seeds):
            kept = options.out / "found" / f"{name.replace(' ', '_').replace(',', '')}-{seed}.json"
            if not kept.exists():
                shown = shown or tests(options)
                module = trained(options, arm, seed)
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_file(kept, json.dumps({name: errors(module, test) for name, test in shown.items()}).encode())
            told[name].append(json.loads(kept.read_text()))
            print({test: round(float(np.mean(values)), 2) for test, values in told[name][-1].items()}, name, flush=True)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--test", type=Path, help="folder of photos with points68.csv")
    parser.add_argument("--half", choices=("choose", "state"), default="choose")
    parser.add_argument("--ict", type=Path, help="ICT-FaceKit, whose people the scans are")
    parser.add_argument("--scans", type=Path, help="path-traced pictures of its people")
    parser.add_argument("--count", type=int, default=3072, help="drawn faces of each arm")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=2, help="of the whole recipe")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if (options.ict is None) != (options.scans is None):
        parser.error("--ict and --scans go together")
    print_header(options.threads)
    told = study(options)
    whole = {test: np.array([one[test] for one in told["whole"]]) for test in told["whole"][0]}
    rows = []
    for name, seeds in told.items():
        row = [name]
        for test, base in whole.items():
            found = np.array([one[test] for one in seeds])
            if name == "whole":
                row += [f"{found.mean():.2f}", f"seeds {' '.join(f'{mean:.2f}' for mean in found.mean(axis=1))}", ""]
            else:
                more = found[0] - base[0]  # the same seed: the same heads in the same order
                row += [f"{found.mean():.2f}", f"{more.mean():+.2f}", over_pictures(more)]
        rows.append(row)
    heads = ["without"]
    for test, base in whole.items():
        heads += [f"{test} ({base.shape[1]})", "more", "95 %"]
    print_table(
        f"inner 51 points, percent; {options.steps} steps of {options.batch} crops of {CROP_PX} px", heads, rows
    )


if __name__ == "__main__":
    main()
