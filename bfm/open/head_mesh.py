"""The head cut out of MakeHuman's base mesh: skin, mouth cavity, eyes, teeth and tongue, with its own UV layout."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from bfm.data import FloatArray, IntArray
from bfm.open.eyeball import Eyeball, make_eyeball
from bfm.open.makehuman import BaseMesh, OpenDataError
from bfm.open.quads import edge_loop, edges_of, side_of_loop

NECK_LOOP_EDGE = (759, 760)
"""An edge of the loop around the lower neck; the whole loop follows from the mesh."""

PARTS = ("skin", "left_eye", "right_eye", "tongue", "upper_teeth", "lower_teeth")
"""``left`` and ``right`` are the person's own, as everywhere in the field; the left eye has x > 0."""

_HELPERS = {"tongue": "helper-tongue", "upper_teeth": "helper-upper-teeth", "lower_teeth": "helper-lower-teeth"}
_EYES = {"left_eye": "helper-l-eye", "right_eye": "helper-r-eye"}


@dataclasses.dataclass(frozen=True)
class HeadMesh:
    """The head as quads, tied linearly to the vertices of the base mesh.

    Attributes:
        binding: ``(N, M)`` sparse; head vertices = binding @ base-mesh vertices, for any morph of the base mesh.
        quads: ``(F, 4)``, counter-clockwise from outside.
        uv: ``(U, 2)`` in [0, 1].
        uv_quads: ``(F, 4)``.
        part: ``(N,)`` index into :data:`PARTS`.
        island: ``(N,)`` for skin: 0 outer head, 1 mouth cavity, 2 neck, 3 and 4 eye sockets; -1 elsewhere.
        eye_angle_rad: ``(N,)`` angle from the optical axis for eyeball vertices, nan elsewhere.
        base_index: ``(N,)`` base-mesh vertex of skin, tongue and teeth, -1 for the eyeballs.
    """

    binding: sparse.csr_matrix
    quads: IntArray
    uv: FloatArray
    uv_quads: IntArray
    part: IntArray
    island: IntArray
    eye_angle_rad: FloatArray
    base_index: IntArray


def cut_head(base: BaseMesh) -> HeadMesh:
    """The head above the neck loop.

    Raises:
        OpenDataError: the base mesh is not the one this code knows.
    """
    body = base.faces["body"]
    try:
        loop = edge_loop(body, NECK_LOOP_EDGE)
        crown = int(np.unique(body)[np.argmax(base.vertices[np.unique(body), 1])])
        kept = side_of_loop(body, loop, crown)
    except (ValueError, KeyError) as error:
        raise OpenDataError(f"the MakeHuman base mesh has no neck loop at {NECK_LOOP_EDGE}: {error}") from error
    pieces = [("skin", body[kept], base.uv_faces["body"][kept])]
    pieces += [(part, base.faces[group], base.uv_faces[group]) for part, group in _HELPERS.items()]

    n_base = len(base.vertices)
    quads: list[np.ndarray] = []
    uv_quads: list[np.ndarray] = []
    uv, part, base_index = [], [], []
    n_vertices = n_uv = 0
    for name, faces, uv_faces in pieces:
        vertices, flat = np.unique(faces, return_inverse=True)
        texels, uv_flat = np.unique(uv_faces, return_inverse=True)
        quads.append(n_vertices + flat.reshape(faces.shape))
        uv_quads.append(n_uv + uv_flat.reshape(faces.shape))
        uv.append(base.uv[texels])
        part.append(np.full(len(vertices), PARTS.index(name)))
        base_index.append(vertices)
        n_vertices, n_uv = n_vertices + len(vertices), n_uv + len(texels)
    direct = np.concatenate(base_index)
    rows = [sparse.csr_matrix((np.ones(n_vertices), (np.arange(n_vertices), direct)), shape=(n_vertices, n_base))]
    eyeball = make_eyeball()
    for name, group in _EYES.items():
        rows.append(_bind_eyeball(eyeball, base, np.unique(base.faces[group])))
        quads.append(n_vertices + eyeball.quads)
        uv_quads.append(n_uv + eyeball.uv_quads)
        uv.append(eyeball.uv)
        part.append(np.full(len(eyeball.directions), PARTS.index(name)))
        n_vertices, n_uv = n_vertices + len(eyeball.directions), n_uv + len(eyeball.uv)

    part_of = np.concatenate(part)
    eye_angle_rad = np.full(n_vertices, np.nan)
    for name in _EYES:
        eye_angle_rad[part_of == PARTS.index(name)] = eyeball.angle_rad
    all_quads, all_uv_quads = np.concatenate(quads), np.concatenate(uv_quads)
    n_skin_faces = len(quads[0])
    uv_island = _islands(uv_quads[0], len(uv[0]))
    island = np.full(n_vertices, -1)
    # Shared border vertices go to the later (inner) island, so that no skin albedo reaches into the mouth.
    order = _ordered_islands(uv_island, uv_quads[0], quads[0], rows[0] @ base.vertices)
    for index, label in enumerate(order):
        inside = uv_island[uv_quads[0][:, 0]] == label
        island[np.unique(quads[0][inside])] = index
    return HeadMesh(
        binding=sparse.vstack(rows).tocsr(),
        quads=all_quads,
        uv=_packed(uv, uv_island, order),
        uv_quads=all_uv_quads,
        part=part_of,
        island=np.where(np.arange(n_vertices) < quads[0].max() + 1, island, -1) if n_skin_faces else island,
        eye_angle_rad=eye_angle_rad,
        base_index=np.concatenate([direct, np.full(n_vertices - len(direct), -1)]),
    )


