"""From pooled features to coefficients, starting at the mean face: frontal, centred, softly lit."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bfm.data import Prior
from bfm.landmarks import five_points_of_68
from bfm.model import MorphableModel
from bfm.sketch import ModelSketch
from recon.camera import CameraModel
from recon.detection.align import PX_PER_MM_AT_224, STANDARD_POINTS_MM
from recon.lighting import ambient, lamps_to_sh
from recon.parameters import FaceParameters
from recon.rotation import sixd_to_matrix, turn_to_ray

_PIVOT_SLACK_MM = 2.0
"""Pivots nearer than this are of one model: landmarks marked anew move it by tenths, another model by centimetres. A network
turns heads about its own."""
_SIXD_START = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_AMBIENT, _FRONT = 0.5, 0.45
_EXPRESSION_START = -3.0
_EXPRESSION_GAIN = 4.0
_INITIAL_STD = 1e-3
_MOST = 1_000_000


@dataclasses.dataclass(frozen=True)
class FaceBlocks:
    """What the head must know of a face model.

    Attributes:
        model: its name.
        n_vertices: tells versions of a model apart.
        n_identity, n_expression, n_albedo: components.
        expression_prior: ``"unit"`` bounds the weights to [0, 1].
        pivot_mm: ``(3,)`` the point of the head, object frame, that an aligned crop centres.
        sketch: of the model's mean and bases; None where it is not known (networks made before it was kept).
    """

    model: str
    n_vertices: int
    n_identity: int
    n_expression: int
    n_albedo: int
    expression_prior: Prior
    pivot_mm: tuple[float, float, float]
    sketch: ModelSketch | None = dataclasses.field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, model: MorphableModel) -> FaceBlocks:
        """The blocks of a model.

        Raises:
            KeyError: the model has no 68 landmarks.
        """
        points = model.landmarks68(model.shape())[0].double().cpu().numpy()
        x, y, z = np.round((five_points_of_68(points) - STANDARD_POINTS_MM).mean(axis=0), 2).tolist()
        return cls(
            model.name,
            model.n_vertices,
            model.n_identity,
            model.n_expression,
            model.n_albedo,
            model.expression_prior,
            (x, y, z),
            ModelSketch.of(model.data()),
        )

    def serves(self, other: FaceBlocks) -> bool:
        """Whether a network for these blocks can be used with others: landmarks marked anew move the pivot a little."""
        gap_mm = float(np.linalg.norm(np.subtract(self.pivot_mm, other.pivot_mm)))
        return gap_mm <= _PIVOT_SLACK_MM and dataclasses.replace(self, pivot_mm=other.pivot_mm) == other

    def difference(self, other: FaceBlocks) -> str:
        """How the bases differ although all sizes agree, in words; empty if they do not, or if one is not known."""
        if self.sketch is None or other.sketch is None:
            return ""
        return self.sketch.difference(other.sketch)

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "sketch"}
        return values if self.sketch is None else {**values, "sketch": self.sketch.to_json()}

    @classmethod
    def of_dict(cls, values: object) -> FaceBlocks:
        """Back from :meth:`to_dict`, which may have been through JSON.

        Raises:
            ValueError: names or values that no network has.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, dict) or not set(known[:-1]) <= set(values) <= set(known):
            raise ValueError(f"the face model is described by {', '.join(known)}")
        for name in ("n_vertices", "n_identity", "n_expression", "n_albedo"):
            if type(values[name]) is not int or not 0 <= values[name] <= _MOST:
                raise ValueError(f"{name} must be a whole number from 0 to {_MOST}, found {str(values[name])[:40]!r}")
        if not isinstance(values["model"], str) or values["expression_prior"] not in ("normal", "unit"):
            raise ValueError("model must be a name, expression_prior 'normal' or 'unit'")
        pivot = values["pivot_mm"]
        if not isinstance(pivot, (list, tuple)) or len(pivot) != 3 or not all(type(x) in (int, float) for x in pivot):
            raise ValueError(f"pivot_mm must be three numbers, found {str(pivot)[:80]!r}")
        x, y, z = (float(value) for value in pivot)
        if not all(abs(value) < 1e6 for value in (x, y, z)):
            raise ValueError(f"pivot_mm lies beyond every head: {str(pivot)[:80]}")
        sketch = ModelSketch.of_json(values["sketch"]) if values.get("sketch") is not None else None
        return cls(**{**values, "pivot_mm": (x, y, z), "sketch": sketch})


