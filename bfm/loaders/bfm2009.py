"""Basel Face Model 2009 as Deng et al. cropped it: 35 709 vertices, with the expressions of Guo et al.

Layouts, from https://github.com/sicxu/Deep3DFaceRecon_pytorch (util/load_mats.py, models/bfm.py):

* ``BFM_model_front.mat``: ``meanshape`` and ``meantex`` (1, 3V), ``idBase`` (3V, 80), ``exBase`` (3V, 64), ``texBase``
  (3V, 80), ``tri`` and ``keypoints`` counted from 1, optionally ``skinmask`` (V) and ``frontmask2_idx`` from 1.
  Decimetres; the bases are already multiplied by the standard deviations; texture 0 to 255.
* The parts it is made of: ``01_MorphableModel.mat`` (``shapeMU``, ``shapePC``, ``shapeEV``, ``texMU``, ``texPC``,
  ``texEV`` for 53 490 vertices, micrometres, the "EV" being standard deviations), ``Exp_Pca.bin`` (a little-endian
  int32 with the number of components, then float32: a mean that nobody uses and the components one after the other, for
  53 215 vertices), ``std_exp.txt``, ``BFM_exp_idx.mat`` (``trimIndex``: which of the 53 490 the 53 215 are),
  ``BFM_front_idx.mat`` (``idx``: which of the 53 215 are kept) and ``facemodel_info.mat`` (``tri``, ``keypoints``,
  masks). All indices count from 1.

The origin stays where the files have it; Deng et al. move it to the mean of the vertices.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bfm.data import ModelData, SurfacePoints
from bfm.files import ModelFileError, ModelSource, Sizes, find_layout
from bfm.loaders.arrays import as_basis, as_faces, as_indices, as_points, as_sigma, outward
from bfm.loaders.mat import read_mat
from bfm.reading import read_bytes, read_text

MM_PER_DECIMETRE = 100.0
MM_PER_MICROMETRE = 1e-3
N_IDENTITY, N_EXPRESSION, N_ALBEDO = 80, 64, 80
_FRONT = ("BFM_model_front.mat",)
_PARTS = (
    "01_MorphableModel.mat",
    "Exp_Pca.bin",
    "std_exp.txt",
    "BFM_exp_idx.mat",
    "BFM_front_idx.mat",
    "facemodel_info.mat",
)


def load(path: Path) -> ModelData:
    """Deng et al.'s front crop: 80 identity, 64 expression and 80 albedo components.

    Args:
        path: a folder with one of the two layouts, or a ``BFM_model_front.mat`` of any name.

    Raises:
        MissingModelFiles: neither layout is complete.
        ModelFileError: a file is damaged, lacks a variable or has an unexpected shape.
    """
    paths = (path,) if path.is_file() else find_layout(SOURCE, path)
    return _load_front(paths[0]) if len(paths) == 1 else _load_parts(*paths)


def _load_front(path: Path) -> ModelData:
    needed = ("meanshape", "meantex", "idBase", "exBase", "texBase", "tri", "keypoints")
    mat = read_mat(path, needed, optional=("skinmask", "frontmask2_idx"))
    mean = as_points(path, "meanshape", mat["meanshape"])
    n = len(mean)
    return _model(
        path,
        mat,
        mean=MM_PER_DECIMETRE * mean,
        identity=MM_PER_DECIMETRE * as_basis(path, "idBase", mat["idBase"], n),
        expression=MM_PER_DECIMETRE * as_basis(path, "exBase", mat["exBase"], n),
        texture=(as_points(path, "meantex", mat["meantex"], n), as_basis(path, "texBase", mat["texBase"], n)),
    )


def _load_parts(bfm: Path, exp_pca: Path, std_exp: Path, exp_idx: Path, front_idx: Path, info: Path) -> ModelData:
    mat = read_mat(bfm, ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV"))
    mean = as_points(bfm, "shapeMU", mat["shapeMU"])
    n_full = len(mean)
    trim = as_indices(exp_idx, "trimIndex", read_mat(exp_idx, ("trimIndex",))["trimIndex"], n_full)
    front = as_indices(front_idx, "idx", read_mat(front_idx, ("idx",))["idx"], len(trim))
    kept = trim[front]
    components = _read_exp_pca(exp_pca, len(trim))
    sigma = _read_std_exp(std_exp, components.shape[2])[:N_EXPRESSION]
    return _model(
        info,
        read_mat(info, ("tri", "keypoints"), optional=("skinmask", "frontmask2_idx")),
        mean=MM_PER_MICROMETRE * mean[kept],
        identity=MM_PER_MICROMETRE * _per_sigma(bfm, mat, "shape", N_IDENTITY)[kept],
        expression=MM_PER_MICROMETRE * components[front, :, :N_EXPRESSION] * sigma,
        texture=(as_points(bfm, "texMU", mat["texMU"], n_full)[kept], _per_sigma(bfm, mat, "tex", N_ALBEDO)[kept]),
    )


def _per_sigma(path: Path, mat: dict[str, np.ndarray], block: str, n_wanted: int) -> npt.NDArray[np.float64]:
    matrix = mat[f"{block}PC"]
    n_vertices = mat["shapeMU"].size // 3
    sigma = as_sigma(path, f"{block}EV", mat[f"{block}EV"], matrix.shape[-1])[:n_wanted]
    return as_basis(path, f"{block}PC", matrix[..., :n_wanted], n_vertices) * sigma


def _read_exp_pca(path: Path, n_vertices: int) -> npt.NDArray[np.float32]:
    """``(V, 3, K)`` raw components; the file's mean expression is left out, as Deng et al. do."""
    content = read_bytes(path)
    if len(content) < 4:
        raise ModelFileError(path, f"truncated: {len(content)} bytes, not even the 4 of the header")
    n_components = int.from_bytes(content[:4], "little", signed=True)
    expected = 4 + 4 * 3 * n_vertices * (n_components + 1)
    if n_components < 1 or len(content) != expected:
        swapped = int.from_bytes(content[:4], "big", signed=True)
        if len(content) == 4 + 4 * 3 * n_vertices * (swapped + 1):
            raise ModelFileError(
                path,
                f"the header reads {n_components} components, or {swapped} in the other byte order: the file must be "
                "little-endian",
            )
        raise ModelFileError(
            path,
            f"{n_components} components of {n_vertices} vertices need {expected} bytes, found {len(content)}: "
            "truncated, or made for another mesh",
        )
    numbers = np.frombuffer(content, dtype="<f4", offset=4).reshape(n_components + 1, n_vertices, 3)
    return np.ascontiguousarray(np.moveaxis(numbers[1:], 0, 2)).astype(np.float32)