def _bind_eyeball(eyeball: Eyeball, base: BaseMesh, helper: IntArray) -> sparse.csr_matrix:
    """Rows that move the new eyeball with the best affine motion of MakeHuman's 72 eyeball vertices."""
    rest = base.vertices[helper]
    centre = rest.mean(axis=0)
    radius = float(np.linalg.norm(rest - centre, axis=1).mean())
    local = np.concatenate([rest - centre, np.ones((len(helper), 1))], axis=1)
    target = np.concatenate([radius * eyeball.directions, np.ones((len(eyeball.directions), 1))], axis=1)
    weights = target @ np.linalg.pinv(local)
    rows = np.repeat(np.arange(len(target)), len(helper))
    columns = np.tile(helper, len(target))
    return sparse.csr_matrix((weights.ravel(), (rows, columns)), shape=(len(target), len(base.vertices)))


def _islands(uv_quads: IntArray, n_uv: int) -> IntArray:
    edges, _ = edges_of(uv_quads)
    graph = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n_uv, n_uv))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1])


def _ordered_islands(uv_island: IntArray, uv_quads: IntArray, quads: IntArray, vertices: FloatArray) -> list[int]:
    """Labels in the order head, mouth cavity, neck, left eye socket, right eye socket, told apart by place."""
    labels = np.unique(uv_island[uv_quads[:, 0]])
    if len(labels) != 5:
        raise OpenDataError(f"the head of the base mesh has {len(labels)} texture islands, 5 are expected")
    centre = {
        int(label): vertices[np.unique(quads[uv_island[uv_quads[:, 0]] == label])].mean(axis=0) for label in labels
    }
    sizes = {label: int((uv_island[uv_quads[:, 0]] == label).sum()) for label in centre}
    head = max(sizes, key=lambda label: sizes[label])
    neck = min(centre, key=lambda label: float(centre[label][1]))
    left = max(centre, key=lambda label: float(centre[label][0]))
    right = min(centre, key=lambda label: float(centre[label][0]))
    cavity = next(label for label in centre if label not in (head, neck, left, right))
    return [head, cavity, neck, left, right]


def _packed(uv: list[FloatArray], uv_island: IntArray, order: list[int]) -> FloatArray:
    """One square texture: the head upright over the upper two thirds, the small parts in a strip below.

    MakeHuman's face lies on its side in a corner of a whole-body layout; here it is turned upright (turned, never
    mirrored) and widened around the middle of the face, where photos give detail.
    """
    skin = uv[0].copy()
    head, cavity, neck, left_socket, right_socket = (uv_island == label for label in order)
    turned = np.stack([skin[head, 1], -skin[head, 0]], axis=1)
    skin[head] = _fit(_widened(_fit(turned, (0.0, 0.0, 1.0, 1.0))), (0.005, 0.335, 0.995, 0.995))
    skin[neck] = _fit(skin[neck], (0.005, 0.17, 0.40, 0.325))
    skin[cavity] = _fit(skin[cavity], (0.005, 0.005, 0.17, 0.16))
    skin[left_socket] = _fit(skin[left_socket], (0.18, 0.005, 0.28, 0.16))
    skin[right_socket] = _fit(skin[right_socket], (0.29, 0.005, 0.39, 0.16))
    tongue = _fit(uv[1], (0.42, 0.17, 0.52, 0.325))
    upper = _fit(uv[2], (0.42, 0.09, 0.62, 0.16))
    lower = _fit(uv[3], (0.42, 0.005, 0.62, 0.08))
    left_eye = _fit(uv[4], (0.67, 0.165, 0.825, 0.325))
    right_eye = _fit(uv[5], (0.835, 0.165, 0.99, 0.325))
    return np.concatenate([skin, tongue, upper, lower, left_eye, right_eye])


def _fit(uv: FloatArray, box: tuple[float, float, float, float]) -> FloatArray:
    low, high = uv.min(axis=0), uv.max(axis=0)
    corner, size = np.asarray(box[:2]), np.asarray(box[2:]) - np.asarray(box[:2])
    return np.asarray(corner + (uv - low) / (high - low) * size)


def _widened(uv: FloatArray) -> FloatArray:
    """A one-to-one stretch of each axis of the unit square: twice the room around the middle of the face."""
    centre = np.asarray([0.5, 0.22])
    width = np.asarray([0.22, 0.22])

    def stretch(x: FloatArray) -> FloatArray:
        return np.asarray(x + 1.6 * width * np.tanh((x - centre) / width))

    low, high = stretch(np.zeros(2)), stretch(np.ones(2))
    return np.asarray((stretch(uv) - low) / (high - low))
