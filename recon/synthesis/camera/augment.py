"""Changes of pictures that keep every label exact: mirroring and cropping; and position maps in UV."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from bfm.landmarks import MIRROR_68
from bfm.mediapipe_table import MIRROR_478
from bfm.model import MorphableModel
from recon.synthesis.sample import FaceBatch
from recon.synthesis.scene.expressions import mirrored_names
from recon.texturing.uv_map import UvMap

_LIGHT_SIGNS = (1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0)
"""Signs of the nine harmonics when x changes sign: those with one factor x turn."""


class Mirror:
    """Mirrors batches of one model: left becomes right in the picture and in every label.

    A mirrored face is a face of the model as far as the model's components come in mirror pairs. ``residual_mm`` says how
    far the mirrored head of one standard deviation is from its best fit, root mean square.

    Args:
        model: whose mean head is symmetric, with the sets ``"68"``, ``"478"`` and ``"520"``.

    Raises:
        ValueError: the mean head is not symmetric.
    """

    def __init__(self, model: MorphableModel) -> None:
        mean = model.mean_shape.cpu().double().numpy()
        flipped = mean * np.array([-1.0, 1.0, 1.0])
        distance, partner = cKDTree(mean).query(flipped)
        if np.quantile(distance, 0.99) > 1.0:
            raise ValueError(
                f"the mean head of model {model.name!r} is not symmetric, so its labels cannot be mirrored"
            )
        self._partner = torch.as_tensor(partner)
        self._identity, self.residual_mm = self._mapping(model, "_identity", (-1.0, 1.0, 1.0))
        self._albedo, self.residual_albedo = self._mapping(model, "_albedo", (1.0, 1.0, 1.0))
        names = model.expression_names
        self._expression = torch.tensor(mirrored_names(names) if names else tuple(range(model.n_expression)))
        dense = model.landmarks(model.mean_shape[None].cpu(), "520")[0].double().numpy()
        self._dense = torch.as_tensor(cKDTree(dense).query(dense * np.array([-1.0, 1.0, 1.0]))[1])

    def __call__(self, batch: FaceBatch) -> FaceBatch:
        """The mirrored batch. Make-up, hair and all that the picture shows are mirrored with it."""
        width = batch.size[1]
        turn = batch.rotation.new_tensor([-1.0, 1.0, 1.0])
        changes: dict[str, Tensor] = {
            name: getattr(batch, name).flip(-1)
            for name in ("image", "mask", "face_mask", "segmentation", "depth_mm", "scene_depth_mm", "normals")
        }
        changes["normals"] = changes["normals"] * turn[:, None, None]
        partners = {"68": torch.tensor(MIRROR_68), "478": torch.tensor(MIRROR_478), "520": self._dense}
        for name, index in partners.items():
            pixels = getattr(batch, f"landmarks{name}_px")[:, index]
            changes[f"landmarks{name}_px"] = torch.stack((width - pixels[..., 0], pixels[..., 1]), dim=-1)
            changes[f"landmarks{name}_cam"] = getattr(batch, f"landmarks{name}_cam")[:, index] * turn
            changes[f"landmarks{name}_visible"] = getattr(batch, f"landmarks{name}_visible")[:, index]
        changes["rotation"] = turn[:, None] * batch.rotation * turn
        changes["translation_mm"] = batch.translation_mm * turn
        intrinsics = batch.intrinsics.clone()
        intrinsics[:, 0, 2] = width - intrinsics[:, 0, 2]
        changes["intrinsics"] = intrinsics
        changes["identity"] = batch.identity @ self._identity.to(batch.identity)
        changes["albedo"] = batch.albedo @ self._albedo.to(batch.albedo)
        changes["expression"] = batch.expression[:, self._expression]
        changes["lighting"] = batch.lighting * batch.lighting.new_tensor(_LIGHT_SIGNS)[:, None]
        return dataclasses.replace(batch, **changes)

    def _mapping(
        self, model: MorphableModel, basis: str, turn: tuple[float, float, float]
    ) -> tuple[Float[Tensor, "k k"], float]:
        """The matrix that takes coefficients to those of the mirrored head, by least squares."""
        rows = getattr(model, basis).cpu().double()
        if len(rows) == 0:
            return torch.zeros(0, 0), 0.0
        field = rows.unflatten(1, (-1, 3))
        mirrored = (field[:, self._partner] * field.new_tensor(turn)).flatten(1)
        matrix = torch.linalg.lstsq(rows.T, mirrored.T).solution.T
        gap = (mirrored - matrix @ rows).unflatten(1, (-1, 3)).square().sum(dim=(0, 2))
        return matrix.float(), float(gap.mean().sqrt())


def cropped(batch: FaceBatch, left_px: int, top_px: int, size: tuple[int, int]) -> FaceBatch:
    """A window (H, W) of the pictures that begins at (left, top); points and intrinsics move with it.

    Raises:
        ValueError: the window reaches beyond the pictures.
    """
    height, width = batch.size
    if left_px < 0 or top_px < 0 or left_px + size[1] > width or top_px + size[0] > height:
        raise ValueError(f"a window of {size} px at ({left_px}, {top_px}) reaches beyond pictures of {batch.size} px")
    changes: dict[str, Tensor] = {}
    for name in ("image", "mask", "face_mask", "segmentation", "depth_mm", "scene_depth_mm", "normals"):
        changes[name] = getattr(batch, name)[..., top_px : top_px + size[0], left_px : left_px + size[1]]
    shift = batch.intrinsics.new_tensor([float(left_px), float(top_px)])
    for name in ("68", "478", "520"):
        pixels = getattr(batch, f"landmarks{name}_px") - shift
        inside = ((pixels >= 0) & (pixels < pixels.new_tensor([float(size[1]), float(size[0])]))).all(dim=-1)
        changes[f"landmarks{name}_px"] = pixels
        changes[f"landmarks{name}_visible"] = getattr(batch, f"landmarks{name}_visible") & inside
    intrinsics = batch.intrinsics.clone()
    intrinsics[:, :2, 2] -= shift
    return dataclasses.replace(batch, **changes, intrinsics=intrinsics)


def position_map(
    batch: FaceBatch, model: MorphableModel, texels: UvMap
) -> tuple[Float[Tensor, "b 3 t t"], Int[Tensor, "t t"]]:
    """Where in camera space each texel of the model's texture lies, mm, and the texel's triangle (-1: none).

    Args:
        batch: faces of the model.
        model: the model.
        texels: of the model, ``UvMap.of(model, size)``.
    """
    v_cam = batch.camera.to_camera(model.shape(batch.identity, batch.expression))
    maps = [texels.sample(vertices, model.faces) for vertices in v_cam]
    return torch.stack(maps).permute(0, 3, 1, 2), texels.triangle_ids