def _read_std_exp(path: Path, n_components: int) -> npt.NDArray[np.float64]:
    try:
        values = np.array(read_text(path).split(), dtype=np.float64)
    except ValueError as error:
        raise ModelFileError(path, f"must be a text file of numbers ({error})") from None
    return as_sigma(path, "std_exp", values, n_components)


def _model(
    path: Path,
    info: dict[str, np.ndarray],
    *,
    mean: npt.NDArray,
    identity: npt.NDArray,
    expression: npt.NDArray,
    texture: tuple[npt.NDArray, npt.NDArray],
) -> ModelData:
    n = len(mean)
    faces = outward(path, mean, as_faces(path, "tri", info["tri"], n))
    keypoints = as_indices(path, "keypoints", info["keypoints"], n, shape=(68,))
    regions = {}
    if "skinmask" in info:
        if info["skinmask"].size != n:
            raise ModelFileError(path, f"'skinmask' must hold {n} values, found {info['skinmask'].size}")
        regions["skin"] = info["skinmask"].reshape(-1) > 0.5
    if "frontmask2_idx" in info:
        front = np.zeros(n, np.bool_)
        front[as_indices(path, "frontmask2_idx", info["frontmask2_idx"], n)] = True
        regions["front"] = front
    return ModelData(
        name="bfm2009",
        licence=SOURCE.licence,
        source=SOURCE.how_to_get,
        mean_shape=mean.astype(np.float32),
        identity_basis=identity.astype(np.float32),
        expression_basis=expression.astype(np.float32),
        faces=faces,
        mean_albedo=(texture[0] / 255.0).astype(np.float32),
        albedo_basis=(texture[1] / 255.0).astype(np.float32),
        albedo_space="srgb",
        regions=regions,
        landmarks={"68": SurfacePoints.at_vertices(keypoints, faces)},
    )


SOURCE = ModelSource(
    name="bfm2009",
    title="Basel Face Model 2009, front crop of Deng et al.",
    licence="University of Basel: research only, no commercial use, no redistribution; every user signs the form.",
    how_to_get=(
        "01_MorphableModel.mat from https://faces.dmi.unibas.ch (BFM 2009, registration); Exp_Pca.bin from "
        "https://github.com/Juyong/3DFace; the other files from the BFM folder of "
        "https://github.com/sicxu/Deep3DFaceRecon_pytorch"
    ),
    layouts=(_FRONT, _PARTS),
    load=load,
    sizes=Sizes(vertices=35709, identity=80, expression=64, albedo=80),
)
