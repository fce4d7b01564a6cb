"""Whether what the identity network sees tells that two parts of a film show one person: real photos, two by two.

    python benchmarks/same_person.py --photos ytf68 [--keep DIR]

Photos are called ``PERSON_NUMBER.jpg``. Those of a person with even numbers are one part, those with odd ones another, as before and after a
cut; parts of other people are compared, too. :mod:`recon.tracking.people` joins parts whose cosine is above its threshold.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table

from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.inference.identity import FaceEmbedder
from recon.io.image import read_image
from recon.networks.identity_checkpoint import DEFAULT_IDENTITY_NETWORK
from recon.tracking.people import Appearance

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
SMALLEST_PX = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--most", type=int, default=4, help="photos of a person [4]")
    parser.add_argument("--network", type=Path, default=DEFAULT_IDENTITY_NETWORK, help="[the package's]")
    parser.add_argument("--keep", type=Path, help="folder in which what was seen is kept")
    arguments = parser.parse_args()
    print_header(1)
    kept = None if arguments.keep is None else arguments.keep / f"{arguments.photos.name}.npz"
    if kept is None or not kept.exists():
        seen = looked_at(arguments.photos, arguments.most, arguments.network)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.savez(kept, **seen)
    else:
        seen = dict(np.load(kept))
    parts = {}
    for person in np.unique(seen["who"]):
        for half in (0, 1):
            at = (seen["who"] == person) & (seen["k"] % 2 == half)
            if at.any():
                parts[str(person), half] = Appearance.of(seen["embedding"][at])
    people = sorted({person for person, _ in parts if (person, 0) in parts and (person, 1) in parts})
    same = np.array([parts[person, 0].likeness(parts[person, 1]) for person in people])
    other = np.array([parts[a, 0].likeness(parts[b, 1]) for i, a in enumerate(people) for b in people[i + 1 :]])
    auc = (same[:, None] > other[None]).mean()
    rows = [[f"{t:.2f}", f"{100.0 * (same > t).mean():.0f}", f"{100.0 * (other > t).mean():.1f}"] for t in THRESHOLDS]
    heading = f"{len(people)} people, {len(seen['who'])} photos: AUC {auc:.3f}, medians {np.median(same):.3f} and {np.median(other):.3f}"
    print_table(heading, ("joined above", "parts of one person, %", "of two, %"), rows)


@torch.no_grad()
def looked_at(photos: Path, most: int, network: Path) -> dict[str, np.ndarray]:
    """Embeddings of the largest faces, persons and numbers."""
    embed = FaceEmbedder(network)
    found: dict[str, list] = {"embedding": [], "who": [], "k": []}
    with DenseLandmarkDetector() as detector:
        for path in sorted(photos.glob("*_*.jpg")):
            person, number = path.stem.rsplit("_", 1)
            if int(number) >= most:
                continue
            photo = read_image(path)
            faces = detector.detect(photo.pixels, SMALLEST_PX)
            if not faces:
                continue
            found["embedding"].append(embed(photo.pixels, faces[0].points5))
            found["who"].append(person)
            found["k"].append(int(number))
    return {name: np.array(values) for name, values in found.items()}


if __name__ == "__main__":
    main()
