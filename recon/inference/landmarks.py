"""The dense landmark network applied to photos: frame the face, ask the network, bring its answer back to the photo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bfm.landmarks import five_points_of_68
from bfm.model import MorphableModel
from recon.detection.align import Alignment, AlignmentError, align
from recon.detection.dense_landmarks import DenseLandmarks
from recon.networks.folded_norms import folded_norms
from recon.networks.landmark_checkpoint import check_landmarks, landmark_fingerprint, load_landmark_network
from recon.networks.landmark_network import LandmarkNetwork, LandmarkNetworkConfig, LandmarkPrediction
from recon.networks.network_file import CheckpointError

DEFAULT_LANDMARK_NETWORK = Path(__file__).parents[1] / "networks" / "weights" / "landmarks_open.safetensors"
"""What comes with the package."""
_PASSES = 2


@runtime_checkable
class LandmarkPredictor(Protocol):
    """A landmark network, in torch or in onnxruntime."""

    config: LandmarkNetworkConfig

    def __call__(self, crops: Float[Tensor, "b 3 h w"]) -> LandmarkPrediction:
        """Points of crops."""
        ...


class LandmarkRegressor:
    """Dense landmarks of faces whose five points are known.

    The first pass frames the face by the five points, each further one by the points of the pass before, as faces were
    framed in training.

    Args:
        checkpoint: ``.safetensors`` that ``train.py`` wrote, or ``.onnx`` that ``recon export-onnx`` wrote; ``None`` takes the
            one that comes with the package.
        model: the face model whose landmarks they must be; ``None`` takes any.
        passes: how often the face is framed anew.
        folded: prepare a network in torch for many looks, see :func:`recon.networks.folded_norms.folded_norms`: each is a fifth faster, the
            first later by as much as six looks take.

    Attributes:
        path: of the checkpoint.

    Raises:
        CheckpointError, OnnxError: no checkpoint, a damaged one, or one for other landmarks.
        ValueError: fewer than one pass.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str] | None = None,
        model: MorphableModel | None = None,
        passes: int = _PASSES,
        folded: bool = False,
    ) -> None:
        if passes < 1:
            raise ValueError(f"a face must be looked at at least once, got {passes} passes")
        path = Path(checkpoint) if checkpoint is not None else DEFAULT_LANDMARK_NETWORK
        self.passes = passes
        self.path = path
        self._network, fingerprint = _opened(path)
        config = self._network.config
        if "520" not in config.point_sets:
            raise CheckpointError(
                f"{path} gives the points {', '.join(config.point_sets)}; framing needs the 520, which hold the 68"
            )
        if config.head == "direct":
            raise CheckpointError(
                f"{path} has the head 'direct', which states no standard deviations, and by these a face is told from what is none: "
                "train the head 'local'"
            )
        if model is not None:
            check_landmarks(path, config, fingerprint, landmark_fingerprint(model, config.point_sets))
        if folded and isinstance(self._network, LandmarkNetwork):
            self._network = folded_norms(self._network, torch.zeros(1, 3, config.size, config.size))

    @property
    def point_sets(self) -> tuple[str, ...]:
        """Names of the sets that it gives, as those of :attr:`DenseLandmarks.names`."""
        return ("68", *self._network.config.point_sets)

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], points5: Float[np.ndarray, "5 2"]) -> DenseLandmarks:
        """The points of one face.

        Args:
            image: ``(H, W, 3)`` sRGB.
            points5: ``(5, 2)`` px of the photo, ordered as in :class:`recon.detection.Face`.

        Raises:
            AlignmentError: the five points cannot be a face's.
        """
        found = self.once(image, points5)
        for _ in range(self.passes - 1):
            try:
                crop = align(
                    five_points_of_68(found.subset("68").points_px[:, :2]), self._network.config.size, remove_roll=True
                )
            except AlignmentError:
                break  # the points make no face: a further pass would not mend that, and their sigmas say so
            found = self._predict(image, crop)
        return found

    def once(self, image: UInt8[np.ndarray, "h w 3"], points5: Float[np.ndarray, "5 2"]) -> DenseLandmarks:
        """The points of a face whose five points are already well known, as those of the frame before in a video: one pass.

        Args:
            image: ``(H, W, 3)`` sRGB.
            points5: ``(5, 2)`` px.

        Raises:
            AlignmentError: the five points cannot be a face's.
        """
        return self._predict(image, align(points5, self._network.config.size, remove_roll=True))

    @torch.no_grad()
    def _predict(self, image: UInt8[np.ndarray, "h w 3"], alignment: Alignment) -> DenseLandmarks:
        size, config = alignment.size, self._network.config
        crop = torch.from_numpy(alignment.crop(image).copy()).permute(2, 0, 1)[None].float() / 255.0
        found = self._network(crop)
        points = found.points[0].double().numpy()
        px_per_side = size / alignment.scale
        plane = alignment.photo_points(size * (points[:, :2] + 0.5))
        return DenseLandmarks(
            points_px=np.column_stack([plane, px_per_side * points[:, 2]]),
            sigma_px=px_per_side * found.log_sigma[0].double().exp().numpy(),
            sigma_depth_px=px_per_side * found.log_sigma_depth[0].double().exp().numpy(),
            visible=found.visible[0].double().sigmoid().numpy(),
            sets=tuple((name, int(name)) for name in config.point_sets),
        )


def _opened(path: Path) -> tuple[LandmarkPredictor, str | None]:
    """The network of a file, and the fingerprint of its points."""
    if path.suffix.lower() == ".onnx":
        from recon.networks.landmark_onnx import OnnxLandmarkNetwork

        exported = OnnxLandmarkNetwork(path)
        return exported, exported.fingerprint
    network, header = load_landmark_network(path)
    return network, header.get("landmarks")
