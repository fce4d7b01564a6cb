"""How much larger the standard deviations of a 6D pose network must be for heads of another kind than those that taught it.

    python benchmarks/pose_adaptation_study.py --faces FACES -o study --ict FaceXModel ...
    python tools/pose_sigma.py study/framed_test pose.safetensors -o pose_scaled.safetensors

The pictures are framed ones with rotations, as ``recon.training.pose_pictures`` writes them: path-traced people of another face model.
The factor makes the ellipsoid of 68 % hold 68 % of three fifths of the people; what it holds of the others is printed. Photos are not asked.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from recon.networks.pose.checkpoint import load_pose_network, save_pose_network
from recon.networks.pose.sixd import SixdNetwork, with_scaled_sigma
from recon.training.pose_adaptation import adaptation_rows
from recon.training.pose_losses import CHI2_68, pose_metrics
from recon.training.pose_pictures import PosePictures, read_framed


@torch.no_grad()
def chi2(network: SixdNetwork, pictures: PosePictures) -> np.ndarray:
    """w^T C^-1 w of each picture."""
    crops, rotation = pictures.batch(range(len(pictures)), network.size, None, torch.Generator())
    assert rotation is not None
    parts = zip(crops.split(32), rotation.split(32), strict=True)
    return 3.0 * torch.cat([pose_metrics(network(part), told)["chi2"] for part, told in parts]).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="folder of framed pictures with rotations")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    network, header = load_pose_network(options.checkpoint, "sixd")
    assert isinstance(network, SixdNetwork)
    pictures = read_framed(options.pictures)
    measured, others = (pictures.part(rows) for rows in adaptation_rows(pictures.names, "inductive", 0.4))
    factor = float(np.sqrt(np.quantile(chi2(network, measured), 0.68) / CHI2_68))
    scaled = with_scaled_sigma(network, factor)
    for name, part in (("measured", measured), ("others", others)):
        before, after = (float((chi2(one, part) < CHI2_68).mean()) for one in (network, scaled))
        print(f"{name}: {len(part)} pictures, {before:.2f} in the ellipsoid of 68 % before and {after:.2f} after")
    print(f"factor {factor:.3f}")
    known = {"sigma_scale": f"{factor:.4f}", "step": header.get("step", "unknown")}
    # Those of uncertainty were the old ones.
    kept = {k: v for k, v in json.loads(header["metrics"]).items() if k not in ("val/chi2", "val/within")}
    save_pose_network(options.out, scaled, kept, known, torch.float16)


if __name__ == "__main__":
    main()
