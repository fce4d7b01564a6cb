"""Who is in a picture: embeddings of found faces, whose cosines say how alike two people look."""

from __future__ import annotations

import os

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.alignment import umeyama
from recon.detection.align import AlignmentError
from recon.io.resample import resample
from recon.networks.arcface import CROP_PX, TEMPLATE_PX
from recon.networks.folded_norms import folded_norms
from recon.networks.identity_checkpoint import DEFAULT_IDENTITY_NETWORK, load_identity_network
from recon.networks.identity_network import config_of_network

_LEAST_PX = 1e-3


class FaceEmbedder:
    """Embeddings of faces.

    Args:
        path: of an identity network that ``train.py`` wrote; the one of the package by default.

    Attributes:
        size: D, numbers of an embedding.

    Raises:
        CheckpointError: missing, damaged, or another kind of file.
    """

    def __init__(self, path: str | os.PathLike[str] = DEFAULT_IDENTITY_NETWORK) -> None:
        network, _ = load_identity_network(path)
        self.size = config_of_network(network).embedding
        self._network = folded_norms(network, torch.zeros(1, 3, CROP_PX, CROP_PX))

    @torch.no_grad()
    def __call__(self, image: UInt8[np.ndarray, "h w 3"], points5: Float[np.ndarray, "5 2"]) -> Float[np.ndarray, " d"]:
        """Of one face: unit vector; the mean of those of the crop and of its mirror image.

        Args:
            image: sRGB.
            points5: of :attr:`recon.detection.face.Face.points5`, px.

        Raises:
            AlignmentError: points that no face has.
        """
        crop = torch.tensor(aligned_crop(image, points5)).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        both = self._network(torch.cat((crop, crop.flip(-1))).contiguous(memory_format=torch.channels_last))
        unit = torch.nn.functional.normalize(both, dim=1).mean(dim=0)
        return torch.nn.functional.normalize(unit, dim=0).numpy()


def aligned_crop(
    image: UInt8[np.ndarray, "h w 3"], points5: Float[np.ndarray, "5 2"]
) -> UInt8[np.ndarray, "112 112 3"]:
    """The crop in which identity networks see a face: :func:`recon.networks.arcface.aligned_crops` for photos, antialiased.

    Raises:
        AlignmentError: points that are not finite or all in one place.
    """
    points = np.asarray(points5, dtype=np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all() or np.ptp(points, axis=0).max() < _LEAST_PX:
        raise AlignmentError(f"a face is aligned by five different points, got {points.tolist()}")
    template_px = torch.tensor(TEMPLATE_PX, dtype=torch.float64)
    scale, rotation, shift_px = umeyama(template_px[None], torch.from_numpy(points)[None])
    to_image = np.eye(3)
    to_image[:2, :2], to_image[:2, 2] = (scale[0] * rotation[0]).numpy(), shift_px[0].numpy()
    return resample(image, to_image, (CROP_PX, CROP_PX))
