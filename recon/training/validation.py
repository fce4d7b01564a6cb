"""Errors of predictions on faces with known truth, and of the mean head beside them."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.decoder import FaceDecoder
from recon.parameters import FaceParameters
from recon.training.batch import TrainingBatch
from recon.training.metrics import depth_error_mm, geodesic_error_deg, landmark_error_percent, pose_error_deg


class ErrorMeans:
    """Means of per-picture errors over a validation run; nan, for what a picture does not show, is left out."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}

    def add(self, errors: dict[str, Tensor]) -> None:
        """Errors ``(B,)`` of one batch by name."""
        for name, values in errors.items():
            self._values.setdefault(name, []).append(values.detach().float())

    def means(self) -> dict[str, Tensor]:
        """Mean of each error."""
        return {name: torch.cat(values).nanmean() for name, values in self._values.items()}


def validate_batch(decoder: FaceDecoder, found: FaceParameters, batch: TrainingBatch) -> dict[str, Tensor]:
    """Errors a picture, ``(B,)``: what can be known of the batch.

    ``nme``: 68 points, percent. ``pose_deg``: mean over the three angles. ``geodesic_deg``. ``depth_mm`` and
    ``relief_mm``: depth on the visible face, as it is and without each picture's median. ``mean_head_*``: the same of the
    mean head; ``mean_head_depth_mm`` and ``mean_head_relief_mm`` are taken in the *true* pose.
    """
    faces = decoder.decode(found, batch.intrinsics)
    errors = {"nme": landmark_error_percent(faces.landmarks68_px, batch.landmarks68_px)}
    seen = batch.for_weak_perspective() if found.camera_model == "weak_perspective" else batch
    if seen.rotation is not None:
        errors["pose_deg"] = pose_error_deg(found.rotation, seen.rotation)
        errors["geodesic_deg"] = geodesic_error_deg(found.rotation, seen.rotation)
    truth = batch.truth()
    if truth is None or batch.depth_mm is None or batch.face_mask is None:
        return errors
    mean = FaceParameters(
        torch.zeros_like(truth.identity),
        torch.zeros_like(truth.expression),
        torch.zeros_like(truth.albedo),
        truth.rotation,
        truth.translation_mm,
        truth.lighting,
    )
    for prefix, coefficients in (("", found), ("mean_head_", mean)):
        rendered = decoder.decode(coefficients, batch.intrinsics).render(batch.size)
        both = rendered.covered & (batch.face_mask > 0.5)
        depth_mm, relief_mm = depth_error_mm(rendered.depth_mm, batch.depth_mm, both)
        errors[f"{prefix}depth_mm"], errors[f"{prefix}relief_mm"] = depth_mm, relief_mm
    return errors
