"""Does an identity network tell people apart whom it never saw: all pairs of pictures.

    python benchmarks/identity.py --drawn runs/faces_identity/held_out
    python benchmarks/identity.py --photos ytf68 [--network FILE]            photos named PERSON_NUMBER.jpg

AUC is the share of pairs of pairs in the right order; the others are shares of pairs of one person found where one pair of two in ten,
or in a hundred, is taken for one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from _report import median_seconds, print_header, print_table

from recon.evaluation.metrics.embedding_pairs import PairSimilarities
from recon.inference.dense_landmark_detector import DenseLandmarkDetector
from recon.inference.identity import FaceEmbedder
from recon.io.image import read_image
from recon.networks.identity_checkpoint import DEFAULT_IDENTITY_NETWORK, load_identity_network
from recon.training.face_cache import FaceCache
from recon.training.identity_data import AlignmentJitter, CachedPeople

BATCH, SMALLEST_PX = 64, 20.0


@torch.no_grad()
def of_drawn(folder: Path, network: Path) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of a cache of drawn faces, and of whom each is."""
    people = json.loads((folder / "faces.json").read_text("utf-8"))["synthesis"]["identities"]
    cached = CachedPeople(FaceCache(folder), people)
    loaded, _ = load_identity_network(network)
    found, person = [], []
    for start in range(0, len(cached), BATCH):
        indices = list(range(start, min(start + BATCH, len(cached))))
        batch = cached.batch(indices, AlignmentJitter(0.0, 0.0), None, 0)
        found.append(loaded(2.0 * batch.image - 1.0).numpy())
        person.append(batch.person.numpy())
    return np.concatenate(found), np.concatenate(person)


def of_photos(folder: Path, network: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Embeddings of the largest faces of photos, of whom each is, and how many photos show none."""
    embed, found, names, missed = FaceEmbedder(network), [], [], 0
    with DenseLandmarkDetector() as detector:
        for path in sorted(folder.glob("*_*.jpg")):
            photo = read_image(path)
            faces = detector.detect(photo.pixels, SMALLEST_PX)
            if not faces:
                missed += 1
                continue
            found.append(embed(photo.pixels, faces[0].points5))
            names.append(path.stem.rsplit("_", 1)[0])
    return np.array(found), np.unique(names, return_inverse=True)[1], missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", type=Path, help="folder of drawn faces")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders of photos")
    parser.add_argument("--network", type=Path, default=DEFAULT_IDENTITY_NETWORK)
    options = parser.parse_args()
    print_header(1)
    rows = []
    if options.drawn is not None:
        rows.append(row_of("drawn", *of_drawn(options.drawn, options.network)))
    for folder in options.photos:
        embeddings, person, missed = of_photos(folder, options.network)
        rows.append(row_of(f"{folder.name} ({missed} without a face)", embeddings, person))
    columns = ("pictures", "number", "people", "AUC", "equal error, %", "found at 10 %", "found at 1 %", "its cosine")
    print_table("pairs", columns, rows)
    embed, picture = FaceEmbedder(options.network), np.zeros((400, 400, 3), np.uint8)
    points = 2.0 * np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)])
    print(
        f"{1e3 * median_seconds(lambda: embed(picture, points), 20)[0]:.1f} ms a face on one thread, crop and mirror image"
    )


def row_of(name: str, embeddings: np.ndarray, person: np.ndarray) -> list[str]:
    """Of the table."""
    pairs = PairSimilarities.of(embeddings.astype(np.float64), person)
    tenth, (hundredth, cosine) = pairs.accepted(0.1)[0], pairs.accepted(0.01)
    numbers = [
        str(len(person)),
        str(len(np.unique(person))),
        f"{pairs.auc():.3f}",
        f"{100.0 * pairs.equal_error_rate():.1f}",
    ]
    return [name, *numbers, f"{100.0 * tenth:.0f}", f"{100.0 * hundredth:.0f}", f"{cosine:.2f}"]


if __name__ == "__main__":
    main()
