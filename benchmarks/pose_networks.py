"""Pose networks with one short budget: FSA-Net with each scoring, HopeNet, and our 6D network; equal faces, steps and batches.

    python benchmarks/pose_networks.py -o study --test ytf68 --ict FaceXModel --engine cycles

The faces are those of ``benchmarks/pose_backgrounds.py`` before drawn patterns, and so are the pictures that networks are measured on; both
share a folder. Networks with a backbone of timm begin with the features of the package's landmark network, ``--fresh`` with none. FSA-Net sees
64 px, with convolutions in bfloat16, the others 128 px in float32, as in their recipes. Nothing is chosen by a test. Finished networks are kept in the folder, so a run that was cut short goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table
from pose_adaptation_study import errors, train
from pose_backgrounds import batches, cached, tests

from recon.inference.landmarks import DEFAULT_LANDMARK_NETWORK
from recon.io.files import write_file
from recon.networks.complexity import counted
from recon.networks.pose.build import PoseNetworkConfig, build_pose_network
from recon.networks.pose.fsanet import FsaNetConfig
from recon.networks.pose.hopenet import HopeNetConfig
from recon.networks.pose.sixd import SixdConfig
from recon.training.pose_losses import PoseLossWeights
from recon.training.pose_module import PoseModule
from recon.training.schedule import OptimiserConfig
from recon.training.stream import BatchPlan

NETWORKS: dict[str, PoseNetworkConfig] = {
    "FSA-Net, variance": FsaNetConfig(scoring="variance"),
    "FSA-Net, 1x1 convolutions": FsaNetConfig(scoring="convolution"),
    "FSA-Net, uniform": FsaNetConfig(scoring="uniform"),
    "HopeNet": HopeNetConfig(backbone="mobilenetv4_small"),
    "6D": SixdConfig(backbone="mobilenetv4_small", size=128),
}
BINNED = PoseLossWeights(bins=1.0, expectation=0.01)
"""As in configs/pose/hopenet.yaml."""


def made(name: str, options: argparse.Namespace) -> PoseModule:
    """A network before its training."""
    config = NETWORKS[name]
    move = OptimiserConfig(
        "adam" if isinstance(config, FsaNetConfig) else "adamw",
        1e-3,
        0.02,
        warm_up=min(50, options.steps // 4 + 1),
        schedule="cosine",
        total=options.steps,
    )
    weights = BINNED if isinstance(config, HopeNetConfig) else None
    begun = options.fresh or isinstance(config, FsaNetConfig)
    backbone = None if begun else str(DEFAULT_LANDMARK_NETWORK)
    return PoseModule(config, weights=weights, optimiser=move, average=0.99, initial_backbone=backbone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--test", type=Path, help="folder of photos with points68.csv")
    parser.add_argument("--ict", type=Path, help="ICT-FaceKit")
    parser.add_argument("--engine", choices=("raster", "cycles"), default="cycles")
    parser.add_argument("--pictures", type=int, default=60, help="of ICT people")
    parser.add_argument("--side", type=int, default=192, help="of these pictures, px")
    parser.add_argument("--samples", type=int, default=16, help="paths a pixel")
    parser.add_argument("--count", type=int, default=4096, help="drawn heads")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="no features of the landmark network")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.photos = Path()
    print_header(options.threads)
    faces, held = cached(options, "patterns", False), {"patterns": cached(options, "patterns", True)}
    told: dict[str, list[dict[str, dict[str, list[float]]]]] = {name: [] for name in NETWORKS}
    for name, config in NETWORKS.items():
        shown = tests(options, held, config.size)
        for seed in range(options.seeds):
            kept = options.out / f"networks{'_fresh' if options.fresh else ''}" / f"{name} {seed}.json"
            if not kept.exists():
                torch.manual_seed(seed)
                module = made(name, options)
                stream = batches([faces], BatchPlan(options.batch, 1000 * seed), config.size)
                train(module, stream, options.steps, isinstance(config, FsaNetConfig))
                kept.parent.mkdir(parents=True, exist_ok=True)
                found = {where: errors(module, *test) for where, test in shown.items()}
                write_file(kept, json.dumps(found).encode())
            told[name].append(json.loads(kept.read_text()))
    sizes = {name: counted(build_pose_network(c), torch.zeros(1, 3, c.size, c.size)) for name, c in NETWORKS.items()}
    for where in told["6D"][0]:
        rows = []
        for name in NETWORKS:
            found = {k: np.array([each[where][k] for each in told[name]]) for k in told[name][0][where]}
            means = [f"{found[k].mean():.2f}" for k in ("pose_deg", "yaw_deg", "pitch_deg", "roll_deg", "geodesic_deg")]
            rows.append([name, *means, f"{sizes[name][0]:.2f}", f"{sizes[name][1]:.3f}"])
        columns = ("network", "mean", "yaw", "pitch", "roll", "geodesic", "M", "GMac")
        print_table(f"{where}: degrees, means over {options.seeds} seeds", columns, rows)


if __name__ == "__main__":
    main()
