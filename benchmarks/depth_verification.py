"""How much of the person does made depth keep? The verifier of Pini et al. 2018 is asked about true and about made depth.

    python train.py fit --config configs/depth/pini_verifier.yaml
    python benchmarks/depth_verification.py --verifier runs/pini_verifier/version_0/best.safetensors \
        --faces runs/faces_depth_people/held_out

People of ``--faces`` are those that the verifier's training kept apart: face k is of person k modulo their number. A1 are faces whose
yaw, pitch and roll are all within 10 degrees, A2 the rest (Eq. 7). The paper's accuracies stand beside ours: they are of measured
depth of Pandora, other data. Sequences of simple and of complex movement, its other split, do not exist here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table

from recon.evaluation.metrics.verification import POSES, FacePairs, accuracy_by_subset, draw_pairs, pose_subset
from recon.inference.depth import DEPTH_NETWORKS
from recon.networks.depth.checkpoint import load_depth_network
from recon.networks.depth.crop_depth import CLASSES, CropDepthNetwork
from recon.networks.depth.pini import SIDE_PX
from recon.networks.depth.relief_code import relief_code
from recon.networks.depth.siamese import SiameseVerifier
from recon.networks.depth.verifier_checkpoint import load_verifier
from recon.networks.pose.prediction import rotation_to_angles
from recon.training.depth_data import CachedDepthFaces
from recon.training.face_cache import FaceCache
from recon.training.framing import CropJitter

BATCH = 32
PAPER = {"A1": (0.7917, 0.7950), "A2": (0.7576, 0.7007), "all": (0.7664, 0.7247)}
"""Table 2 of Pini et al. 2018, all sequences: original depth, generated depth."""
_STILL = CropJitter(0.0, *[0.0] * 6)


@torch.no_grad()
def codes(faces: CachedDepthFaces, network: CropDepthNetwork, side_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``(N, 1, 96, 96)`` of true and of made depth.

    Args:
        faces: of the people.
        network: that makes depth.
        side_px: of the crops that it sees, a multiple of 96.
    """
    true, made = [], []
    for start in range(0, len(faces), BATCH):
        batch = faces.batch(list(range(start, min(start + BATCH, len(faces)))), side_px, _STILL, None, 0)
        found = network(batch.image)
        head = (found.classes.argmax(dim=1) != CLASSES.index("background"))[:, None]
        for kept, depth_mm, known in (
            (true, batch.depth_mm, batch.known),
            (made, found.depth_mm(batch.focal_sides), head),
        ):
            kept.append(torch.nn.functional.avg_pool2d(relief_code(depth_mm, known), side_px // SIDE_PX))
    return torch.cat(true), torch.cat(made)


@torch.no_grad()
def similarities(verifier: SiameseVerifier, maps: torch.Tensor, pairs: FacePairs) -> np.ndarray:
    """``(P,)`` in [0, 1]."""
    ends = (torch.from_numpy(end).split(8 * BATCH) for end in (pairs.first, pairs.second))
    logits = [verifier(maps[first], maps[second]) for first, second in zip(*ends, strict=True)]
    return torch.sigmoid(torch.cat(logits)).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verifier", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True, help="folder of drawn faces with maps")
    parser.add_argument("--network", type=Path, default=DEPTH_NETWORKS["open"], help="that makes depth [the package's]")
    parser.add_argument("--margin", type=float, default=0.3, help="crop_margin of the faces [0.3]")
    parser.add_argument("--pairs", type=int, default=2000)
    options = parser.parse_args()
    verifier, _ = load_verifier(options.verifier)
    network, _ = load_depth_network(options.network)
    if not isinstance(network, CropDepthNetwork):
        parser.error(f"{options.network} is no network of face crops")
    cache = FaceCache(options.faces, maps=True)
    _, persons = np.unique(cache.labels["identity"], axis=0, return_inverse=True)
    angles = rotation_to_angles(torch.from_numpy(cache.labels["rotation"])).numpy()
    poses = [pose_subset(three) for three in angles]
    pairs = draw_pairs(persons.tolist(), options.pairs)
    print_header()
    print(f"{len(cache)} faces of {persons.max() + 1} people, {poses.count('A1')} of them A1, {options.pairs} pairs")
    both = codes(CachedDepthFaces(cache, options.margin), network, 2 * SIDE_PX)
    rows = []
    for k, (name, maps) in enumerate(zip(("true", "made"), both, strict=True)):
        found = accuracy_by_subset(similarities(verifier, maps, pairs), pairs, poses, ["S123"] * len(poses))
        ours = [f"{found[(pose, 'all')]:.3f}" for pose in POSES]
        rows.append((name, *ours, *(f"{PAPER[pose][k]:.3f}" for pose in POSES)))
    print_table("share of pairs told right", ("depth", *POSES, *(f"paper: {pose}" for pose in POSES)), rows)


if __name__ == "__main__":
    main()
