"""Heads fitted with and without depth that was measured with the photo: how far, how large, how well shaped.

    python benchmarks/measured_depth.py --heads 12 --quality fast

The heads are those of ``recon evaluate synthetic`` with everything on. Measured depth is that of the whole scene, reduced to a third
of the photo, off by a smooth error (sigma 2 mm, correlated over 8 pixels) and white noise (1 mm), with a tenth of its pixels missing in patches.
Fits know the focal length, or find it.
"""

from __future__ import annotations

import argparse
import dataclasses
import math

import numpy as np
import torch
from _report import print_header, print_table
from scipy.ndimage import gaussian_filter

import bfm
from recon.alignment import fit_similarity
from recon.detection.detect import open_detector
from recon.evaluation.protocols.synthetic import CONFIG, SEED, SIZE
from recon.io.image import Photo
from recon.io.measured_depth import MeasuredDepth
from recon.reconstruction import Reconstruction
from recon.reconstructor import Reconstructor
from recon.synthesis import FaceBatch, FaceSampler

REDUCED = 3
_SMOOTH_MM, _SMOOTH_PX, _WHITE_MM, _MISSING = 2.0, 8.0, 1.0, 0.1


def measured(face: FaceBatch, number: int) -> MeasuredDepth:
    """What a depth camera would give; the border that does not fill a whole pixel of the map is cut off by a repeated one."""
    rng = np.random.default_rng(number)
    whole = face.scene_depth_mm[0, 0].double().numpy()
    size = [side // REDUCED for side in whole.shape]
    at = [((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(size, whole.shape, strict=True)]
    depth_mm = whole[np.ix_(*at)]
    smooth = gaussian_filter(rng.normal(size=size), _SMOOTH_PX)
    holes = gaussian_filter(rng.normal(size=size), 3.0)
    noisy = depth_mm + _SMOOTH_MM * smooth / smooth.std() + _WHITE_MM * rng.normal(size=size)
    known = (depth_mm > 0.0) & (holes > np.quantile(holes, _MISSING))
    return MeasuredDepth(np.where(known, noisy, np.nan), source=f"head {number}")


def errors(head: Reconstruction, face: FaceBatch, region: np.ndarray) -> dict[str, float]:
    """Of one head."""
    model = head.model
    true_obj = model.shape(face.identity, face.expression)
    true_cam = (true_obj[0] @ face.rotation[0].T + face.translation_mm[0]).double().numpy()
    found_obj = head.vertices.astype(np.float64)
    rotation, shift = head.camera.rotation[0].double().numpy(), head.camera.translation_mm[0].double().numpy()
    found_cam = found_obj @ rotation.T + shift
    size = fit_similarity(true_obj[0].double().numpy()[region], found_obj[region], with_scale=True).scale
    rigid = fit_similarity(found_obj[region], true_cam[region], with_scale=False).apply(found_obj[region])
    distance_mm = -float(face.translation_mm[0, 2])
    return {
        "distance, %": 100.0 * abs(-shift[2] - distance_mm) / distance_mm,
        "size, %": 100.0 * abs(math.log(size)),
        "placed, mm": float(np.linalg.norm(found_cam[region] - true_cam[region], axis=1).mean()),
        "shape, mm": float(np.linalg.norm(rigid - true_cam[region], axis=1).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="default")
    options = parser.parse_args()
    print_header(1)
    model = bfm.load("open")
    sampler = FaceSampler(model, CONFIG, SEED, SIZE)
    region = model.region("face").numpy()
    found: dict[str, list[dict[str, float]]] = {}
    with open_detector("open") as detector, torch.no_grad():
        reconstructor = Reconstructor(model, quality=options.quality, detector=detector)
        for number in range(options.heads):
            face = sampler[number]
            pixels = (255.0 * face.image[0].clamp(0.0, 1.0)).round().byte().permute(1, 2, 0).contiguous().numpy()
            focal_px = float(face.intrinsics[0, 0, 0])
            photo = Photo(pixels, source=f"head {number}")
            try:
                at = reconstructor.detect(photo)[0]
            except ValueError as error:
                print(f"head {number}: {error}")
                continue
            depth = measured(face, number)
            for known, focal in (("known", focal_px), ("unknown", None)):
                for beside, given in (("photo", None), ("photo and depth", depth)):
                    shown = dataclasses.replace(photo, focal_px=focal, measured_depth=given)
                    head = reconstructor.fit_face(shown, at)
                    if given is not None and not math.isfinite(head.fit_report.depth_error_mm):
                        print(f"head {number}: {head.fit_report.warnings}")
                    found.setdefault(f"focal length {known}, {beside}", []).append(errors(head, face, region))
    names = list(next(iter(found.values()))[0])
    rows = [
        (name, len(values), *(f"{np.median([v[key] for v in values]):.2f}" for key in names))
        for name, values in found.items()
    ]
    print_table("median errors of heads", ("fit", "heads", *names), rows)


if __name__ == "__main__":
    main()
