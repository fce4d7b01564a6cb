"""Two roads to a person's shape and their sum: landmarks through the lifting network, and the picture through the identity network.

    python benchmarks/regress_roads.py --faces ablation/faces -o roads --ict FaceXModel --scans ict_traced --photos ytf68 lfw158

The identity network of the package was never asked for shapes, but people whom it tells apart differ in shape, too: a linear map (ridge
regression) from its embedding to the model's identity coefficients is the road through the picture. The sum adds to the lifting network's
answer what such a map tells of its error. Both maps are learnt on drawn faces (``--faces``: a folder with the caches ``whole`` and
``held_out``, as ``benchmarks/landmark_ablation.py`` draws them, each face another person) and measured on others: landmarks of the
neutral head after a similarity; on path-traced people of ICT-FaceKit (``--scans``: what ``benchmarks/ict_scans.py --engine cycles`` wrote),
by how far their 68 landmarks depart from the mean person's; and on photos named PERSON_NUMBER.jpg, by whether shapes of one
person are nearer than those of two. What was found in pictures is kept in the folder.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table
from ict_scans import kept_shots

import bfm
from bfm.landmarks import five_points_of_68
from bfm.loaders import ict
from recon.alignment import umeyama
from recon.detection import Face, detect, open_detector
from recon.detection.align import AlignmentError
from recon.inference.identity import FaceEmbedder
from recon.inference.landmarks import LandmarkRegressor
from recon.inference.lifting import FaceLifter
from recon.inference.regress import default_checkpoint
from recon.io.files import write_file
from recon.io.image import Photo, read_image
from recon.training.face_cache import FaceCache

RIDGE = 100.0
Seen = dict[str, np.ndarray]
"""``lifted`` ``(N, K)``, ``embedding`` ``(N, D)``, and what is known of the pictures."""
Road = Callable[[Seen], np.ndarray]


class Roads:
    """What both networks say of faces."""

    def __init__(self, model: bfm.MorphableModel) -> None:
        self.model, self.embedder = model, FaceEmbedder()
        self.lifter, self.landmarks = FaceLifter(model, default_checkpoint("open")), LandmarkRegressor(model=model)

    def look(self, photo: Photo, face: Face) -> tuple[np.ndarray, np.ndarray]:
        lifted = self.lifter(photo, face).coefficients.identity[0].numpy()
        return lifted, self.embedder(photo.pixels, face.points5)

    def drawn(self, folder: Path) -> Seen:
        """Of a cache; faces are framed by their true points, as after a first look."""
        cache, rows = FaceCache(folder), []
        for number in range(len(cache)):
            photo = Photo(np.array(cache.picture(number)))
            marks = cache.labels["landmarks520_px"][number, :68].astype(np.float64)
            box = np.concatenate((marks.min(axis=0), marks.max(axis=0)))
            try:
                dense = self.landmarks(photo.pixels, five_points_of_68(marks))
                points5 = five_points_of_68(dense.subset("68").points_px[:, :2])
                rows.append((*self.look(photo, Face(box, points5, 1.0, "open", dense=dense)), number))
            except AlignmentError:
                continue  # points that make no face
        seen = _stacked(rows)
        return {**seen, "identity": cache.labels["identity"][seen.pop("about")]}

    def found(self, pictures: Iterator[tuple[Path, object]]) -> Seen:
        """Of the face in the middle of each picture, with what is known of it."""
        rows = []
        with open_detector("open") as detector:
            for path, about in pictures:
                photo = read_image(path)
                faces = detect(photo.pixels, detector)
                middle = 0.5 * np.array(photo.pixels.shape[1::-1])
                if faces:
                    near = min(faces, key=lambda face: float(np.linalg.norm(face.points5.mean(axis=0) - middle)))
                    rows.append((*self.look(photo, near), about))
        return _stacked(rows)


def _stacked(rows: list[tuple[np.ndarray, np.ndarray, object]]) -> Seen:
    lifted, embedding, about = zip(*rows, strict=True)
    return {"lifted": np.stack(lifted), "embedding": np.stack(embedding), "about": np.array(about)}


def traced_people(folder: Path, facekit: Path) -> Iterator[tuple[Path, np.ndarray]]:
    """Pictures and the neutral heads' 68 landmarks."""
    subjects = ict.load(facekit)
    for person, _, path in kept_shots(folder, subjects):
        yield path, subjects.landmarks["68"].at(person.neutral, subjects.faces)


def kept(path: Path, find: Callable[[], Seen]) -> Seen:
    """What was found before, or is found now."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **find())
        write_file(path, content.getvalue())
    return dict(np.load(path))


def ridge(features: np.ndarray, wanted: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A linear map, learnt with every feature at unit deviation."""
    scale, mean = features.std(axis=0), features.mean(axis=0)
    x, y = (features - mean) / scale, wanted - wanted.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    return lambda given: (given - mean) / scale @ weights + wanted.mean(axis=0)


