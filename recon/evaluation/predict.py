"""From photos to heads, for protocols: one face a photo, and failures as values."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bfm.model import MorphableModel
from recon.evaluation.provenance import file_hash, model_hash
from recon.faces.image import ImageError, Photo, read_image
from recon.reconstruction import Reconstruction

FaceBox = Float[np.ndarray, " 4"]

HeadOf = Callable[[Photo, FaceBox | None], Reconstruction]
"""The head of one face in a photo: of the face nearest to the middle of a box, or of the largest without one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """How heads are made, with what the report has to say about it.

    Attributes:
        head: makes a head; raises for a photo it cannot do.
        model: the face model of its heads.
        method: description.
        weights: hashes.
    """

    head: HeadOf
    model: MorphableModel
    method: str
    weights: str


@dataclasses.dataclass(frozen=True)
class PredictorOptions:
    """What the command line says about predictions."""

    method: str = "fit"
    quality: str = "default"
    model: str = "open"
    detector: str = "mediapipe"
    device: str = "auto"
    checkpoint: Path | None = None


@contextlib.contextmanager
def open_predictor(options: PredictorOptions) -> Iterator[Predictor]:
    """A predictor through the public :class:`recon.reconstructor.Reconstructor`.

    Raises:
        ValueError, OSError: options that do not work, before any photo is read.
    """
    from recon.faces.detect import open_detector
    from recon.reconstructor import Reconstructor

    with open_detector(options.detector) as detector:
        reconstructor = Reconstructor(
            options.model,
            method=options.method,
            device=options.device,
            quality=options.quality,
            detector=detector,
            checkpoint=options.checkpoint,
        )

        def head(photo: Photo, near: FaceBox | None) -> Reconstruction:
            faces = reconstructor.detect(photo)
            if near is not None:
                middle = 0.5 * (near[:2] + near[2:])
                faces.sort(key=lambda face: float(np.linalg.norm(0.5 * (face.box[:2] + face.box[2:]) - middle)))
            return reconstructor.fit_face(photo, faces[0])

        weights = model_hash(reconstructor.model)
        if options.checkpoint is not None:
            weights += f", checkpoint {options.checkpoint.name} {file_hash(options.checkpoint)[:16]}"
        elif options.method != "fit":
            weights += ", checkpoint of the package at this commit"
        method = f"{options.method}, quality {options.quality}, detector {options.detector}"
        yield Predictor(head, reconstructor.model, method, weights)


def predict(predictor: Predictor, photo: Path | Photo, near: FaceBox | None = None) -> Reconstruction | str:
    """A head, or the reason why there is none."""
    try:
        image = photo if isinstance(photo, Photo) else read_image(photo)
        return predictor.head(image, near)
    except (ImageError, ValueError, OSError) as error:
        return str(error)
    # One photo must not end a run of hours, and whatever it was is reported.
    except Exception as error:
        return f"{type(error).__name__}: {error}"
