"""The face box network applied to photos: the whole photo is searched at several scales."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from recon.detection.face import roll_rad
from recon.detection.regions import Roi, picture_size, turn_to_photo
from recon.io.resample import resample
from recon.networks.face_box_checkpoint import load_face_box_network
from recon.networks.face_box_network import FaceBoxNetworkConfig, FacePeaks, peaks_of
from recon.networks.folded_norms import folded_norms

DEFAULT_FACE_BOX_NETWORK = Path(__file__).parents[1] / "networks" / "weights" / "face_boxes.safetensors"
"""What comes with the package."""
MIN_SCORE = 0.3
"""Of what may be a face; most of it is told from faces by the landmark network, which is not sure of its points."""
_MULTIPLE_PX = 32
_MEAN = 0.45
"""Of the code values of a photo that is searched."""
_SCALE_STEP = 2.0**0.5
"""Largest ratio of neighbouring scales. With 2, one in 150 faces of video frames more is missed."""
_LARGEST_ROOM, _SMALLEST_ROOM = 1.2, 1.5
"""Faces as large as the photo are looked for where they are so much smaller than the largest that the network knows; the smallest
asked for where they are so much larger than the smallest that it knows, of which it is not sure."""


@dataclasses.dataclass(frozen=True, eq=False)
class FaceBox:
    """A face that the box network sees. Pixels of the photo.

    Attributes:
        roi: square about all points of the face, turned as the face is.
        points5: ``(5, 2)`` in the order of :data:`recon.detection.face.POINT_NAMES`.
        score: in [0, 1].
    """

    roi: Roi
    points5: Float[np.ndarray, "5 2"]
    score: float

    def moved(self, matrix: Float[np.ndarray, "3 3"]) -> FaceBox:
        """In the pixels that the similarity ``matrix`` leads to."""
        return FaceBox(self.roi.moved(matrix), self.points5 @ matrix[:2, :2].T + matrix[:2, 2], self.score)


class FaceBoxFinder:
    """Finds faces of all sizes in a photo. Safe to use by several threads.

    Args:
        checkpoint: ``.safetensors`` that ``train.py`` wrote; ``None`` takes the one that comes with the package.
        folded: prepare the network for many searches, see :func:`recon.networks.folded_norms.folded_norms`.

    Raises:
        CheckpointError: no checkpoint, or a damaged one.
    """

    def __init__(self, checkpoint: str | os.PathLike[str] | None = None, *, folded: bool = False) -> None:
        self.path = Path(checkpoint) if checkpoint is not None else DEFAULT_FACE_BOX_NETWORK
        self._network, _ = load_face_box_network(self.path)
        if folded:
            self._network = folded_norms(self._network, torch.zeros(1, 3, 2 * _MULTIPLE_PX, 2 * _MULTIPLE_PX))
        self._network.to(memory_format=torch.channels_last)

    @property
    def config(self) -> FaceBoxNetworkConfig:
        """Of its network."""
        return self._network.config

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], min_face_px: float, turn_deg: int = 0) -> list[FaceBox]:
        """Faces of at least about ``min_face_px``, each once, the surest first.

        Args:
            image: ``(H, W, 3)`` sRGB.
            min_face_px: height of the smallest face worth finding.
            turn_deg: by how much the photo is turned clockwise (0, 90, 180 or 270) to search it: faces are found that are upright
                then, up to about 45 degrees.
        """
        turned = np.ascontiguousarray(np.rot90(image, -turn_deg // 90))
        to_photo = turn_to_photo(picture_size(image), turn_deg)
        scales = self.scales(picture_size(image), min_face_px)
        found = [box.moved(to_photo) for scale in scales for box in self._at_scale(turned, scale)]
        return _distinct(sorted(found, key=lambda box: -box.score))

    def scales(self, size: tuple[int, int], min_face_px: float) -> list[float]:
        """Pixels of searched pictures a pixel of the photo, growing: from one in which the largest face is small enough to one in
        which the smallest is large enough.

        Args:
            size: (H, W) of the photo.
            min_face_px: height of the smallest face worth finding.
        """
        low_px, high_px = self.config.face_px
        first, last = high_px / (_LARGEST_ROOM * max(size)), _SMALLEST_ROOM * low_px / min_face_px
        count = max(0, math.ceil(math.log(last / first, _SCALE_STEP)))
        return [first * (last / first) ** (k / count) for k in range(count + 1)] if count else [first]

    def _at_scale(self, image: UInt8[np.ndarray, "h w 3"], scale: float) -> list[FaceBox]:
        size = tuple(max(1, round(scale * length)) for length in picture_size(image))
        to_photo = np.diag([image.shape[1] / size[1], image.shape[0] / size[0], 1.0])
        small = resample(image, to_photo, (size[0], size[1]))
        beyond = [(0, -length % _MULTIPLE_PX) for length in size]
        peaks = self._peaks(np.pad(small, (*beyond, (0, 0)), mode="edge"))
        found = []
        for score, side_px, points_px in zip(
            peaks.score.tolist(), peaks.side_px.tolist(), peaks.points_px.double().numpy(), strict=True
        ):
            points = points_px @ to_photo[:2, :2].T
            (x, y), points5 = points[0].tolist(), points[1:]
            found.append(FaceBox(Roi(x, y, side_px / scale, roll_rad(points5[:2], points5[3:])), points5, score))
        return found

    @torch.no_grad()
    def _peaks(self, picture: UInt8[np.ndarray, "h w 3"]) -> FacePeaks:
        batch: Tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255.0
        return peaks_of(self._network(batch.contiguous(memory_format=torch.channels_last)), MIN_SCORE)


def normalize_exposure(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """A photo of usual exposure: code values from the first to the last percentile fill the range, with a gamma that brings their
    mean to 0.45. Faces in the dark are found in it that are not in the photo."""
    some = image[:: 1 + image.shape[0] // 256, :: 1 + image.shape[1] // 256]
    low, high = np.percentile(some, (1.0, 99.0))
    values = ((np.arange(256) - low) / max(high - low, 1.0)).clip(0.0, 1.0)
    mean = float(values[some].mean())
    gamma = math.log(_MEAN) / math.log(min(max(mean, 0.02), 0.98))
    exposed: np.ndarray = (255.0 * values**gamma).round().astype(np.uint8)[image]
    return exposed


def _distinct(boxes: list[FaceBox]) -> list[FaceBox]:
    """One box of each face, which is seen at several scales: the first."""
    kept: list[FaceBox] = []
    for box in boxes:
        if not any(_same(box.roi, other.roi) for other in kept):
            kept.append(box)
    return kept


def _same(a: Roi, b: Roi) -> bool:
    """Whether two regions are one face's, and not, say, a nose that was taken for a face before the face itself."""
    return 0.5 < a.side_px / b.side_px < 2.0 and a.distance_px(b) < 0.4 * max(a.side_px, b.side_px)
