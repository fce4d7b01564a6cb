"""Photos with depth of people that no network of ours has seen, in the layout ``pairs`` of ``recon evaluate depth``.

    python benchmarks/ict_depth.py --ict DIR -o ict_depth [--subjects 20] [--engine cycles]
    python benchmarks/ict_depth.py --ict DIR -o ict_depth --subjects 24 --scans ict_traced
    recon evaluate depth --data ict_depth --methods network fit mean --focal-px 1400 -o report

People, paint, poses and light are made as in ``ict_scans.py`` (identities of ICT-FaceKit, whose components come from real scans;
``--engine cycles`` path-traces them), with a seed of their own. ``--scans`` takes the people and photos that ``ict_scans.py`` has
left in a folder instead, which needs no path tracer. Depth and normals are those of the mesh; what counts is the skin of
the face that is seen. Beside each photo NAME.png lie NAME_depth.npy, NAME_normals.png, NAME_mask.png and NAME_camera.json, in which
the open model's mean head stands where its 51 inner landmarks are nearest to the person's.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from ict_scans import (
    DRAWN,
    ENGINES,
    SETTINGS,
    SIZE_PX,
    Painter,
    Person,
    Rasterised,
    Shot,
    Take,
    acted,
    begin,
    developed,
    sampled_people,
)
from ict_scans import SEED as SCANS_SEED

import bfm
from bfm.loaders import ict
from recon.alignment import fit_similarity
from recon.camera import PerspectiveCamera
from recon.export import write_file, write_normals_png
from recon.export.camera_json import camera_numbers
from recon.io.png import encode_png
from recon.lighting import ambient
from recon.render import Mesh, Render, render
from recon.synthesis.cycles.engine import CyclesSettings

SEED = 2025
_INNER = slice(17, 68)


def mean_head_camera(model: bfm.MorphableModel, marks_obj: np.ndarray, camera: PerspectiveCamera) -> PerspectiveCamera:
    """The camera with the pose of the model's mean head, which lies rigidly on a person's landmarks.

    Args:
        model: ours.
        marks_obj: ``(68, 3)`` of the neutral person, in the object frame of ``camera``.
        camera: of the person.
    """
    ours = model.landmarks(model.shape(), "68")[0].double().numpy()
    placed = fit_similarity(ours[_INNER], marks_obj[_INNER], with_scale=False)
    turn, shift = (torch.as_tensor(part, dtype=torch.float64) for part in (placed.rotation, placed.translation))
    rotation = camera.rotation.double()
    translation_mm = torch.einsum("bij,j->bi", rotation, shift) + camera.translation_mm.double()
    return camera.with_pose((rotation @ turn).float(), translation_mm.float())


@torch.no_grad()
def drawn(take: Take, raster: Rasterised) -> Render:
    """The person's depth and normals."""
    mesh = Mesh.of(take.v_obj[None], raster.topology, take.albedo[None])
    return render(mesh, take.camera, ambient(torch.ones(1, 3)), (SIZE_PX, SIZE_PX))


def write_truth(stem: Path, seen: Render, skin: np.ndarray, mean_head: PerspectiveCamera) -> None:
    """All that lies beside a photo.

    Args:
        stem: its path without suffix.
        seen: depth and normals.
        skin: ``(F,)`` which triangles are skin of the face.
        mean_head: camera with the pose of the mean head.
    """
    covered, ids = seen.covered[0, 0].numpy(), seen.triangle_ids[0].numpy().reshape(SIZE_PX, SIZE_PX)
    buffer = io.BytesIO()
    np.save(buffer, np.where(covered, seen.depth_mm[0, 0].numpy(), np.nan).astype(np.float32), allow_pickle=False)
    mask = np.where(covered & skin[ids.clip(0)], 255, 0).astype(np.uint8)
    numbers = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in camera_numbers(mean_head).items()}
    normals = np.where(covered[..., None], seen.normals[0].permute(1, 2, 0).numpy(), np.nan)
    write_file(stem.with_name(f"{stem.name}_depth.npy"), buffer.getvalue(), overwrite=True)
    write_file(stem.with_name(f"{stem.name}_mask.png"), encode_png(mask), overwrite=True)
    write_file(stem.with_name(f"{stem.name}_camera.json"), json.dumps({"camera": numbers}).encode(), overwrite=True)
    write_normals_png(stem.with_name(f"{stem.name}_normals.png"), normals, overwrite=True)


