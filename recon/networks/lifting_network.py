"""The lifting network: dense landmarks in, the head that they belong to out, and how sure each part of it is.

"Lifting" is the step from points of a picture to a body in space (Martinez et al. 2017, "A simple yet effective baseline for 3d human
pose estimation"); as there, the network is a multilayer perceptron with residual blocks. It never sees a picture, so it can be
trained with any number of heads.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.head import FaceBlocks, FramedPlace, expression_weights, frontal_sixd
from recon.networks.landmark_network import LandmarkPrediction
from recon.parameters import FaceParameters

NOMINAL_SIZE = 224
"""Side of the crops in px in whose units intrinsics are given; points are told in shares of the side."""
_DOUBTED_SIGMA = 0.04
"""Standard deviation, in sides of the crop, of a point that counts half."""
_TYPICAL_LOG_SIGMA, _TYPICAL_LOG_SIGMA_DEPTH = -4.0, -3.5
_FEATURES = 6
"""Numbers that are told of a point."""
_CAMERA_FEATURES = 3
_TYPICAL_FOCAL_SIDES = 2.7
_MOST_VISIBLE = 6.0
"""Bound of logits of visibility."""
_LOG_SIGMA = (-8.0, 4.0)
_START_LOG_SIGMA = {"identity": 0.0, "expression": -2.0, "rotation": -3.0, "place": -4.0}
_INITIAL_STD = 1e-3


@dataclasses.dataclass(frozen=True)
class LiftingNetworkConfig:
    """How a lifting network is built.

    Attributes:
        point_sets: the landmark sets that it takes, one after the other; each is named by the number of its points.
        width: of its layers.
        blocks: residual blocks.

    Raises:
        ValueError: an impossible value, named.
    """

    point_sets: tuple[str, ...] = ("520", "478")
    width: int = 384
    blocks: int = 3

    def __post_init__(self) -> None:
        if not self.point_sets or not set(self.point_sets) <= {"520", "478", "68"}:
            raise ValueError(f"point_sets must be some of 520, 478, 68, got {str(self.point_sets)[:80]}")
        for name, most in (("width", 8192), ("blocks", 64)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}, got {str(value)[:40]!r}")

    @property
    def n_points(self) -> int:
        """Of all sets."""
        return sum(int(name) for name in self.point_sets)


@dataclasses.dataclass(frozen=True, eq=False)
class LiftedFaces:
    """B heads, and how sure they are.

    Attributes:
        identity, expression: ``(B, K)`` coefficients.
        rotation: ``(B, 3, 3)`` object to camera.
        translation_mm: ``(B, 3)``.
        log_sigma_identity, log_sigma_expression: ``(B, K)`` logarithm of each coefficient's standard deviation.
        rotation_root: ``(B, 3, 3)`` lower triangle L: the error of the rotation, as a rotation vector r (radians) on the left of the
            truth, has the density N(0, (L^T L)^-1).
        log_sigma_place: ``(B, 3)`` of :class:`recon.networks.head.FramedPlace`.
    """

    identity: Float[Tensor, "b ki"]
    expression: Float[Tensor, "b ke"]
    rotation: Float[Tensor, "b 3 3"]
    translation_mm: Float[Tensor, "b 3"]
    log_sigma_identity: Float[Tensor, "b ki"]
    log_sigma_expression: Float[Tensor, "b ke"]
    rotation_root: Float[Tensor, "b 3 3"]
    log_sigma_place: Float[Tensor, "b 3"]

    def parameters(self, n_albedo: int) -> FaceParameters:
        """The heads with the mean albedo, in no light: points tell of neither."""
        albedo = self.identity.new_zeros(len(self.identity), n_albedo)
        return FaceParameters(self.identity, self.expression, albedo, self.rotation, self.translation_mm, None)


class LiftingNetwork(nn.Module):
    """Landmarks of faces in their standard crops (:func:`recon.detection.align.align` with ``remove_roll``) to heads.

    Args:
        config: how it is built.
        blocks: of the face model.

    Attributes:
        mean_points: ``(N, 3)`` where points lie on average.
        point_sigma: ``(N, 3)`` how they vary.
    """

    mean_points: Float[Tensor, "n 3"]
    point_sigma: Float[Tensor, "n 3"]
    pivot_mm: Float[Tensor, " 3"]
    sixd_start: Float[Tensor, " 6"]

    def __init__(self, config: LiftingNetworkConfig, blocks: FaceBlocks) -> None:
        super().__init__()
        self.config, self.face_blocks = config, blocks
        self.register_buffer("mean_points", torch.zeros(config.n_points, 3))
        self.register_buffer("point_sigma", torch.ones(config.n_points, 3))
        self.register_buffer("pivot_mm", torch.tensor(blocks.pivot_mm))
        self.register_buffer("sixd_start", frontal_sixd())
        width = config.width
        self.first = nn.Linear(_FEATURES * config.n_points + _CAMERA_FEATURES, width)
        self.first_norm = nn.LayerNorm(width)
        self.residual = nn.ModuleList(_ResidualBlock(width) for _ in range(config.blocks))
        self.last_norm = nn.LayerNorm(width)
        self._widths = [blocks.n_identity, blocks.n_expression, 6, 3]
        self.heads = nn.Linear(width, sum(self._widths))
        self.sigmas = nn.Linear(width, sum(self._widths))
        for layer in (self.heads, self.sigmas):
            nn.init.trunc_normal_(layer.weight, std=_INITIAL_STD)
            nn.init.zeros_(layer.bias)

    def start_from(self, mean_points: Float[Tensor, "n 3"], point_sigma: Float[Tensor, "n 3"]) -> None:
        """Take mean and standard deviation of a training set's points.

        Raises:
            ValueError: another number of points.
        """
        for buffer, values in ((self.mean_points, mean_points), (self.point_sigma, point_sigma)):
            if values.shape != buffer.shape:
                raise ValueError(f"points must have shape {tuple(buffer.shape)}, got {tuple(values.shape)}")
            buffer.copy_(values)

    def forward(self, landmarks: LandmarkPrediction, intrinsics: Float[Tensor, "b 3 3"]) -> LiftedFaces:
        """The heads.

        Args:
            landmarks: of the faces in their standard crops.
            intrinsics: ``(B, 3, 3)`` of the crops, as if their side were :data:`NOMINAL_SIZE` px.
        """
        told = torch.cat((self._point_features(landmarks), _camera_features(intrinsics)), dim=1)
        hidden = nn.functional.gelu(self.first_norm(self.first(told)))
        for block in self.residual:
            hidden = hidden + block(hidden)
        hidden = self.last_norm(hidden)
        identity, expression, sixd, place = self.heads(hidden).float().split(self._widths, dim=-1)
        framed = FramedPlace(place, intrinsics, NOMINAL_SIZE)
        rotation, translation_mm = framed.pose(self.sixd_start + sixd, self.pivot_mm, "perspective")
        of_identity, of_expression, of_rotation, of_place = self.sigmas(hidden).float().split(self._widths, dim=-1)
        return LiftedFaces(
            identity,
            expression_weights(expression, self.face_blocks.expression_prior),
            rotation,
            translation_mm,
            (_START_LOG_SIGMA["identity"] + of_identity).clamp(*_LOG_SIGMA),
            (_START_LOG_SIGMA["expression"] + of_expression).clamp(*_LOG_SIGMA),
            _triangle(of_rotation),
            (_START_LOG_SIGMA["place"] + of_place).clamp(*_LOG_SIGMA),
        )

    def _point_features(self, landmarks: LandmarkPrediction) -> Float[Tensor, "b f"]:
        """Places as far as they are believed, and what the detector says of each."""
        believed = torch.sigmoid(2.0 * (math.log(_DOUBTED_SIGMA) - landmarks.log_sigma))
        places = believed[..., None] * (landmarks.points - self.mean_points) / self.point_sigma
        return torch.cat(
            (
                places.flatten(1),
                0.7 * (landmarks.log_sigma - _TYPICAL_LOG_SIGMA),
                0.7 * (landmarks.log_sigma_depth - _TYPICAL_LOG_SIGMA_DEPTH),
                0.25 * landmarks.visible.clamp(-_MOST_VISIBLE, _MOST_VISIBLE),
            ),
            dim=1,
        )


class _ResidualBlock(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))


def _camera_features(intrinsics: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3"]:
    """How much perspective there is, and how far off the axis the crop lies, both about 1 at most."""
    focal_px = intrinsics[:, 0, 0]
    focal = 1.5 * torch.log(focal_px / (_TYPICAL_FOCAL_SIDES * NOMINAL_SIZE))
    aside = 5.0 * (intrinsics[:, :2, 2] - 0.5 * NOMINAL_SIZE) / focal_px[:, None]
    return torch.cat((focal[:, None], aside), dim=1)


def _triangle(raw: Float[Tensor, "b 6"]) -> Float[Tensor, "b 3 3"]:
    """The root of a rotation's precision: its diagonal from the first three numbers, what is below from the rest."""
    diagonal = torch.exp((raw[:, :3] - _START_LOG_SIGMA["rotation"]).clamp(-_LOG_SIGMA[1], -_LOG_SIGMA[0]))
    below = math.exp(-_START_LOG_SIGMA["rotation"]) * raw[:, 3:]
    zero = torch.zeros_like(below[:, 0])
    rows = (
        torch.stack((diagonal[:, 0], zero, zero), dim=-1),
        torch.stack((below[:, 0], diagonal[:, 1], zero), dim=-1),
        torch.stack((below[:, 1], below[:, 2], diagonal[:, 2]), dim=-1),
    )
    return torch.stack(rows, dim=-2)
