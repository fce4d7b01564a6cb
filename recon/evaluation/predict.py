"""From photos to heads, for protocols: one face a photo."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from bfm.model import MorphableModel
from recon.detector_names import DEFAULT_DETECTOR
from recon.io.faults import UsageError
from recon.io.fingerprint import file_hash, model_hash
from recon.io.image import Photo, read_image
from recon.io.names import printable
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
        settings: what heads depend on, for telling whether a run can go on; text and numbers by name.
    """

    head: HeadOf
    model: MorphableModel
    method: str
    weights: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def predict(self, photo: Path | Photo, near: FaceBox | None = None) -> Reconstruction:
        """A head; raises whatever reading and predicting raise."""
        return self.head(photo if isinstance(photo, Photo) else read_image(photo), near)

    def facts(self) -> dict[str, Any]:
        """All that decides the heads of a photo."""
        return {"method": self.method, "weights": self.weights, **self.settings}


@dataclasses.dataclass(frozen=True)
class PredictorOptions:
    """What the command line says about predictions."""

    method: str = "fit"
    quality: str = "default"
    model: str = "open"
    detector: str = DEFAULT_DETECTOR
    device: str = "auto"
    checkpoint: Path | None = None


@contextlib.contextmanager
def open_predictor(options: PredictorOptions) -> Iterator[Predictor]:
    """A predictor through the public :class:`recon.reconstructor.Reconstructor`.

    Raises:
        UsageError: options that do not work.
        OSError, DetectorUnavailable: files or a detector that they need are not there.
    """
    from recon.detection.detect import open_detector
    from recon.reconstructor import Reconstructor

    with contextlib.ExitStack() as stack:
        try:
            detector = stack.enter_context(open_detector(options.detector))
            reconstructor = Reconstructor(
                options.model,
                method=options.method,
                device=options.device,
                quality=options.quality,
                detector=detector,
                checkpoint=options.checkpoint,
            )
            weights = model_hash(reconstructor.model)
            checkpoint = None if options.checkpoint is None else file_hash(options.checkpoint)
        # Before any photo, a wrong value is one of the options, or a file that they name.
        except ValueError as error:
            raise UsageError(str(error)) from error

        def head(photo: Photo, near: FaceBox | None) -> Reconstruction:
            faces = reconstructor.detect(photo)
            if near is not None:
                middle = 0.5 * (near[:2] + near[2:])
                faces.sort(key=lambda face: float(np.linalg.norm(0.5 * (face.box[:2] + face.box[2:]) - middle)))
            return reconstructor.fit_face(photo, faces[0])

        settings = {
            "method": options.method,
            "quality": options.quality,
            "detector": options.detector,
            "device": str(reconstructor.device),
            "weights": weights,
            "checkpoint": checkpoint,
            "networks of the package": _package_networks(),
        }
        if options.checkpoint is not None and checkpoint is not None:
            weights += f", checkpoint {printable(options.checkpoint.name)} {checkpoint[:16]}"
        elif options.method != "fit":
            weights += ", checkpoint of the package at this commit"
        method = f"{options.method}, quality {options.quality}, detector {options.detector}"
        yield Predictor(head, reconstructor.model, method, weights, settings)


def _package_networks() -> str:
    """Hash of the weights that come with the package: fits of faces without landmarks start from them too."""
    import recon.networks

    folder = Path(recon.networks.__file__).parent / "weights"
    hashes = [file_hash(path) for path in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:16]
