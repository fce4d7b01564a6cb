"""A head's camera as the numbers of ``face.json``, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.camera import CAMERAS, CameraError, PosedCamera, WeakPerspectiveCamera, check_camera_model

_SHAPES = {"rotation": (3, 3), "translation_mm": (3,), "focal_px": (2,), "principal_px": (2,)}


def camera_numbers(camera: PosedCamera) -> dict[str, object]:
    """One camera: its model, pose and intrinsics; for weak perspective also rho and t2d of Eq. 4."""
    numbers: dict[str, object] = {"model": camera.model}
    numbers |= {name: getattr(camera, name)[0].detach().cpu().numpy() for name in _SHAPES}
    if isinstance(camera, WeakPerspectiveCamera):
        numbers["scale_px_per_mm"] = camera.scale_px_per_mm[0].detach().cpu().numpy()
        numbers["offset_px"] = camera.offset_px[0].detach().cpu().numpy()
    return numbers


def camera_of_numbers(numbers: Mapping[str, Any]) -> PosedCamera:
    """Back from :func:`camera_numbers`, which may have been through JSON. Without a model it is a perspective camera, as
    all were before there was a choice.

    Raises:
        CameraError: an unknown model, a missing or malformed number, or numbers that no camera has.
    """
    model = check_camera_model(numbers.get("model", "perspective"))
    rotation, translation_mm, focal_px, principal_px = (_tensor(numbers, *item) for item in _SHAPES.items())
    return CAMERAS[model](rotation, translation_mm, focal_px, principal_px)


def read_camera(path: str | os.PathLike[str]) -> PosedCamera:
    """The camera that a ``face.json`` holds.

    Raises:
        OSError: the file cannot be read.
        CameraError: it is no ``face.json``, or see :func:`camera_of_numbers`.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CameraError(f"{path} is no face.json: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("camera"), dict):
        raise CameraError(f"{path} is no face.json: it holds no camera")
    return camera_of_numbers(values["camera"])


def _tensor(numbers: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Tensor:
    try:
        tensor = torch.as_tensor(numbers[name], dtype=torch.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise CameraError(f"a camera has {', '.join(_SHAPES)}; {name} is missing or no numbers") from error
    if tuple(tensor.shape) != shape or not bool(tensor.isfinite().all()):
        raise CameraError(f"{name} of a camera must be {shape} finite numbers, got {tuple(tensor.shape)}")
    return tensor[None]
