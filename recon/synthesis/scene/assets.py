"""What a sampler prepares once for its model and config."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.render import Topology
from recon.synthesis.appearance.brows import BrowCurve
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.geometry.anatomy import Anatomy
from recon.synthesis.geometry.occluders import OccluderGrids, Occluders
from recon.synthesis.sample import SEGMENT_NAMES

_INSIDE = ("mouth_interior", "eye_sockets", "eyes")
"""Regions that cast no shadow worth its time."""


@dataclasses.dataclass(frozen=True, eq=False)
class SceneAssets:
    """A model with what is known of it, and how its parts are joined.

    Attributes:
        model: the head.
        topology: of the head.
        anatomy: of the head.
        occluder_grids: of hair and clothes.
        brow_curve: of the head's brows, if it has any.
    """

    model: MorphableModel
    topology: Topology
    anatomy: Anatomy
    occluder_grids: OccluderGrids
    brow_curve: BrowCurve | None

    @classmethod
    def of(cls, model: MorphableModel, config: SynthesisConfig) -> SceneAssets:
        """Prepare a model; about a second on a CPU when ambient occlusion is asked for."""
        return cls(
            model,
            Topology.of(model.faces, model.n_vertices),
            Anatomy.of(model, config.ambient_occlusion > 0.0),
            OccluderGrids.of(model, config),
            BrowCurve.of(model),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class OccluderAssets:
    """What follows from the faces of the occluders, which are the same in all batches.

    Attributes:
        topology: of the occluders.
        shadow_casters: ``(F, 3)`` faces that cast shadows; vertices of the head count first, then the occluders'.
    """

    topology: Topology
    shadow_casters: Int[Tensor, "f 3"]

    @classmethod
    def of(cls, assets: SceneAssets, occluders: Occluders | None) -> OccluderAssets | None:
        """Of the occluders of any batch; ``None`` without occluders."""
        if occluders is None:
            return None
        solid = occluders.segments != SEGMENT_NAMES.index("glasses")
        shadow_casters = torch.cat((outer_faces(assets.model), occluders.faces[solid] + assets.model.n_vertices))
        return cls(Topology.of(occluders.faces, occluders.v_cam.shape[1]), shadow_casters)


def outer_faces(model: MorphableModel) -> Int[Tensor, "f 3"]:
    """The head's faces without the inside of mouth and eye sockets."""
    return model.faces[~model.any_region(*_INSIDE)[model.faces].all(dim=1)]
