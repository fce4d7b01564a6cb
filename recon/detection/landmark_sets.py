"""The landmarks of one face as files hold them: sets of points of whichever detector, with what is known of each point."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from jaxtyping import Float32

from recon.detection.dense_landmarks import DenseLandmarks
from recon.detection.face import Face
from recon.io.image import Photo
from recon.io.names import printable

SET_NAMES = ("68", "478", "520")
_DEPTH_OF_OPEN = "px at the scale of the face: 0 at the head's origin between the eyes, growing away from the viewer (weak perspective)"
_DEPTH_OF_MESH = (
    "px at the scale of the face: 0 near the middle of the head, growing away from the viewer (MediaPipe's z)"
)
_NO_DEPTH = "not known"


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkSet:
    """N points, in px of the photo: x right, y down, pixel centres at +0.5. What a detector does not tell is None.

    Attributes:
        xy_px: ``(N, 2)``.
        depth_px: ``(N,)`` see :attr:`FaceLandmarks.depth_meaning`.
        sigma_px: ``(N,)`` standard deviation of x and of y.
        sigma_depth_px: ``(N,)`` of the depth.
        visible: ``(N,)`` in [0, 1]: how surely the point is inside the picture and not hidden.
    """

    xy_px: Float32[np.ndarray, "n 2"]
    depth_px: Float32[np.ndarray, " _"] | None = None
    sigma_px: Float32[np.ndarray, " _"] | None = None
    sigma_depth_px: Float32[np.ndarray, " _"] | None = None
    visible: Float32[np.ndarray, " _"] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for arrays that do not go together, or that hold nan or inf: files may hold anything."""
        for field in dataclasses.fields(self):
            array = getattr(self, field.name)
            if array is None:
                continue
            shape = (len(self.xy_px), 2)[: 2 if field.name == "xy_px" else 1]
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(
                    f"{field.name} must hold finite float32 of shape {shape}, got {array.dtype} {array.shape}"
                )

    @property
    def points_px(self) -> Float32[np.ndarray, "n 3"]:
        """x, y and depth; nan where the depth is not known."""
        depth = np.full(len(self.xy_px), np.nan, np.float32) if self.depth_px is None else self.depth_px
        return np.column_stack([self.xy_px, depth])

    @property
    def seen(self) -> np.ndarray:
        """``(N,)`` bool: more probably visible than not; of a detector that does not tell, all."""
        return np.ones(len(self.xy_px), bool) if self.visible is None else self.visible >= 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class FaceLandmarks:
    """One face of a photo with its landmarks.

    Attributes:
        source: where the photo came from.
        photo_size: width and height in px of the photo that the points lie in: upright, as EXIF says.
        photo_scale: size of that photo / size of the picture in the file; below 1 if it was reduced.
        box: ``(4,)`` x0, y0, x1, y1 in px.
        score: in [0, 1]: how sure the detector is that this is a face.
        detector: its name.
        rotation_deg: turning the photo clockwise by so much brings the face nearest to upright.
        depth_meaning: what the depths are, in words.
        sets: by name; ``"68"`` are the first points of ``"520"``.
    """

    source: str
    photo_size: tuple[int, int]
    photo_scale: float
    box: Float32[np.ndarray, " 4"]
    score: float
    detector: str
    rotation_deg: int
    depth_meaning: str
    sets: Mapping[str, LandmarkSet]

    @classmethod
    def of(cls, face: Face, photo: Photo, names: Sequence[str] | None = None) -> FaceLandmarks:
        """The landmarks of a detected face.

        Args:
            face: in the photo.
            photo: as it was read.
            names: the sets wanted, in their order; None takes all that the face has.

        Raises:
            KeyError: the face does not have one of the sets.
        """
        held = sets_of_face(face)
        wanted = tuple(held) if names is None else tuple(names)
        missing = [name for name in wanted if name not in held]
        if missing:
            raise KeyError(
                f"the face has no landmark set {missing[0]!r}; it has: {', '.join(held) or 'none'} (detector "
                f"{face.detector!r})"
            )
        height, width = photo.pixels.shape[:2]
        return cls(
            source=printable(photo.source),
            photo_size=(width, height),
            photo_scale=photo.scale,
            box=face.box.astype(np.float32),
            score=face.score,
            detector=face.detector,
            rotation_deg=face.rotation_deg,
            depth_meaning=_depth_meaning(face),
            sets=MappingProxyType({name: held[name] for name in wanted}),
        )


def sets_of_face(face: Face) -> dict[str, LandmarkSet]:
    """All landmark sets of a face by name, those of :data:`SET_NAMES` that it has; none for a box alone."""
    if face.dense is not None:
        return {name: _dense_set(face.dense.subset(name)) for name in SET_NAMES if name in face.dense.names}
    found = {}
    if face.landmarks68 is not None:
        found["68"] = LandmarkSet(face.landmarks68.astype(np.float32))
    if face.landmarks478 is not None:
        points = face.landmarks478.astype(np.float32)
        found["478"] = LandmarkSet(points[:, :2].copy(), points[:, 2].copy())
    return found


def _dense_set(dense: DenseLandmarks) -> LandmarkSet:
    points, *others = (
        array.astype(np.float32) for array in (dense.points_px, dense.sigma_px, dense.sigma_depth_px, dense.visible)
    )
    return LandmarkSet(points[:, :2].copy(), points[:, 2].copy(), *others)


def _depth_meaning(face: Face) -> str:
    if face.dense is not None:
        return _DEPTH_OF_OPEN
    return _DEPTH_OF_MESH if face.landmarks478 is not None else _NO_DEPTH
