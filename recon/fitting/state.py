"""What a fit looks at, and what it knows so far."""

from __future__ import annotations

import dataclasses

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.camera import CAMERAS, NEAR_MM, PosedCamera
from recon.detection.observation import LandmarkObservation
from recon.fitting.layout import ParameterLayout
from recon.io.measured_depth import MeasuredDepth
from recon.parameters import FaceParameters
from recon.render.sampling import sample_pixels

_WHOLE = 0.999
"""Bilinear values count where all four pixels are known."""


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkTensors:
    """:class:`recon.detection.observation.LandmarkObservation` as tensors, in pixels of the photo or of a crop of it."""

    points_px: Float[Tensor, "n 2"]
    sigma_px: Float[Tensor, " n"]
    modes: Float[Tensor, "r n 2"]
    mode_sigma: Float[Tensor, " r"]
    bias: Float[Tensor, "n 2"]
    calibrated: bool

    @classmethod
    def of(cls, observed: LandmarkObservation) -> LandmarkTensors:
        """The same, float64."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "calibrated"]
        tensors = {name: torch.from_numpy(getattr(observed, name).astype(np.float64)) for name in names}
        return cls(**tensors, calibrated=observed.calibrated)

    def cropped(self, corner_px: Float[Tensor, " 2"], scale: float, like: Tensor) -> LandmarkTensors:
        """The same in a crop that begins at a corner and has ``scale`` pixels a pixel; on the device and of the type of ``like``."""
        changed = dataclasses.replace(
            self,
            points_px=(self.points_px - corner_px) * scale,
            sigma_px=self.sigma_px * scale,
        )
        tensors = {field.name: getattr(changed, field.name) for field in dataclasses.fields(changed)}
        del tensors["calibrated"]
        return LandmarkTensors(**{name: t.to(like) for name, t in tensors.items()}, calibrated=self.calibrated)


@dataclasses.dataclass(frozen=True, eq=False)
class DepthTensors:
    """Measured depth, and where the pixels of a picture lie in its map.

    Attributes:
        depth_mm: ``(1, h, w)`` planar, 0 where nothing was measured.
        corner_px: ``(2,)`` where the map's upper left corner lies in the picture.
        map_px_per_px: ``(2,)`` pixels of the map a pixel of the picture, in x and y.
    """

    depth_mm: Float[Tensor, "1 h w"]
    corner_px: Float[Tensor, " 2"]
    map_px_per_px: Float[Tensor, " 2"]

    @classmethod
    def of(cls, measured: MeasuredDepth, size: tuple[int, int]) -> DepthTensors:
        """Of a photo of a size (H, W), float64.

        Raises:
            MeasuredDepthError: the map is of another shape than the photo.
        """
        measured.check_shape(size)
        depth_mm = torch.from_numpy(np.nan_to_num(measured.depth_mm, nan=0.0).astype(np.float64))
        height, width = depth_mm.shape
        per_px = torch.tensor([width / size[1], height / size[0]], dtype=torch.float64)
        return cls(depth_mm[None], torch.zeros(2, dtype=torch.float64), per_px)

    def cropped(self, corner_px: Float[Tensor, " 2"], scale: float, like: Tensor) -> DepthTensors:
        """The same for a crop that begins at a corner and has ``scale`` pixels a pixel; on the device and of the type of ``like``."""
        return DepthTensors(
            self.depth_mm.to(like),
            ((self.corner_px - corner_px) * scale).to(like),
            (self.map_px_per_px / scale).to(like),
        )

    def at(self, pixels: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
        """Depth at places in the picture, and whether it is known: all four pixels of the map about it are."""
        places = (pixels - self.corner_px) * self.map_px_per_px
        measured = (self.depth_mm > 0.0).to(self.depth_mm)
        found = sample_pixels(torch.cat((self.depth_mm, measured)), places, outside="zeros")
        return found[:, 0], found[:, 1] > _WHOLE


@dataclasses.dataclass(frozen=True, eq=False)
class ViewTensors:
    """Landmarks of one photo or of a square crop of it, and the crop's pixels for the photometric stage.

    Attributes:
        landmarks: points and their errors.
        visibility: ``(N,)`` of each point in [0, 1], for detectors that were not calibrated; ``None`` takes the mean face's at
            the pose so far.
        focal_px, principal_px: ``(1, 2)`` intrinsics.
        focal_sigma: how far the true focal length may be from ``focal_px``, as a standard deviation of its logarithm;
            0 if it is known.
        photo: ``(1, 3, S, S)`` sRGB code values in [0, 1]; ``None`` in the landmark stage.
        mask: ``(1, 1, S, S)`` in [0, 1]: how surely each pixel shows the uncovered face.
        depth: that was measured; ``None`` if none was.
    """

    landmarks: LandmarkTensors
    focal_px: Float[Tensor, "1 2"]
    principal_px: Float[Tensor, "1 2"]
    focal_sigma: float = 0.0
    visibility: Float[Tensor, " n"] | None = None
    photo: Float[Tensor, "1 3 s s"] | None = None
    mask: Float[Tensor, "1 1 s s"] | None = None
    depth: DepthTensors | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the crop."""
        return int(self.pixels.shape[2]), int(self.pixels.shape[3])

    @property
    def pixels(self) -> Float[Tensor, "1 3 s s"]:
        """The crop.

        Raises:
            ValueError: a view of the landmark stage has none.
        """
        if self.photo is None:
            raise ValueError("this view has landmarks only: the photometric stage needs its crop")
        return self.photo

    @property
    def face_mask(self) -> Float[Tensor, "1 1 s s"]:
        """The mask; ones if there is none."""
        return torch.ones_like(self.pixels[:, :1]) if self.mask is None else self.mask


