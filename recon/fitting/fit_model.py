"""What a fit needs of a face model, computed once: the part that photos show, its surface, landmarks and contour."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.fitting.landmark_model import LandmarkModel
from recon.fitting.surface import SurfaceModel
from recon.render import Topology

_SPARSE_PX, _SPARSE_EVERY = 160, 3
"""Crops up to this size are compared at every so many vertices."""


@dataclasses.dataclass(frozen=True, eq=False)
class FitModel:
    """A face model prepared for fitting.

    Attributes:
        whole: the model itself.
        front: the part of it that a photo of a face shows.
        landmark_set: the points that correspond to detected ones.
        topology: of the front.
        landmark_model: the model at these points.
        vertex_confidence: ``(V,)`` how well each vertex of the front explains photos, in [0, 1].
        contour_usable: ``(V,)`` vertices whose contour a photo shows as an edge.
        dense, sparse: vertices of the front that photos are compared at.
    """

    whole: MorphableModel
    front: MorphableModel
    landmark_set: str
    topology: Topology
    landmark_model: LandmarkModel
    vertex_confidence: Float[Tensor, " v"]
    contour_usable: Bool[Tensor, " v"]
    dense: SurfaceModel
    sparse: SurfaceModel

    @classmethod
    def of(cls, model: MorphableModel, landmark_set: str) -> FitModel:
        """Prepare a model, on the device that it is on."""
        front = front_of_head(model, landmark_set)
        confidence = vertex_confidence(front)
        dense = SurfaceModel.of(front, confidence)
        return cls(
            model,
            front,
            landmark_set,
            Topology.of(front.faces, front.n_vertices),
            LandmarkModel.of(model, landmark_set),
            confidence,
            # Lids and lips have edges of their own, of colour.
            (confidence > 0.0) & ~front.any_region("eyes", "eyelids", "lips"),
            dense,
            dense.thinned(_SPARSE_EVERY),
        )

    def surface(self, side_px: int) -> SurfaceModel:
        """Where to compare crops of this size: the pixels of a small one are larger than the triangles."""
        return self.sparse if side_px <= _SPARSE_PX else self.dense


def front_of_head(model: MorphableModel, landmark_set: str) -> MorphableModel:
    """The part of a head that a photo of a face shows: without scalp and neck there is half as much to render."""
    if not {"scalp", "neck"} <= set(model.region_names):
        return model
    keep = ~(model.region("scalp") | model.region("neck"))
    # A landmark at the hairline may lie on the scalp.
    data = model.data()
    points = data.landmarks[landmark_set] if landmark_set in data.landmarks else model.landmark_points(landmark_set)
    keep[torch.from_numpy(data.faces[points.triangles]).to(keep.device).long().flatten()] = True
    return model.crop(keep)


def vertex_confidence(model: MorphableModel) -> Float[Tensor, " v"]:
    """Weight of each vertex in the photometric term: 1 on the region ``face``, 0.6 on eyes, times 0.6 on brows, 0 elsewhere.

    0 also above the lower border of the forehead: hair begins there, and a fit shrinks the skull rather than show skin where
    the photo has hair. Over the photos of 22 people skulls came out flat; heads rendered without hair lost nothing.
    """
    names = model.region_names
    confidence = torch.ones(model.n_vertices, device=model.mean_shape.device)
    if "face" in names:
        confidence = model.region("face").float()
    if "forehead" in names:
        height = model.mean_shape[:, 1]
        confidence[height >= height[model.region("forehead")].min()] = 0.0
    if "eyes" in names:
        confidence[model.region("eyes")] = 0.6
    if "brows" in names:
        confidence[model.region("brows")] *= 0.6
    return confidence