def roads_of(taught: Seen) -> dict[str, Road]:
    """By name."""
    seen = ridge(taught["embedding"], taught["identity"])
    more = ridge(taught["embedding"], taught["identity"] - taught["lifted"])
    return {
        "mean head": lambda given: np.zeros_like(given["lifted"]),
        "landmarks": lambda given: given["lifted"],
        "picture": lambda given: seen(given["embedding"]),
        "sum": lambda given: given["lifted"] + more(given["embedding"]),
    }


def order(within: np.ndarray, between: np.ndarray) -> float:
    """Share of pairs (one of each) in which the first is smaller, by ranks: there may be 10^9 of them."""
    return float(np.searchsorted(np.sort(within), between).sum() / (len(within) * len(between)))


def places(model: bfm.MorphableModel, identity: np.ndarray, name: str) -> torch.Tensor:
    """``(N, P, 3)`` landmarks of neutral heads, mm."""
    points = [model.landmarks(model.shape(part), name) for part in torch.from_numpy(identity).float().split(256)]
    return torch.cat(points).double()


def aligned(points: torch.Tensor, onto: torch.Tensor) -> torch.Tensor:
    """After a similarity."""
    scale, rotation, shift = umeyama(points, onto)
    return scale[:, None, None] * points @ rotation.transpose(1, 2) + shift[:, None]


def departure_of(points: torch.Tensor, mean_head: torch.Tensor) -> torch.Tensor:
    """From the mean over all, aligned to one head: what a model's own definition of points is, falls out."""
    laid = aligned(points, mean_head.expand(len(points), -1, -1))
    return laid - laid.mean(dim=0)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--ict", type=Path)
    parser.add_argument("--scans", type=Path)
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if (options.ict is None) != (options.scans is None):
        parser.error("--ict and --scans go together")
    print_header(options.threads)
    model = bfm.load("open")
    look = Roads(model)
    taught = kept(options.out / "whole.npz", lambda: look.drawn(options.faces / "whole"))
    held = kept(options.out / "held_out.npz", lambda: look.drawn(options.faces / "held_out"))
    roads, rows = roads_of(taught), []
    truth, mean_head = places(model, held["identity"], "520"), places(model, np.zeros((1, model.n_identity)), "68")
    for name, road in roads.items():
        off = (aligned(places(model, road(held), "520"), truth) - truth).norm(dim=-1).mean(dim=1)
        slope = (road(held) * held["identity"]).sum() / (held["identity"] ** 2).sum()
        rows.append((name, f"{off.mean():.2f}", f"{off.std() / len(off) ** 0.5:.2f}", f"{slope:.2f}"))
    heads = ("road", "520 landmarks, mm", "standard error", "slope of identity")
    print_table(f"{len(held['lifted'])} drawn faces, taught by {len(taught['lifted'])} others", heads, rows)
    if options.scans is not None:
        people = kept(options.out / "ict.npz", lambda: look.found(traced_people(options.scans, options.ict)))
        true, rows = departure_of(torch.from_numpy(people["about"]).double(), mean_head), []
        for name, road in roads.items():
            found = departure_of(places(model, road(people), "68"), mean_head)
            product, of_found, of_true = (found * true).sum(), (found**2).sum(), (true**2).sum()
            alike = f"{product / (of_found * of_true).sqrt():.2f}" if of_found > 0.0 else "-"
            off = (found - true).norm(dim=-1).mean()
            rows.append((name, f"{off:.2f}", f"{product / of_true:.2f}", alike))
        heads = ("road", "68 landmarks, mm", "slope", "correlation")
        print_table(f"{len(true)} path-traced pictures of ICT people, departures from the mean", heads, rows)
    for folder in options.photos:
        pictures = ((path, path.stem.split("_")[0]) for path in sorted(folder.glob("*_*.jpg")))
        seen, rows = kept(options.out / f"{folder.name}.npz", lambda shown=pictures: look.found(shown)), []
        first, second = np.triu_indices(len(seen["about"]), 1)
        same = seen["about"][first] == seen["about"][second]
        for name, road in list(roads.items())[1:]:
            shapes = places(model, road(seen), "520")
            laid = aligned(shapes, places(model, np.zeros((1, model.n_identity)), "520").expand(len(shapes), -1, -1))
            apart = torch.pdist(laid.flatten(1)).numpy()
            auc = order(apart[same], apart[~same])
            rows.append((name, f"{apart[~same].mean() / apart[same].mean():.2f}", f"{auc:.3f}"))
        print_table(f"{folder.name}: {len(same)} pairs of photos", ("road", "between over within", "AUC"), rows)


if __name__ == "__main__":
    main()
