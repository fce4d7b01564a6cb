"""What a face model says of the texels of a texture: what they show, and which of them a photo may fill."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.texturing.eyes_teeth import has_irises
from recon.texturing.uv_map import UvMap

_FEATURES = ("brows", "eyes", "eye_sockets", "eyelids", "lips", "mouth_interior", "teeth", "tongue")
"""Not plain skin: too dark or too red to tell light from albedo."""
_UNPAIRED = ("eyes", "eye_sockets", "mouth_interior", "teeth", "tongue")
"""Whose mirror image is wrong: gaze goes one way."""


@dataclasses.dataclass(frozen=True, eq=False)
class Texels:
    """The texels of a head's texture.

    Attributes:
        uv_map: which surface point each shows.
        covered: ``(T, T)`` where a triangle lies; N texels.
        albedo: ``(N, 3)`` of those.
        from_photo: ``(T, T)`` in [0, 1] how far the photo may show what the model means.
        plain_skin: ``(T, T)`` in [0, 1].
        paired: ``(T, T)`` whose mirror image means the same.
        teeth: ``(T, T)``.
        model_eyes: eyes keep the model's albedo in colours of the photo; nothing else of them is taken from it.
    """

    uv_map: UvMap
    covered: Bool[Tensor, "t t"]
    albedo: Float[Tensor, "n 3"]
    from_photo: Float[np.ndarray, "t t"]
    plain_skin: Float[np.ndarray, "t t"]
    paired: Bool[Tensor, "t t"]
    teeth: Bool[Tensor, "t t"]
    model_eyes: bool

    @classmethod
    def of(cls, uv_map: UvMap, model: MorphableModel, albedo: Float[Tensor, "v 3"], *, keep_light: bool) -> Texels:
        """Of a head.

        Args:
            uv_map: of the model.
            model: of the head.
            albedo: of its vertices.
            keep_light: light may stay on eyes; without it they keep the model's albedo.
        """
        covered = uv_map.triangle_ids >= 0
        model_eyes = not keep_light and has_irises(model)
        from_photo = _comparable(model)
        if model_eyes:
            from_photo &= ~model.any_region("eyes").cpu()
        masks = (
            from_photo,
            ~model.any_region(*_FEATURES).cpu(),
            from_photo & ~model.any_region(*_UNPAIRED).cpu(),
            model.any_region("teeth").cpu(),
        )
        at_vertices = torch.cat([albedo, torch.stack(masks, dim=1).float()], dim=1)
        at_texels = uv_map.sample_at(covered, at_vertices, model.faces.cpu())
        colours, weights = at_texels.split([3, len(masks)], dim=1)
        wanted, plain_skin, paired, teeth = (_placed(column, covered) for column in weights.unbind(dim=1))
        return cls(
            uv_map,
            covered,
            colours,
            wanted,
            plain_skin,
            torch.from_numpy(paired > 0.99),
            torch.from_numpy(teeth > 0.99),
            model_eyes,
        )

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns that what a photo may fill takes up: about half of the texture on the open model."""
        rows, columns = (np.flatnonzero(self.from_photo.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return slice(0, len(self.from_photo)), slice(0, len(self.from_photo))
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _comparable(model: MorphableModel) -> Bool[Tensor, " v"]:
    """Where a photo can show what the model means: not under hair, in the mouth or behind the lids."""
    if "face" not in model.region_names:
        return torch.ones(model.n_vertices, dtype=torch.bool)
    hidden = model.any_region("mouth_interior", "eye_sockets")
    return ((model.region("face") & ~hidden) | model.any_region("eyes")).cpu()


def _placed(values: Float[Tensor, " n"], covered: Bool[Tensor, "t t"]) -> Float[np.ndarray, "t t"]:
    """Values of covered texels in their places, 0 elsewhere."""
    placed = torch.zeros(covered.shape)
    placed[covered] = values
    return np.asarray(placed.numpy())
