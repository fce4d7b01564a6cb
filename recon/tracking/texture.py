"""The texture of a head from many frames of its video."""

from __future__ import annotations

import numpy as np
import torch

from recon.io.video import Video, frames_at
from recon.reconstruction import Reconstruction
from recon.texturing.many_photos import FaceTexture, PhotoInTexture, TextureCollector
from recon.texturing.unproject import PhotographedHead
from recon.texturing.uv_map import UvMap
from recon.tracking.head_track import HeadTrack
from recon.tracking.heads import head_at

_LIDS, _LIPS = ((37, 41), (38, 40), (43, 47), (44, 46)), ((61, 67), (62, 66), (63, 65))
"""Upper and lower, by the numbers of the 68 landmarks."""


def texture_of(track: HeadTrack, video: Video, size: int) -> FaceTexture:
    """The robust average of the track's :attr:`~recon.tracking.head_track.HeadTrack.texture_frames`.

    Args:
        track: of the video, of a model with texture coordinates; it has such frames.
        video: is read once.
        size: side of the texture, px.
    """
    collector = TextureCollector(UvMap.of(track.model, size))
    for position, pixels in frames_at(video, track.texture_frames):
        collector.add(_photo(head_at(track, position, pixels), float(track.sharpness[position])))
    return collector.texture()


def _photo(head: Reconstruction, sharpness: float) -> PhotoInTexture:
    """A frame: the sharper and the nearer, the more it counts."""
    model = head.model
    vertices = torch.from_numpy(head.vertices)[None]
    camera = head.camera
    photographed = PhotographedHead(
        model, vertices, model.albedo(head.albedo_coefficients), head.lighting, camera, head.photo.pixels
    )
    marks_mm, marks_px = head.landmarks_mm(), head.landmarks68
    extent_px = float(np.prod(marks_px.max(axis=0) - marks_px.min(axis=0)))

    def opening_mm(pairs: tuple[tuple[int, int], ...]) -> float:
        return float(np.mean([np.linalg.norm(marks_mm[upper] - marks_mm[lower]) for upper, lower in pairs]))

    return PhotoInTexture(photographed, max(sharpness * extent_px, 1e-6), opening_mm(_LIDS), opening_mm(_LIPS))
