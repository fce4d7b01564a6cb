"""The methods of one window server: one detector, one face model, and a reconstructor for each method when it is first asked for."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import bfm
from bfm.model import MorphableModel
from recon.detection.detect import Detector
from recon.detection.face import Face
from recon.io.image import Photo
from recon.reconstruction import Reconstruction
from recon.reconstructor import Reconstructor

METHOD_NAMES = {
    "regress": "Network (at once)",
    "hybrid": "Network, then fit",
    "fit": "Fit",
}
"""Methods in the words of the window, the fastest first."""


@runtime_checkable
class HeadMaker(Protocol):
    """What the window needs of reconstruction; :class:`Methods` is one."""

    model: MorphableModel

    def detect(self, photo: Photo) -> list[Face]:
        """Faces, the largest first; :class:`recon.detection.face.NoFaceError` if there is none."""
        ...

    def head(self, photo: Photo, face: Face, method: str) -> Reconstruction:
        """The head of a face by a method of :data:`METHOD_NAMES`."""
        ...


class Methods:
    """Heads by any method.

    Args:
        model: name of a face model.
        quality: of fits, see :class:`recon.reconstructor.Reconstructor`.
        detector: that was entered by ``with``.

    Raises:
        ValueError: as :class:`recon.reconstructor.Reconstructor` does.
    """

    def __init__(self, model: str, quality: str, detector: Detector) -> None:
        self.model = bfm.load(model)
        self._quality, self._detector = quality, detector
        self._made: dict[str, Reconstructor] = {}
        self._of("regress")

    def detect(self, photo: Photo) -> list[Face]:
        return self._of("regress").detect(photo)

    def head(self, photo: Photo, face: Face, method: str) -> Reconstruction:
        return self._of(method).fit_face(photo, face)

    def _of(self, method: str) -> Reconstructor:
        if method not in self._made:
            self._made[method] = Reconstructor(
                self.model, method=method, quality=self._quality, detector=self._detector
            )
        return self._made[method]
