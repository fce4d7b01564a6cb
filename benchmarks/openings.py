"""How well openings of eyes and mouth are found, on drawn faces; whether a wink is a wink and shut eyes are shut.

    python benchmarks/openings.py --faces 40 --winks 10

The first table holds drawn faces with everything on, yaw to 45 degrees: mean absolute error of the distance between upper and
lower lid, and between the inner lips, of the head that was found, brought to the true head's size; of openings that can be
seen. "one opening for all" is the error of the best constant, which no method should miss. The second holds faces with nothing
but one lid or both lids shut, yaw to 30 degrees: the weights of lids found.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import torch
from _report import print_header, print_table

import bfm
from bfm.landmarks import EYELIDS_68, INNER_LIPS_68
from recon import Reconstructor
from recon.alignment import fit_similarity
from recon.io.image import Photo
from recon.reconstructor import NoFaceError, Reconstruction
from recon.synthesis import FaceBatch, FaceSampler, SynthesisConfig
from recon.synthesis.scene.heads import sample_heads

SEED, SIZE = 4127, (384, 384)
OPENINGS = {"eyelids": EYELIDS_68, "lips": INNER_LIPS_68}
LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
SHUT_LEAST, OPEN_MOST, BOTH_LEAST = 0.8, 0.1, 0.9
"""Weights that make a wink (of the shut lid, of the open one) and two shut eyes."""


def config(yaw_deg: float) -> SynthesisConfig:
    return SynthesisConfig(
        framing="free", pose="biwi", yaw_deg=yaw_deg, pitch_deg=20.0, roll_deg=15.0, head_share=(0.5, 0.8)
    )


def photo_of(face: FaceBatch, name: str) -> Photo:
    pixels = (255.0 * face.image[0].clamp(0.0, 1.0)).round().byte().permute(1, 2, 0).contiguous().numpy()
    return Photo(pixels, focal_px=float(face.intrinsics[0, 0, 0]), source=name)


def found_head(reconstruct: Reconstructor, face: FaceBatch, name: str) -> Reconstruction | None:
    photo = photo_of(face, name)
    try:
        return reconstruct.fit_face(photo, reconstruct.detect(photo)[0])
    except NoFaceError:
        return None


def openings_mm(model: bfm.MorphableModel, vertices: torch.Tensor, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    points = model.landmarks68(vertices[None])[0].numpy()
    upper, lower = np.array(pairs).T
    return np.asarray(np.linalg.norm(points[upper] - points[lower], axis=1))


def drawn_faces(reconstruct: Reconstructor, count: int) -> None:
    model = reconstruct.model
    sampler = FaceSampler(model, config(45.0), SEED, SIZE)
    region = model.region("face")
    true: dict[str, list[np.ndarray]] = {name: [] for name in OPENINGS}
    wrong: dict[str, list[np.ndarray]] = {name: [] for name in OPENINGS}
    missed = 0
    for number in range(count):
        face = sampler[number]
        head = found_head(reconstruct, face, f"face {number}")
        if head is None:
            missed += 1
            continue
        truth = model.shape(face.identity, face.expression)[0]
        vertices = torch.from_numpy(head.vertices)
        size = fit_similarity(vertices[region].double().numpy(), truth[region].double().numpy()).scale
        for name, pairs in OPENINGS.items():
            seen = face.landmarks68_visible[0][torch.tensor(pairs)].all(dim=1).numpy()
            mm = openings_mm(model, truth, pairs)
            true[name].append(mm[seen])
            wrong[name].append((size * openings_mm(model, vertices, pairs) - mm)[seen])
    rows = []
    for name in OPENINGS:
        mm, error = np.concatenate(true[name]), np.concatenate(wrong[name])
        figures = (np.abs(error).mean(), error.mean(), np.abs(mm - np.median(mm)).mean(), mm.mean())
        slope = np.polyfit(mm, mm + error, 1)[0]
        rows.append((name, len(mm), *(f"{value:.2f}" for value in figures), f"{slope:.2f}"))
    columns = ["", "openings", "error, mm", "mean, mm", "one opening for all, mm", "true mean, mm", "slope"]
    print_table(f"{count} drawn faces, {missed} not found", columns, rows)


def winks(reconstruct: Reconstructor, count: int) -> None:
    model = reconstruct.model
    sampler = FaceSampler(model, dataclasses.replace(config(30.0), glasses=0.0, occluders=0.0), SEED + 1, SIZE)
    at = [model.expression_names.index(name) for name in LIDS]
    rows = []
    for name, weights in {"left shut": (1.0, 0.0), "right shut": (0.0, 1.0), "both shut": (1.0, 1.0)}.items():
        found = []
        for number in range(count):
            heads = sample_heads(model, sampler.config, sampler.seed, [number])
            expression = torch.zeros_like(heads.expression)
            expression[:, at] = torch.tensor(weights)
            face = sampler.render(sampler.scene_of(dataclasses.replace(heads, expression=expression)))
            head = found_head(reconstruct, face, f"{name} {number}")
            if head is not None:
                found.append([head.expression_weights[lid] for lid in LIDS])
        lids = np.array(found).reshape(-1, 2)
        good = np.where(np.array(weights) > 0.5, lids >= SHUT_LEAST, lids <= OPEN_MOST).all(axis=1)
        if min(weights) > 0.5:
            good = (lids >= BOTH_LEAST).all(axis=1)
        rows.append((name, len(lids), *(f"{value:.2f}" for value in lids.mean(axis=0)), int(good.sum())))
    title = f"lids of {count} people: a wink is >= {SHUT_LEAST} and <= {OPEN_MOST}, shut eyes are >= {BOTH_LEAST} both"
    print_table(title, ["", "found", *LIDS, "right"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=40, help="drawn faces [40]")
    parser.add_argument("--winks", type=int, default=10, help="people of each kind of shut lids [10]")
    parser.add_argument("--method", choices=("fit", "hybrid", "regress"), default="fit")
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="default")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print_header(options.threads)
    reconstruct = Reconstructor(method=options.method, quality=options.quality)
    if options.faces:
        drawn_faces(reconstruct, options.faces)
    if options.winks:
        winks(reconstruct, options.winks)


if __name__ == "__main__":
    main()
