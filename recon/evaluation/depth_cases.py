"""Photos of faces with known depth for comparing methods: drawn heads, and folders."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import bfm
from recon.evaluation.depth_folder import DepthItem, face_mask, find_depth
from recon.evaluation.depth_methods import DepthCase
from recon.evaluation.protocols.synthetic import CONFIG, SEED, SIZE
from recon.evaluation.reports.result import Skipped
from recon.io.faults import UsageError
from recon.io.image import Photo
from recon.synthesis import FaceSampler, SynthesisConfig, SynthesisConfigError
from recon.synthesis.sample import FaceBatch


@dataclasses.dataclass(frozen=True, eq=False)
class CaseSource:
    """A set of cases.

    Attributes:
        names: of the cases.
        load: makes a case by its name; raises for one that cannot be used.
        files: what each case is made from, by name.
        about: what it is, for people.
        fingerprint: of what cases depend on besides their files, as JSON keeps it.
        root: of the files; None if there are none.
        left: what the set leaves out from the start.
    """

    names: tuple[str, ...]
    load: Callable[[str], DepthCase]
    files: dict[str, tuple[Path, ...]]
    about: str
    fingerprint: str
    root: Path | None = None
    left: tuple[Skipped, ...] = ()


def drawn_heads(
    model: str, count: int, config: SynthesisConfig = CONFIG, seed: int = SEED, size: tuple[int, int] = SIZE
) -> CaseSource:
    """Drawn heads with everything that hides them, those of ``recon evaluate synthetic``; the front of the face counts where it is seen.

    Args:
        model: name of the face model.
        count: the first so many.
        config, seed, size: of the pictures.

    Raises:
        UsageError: no heads, or a model that is missing or cannot be drawn.
    """
    if count < 1:
        raise UsageError(f"at least one head must be measured, got {count}")
    try:
        sampler = FaceSampler(bfm.load(model), config, seed, size)
    except (SynthesisConfigError, ValueError) as error:
        raise UsageError(str(error)) from error
    names = tuple(f"{number:04d}" for number in range(count))

    def load(name: str) -> DepthCase:
        with torch.no_grad():
            return case_of_face(sampler[int(name)], name)

    told = hashlib.sha256(repr((model, config, seed, size)).encode()).hexdigest()[:16]
    return CaseSource(names, load, dict.fromkeys(names, ()), f"{count} drawn heads, seed {seed}", told)


def case_of_face(face: FaceBatch, name: str) -> DepthCase:
    """The first face of a batch.

    Raises:
        ValueError: nothing of the face is seen.
    """
    pixels = (255.0 * face.image[0].clamp(0.0, 1.0)).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    depth_mm = face.scene_depth_mm[0, 0].double().cpu().numpy()
    counts = face.face_mask[0, 0].cpu().numpy() & (depth_mm > 0.0)
    if not counts.any():
        raise ValueError("nothing of the face is seen")
    normals = face.normals[0].permute(1, 2, 0).double().cpu().numpy()
    points = face.landmarks68_px[0].double().cpu().numpy()
    return DepthCase(
        photo=Photo(pixels, focal_px=float(face.intrinsics[0, 0, 0]), source=f"synthetic {name}"),
        depth_mm=np.where(depth_mm > 0.0, depth_mm, np.nan),
        face=counts,
        normals=np.where(face.mask[0, 0].cpu().numpy()[..., None], normals, np.nan),
        camera=face.camera,
        box=np.concatenate([points.min(axis=0), points.max(axis=0)]),
    )


def folder_cases(folder: Path, layout: str, focal_px: float | None) -> CaseSource:
    """The photos of a folder, see :mod:`recon.evaluation.depth_folder`.

    Args:
        folder, layout: as :func:`recon.evaluation.depth_folder.find_depth` takes them.
        focal_px: of the photos, where it is known better.

    Raises:
        ValueError: an unknown layout.
        DepthDataError: nothing in it.
    """
    items, left = find_depth(folder, layout)
    by_name: dict[str, DepthItem] = {item.name: item for item in items}

    def load(name: str) -> DepthCase:
        found = by_name[name].load()
        counts = face_mask(found)
        if not counts.any():
            raise ValueError("no face: neither a mask nor depth below 50 cm")
        photo = found.photo if focal_px is None else dataclasses.replace(found.photo, focal_px=focal_px)
        return DepthCase(photo, found.depth_mm, counts, found.normals, found.camera)

    files = {item.name: item.files for item in items}
    return CaseSource(tuple(by_name), load, files, folder.name, f"{layout}, focal {focal_px}", folder, tuple(left))
