"""Do lips and a voice belong together? SyncNet's two figures (Chung and Zisserman 2016; Prajwal et al. 2020) by a sync network."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.networks.sync_network import FRAMES, SOUND_FEATURES, SyncNetwork

_MOST_OFFSET = 15


@dataclasses.dataclass(frozen=True)
class LipSync:
    """Of one clip.

    Attributes:
        distance: mean distance of what is seen to what is heard, at the offset at which it is least (LSE-D: less is better).
        confidence: by how much this is less than the median over offsets (LSE-C: more is better).
        offset: frames by which the voice is late there.
    """

    distance: float
    confidence: float
    offset: int


@torch.no_grad()
def lip_sync(
    network: SyncNetwork,
    crops: UInt8[np.ndarray, "t s s 3"],
    features: Float[np.ndarray, "m bands"],
    most_offset: int = _MOST_OFFSET,
) -> LipSync:
    """Compare what is seen and what is heard at offsets of up to 15 frames.

    Args:
        network: in evaluation mode.
        crops: ``(T, S, S, 3)`` of a face, see :mod:`recon.dubbing.face_crops`, 25 a second.
        features: ``(2 T, bands)`` of the voice, see :func:`recon.dubbing.voices.features_of`.
        most_offset: frames.

    Raises:
        ValueError: a clip too short for an offset, or features of another length.
    """
    count = len(crops) - FRAMES + 1
    if count < 2 or len(features) != 2 * len(crops):
        raise ValueError(
            f"a clip of at least {FRAMES + 1} frames with two features a frame is needed, got {len(crops)} and {len(features)}"
        )
    looked = network.looked(pictures(crops))
    video = network.video_points(looked)[0]
    sound = network.sound_points(torch.tensor(features, dtype=torch.float32)[None])[0]
    rows = min(len(video), len(sound), count, (len(features) - SOUND_FEATURES) // 2 + 1)
    apart = torch.cdist(video[:rows], sound[:rows]).numpy()
    most = min(most_offset, rows - 1)
    means = {k: float(np.diagonal(apart, k).mean()) for k in range(-most, most + 1)}
    best = min(means, key=lambda k: means[k])
    return LipSync(means[best], float(np.median(list(means.values()))) - means[best], best)


@torch.no_grad()
def lips_mm(network: SyncNetwork, crops: UInt8[np.ndarray, "t s s 3"]) -> Float[np.ndarray, "t 2"]:
    """How far lips are apart and how wide mouths are, as the network sees it, mm."""
    return network.lips_mm(network.looked(pictures(crops)))[0].double().numpy()


@torch.no_grad()
def mouth_features(network: SyncNetwork, crops: UInt8[np.ndarray, "t s s 3"]) -> Float[np.ndarray, "t c"]:
    """What the network sees in each frame."""
    return network.looked(pictures(crops))[0].double().numpy()


def pictures(crops: UInt8[np.ndarray, "t s s 3"]) -> Float[torch.Tensor, "1 t 3 s s"]:
    """Crops as networks take them, a batch of one clip in [-1, 1]."""
    return torch.tensor(crops).permute(0, 3, 1, 2)[None].float() / 127.5 - 1.0