@dataclasses.dataclass(frozen=True)
class StepLimits:
    """How far a step and the unknowns may go.

    Attributes:
        rotation_rad: largest rotation of one step.
        identity, albedo: largest coefficients, standard deviations; infinity for none.
        log_focal: largest logarithm of the focal scale.
        distance_fraction: largest change of a head's distance in one step, as a fraction of it, and so of the focal length: where
            both change, perspective is far from linear.
    """

    rotation_rad: float
    identity: float = torch.inf
    albedo: float = torch.inf
    log_focal: float = torch.inf
    distance_fraction: float = 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class FitState:
    """The unknowns of V views of one person, float64.

    Attributes:
        parameters: identity and albedo ``(1, K)``, the rest by view; poses in the camera frame of the photos.
        log_focal: ``(V,)`` logarithm of the focal length over that of the view.
        camera_sigma: ``(V, 2)`` standard deviations of the distance of each view's head and of its focal length by the landmarks,
            as shares of them; ``None`` before the landmark stage. Steps on photos leave them: pixels do not err
            independently (of 39 rendered heads their sigma of the distance was a tenth of the true one).
    """

    parameters: FaceParameters
    log_focal: Float[Tensor, " v"]
    camera_sigma: Float[Tensor, "v 2"] | None = None

    @classmethod
    def of(cls, parameters: FaceParameters) -> FitState:
        """Parameters with the focal lengths of their views."""
        return cls(
            parameters.to(torch.float64), parameters.translation_mm.new_zeros(len(parameters), dtype=torch.float64)
        )

    @property
    def n_views(self) -> int:
        return len(self.parameters)

    def camera(self, view: ViewTensors, index: int) -> PosedCamera:
        """The camera of one view, float64."""
        at, like = slice(index, index + 1), self.log_focal
        focal_px = view.focal_px.to(like) * torch.exp(self.log_focal[index])
        kind = CAMERAS[self.parameters.camera_model]
        return kind(
            self.parameters.rotation[at], self.parameters.translation_mm[at], focal_px, view.principal_px.to(like)
        )

    def with_lighting(self, lighting: Float[Tensor, "v 9 3"]) -> FitState:
        """The same with another light."""
        return dataclasses.replace(
            self, parameters=dataclasses.replace(self.parameters, lighting=lighting.to(self.parameters.albedo))
        )

    def bounds(self, layout: ParameterLayout, limits: StepLimits, unit_expression: bool) -> Float[Tensor, "2 d"]:
        """Least and largest step of each unknown that keeps it within its bounds."""
        low, high = (
            self.log_focal.new_full((layout.n_total,), -torch.inf),
            self.log_focal.new_full((layout.n_total,), torch.inf),
        )
        for where, values, most in (
            (layout.identity, self.parameters.identity[0], limits.identity),
            (layout.albedo, self.parameters.albedo[0], limits.albedo),
        ):
            if where.stop > where.start:
                low[where], high[where] = -most - values, most - values
        for view in range(self.n_views):
            along, depth_mm = layout.translation(view).stop - 1, self.parameters.translation_mm[view, 2].abs()
            low[along], high[along] = -limits.distance_fraction * depth_mm, limits.distance_fraction * depth_mm
            if layout.n_focal:
                focal, now = layout.focal(view), self.log_focal[view]
                low[focal] = (-limits.log_focal - now).clamp_min(-limits.distance_fraction)
                high[focal] = (limits.log_focal - now).clamp_max(limits.distance_fraction)
        if unit_expression:
            for view in range(self.n_views):
                expression = self.parameters.expression[view]
                low[layout.expression(view)], high[layout.expression(view)] = -expression, 1.0 - expression
        return torch.stack([low, high])

    def moved(
        self, layout: ParameterLayout, step: Float[Tensor, " d"], limits: StepLimits, unit_expression: bool
    ) -> FitState:
        """The state after a step; rotations turn about the camera's axes."""
        views = range(self.n_views)

        def own(part: str) -> Float[Tensor, "v k"]:
            return torch.stack([step[getattr(layout, part)(view)] for view in views])

        now = self.parameters
        expression = now.expression + own("expression")
        albedo, lighting, log_focal = now.albedo, now.lighting, self.log_focal
        if layout.n_albedo:
            albedo = (albedo + step[layout.albedo]).clamp(-limits.albedo, limits.albedo)
        if layout.n_lighting:
            # White light has one step for all channels.
            lighting = now.known_lighting + own("lighting").unflatten(1, (9, layout.n_lighting // 9))
        if layout.n_focal:
            log_focal = log_focal + own("focal")[:, 0]
        translation_mm = now.translation_mm + own("translation")
        if now.camera_model == "weak_perspective":
            # Its scale is one over this depth; perspective bounds the depths of points.
            depth = translation_mm[:, 2:].clamp_max(-NEAR_MM)
            translation_mm = torch.cat([translation_mm[:, :2], depth], dim=1)
        return FitState(
            FaceParameters(
                (now.identity + step[layout.identity]).clamp(-limits.identity, limits.identity),
                expression.clamp(0.0, 1.0) if unit_expression else expression,
                albedo,
                rotvec_to_matrix(own("rotation"), limits.rotation_rad) @ now.rotation,
                translation_mm,
                lighting,
                now.camera_model,
            ),
            log_focal,
            self.camera_sigma,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class ViewAtState:
    """One view and the unknowns that it is explained by.

    Attributes:
        state: the unknowns.
        view: what is seen.
        index: number of the view in the state.
    """

    state: FitState
    view: ViewTensors
    index: int


def rotvec_to_matrix(rotvec: Float[Tensor, "v 3"], most_rad: float) -> Float[Tensor, "v 3 3"]:
    """Rotations by vectors, those longer than ``most_rad`` cut to it."""
    length = rotvec.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return roma.rotvec_to_rotmat(rotvec * (most_rad / length).clamp_max(1.0))
