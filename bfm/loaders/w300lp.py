"""The Basel Face Model 2009 as 3DDFA trimmed it, in whose coefficients 300W-LP and AFLW2000-3D are labelled.

Layouts, from 3DDFA (Zhu et al., http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm) and
https://github.com/yfeng95/face3d (examples/Data/BFM/generate.m):

* ``Model_Shape.mat``: ``mu_shape`` (3V, 1), ``w`` (3V, 199), ``sigma`` (199, 1), ``tri`` (3, F), ``keypoints`` (1, 68);
  ``Model_Exp.mat`` (also called ``Model_Expression.mat``): ``mu_exp``, ``w_exp`` (3V, 29), ``sigma_exp``.
* ``BFM.mat``: one struct ``model`` with ``shapeMU``, ``shapePC``, ``shapeEV``, ``expMU``, ``expPC``, ``expEV``,
  ``texMU``, ``texPC``, ``texEV``, ``tri``, ``kpt_ind``.

Micrometres, indices from 1; the "EV" are standard deviations. A label's shape is
``mu_shape + w Shape_Para + mu_exp + w_exp Exp_Para``: the mean here contains the mean expression, and
:class:`LabelScale` turns a label's parameters into our coefficients, which count standard deviations.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bfm.data import ModelData, SurfacePoints
from bfm.files import ModelFileError, ModelSource, Sizes, find_layout
from bfm.loaders.arrays import as_basis, as_faces, as_indices, as_points, as_sigma, grey, outward
from bfm.loaders.mat import read_mat

MM_PER_MICROMETRE = 1e-3
_SHAPE = ("mu_shape", "w", "sigma")
_EXPRESSION = ("mu_exp", "w_exp", "sigma_exp")
_MESH = ("tri", "keypoints")
# The names in BFM.mat for the same things, in the same order.
_STRUCT = ("shapeMU", "shapePC", "shapeEV", "expMU", "expPC", "expEV", "tri", "kpt_ind")
_TEXTURE = ("texMU", "texPC", "texEV")


@dataclasses.dataclass(frozen=True)
class LabelScale:
    """Standard deviations of the label parameters of 300W-LP and AFLW2000-3D.

    Attributes:
        identity: ``(Ki,)`` of ``Shape_Para``.
        expression: ``(Ke,)`` of ``Exp_Para``.
    """

    identity: npt.NDArray[np.float64]
    expression: npt.NDArray[np.float64]

    def coefficients(
        self, shape_para: npt.NDArray, exp_para: npt.NDArray
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Coefficients ``(Ki,)`` and ``(Ke,)`` in standard deviations from a label's ``Shape_Para`` and ``Exp_Para``.

        Raises:
            ValueError: another number of parameters than the model has components.
        """
        blocks = []
        for name, values, sigma in (("Shape_Para", shape_para, self.identity), ("Exp_Para", exp_para, self.expression)):
            flat = np.asarray(values, dtype=np.float64).reshape(-1)
            if len(flat) != len(sigma):
                raise ValueError(f"{name} must hold {len(sigma)} values as the model does, found {len(flat)}")
            blocks.append((flat / sigma).astype(np.float32))
        return blocks[0], blocks[1]


def load(path: Path) -> ModelData:
    """The 53 215-vertex model: 199 identity and 29 expression components, with albedo if ``BFM.mat`` is used.

    Args:
        path: a folder with one of the layouts, or the path of a ``BFM.mat``.

    Raises:
        MissingModelFiles: no layout is complete.
        ModelFileError: a file is damaged, lacks a variable or has an unexpected shape.
    """
    file, mat = _read(path)
    mean = as_points(file, "mu_shape", mat["mu_shape"])
    n = len(mean)
    mean_expression = as_points(file, "mu_exp", mat["mu_exp"], n)
    scale = _label_scale(file, mat)
    faces = outward(file, mean, as_faces(file, "tri", mat["tri"], n))
    keypoints = as_indices(file, "keypoints", mat["keypoints"], n, shape=(68,))
    albedo, albedo_basis = _albedo(file, mat, n)
    return ModelData(
        name="300wlp",
        licence=SOURCE.licence,
        source=SOURCE.how_to_get,
        mean_shape=(MM_PER_MICROMETRE * (mean + mean_expression)).astype(np.float32),
        identity_basis=_per_sigma(file, "w", mat["w"], scale.identity, n),
        expression_basis=_per_sigma(file, "w_exp", mat["w_exp"], scale.expression, n),
        faces=faces,
        mean_albedo=albedo,
        albedo_basis=albedo_basis,
        albedo_space="srgb",
        landmarks={"68": SurfacePoints.at_vertices(keypoints, faces)},
    )


