"""Weights of a fit's terms, widths of its priors, and its effort."""

from __future__ import annotations

import dataclasses

from recon.camera import PORTRAIT_DISTANCE_MM, CameraModel, check_camera_model


@dataclasses.dataclass(frozen=True)
class Level:
    """One resolution of the photometric stage.

    Attributes:
        size_px: side of the crop.
        blur_px: standard deviation of the blur of photo and rendering.
        n_steps: Gauss-Newton steps.
    """

    size_px: int
    blur_px: float
    n_steps: int


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """Weights and effort of a fit. Defaults were set on rendered heads whose truth is known and by looking at photos.

    Attributes:
        opening_sharpness: how many times better the distances between lids and between lips are known than single points, of
            detectors that were not calibrated.
        contour_sigma: standard deviation of an edge of the photo from the occluding contour, as a fraction of the crop's
            side.
        effective_edges: how many independent edges the contour counts for; 0 leaves it out.
        identity_precision, albedo_precision: strength of the priors: times that of N(0, 1).
        expression_mean: of the exponential prior of ARKit weights.
        expression_sigma: the standard deviation of expression coefficients that are no such weights; of a tracked person, whose weights in
            single frames have a Gaussian prior, of these.
        exposure_sigma, tint_sigma, band2_sigma: widths of the lighting prior, see
            :class:`recon.fitting.terms.lighting_prior.LightingPrior`.
        assumed_distance_mm: assumed distance of the head when the focal length is unknown, see
            :data:`recon.camera.PORTRAIT_DISTANCE_MM`.
        landmark_steps: Gauss-Newton steps on landmarks.
        focal_sigma: how far the focal length that follows from ``assumed_distance_mm`` may be off, as a standard deviation of its
            logarithm: selfies are taken from 0.3 m, portraits from 3 m.
        uncalibrated_focal_sigma: the same for points of a detector that was not calibrated. What all its points are off
            by looks like a near camera: MediaPipe's would put heads at 1.5 m to 0.75 m.
        measured_focal_sigma: the same where the distance was measured with the photo: what is left are the sizes of heads.
        effective_points: how many independent points measured depth counts for, see
            :class:`recon.fitting.terms.measured_depth.MeasuredDepthTerm`.
        levels: resolutions of the photometric stage, coarse to fine; none leaves the photo out.
        effective_pixels: how many independent pixels the photo counts for. A face covers 10 000, but what the model
            cannot explain (beards, shadows, make-up) is alike over wide areas.
        camera: how the head is projected, ``perspective`` or ``weak_perspective`` (Eq. 4 of the reconstruction paper).
        white_light: nine lighting coefficients for all colour channels (delta in R^9 of Eq. 3), not nine a channel; colour is
            then the albedo's alone.

    Raises:
        CameraError: an unknown camera.
    """

    opening_sharpness: float = 5.0
    contour_sigma: float = 0.01
    effective_edges: float = 80.0
    identity_precision: float = 2.0
    albedo_precision: float = 4.0
    expression_mean: float = 0.16
    expression_sigma: float = 0.40
    exposure_sigma: float = 0.15
    tint_sigma: float = 0.30
    band2_sigma: float = 0.25
    assumed_distance_mm: float = PORTRAIT_DISTANCE_MM
    landmark_steps: int = 30
    focal_sigma: float = 0.7
    uncalibrated_focal_sigma: float = 0.2
    measured_focal_sigma: float = 0.1
    effective_points: float = 300.0
    levels: tuple[Level, ...] = (Level(96, 2.0, 8), Level(128, 1.0, 8), Level(224, 0.7, 8))
    effective_pixels: float = 300.0
    camera: CameraModel = "perspective"
    white_light: bool = False

    def __post_init__(self) -> None:
        check_camera_model(self.camera)

    @classmethod
    def of(cls, quality: str) -> FitSettings:
        """The settings of a named quality: ``fast`` uses the landmarks and a few steps on a small crop.

        Raises:
            ValueError: no such quality.
        """
        chosen = {
            "fast": cls(levels=(Level(96, 2.0, 5), Level(128, 1.0, 3))),
            "default": cls(),
            "best": cls(levels=(Level(96, 2.0, 12), Level(128, 1.0, 12), Level(224, 0.7, 12), Level(320, 0.7, 8))),
        }.get(quality)
        if chosen is None:
            raise ValueError(f"quality must be fast, default or best, got {quality!r}")
        return chosen

    @classmethod
    def hybrid(cls, quality: str) -> FitSettings:
        """The same for a fit with an initial estimate, as a network's: fewer steps.

        Raises:
            ValueError: no such quality.
        """
        chosen = cls.of(quality)
        steps = {"fast": (3, 2), "default": (4, 4, 4), "best": (8, 8, 8, 8)}[quality]
        levels = tuple(dataclasses.replace(level, n_steps=n) for level, n in zip(chosen.levels, steps, strict=True))
        return dataclasses.replace(chosen, levels=levels)
