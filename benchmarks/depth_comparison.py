"""Depth networks trained with one short budget, measured on the same held-out face crops.

    python benchmarks/depth_comparison.py --plan configs/depth/comparison.yaml --faces runs/faces_depth -o depth_comparison

The plan is one of ``recon evaluate ablation``; its rows are trained by train.py, which draws the faces of ``--faces`` if they are not
there, and what is trained is not trained again; with several ``--seeds`` each row is trained with each. Measured are skin pixels of crops in tight framing that no row trained with: RMSE after the
median scale, relative error, normals (the network's own, or those of its depth), parameters and multiply-adds of what is needed in use,
and seconds of one processor a training step, discriminators included.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from _report import print_header, print_table

from recon.camera import PerspectiveCamera
from recon.depth.geometry import depth_points, point_normals
from recon.evaluation.ablation import AblationPlan, Row, read_plan, train_command, train_facts
from recon.evaluation.ablation_stages import StageError, trained
from recon.io.names import folder_name
from recon.networks.complexity import counted
from recon.networks.depth.checkpoint import DepthNetwork, load_depth_network
from recon.networks.depth.crop_depth import CropDepthNetwork
from recon.training.depth_batch import DepthBatch
from recon.training.depth_data import CachedDepthFaces
from recon.training.depth_metrics import depth_metrics, normals_error_deg
from recon.training.face_cache import FaceCache
from recon.training.framing import CropJitter

BATCH = 8
ERRORS = (("scaled_rmse_mm", 2), ("rmse_mm", 1), ("abs_rel", 4), ("normals_deg", 1))
"""What is shown of each row, with its digits."""
_STILL = CropJitter(0.0, *[0.0] * 6)


def run(command: Sequence[str], log: Path) -> int:
    """A training as a process, with its output in a log."""
    with open(log, "ab") as file:
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode


@torch.no_grad()
def answered(network: DepthNetwork, batch: DepthBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth in mm, and normals: the network's own, or those of its depth by central differences."""
    if isinstance(network, CropDepthNetwork):
        found = network(batch.image)
        return found.depth_mm(batch.focal_sides), found.normals
    depth_mm = network.depth_mm(batch.image, batch.focal_sides)
    size = depth_mm.shape[-1]
    camera = PerspectiveCamera.at(size=(size, size), focal_px=(size * batch.focal_sides)[:, None].expand(-1, 2))
    normals, _ = point_normals(depth_points(depth_mm, camera), torch.ones_like(depth_mm, dtype=torch.bool))
    return depth_mm, normals


def measured(network: DepthNetwork, faces: CachedDepthFaces, count: int, size: int) -> dict[str, float]:
    """Means over the first faces of a cache."""
    sums: dict[str, float] = {}
    for start in range(0, count, BATCH):
        batch = faces.batch(list(range(start, min(start + BATCH, count))), size, _STILL, None, 0)
        depth_mm, normals = answered(network, batch)
        inside = torch.zeros_like(batch.face)
        inside[..., 1:-1, 1:-1] = True  # differences end a pixel before the border
        with_normal = batch.face & inside & (batch.normals != 0.0).any(dim=1, keepdim=True)
        values = {
            **depth_metrics(depth_mm, batch.depth_mm, batch.face),
            "normals_deg": normals_error_deg(normals, batch.normals, with_normal),
        }
        for name, each in values.items():
            sums[name] = sums.get(name, 0.0) + float(each.sum())
    return {name: total / count for name, total in sums.items()}


def cpu_seconds(folder: Path) -> str:
    """Of a step, as :class:`recon.training.progress.StepCost` logged it last."""
    logs = sorted(folder.rglob("metrics.csv"))
    if not logs:
        return "-"
    with open(logs[-1], newline="", encoding="utf-8") as file:
        told = [row["cpu_seconds"] for row in csv.DictReader(file) if row.get("cpu_seconds")]
    return f"{float(told[-1]):.2f}" if told else "-"


def trained_network(plan: AblationPlan, row: Row, seed: int, place: Path, faces: Path) -> DepthNetwork:
    """A row is trained unless it is."""
    command = [*train_command(plan, row, seed, place), "--data.init_args.folder", str(faces)]
    weights = trained(place, command, train_facts(plan, row, seed), run, lambda text: print(text, flush=True))
    return load_depth_network(weights)[0]


def shown(values: Sequence[float], digits: int) -> str:
    """The mean, and with several seeds half the range."""
    spread = f" ± {0.5 * (max(values) - min(values)):.{digits}f}" if len(values) > 1 else ""
    return f"{sum(values) / len(values):.{digits}f}{spread}"


def row_of_table(plan: AblationPlan, row: Row, options: argparse.Namespace) -> list[str]:
    """A row is trained with each seed and measured."""
    folder, found = options.out / folder_name(row.name), []
    for seed in options.seeds:
        network = trained_network(plan, row, seed, folder / f"seed{seed}", options.faces)
        faces = CachedDepthFaces(
            FaceCache(options.faces / "held_out", maps=True), options.margin
        )  # training draws them
        found.append(measured(network, faces, options.count, options.size))
    millions, gmac = counted(network, torch.zeros(1, 3, options.size, options.size))
    errors = [shown([each[name] for each in found], digits) for name, digits in ERRORS]
    return [row.name, *errors, f"{millions:.1f}", f"{gmac:.2f}", cpu_seconds(folder / f"seed{options.seeds[-1]}")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=Path, required=True, help="rows as those of recon evaluate ablation")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--faces", type=Path, default=Path("runs/faces_depth"), help="drawn faces [runs/faces_depth]")
    parser.add_argument("--count", type=int, default=128, help="held-out faces to measure with [128]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the trainings of each row [0]")
    parser.add_argument("--size", type=int, default=128, help="side of the crops, px [128]")
    parser.add_argument("--margin", type=float, default=0.3, help="crop_margin of the faces [0.3]")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    plan = read_plan(options.plan)
    print_header(1)
    rows = []
    for row in plan.rows:
        try:
            rows.append(row_of_table(plan, row, options))
        except StageError as error:
            print(f"{row.name}: {error}", file=sys.stderr)
            continue
        print("  ".join(rows[-1]), flush=True)
    columns = ("network", "scaled RMSE, mm", "RMSE, mm", "AbsRel", "normals, degrees", "M", "GMac", "CPU s a step")
    print_table(f"{options.count} held-out faces at {options.size} px", columns, rows)


if __name__ == "__main__":
    main()
