"""The heads of single frames of a track."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8

from recon.detection.face import Face
from recon.io.image import Photo
from recon.reconstruction import FitReport, Reconstruction
from recon.tracking.head_track import HeadTrack


def head_at(track: HeadTrack, position: int, pixels: UInt8[np.ndarray, "h w 3"]) -> Reconstruction:
    """The head of one frame.

    Args:
        track: with a result there.
        position: of the frame.
        pixels: of the frame.
    """
    camera = track.camera(position)
    expression = torch.from_numpy(track.expression[position : position + 1]).float()
    vertices = track.model.shape(track.person.identity, expression)
    marks = camera.to_pixels(camera.to_camera(track.model.landmarks68(vertices)))[0].double().numpy()
    box = np.concatenate([marks.min(axis=0), marks.max(axis=0)])
    eyes = [marks[36:42].mean(axis=0), marks[42:48].mean(axis=0)]
    face = Face(box, np.stack([*eyes, marks[30], marks[48], marks[54]]), 1.0, "track")
    return Reconstruction(
        model=track.model,
        photo=Photo(pixels, focal_px=track.person.focal_px, source=track.source),
        face=face,
        identity=track.person.identity,
        expression=expression,
        albedo_coefficients=track.person.albedo,
        lighting=torch.from_numpy(track.lighting[position : position + 1]).float(),
        camera=camera,
        fit_report=FitReport(float("nan"), float("nan"), ()),
    )