def write_taken(scans: Path, people: Iterable[Person], write: Callable[[Path, Person, Shot], None], out: Path) -> int:
    """Photos that ict_scans.py made, with their truth beside them; returns how many.

    Args:
        scans: its folder.
        people: in it.
        write: what lies beside a photo, by its path without suffix.
        out: where to.
    """
    count = 0
    for person in people:
        for shot in person.shots:
            photo = scans / person.name / shot.name
            if not photo.is_file():
                continue
            stem = out / f"{person.name}_{Path(shot.name).with_suffix('').as_posix().replace('/', '_')}"
            write(stem, person, shot)
            write_file(stem.with_suffix(".png"), photo.read_bytes(), overwrite=True)
            count += 1
        print(f"{person.name}: {count} photos so far", flush=True)
    return count


def taken_settings(scans: Path) -> tuple[str, int]:
    """Engine and photos of each kind of a folder that ict_scans.py made.

    Raises:
        SystemExit: it is none, or of other people.
    """
    try:
        found = json.loads((scans / "scans.json").read_text(encoding="utf-8"))
        engine, photos, seed = str(found["engine"]), int(found["photos"]), found["seed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{scans} is no folder of ict_scans.py: {error}") from None
    if seed != SCANS_SEED:
        raise SystemExit(f"{scans} holds people of seed {seed}, this version makes those of {SCANS_SEED}")
    return engine, photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ict", type=Path, required=True, help="ICT-FaceKit's repository or its FaceXModel folder")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--subjects", type=int, default=20, help="people, one photo of each kind each [20]")
    parser.add_argument("--engine", choices=ENGINES, default="raster", help="what renders the photos [raster]")
    parser.add_argument("--samples", type=int, default=24, help="paths a pixel of Cycles [24]")
    parser.add_argument("--scans", type=Path, help="take people and photos of this folder of ict_scans.py")
    options = parser.parse_args()
    taken = None if options.scans is None else taken_settings(options.scans)
    begin(options.out, taken[0] if taken else options.engine, taken[1] if taken else 1, options.samples)
    subjects, model = ict.load(options.ict), bfm.load("open")
    painter = Painter.of(model, subjects)
    keep = np.any([subjects.regions[name] for name in DRAWN], axis=0)
    faces = subjects.faces[keep[subjects.faces].all(axis=1)]
    skin = subjects.regions["face"][faces].all(axis=1)
    settings = CyclesSettings(samples=options.samples)
    raster = Rasterised(subjects, faces, settings)
    if taken is not None:

        def write(stem: Path, person: Person, shot: Shot) -> None:
            marks = subjects.landmarks["68"].at(person.neutral, subjects.faces) - shot.acting.mean(axis=0)
            camera = mean_head_camera(model, marks, shot.take.camera)
            write_truth(stem, drawn(shot.take, raster), skin, camera)

        people = sampled_people(subjects, painter, options.subjects, taken[1])
        if not write_taken(options.scans, people, write, options.out):
            raise SystemExit(f"{options.scans} holds no photos of the first {options.subjects} people")
        return
    engine = ENGINES[options.engine](subjects, faces, settings)
    rng, number = np.random.default_rng(SEED), 0
    for person in range(options.subjects):
        identity = rng.normal(size=subjects.identity_basis.shape[2])
        neutral = (subjects.mean_shape + subjects.identity_basis @ identity).astype(np.float64)
        albedo = painter.albedo(rng.normal(size=model.n_albedo) * 0.8)
        marks = subjects.landmarks["68"].at(neutral, subjects.faces)
        for setting in SETTINGS:
            acting = acted(neutral, subjects, setting.expression, rng)
            take = Take.sampled(acting, albedo, setting, rng, number)
            noise = rng.normal(0.0, 1.5, (SIZE_PX, SIZE_PX, 3))  # sampled for kept photos, too
            number += 1
            stem = options.out / f"person{person:02d}_{setting.name}"
            path = stem.with_suffix(".png")
            if not path.exists():
                camera = mean_head_camera(model, marks - acting.mean(axis=0), take.camera)
                write_truth(stem, drawn(take, raster), skin, camera)
                write_file(path, encode_png(developed(engine.photo(take), noise)))
        print(f"person {person}: {len(SETTINGS)} photos", flush=True)


if __name__ == "__main__":
    main()
