"""Do heads of one person look alike, and heads of different people different?

Fits some photos each of some people on their own and compares the neutral shape of the face region, aligned to the mean
head with scale: the mean distance of vertices between two photos of one person (within) and of two people (between), and
the share of pairs of pairs in the right order (AUC, 0.5 is chance): a shape that does not tell people apart is an average.

    python benchmarks/likeness.py --data FOLDER --people 40 --photos 3     photos named PERSON_NUMBER.jpg
    python benchmarks/likeness.py --people 20 --photos 2                   drawn people, everything on, to 60 degrees of yaw
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _report import print_header, print_table

import bfm
from recon import Reconstructor
from recon.alignment import fit_similarity
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS
from recon.io.image import Photo, read_image
from recon.reconstructor import NoFaceError
from recon.synthesis import FaceSampler, SynthesisConfig

SEED, SIZE = 9241, (320, 320)
CONFIG = SynthesisConfig(
    framing="free", pose="300w-lp", yaw_deg=60.0, pitch_deg=25.0, roll_deg=20.0, head_share=(0.4, 0.75)
)
"""Of drawn people: other light, pose, expression, hair and camera in each picture."""


def photos_of(folder: Path, people: int, photos: int) -> dict[str, list[Path]]:
    """The first photos of the first people who have enough of them."""
    by_person: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*_*.jpg")):
        by_person.setdefault(path.stem.split("_")[0], []).append(path)
    enough = [(person, paths[:photos]) for person, paths in by_person.items() if len(paths) >= photos]
    if len(enough) < 2:
        raise SystemExit(f"{folder} holds {len(enough)} people with {photos} photos each, at least 2 are needed")
    return dict(enough[:people])


def drawn_people(model: bfm.MorphableModel, people: int, photos: int) -> Iterator[tuple[str, Photo]]:
    """So many pictures of each of so many drawn people, and whose they are."""
    sampler = FaceSampler(model, dataclasses.replace(CONFIG, identities=people), SEED, SIZE)
    for index in range(people * photos):
        face = sampler[index]
        pixels = (255.0 * face.image[0].clamp(0.0, 1.0)).round().byte().permute(1, 2, 0).contiguous().numpy()
        person = str(int(face.identity_number[0]))
        yield person, Photo(pixels, focal_px=None, source=f"picture {index} of person {person}")


def neutral_face(reconstructor: Reconstructor, photo: Photo, model: bfm.MorphableModel) -> np.ndarray | None:
    """The neutral face of the largest head of a photo, aligned to the mean head with scale: ``(V, 3)`` mm."""
    try:
        found = reconstructor.reconstruct(photo, faces="largest")
    except NoFaceError:
        return None
    region = model.region("face").numpy()
    shape = model.shape(found[0].identity)[0].double().numpy()[region]
    return np.asarray(fit_similarity(shape, model.mean_shape.double().numpy()[region]).apply(shape))


def order(within: np.ndarray, between: np.ndarray) -> float:
    """Share of pairs (one of each) in which the first is smaller; ties count half."""
    difference = between[None] - within[:, None]
    return float((difference > 0.0).mean() + 0.5 * (difference == 0.0).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of photos; without it people are drawn")
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--photos", type=int, default=3)
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="fast")
    parser.add_argument("--detector", choices=DETECTORS, default=DEFAULT_DETECTOR)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    print_header(arguments.threads)
    model = bfm.load("open")
    if arguments.data is None:
        pictures = drawn_people(model, arguments.people, arguments.photos)
    else:
        chosen = photos_of(arguments.data, arguments.people, arguments.photos)
        pictures = ((person, read_image(path)) for person, paths in chosen.items() for path in paths)
    reconstructor = Reconstructor(quality=arguments.quality, detector=arguments.detector)
    faces: list[np.ndarray] = []
    people: list[str] = []
    n_missed = 0
    for person, photo in pictures:
        face = neutral_face(reconstructor, photo, model)
        if face is None:
            n_missed += 1
            continue
        faces.append(face)
        people.append(person)
    within: list[float] = []
    between: list[float] = []
    for a, b in itertools.combinations(range(len(faces)), 2):
        distance = float(np.linalg.norm(faces[a] - faces[b], axis=1).mean())
        (within if people[a] == people[b] else between).append(distance)
    inside, outside = np.array(within), np.array(between)
    mean = model.mean_shape.double().numpy()[model.region("face").numpy()]
    departure = float(np.mean([np.linalg.norm(face - mean, axis=1).mean() for face in faces]))
    print_table(
        f"{len(faces)} photos of {len(set(people))} people, {n_missed} without a face",
        ("quality", "within [mm]", "between [mm]", "between / within", "AUC", "from the mean head [mm]"),
        [
            (
                arguments.quality,
                f"{inside.mean():.2f}",
                f"{outside.mean():.2f}",
                f"{outside.mean() / inside.mean():.2f}",
                f"{order(inside, outside):.3f}",
                f"{departure:.2f}",
            )
        ],
    )


if __name__ == "__main__":
    main()