class CoefficientHead(nn.Module):
    """One linear layer with one link a block.

    - identity and albedo: as they come, in standard deviations;
    - expression: a sigmoid when the prior is ``"unit"``, starting at 0.05;
    - rotation: the 6D form of Zhou et al. 2019, against the ray on which the head lies, starting at frontal. A crop does not
      show how far off the photo's axis the head was; the intrinsics do, and turn the rotation into the camera's frame;
    - place: where the pivot lies in the picture, in halves of its side, and the logarithm of px per mm there. Intrinsics
      turn them into millimetres, so one network serves every focal length and crop. Under weak perspective px per mm is rho
      of Eq. 4, whatever the rotation, which is then against the axis;
    - lighting: a plain soft front light plus what the network adds, a colour channel or to all three alike.

    Args:
        width: of the features.
        blocks: of the face model.
        size: side of the picture in px.
        camera_model: how the pose is seen.
        white_light: predict nine lighting coefficients for all colour channels (delta in R^9 of Eq. 3), not nine a channel.
    """

    start_lighting: Float[Tensor, "9 3"]
    pivot_mm: Float[Tensor, " 3"]
    sixd_start: Float[Tensor, " 6"]

    def __init__(
        self,
        width: int,
        blocks: FaceBlocks,
        size: int,
        camera_model: CameraModel = "perspective",
        white_light: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.size = size
        self.camera_model = camera_model
        n_lighting = 9 if white_light else 27
        self._widths = [blocks.n_identity, blocks.n_expression, blocks.n_albedo, 6, 3, n_lighting]
        self.linear = nn.Linear(width, sum(self._widths))
        # Not exactly zero: the layers below would get no gradient in the first step.
        nn.init.trunc_normal_(self.linear.weight, std=_INITIAL_STD)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("start_lighting", soft_front_light())
        self.register_buffer("pivot_mm", torch.tensor(blocks.pivot_mm))
        self.register_buffer("sixd_start", frontal_sixd())

    def forward(self, features: Float[Tensor, "b c"], intrinsics: Float[Tensor, "b 3 3"]) -> FaceParameters:
        """Coefficients of the pictures with these features and intrinsics (px of the picture)."""
        # Rotations and exponentials in full precision, also under autocast.
        raw = self.linear(features).float()
        identity, expression, albedo, sixd, place, light = raw.split(self._widths, dim=-1)
        expression = expression_weights(expression, self.blocks.expression_prior)
        framed = FramedPlace(place, intrinsics, self.size)
        rotation, translation_mm = framed.pose(self.sixd_start + sixd, self.pivot_mm, self.camera_model)
        lighting = self.start_lighting + light.unflatten(-1, (9, self._widths[-1] // 9))
        return FaceParameters(identity, expression, albedo, rotation, translation_mm, lighting, self.camera_model)


def expression_weights(raw: Float[Tensor, "b ke"], prior: Prior) -> Float[Tensor, "b ke"]:
    """A layer's outputs as expression weights: a sigmoid when the prior is ``"unit"``, 0.05 at 0."""
    return torch.sigmoid(_EXPRESSION_START + _EXPRESSION_GAIN * raw) if prior == "unit" else raw


def soft_front_light() -> Float[Tensor, "9 3"]:
    """Even light and a lamp in front, a little above, as most faces are lit."""
    lamp = lamps_to_sh(torch.tensor([[0.0, 0.3, 1.0]]), torch.full((1, 3), math.pi * _FRONT))
    return ambient(torch.full((3,), _AMBIENT)) + lamp


def frontal_sixd() -> Float[Tensor, " 6"]:
    """The 6D form of a head that looks along the ray to the camera."""
    return torch.tensor(_SIXD_START)


@dataclasses.dataclass(frozen=True, eq=False)
class FramedPlace:
    """Where the pivots of heads lie in crops, as networks tell it.

    Attributes:
        place: ``(B, 3)`` x and y in halves of the crop's side from its middle, y down; logarithm of px per mm there, over that of the
            standard framing.
        intrinsics: ``(B, 3, 3)`` of the crops, px.
        size: side of the crops, px.
    """

    place: Float[Tensor, "b 3"]
    intrinsics: Float[Tensor, "b 3 3"]
    size: int

    @classmethod
    def of(
        cls,
        rotation: Float[Tensor, "b 3 3"],
        translation_mm: Float[Tensor, "b 3"],
        intrinsics: Float[Tensor, "b 3 3"],
        pivot_mm: Float[Tensor, " 3"],
        size: int,
    ) -> FramedPlace:
        """That of heads under a perspective camera: the inverse of :meth:`pose`."""
        pivot_cam = (rotation * pivot_mm).sum(dim=-1) + translation_mm
        depth_mm = -pivot_cam[:, 2]
        focal_x, focal_y = intrinsics[:, 0, 0], intrinsics[:, 1, 1]
        x_px = intrinsics[:, 0, 2] + focal_x * pivot_cam[:, 0] / depth_mm
        y_px = intrinsics[:, 1, 2] - focal_y * pivot_cam[:, 1] / depth_mm
        half = 0.5 * size
        scale = torch.log(0.5 * (focal_x + focal_y) / depth_mm / _px_per_mm(size))
        return cls(torch.stack((x_px / half - 1.0, y_px / half - 1.0, scale), dim=-1), intrinsics, size)

    def pose(
        self, sixd: Float[Tensor, "b 6"], pivot_mm: Float[Tensor, " 3"], camera_model: CameraModel
    ) -> tuple[Float[Tensor, "b 3 3"], Float[Tensor, "b 3"]]:
        """Rotation and translation (mm) of the heads.

        Args:
            sixd: the rotation against the ray to the pivot (perspective) or the axis (weak perspective).
            pivot_mm: of the head's frame.
            camera_model: how the pose is seen.
        """
        pivot_cam = self._pivot_cam()
        rotation = sixd_to_matrix(sixd)
        if camera_model == "perspective":
            rotation = turn_to_ray(pivot_cam) @ rotation
        # A matrix-vector product would fix the batch size of an ONNX export.
        offset_mm = (rotation * pivot_mm).sum(dim=-1)
        if camera_model == "weak_perspective":
            # The scale is that at the origin's depth, for every point: rotation must not change it.
            offset_mm = torch.cat((offset_mm[:, :2], torch.zeros_like(offset_mm[:, 2:])), dim=-1)
        return rotation, pivot_cam - offset_mm

    def _pivot_cam(self) -> Float[Tensor, "b 3"]:
        place, intrinsics, half = self.place, self.intrinsics, 0.5 * self.size
        x_px, y_px = half + half * place[:, 0], half + half * place[:, 1]
        px_per_mm = _px_per_mm(self.size) * torch.exp(place[:, 2].clamp(-3.0, 3.0))
        focal_x, focal_y = intrinsics[:, 0, 0], intrinsics[:, 1, 1]
        depth_mm = 0.5 * (focal_x + focal_y) / px_per_mm
        x = (x_px - intrinsics[:, 0, 2]) * depth_mm / focal_x
        y = (intrinsics[:, 1, 2] - y_px) * depth_mm / focal_y
        return torch.stack((x, y, -depth_mm), dim=-1)


def _px_per_mm(size: int) -> float:
    """Of the standard framing."""
    return PX_PER_MM_AT_224 * size / 224.0