def read_label_scale(path: Path) -> LabelScale:
    """The scale of the labels, from the same folder or file that :func:`load` takes; raises as it does."""
    return _label_scale(*_read(path))


def _read(path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """The variables under 3DDFA's names, and the file to name in errors."""
    paths = (path,) if path.is_file() else find_layout(SOURCE, path)
    if len(paths) == 2:
        shape, expression = paths
        return shape, read_mat(shape, _SHAPE + _MESH) | read_mat(expression, _EXPRESSION)
    return paths[0], _read_struct(paths[0])


def _read_struct(path: Path) -> dict[str, np.ndarray]:
    model = read_mat(path, ("model",), structs=True)["model"]
    if model.dtype.names is None or model.size != 1:
        raise ModelFileError(path, f"'model' must be one struct, found {model.dtype} {model.shape}")
    missing = [name for name in _STRUCT if name not in model.dtype.names]
    if missing:
        raise ModelFileError(path, f"'model' lacks {', '.join(missing)}; it holds: {', '.join(model.dtype.names)}")
    fields = {name: np.asarray(model.reshape(-1)[0][name]) for name in model.dtype.names}
    renamed = {ours: fields[theirs] for ours, theirs in zip(_SHAPE + _EXPRESSION + _MESH, _STRUCT, strict=True)}
    return renamed | {name: fields[name] for name in _TEXTURE if name in fields}


def _label_scale(path: Path, mat: dict[str, np.ndarray]) -> LabelScale:
    return LabelScale(
        identity=as_sigma(path, "sigma", mat["sigma"], mat["w"].shape[-1]),
        expression=as_sigma(path, "sigma_exp", mat["sigma_exp"], mat["w_exp"].shape[-1]),
    )


def _per_sigma(path: Path, name: str, matrix: npt.NDArray, sigma: npt.NDArray, n: int) -> npt.NDArray[np.float32]:
    return (as_basis(path, name, matrix, n) * (MM_PER_MICROMETRE * sigma)).astype(np.float32)


def _albedo(path: Path, mat: dict[str, np.ndarray], n: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    if not set(_TEXTURE) <= set(mat):
        return grey(n)
    basis = as_basis(path, "texPC", mat["texPC"], n)
    sigma = as_sigma(path, "texEV", mat["texEV"], basis.shape[2])
    mean = as_points(path, "texMU", mat["texMU"], n)
    return (mean / 255.0).astype(np.float32), (basis * (sigma / 255.0)).astype(np.float32)


SOURCE = ModelSource(
    name="300wlp",
    title="Basel Face Model 2009 as used by 300W-LP and AFLW2000-3D",
    licence="University of Basel: research only, no commercial use, no redistribution; every user signs the form.",
    how_to_get=(
        "the code of 3DDFA, http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm (Model_Shape.mat and "
        "Model_Exp.mat); BFM.mat is what face3d's examples/Data/BFM/generate.m writes"
    ),
    layouts=(("Model_Shape.mat", "Model_Exp.mat"), ("Model_Shape.mat", "Model_Expression.mat"), ("BFM.mat",)),
    load=load,
    sizes=Sizes(vertices=53215, identity=199, expression=29, albedo=199),
)
