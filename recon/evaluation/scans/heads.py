"""Which part of a face model's head can be measured, and its seven landmarks."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Int

from bfm.data import ModelData
from bfm.model import MorphableModel
from recon.evaluation.scans.errors import HeadSurface
from recon.evaluation.scans.scan import LANDMARKS_OF_68, outermost_near_nose
from recon.evaluation.scans.triangles import TriangleSurface
from recon.render.mesh import vertex_normals_of_arrays

_NOSE_TIP_OF_68 = 30
_HIDDEN = ("mouth_interior", "teeth", "tongue", "eye_sockets")
_EYE_FRONT = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class HeadParts:
    """What of a model's mesh a scanner sees: the skin, and the front of the eyeballs.

    Attributes:
        model: the face model.
        data: its arrays.
        faces: triangles of the outside, numbered anew.
        outside: ``(W,)`` vertices of the model that they use.
        face: ``(F,)`` numbers in ``outside`` of the face proper.
    """

    model: MorphableModel
    data: ModelData
    faces: Int[np.ndarray, "f 3"]
    outside: Int[np.ndarray, " w"]
    face: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, model: MorphableModel) -> HeadParts:
        """Parts of a model; a model without named regions is measured as a whole.

        Raises:
            ValueError: the model has no 68 landmarks.
        """
        data = model.data()
        if "68" not in data.landmarks:
            raise ValueError(f"model {model.name!r} has no 68 landmarks, so it cannot be aligned to scans")
        regions = data.regions
        keep = np.ones(len(data.mean_shape), dtype=bool)
        if "skin" in regions:
            keep = regions["skin"].copy()
            if "eyes" in regions:
                keep |= regions["eyes"] & (vertex_normals_of_arrays(data.mean_shape, data.faces)[:, 2] > _EYE_FRONT)
        for name in _HIDDEN:
            if name in regions:
                keep &= ~regions[name]
        triangles = data.faces[keep[data.faces].all(axis=1)]
        outside = np.unique(triangles)
        number = np.full(len(keep), -1, dtype=np.int64)
        number[outside] = np.arange(len(outside))
        tip = data.landmarks["68"].at(data.mean_shape, data.faces)[_NOSE_TIP_OF_68]
        front = np.linalg.norm(data.mean_shape - tip, axis=1) <= 95.0
        face = regions.get("face", front) & front & (number >= 0)
        return cls(model, data, number[triangles], outside, number[face])

    def vertices(self, identity: Float[np.ndarray, " k"] | None = None) -> Float[np.ndarray, "v 3"]:
        """Neutral vertices of all the model, mm; the mean head without coefficients."""
        weights = None if identity is None else torch.as_tensor(np.asarray(identity), dtype=torch.float32)[None]
        return self.model.shape(weights)[0].double().numpy()

    def head(self, vertices: Float[np.ndarray, "v 3"]) -> HeadSurface:
        """The measurable part of a head with these vertices of the model."""
        points = self.data.landmarks["68"].at(vertices, self.data.faces)
        landmarks = np.asarray(points[list(LANDMARKS_OF_68)], dtype=np.float64)
        seen = np.asarray(vertices, dtype=np.float64)[self.outside]
        tip = outermost_near_nose(seen, landmarks, self.model.name)
        return HeadSurface(TriangleSurface(seen, self.faces), landmarks, tip, self.face)

    def face_of(self, vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "n 3"]:
        """The face's vertices in the order in which a cropped :class:`HeadSurface` has them."""
        keep = np.zeros(len(self.outside), dtype=bool)
        keep[self.face] = True
        surface = TriangleSurface(np.asarray(vertices, dtype=np.float64)[self.outside], self.faces)
        return surface.cropped(keep).vertices
