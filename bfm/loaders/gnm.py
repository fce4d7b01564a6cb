"""Google's GNM head, version 3: ``gnm_head.npz``.

Layout, from https://github.com/google/GNM (gnm/shape/gnm_xnp.py lists every array with its shape, gnm_data_loader.py
opens the file): ``template_vertex_positions`` (V, 3), ``vertex_identity_basis`` (I, V, 3), ``expression_basis``
(E, V, 3), ``triangles`` (T, 3) from 0, ``triangle_uvs`` (T, 3, 2), ``expression_names`` (E), ``vertex_groups`` (G, V)
with weights in [0, 1] and ``vertex_group_names`` (G). With all joint rotations zero the vertices are the template plus
both bases times their coefficients (gnm_common.py); coefficients usually lie within +-3. Version 3.0 has 17 821
vertices, 253 identity and 383 expression components.

That lengths are metres, y is up and the face looks along +z with the person's left at +x, the file does not say: public
users of it agree on that. Coefficients are taken as N(0, 1). Regions are the vertex groups of weight above one half, by
their published names. The UV maps of the parts overlap, as published.

``head_sparse_68.txt`` (gnm/shape/data/landmarks), if found, gives the set ``"68"``: 68 rows of three vertices and
weights, ``i0 w0 i1 w1 i2 w2``. Its rows are in the usual order but for the jaw, part of which some copies store
backwards; the 17 jaw points are put in order around the face.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bfm.data import ModelData, SurfacePoints
from bfm.files import ModelFileError, ModelSource, Sizes, find_layout
from bfm.loaders.arrays import as_faces, as_indices, grey, outward, points_on_corners
from bfm.loaders.npz import read_npz
from bfm.reading import read_text

MM_PER_M = 1000.0
_NEEDED = (
    "template_vertex_positions",
    "vertex_identity_basis",
    "expression_basis",
    "triangles",
    "triangle_uvs",
    "expression_names",
    "vertex_groups",
    "vertex_group_names",
)
_REPOSITORY = "gnm/shape/data/versions/v3_0/gnm_head.npz"
# Beside the model, or where a clone of the repository has it.
_LANDMARKS = ("head_sparse_68.txt", "../../landmarks/head_sparse_68.txt")
N_JAW = 17


def load(path: Path) -> ModelData:
    """The GNM head without joints: 253 identity and 383 expression components, no albedo.

    Args:
        path: a folder with ``gnm_head.npz``, a clone of the repository, or the ``.npz`` file itself.

    Raises:
        MissingModelFiles: the file is not in the folder.
        ModelFileError: another layout than version 3's, or damage; the message lists what was found.
    """
    path = path if path.is_file() else find_layout(SOURCE, path)[0]
    content = read_npz(path, _NEEDED)
    template = content["template_vertex_positions"]
    if template.ndim != 2 or template.shape[1] != 3:
        raise ModelFileError(path, f"'template_vertex_positions' must be (V, 3), found {template.shape}")
    n = len(template)
    published_faces = as_faces(path, "triangles", content["triangles"], n, base=0)
    faces = outward(path, template, published_faces)
    expression = _basis(path, content, "expression_basis", n)
    names = tuple(str(name) for name in content["expression_names"])
    if len(names) != expression.shape[2]:
        raise ModelFileError(path, f"{len(names)} expression names for {expression.shape[2]} components")
    uv, uv_faces = _uv(path, content["triangle_uvs"], len(faces))
    albedo, albedo_basis = grey(n)
    mean = (MM_PER_M * template).astype(np.float32)
    return ModelData(
        name="gnm",
        licence=SOURCE.licence,
        source=SOURCE.how_to_get,
        mean_shape=mean,
        identity_basis=_basis(path, content, "vertex_identity_basis", n),
        expression_basis=expression,
        faces=faces,
        mean_albedo=albedo,
        albedo_basis=albedo_basis,
        albedo_space="srgb",
        uv=uv,
        uv_faces=uv_faces if np.array_equal(faces, published_faces) else np.ascontiguousarray(uv_faces[:, ::-1]),
        expression_names=names,
        regions=_regions(path, content, n),
        landmarks=_landmarks(path.parent, mean, faces),
    )


def _basis(path: Path, content: dict[str, np.ndarray], name: str, n: int) -> npt.NDArray[np.float32]:
    basis = content[name]
    if basis.ndim != 3 or basis.shape[1:] != (n, 3):
        raise ModelFileError(path, f"{name!r} must have shape (components, {n}, 3), found {basis.shape}")
    return np.ascontiguousarray(np.moveaxis(MM_PER_M * basis.astype(np.float64), 0, 2), np.float32)


def _uv(path: Path, corners: np.ndarray, n_faces: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """One UV list with indices from coordinates that are repeated at every corner."""
    if corners.shape != (n_faces, 3, 2):
        raise ModelFileError(path, f"'triangle_uvs' must have shape ({n_faces}, 3, 2), found {corners.shape}")
    uv, index = np.unique(corners.reshape(-1, 2).astype(np.float32), axis=0, return_inverse=True)
    return uv, index.reshape(-1, 3).astype(np.int64)


def _regions(path: Path, content: dict[str, np.ndarray], n: int) -> dict[str, npt.NDArray[np.bool_]]:
    groups, names = content["vertex_groups"], [str(name) for name in content["vertex_group_names"]]
    if groups.shape != (len(names), n):
        raise ModelFileError(path, f"'vertex_groups' must have shape ({len(names)}, {n}), found {groups.shape}")
    return {name: weights > 0.5 for name, weights in zip(names, groups, strict=True)}


def _landmarks(folder: Path, mean: npt.NDArray[np.float32], faces: npt.NDArray[np.int64]) -> dict[str, SurfacePoints]:
    path = next((folder / name for name in _LANDMARKS if (folder / name).is_file()), None)
    if path is None:
        return {}
    try:
        rows = np.array([line.split() for line in read_text(path).splitlines() if line.strip()], float)
    except ValueError as error:
        raise ModelFileError(path, f"must hold rows 'i0 w0 i1 w1 i2 w2' ({error})") from None
    if rows.shape != (68, 6):
        raise ModelFileError(path, f"must hold 68 rows of 6 numbers, found {rows.shape}")
    corners = as_indices(path, "vertex indices", rows[:, ::2], len(mean), base=0, shape=(68, 3))
    points = points_on_corners(path, corners, rows[:, 1::2], faces)
    order = _jaw_order(points.at(mean, faces))
    return {"68": SurfacePoints(points.triangles[order], points.barycentrics[order])}


def _jaw_order(places: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """The 68 rows with the jaw from the person's right ear over the chin to the left ear.

    Seen from the middle of the other points, the angle from straight up grows steadily along the jaw.
    """
    centre = places[N_JAW:].mean(axis=0)
    offset = places[:N_JAW] - centre
    turn = np.arctan2(-offset[:, 0], offset[:, 1]) % (2 * np.pi)
    return np.concatenate([np.argsort(turn, kind="stable"), np.arange(N_JAW, 68)])


SOURCE = ModelSource(
    name="gnm",
    title="Google GNM head 3.0",
    licence="Apache-2.0, code and model data: any use, commercial included, with the licence and notices kept.",
    how_to_get=(
        "https://huggingface.co/google/gnm-v3 (v3_0/gnm_head.npz, 53 MB); head_sparse_68.txt from "
        "gnm/shape/data/landmarks of https://github.com/google/GNM"
    ),
    layouts=(("gnm_head.npz",), ("v3_0/gnm_head.npz",), (_REPOSITORY,)),
    load=load,
    sizes=Sizes(vertices=17821, identity=253, expression=383, albedo=0),
)
