"""Basel Face Models 2017 and 2019: statismo files in HDF5.

Layout, from the published files as read by https://github.com/patrikhuber/eos
(share/scripts/convert-bfm2017-to-eos.py) and by the viewer and course code around them: groups ``shape``,
``expression`` and ``color``, each with ``model/mean`` (3V), ``model/pcaBasis`` (3V, K) of unit columns and
``model/pcaVariance`` (K); ``shape/representer/cells`` (3, F) from 0; ``metadata/landmarks/json``, a list of named
points (``id``, ``coordinates``) on the neutral mean. Millimetres, x to the person's left, y up, z out of the face;
colours in [0, 1]. A basis column times the root of its variance is one standard deviation.

The published model adds three means and three offsets, so the mean shape here is the neutral mean plus the mean
expression, the average of the training expressions (users of the 2019 model measured up to 17 mm). With
``expression_mean=False`` it is left out: zero coefficients then give the neutral face.

The files name anatomical points of their own instead of the 68: the landmark set ``"named"`` holds those that lie on
the mesh, in the file's order; :func:`landmark_names` lists them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bfm.data import ModelData, SurfacePoints
from bfm.files import ModelFileError, ModelSource, Sizes, find_layout
from bfm.loaders.arrays import as_basis, as_faces, as_points, as_sigma, outward
from bfm.loaders.h5 import read_h5, text_of

# A named point farther from every vertex belongs to a part that this crop does not have.
_ON_MESH_MM = 2.0


def load_2017(path: Path, expression_mean: bool = True) -> ModelData:
    """Basel Face Model 2017: a folder with, or the path of, one of its ``.h5`` files.

    Args:
        path: folder or file.
        expression_mean: whether the mean shape contains the mean expression, as published.

    Raises:
        MissingModelFiles: no file of the model in the folder.
        ModelFileError: not HDF5, a data set is missing, or a shape does not fit.
    """
    return _load(path, SOURCE_2017, expression_mean)


def load_2019(path: Path, expression_mean: bool = True) -> ModelData:
    """Basel Face Model 2019; as :func:`load_2017`."""
    return _load(path, SOURCE_2019, expression_mean)


def landmark_names(path: Path) -> tuple[str, ...]:
    """Names of the points in the landmark set ``"named"``, in its order, from an ``.h5`` file."""
    content = _read(path)
    return _landmarks(path, content, as_points(path, "shape/model/mean", content["shape/model/mean"]))[0]


def _load(path: Path, source: ModelSource, expression_mean: bool) -> ModelData:
    path = path if path.is_file() else find_layout(source, path)[0]
    content = _read(path)
    neutral = as_points(path, "shape/model/mean", content["shape/model/mean"])
    n = len(neutral)
    mean_expression = as_points(path, "expression/model/mean", content["expression/model/mean"], n)
    cells = as_faces(path, "shape/representer/cells", content["shape/representer/cells"], n, base=0)
    faces = outward(path, neutral, cells)
    _, nearest = _landmarks(path, content, neutral)
    return ModelData(
        name=source.name,
        licence=source.licence,
        source=source.how_to_get,
        mean_shape=(neutral + mean_expression if expression_mean else neutral).astype(np.float32),
        identity_basis=_per_sigma(path, content, "shape", n),
        expression_basis=_per_sigma(path, content, "expression", n),
        faces=faces,
        mean_albedo=as_points(path, "color/model/mean", content["color/model/mean"], n).astype(np.float32),
        albedo_basis=_per_sigma(path, content, "color", n),
        albedo_space="srgb",
        landmarks={"named": SurfacePoints.at_vertices(nearest, faces)} if len(nearest) else {},
    )


def _read(path: Path) -> dict[str, Any]:
    names = [f"{block}/model/{part}" for block in _BLOCKS for part in ("mean", "pcaBasis", "pcaVariance")]
    names.append("shape/representer/cells")
    content = read_h5(path, names, (_POINTS,))
    for name in names:
        if not isinstance(content[name], np.ndarray):
            raise ModelFileError(path, f"{name!r} must be an array, found a {type(content[name]).__name__}")
    return content


def _per_sigma(path: Path, content: dict[str, Any], block: str, n_vertices: int) -> npt.NDArray[np.float32]:
    name = f"{block}/model/pcaBasis"
    basis = as_basis(path, name, content[name], n_vertices)
    variance = f"{block}/model/pcaVariance"
    sigma = np.sqrt(as_sigma(path, variance, content[variance], basis.shape[2]))
    length = np.sqrt(np.square(basis, dtype=np.float64).sum(axis=(0, 1)))
    if np.abs(length - 1.0).max(initial=0.0) > 0.01:
        k = int(np.argmax(np.abs(length - 1.0)))
        raise ModelFileError(
            path, f"{name!r} must have unit columns, column {k} has length {length[k]:.4g}: scaled by another tool?"
        )
    return (basis * sigma).astype(np.float32)


def _landmarks(
    path: Path, content: dict[str, Any], neutral: npt.NDArray[np.float64]
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    if _POINTS not in content:
        return (), np.zeros(0, np.int64)
    try:
        points = json.loads(text_of(content[_POINTS]))
        names = [str(point["id"]) for point in points]
        places = np.array([point["coordinates"] for point in points], dtype=np.float64).reshape(len(names), 3)
        if not np.isfinite(places).all():
            raise ValueError("a coordinate is nan or inf")
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ModelFileError(path, f"{_POINTS} must list points with id and coordinates ({error})") from None
    if len(names) > _MOST_POINTS:
        raise ModelFileError(path, f"{_POINTS} lists {len(names)} points; at most {_MOST_POINTS} are expected")
    distance = np.linalg.norm(places[:, None] - neutral[None], axis=2)
    on_mesh = distance.min(axis=1, initial=np.inf) <= _ON_MESH_MM
    kept = tuple(name for name, keep in zip(names, on_mesh, strict=True) if keep)
    return kept, distance[on_mesh].argmin(axis=1).astype(np.int64)


_BLOCKS = ("shape", "expression", "color")
_POINTS = "metadata/landmarks/json"
_MOST_POINTS = 500
_LICENCE = "University of Basel: research only, no commercial use, no redistribution; every user signs the form."
SOURCE_2017 = ModelSource(
    name="bfm2017",
    title="Basel Face Model 2017",
    licence=_LICENCE,
    how_to_get="https://faces.dmi.unibas.ch/bfm/bfm2017.html (registration; a link comes by mail)",
    layouts=(("model2017-1_bfm_nomouth.h5",), ("model2017-1_face12_nomouth.h5",)),
    load=load_2017,
    sizes=Sizes(vertices=53149, identity=199, expression=100, albedo=199),
    options=("expression_mean",),
)
SOURCE_2019 = ModelSource(
    name="bfm2019",
    title="Basel Face Model 2019",
    licence=_LICENCE,
    how_to_get="https://faces.dmi.unibas.ch/bfm/bfm2019.html (registration; a link comes by mail)",
    layouts=(("model2019_bfm.h5",), ("model2019_fullHead.h5",), ("model2019_face12.h5",)),
    load=load_2019,
    sizes=Sizes(vertices=47439, identity=199, expression=100, albedo=199),
    options=("expression_mean",),
)
