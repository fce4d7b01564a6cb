"""FLAME 2020 and 2023 (Li et al. 2017), read without chumpy and without running the pickle.

Layout, from https://github.com/soubhiksanyal/FLAME_PyTorch and https://github.com/yfeng95/DECA
(decalib/models/FLAME.py): a pickled dict with ``v_template`` (V, 3), ``f`` (F, 3) from 0 and ``shapedirs``
(V, 3, 400), whose first 300 components are identity and last 100 expression, each for one standard deviation; some of
them chumpy objects. Metres; x to the person's left, y up, the face looks along +z; faces counter-clockwise. The jaw,
neck and eye joints with their skinning weights and ``posedirs`` are left out: a linear model holds them neutral.

Read as well when they lie beside the model:

* ``landmark_embedding.npy`` (DECA): ``full_lmk_faces_idx`` and ``full_lmk_bary_coords``, the 68 points, set ``"68"``;
* ``flame_static_embedding.pkl`` (FLAME_PyTorch): ``lmk_face_idx`` and ``lmk_b_coords``, 51 points, set ``"51"``;
* ``FLAME_masks.pkl`` (FLAME site, "vertex masks"): vertex indices by region;
* ``FLAME_texture.npz`` (FLAME site, "texture space"; https://github.com/TimoBolkart/TF_FLAME, sample_texture.py):
  ``mean`` (512, 512, 3) and ``tex_dir`` (512, 512, 3, 200) for N(0, 1) coefficients, 0 to 255, blue first, top row
  first; ``vt`` and ``ft``, the UV map. The albedo is this texture at the vertices.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bfm.data import ModelData, SurfacePoints
from bfm.files import ModelFileError, ModelSource, Sizes, find_layout
from bfm.loaders.arrays import as_faces, as_indices, grey, outward, points_on_corners
from bfm.loaders.npz import read_npz
from bfm.safe_pickle import load_object_npy, load_pickle, to_array

MM_PER_M = 1000.0
N_IDENTITY, N_EXPRESSION = 300, 100
_BOTH_SIDES = {"ears": ("left_ear", "right_ear"), "eyes": ("left_eyeball", "right_eyeball")}


def load(path: Path) -> ModelData:
    """FLAME with 300 identity and 100 expression components, jaw neutral.

    Args:
        path: a folder with one of the known file names, or the model's pickle itself; optional files are looked for
            beside the pickle.

    Raises:
        MissingModelFiles: no known file name in the folder.
        UnsafePickleError: a pickle asks for anything but arrays.
        ModelFileError: a file is damaged, lacks a key or has an unexpected shape.
    """
    path = path if path.is_file() else find_layout(SOURCE, path)[0]
    model = _mapping(path, load_pickle(path), ("v_template", "f", "shapedirs"))
    template = to_array(path, "v_template", model["v_template"])
    if template.ndim != 2 or template.shape[1] != 3:
        raise ModelFileError(path, f"'v_template' must have shape (V, 3), found {template.shape}")
    n = len(template)
    directions = to_array(path, "shapedirs", model["shapedirs"])
    if directions.shape != (n, 3, N_IDENTITY + N_EXPRESSION):
        raise ModelFileError(
            path, f"'shapedirs' must have shape ({n}, 3, {N_IDENTITY + N_EXPRESSION}), found {directions.shape}"
        )
    published_faces = as_faces(path, "f", to_array(path, "f", model["f"]), n, base=0)
    faces = outward(path, template, published_faces)
    basis = (MM_PER_M * directions).astype(np.float32)
    uv, uv_faces, albedo, albedo_basis = _appearance(path.with_name("FLAME_texture.npz"), published_faces, n)
    flipped = not np.array_equal(faces, published_faces)
    return ModelData(
        name="flame",
        licence=SOURCE.licence,
        source=SOURCE.how_to_get,
        mean_shape=(MM_PER_M * template).astype(np.float32),
        identity_basis=np.ascontiguousarray(basis[..., :N_IDENTITY]),
        expression_basis=np.ascontiguousarray(basis[..., N_IDENTITY:]),
        faces=faces,
        mean_albedo=albedo,
        albedo_basis=albedo_basis,
        albedo_space="srgb",
        uv=uv,
        uv_faces=np.ascontiguousarray(uv_faces[:, ::-1]) if flipped else uv_faces,
        regions=_regions(path.with_name("FLAME_masks.pkl"), n),
        landmarks=_landmarks(path.parent, published_faces, faces),
    )


def _mapping(path: Path, content: Any, needed: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise ModelFileError(path, f"should hold a dict, found a {type(content).__name__}")
    missing = [name for name in needed if name not in content]
    if missing:
        raise ModelFileError(path, f"lacks {', '.join(missing)}; it holds: {', '.join(sorted(map(str, content)))}")
    return content


def _landmarks(
    folder: Path, published_faces: npt.NDArray[np.int64], faces: npt.NDArray[np.int64]
) -> dict[str, SurfacePoints]:
    sets = {}
    for name, file, read, keys in (
        ("68", "landmark_embedding.npy", load_object_npy, ("full_lmk_faces_idx", "full_lmk_bary_coords")),
        ("51", "flame_static_embedding.pkl", load_pickle, ("lmk_face_idx", "lmk_b_coords")),
    ):
        path = folder / file
        if not path.is_file():
            continue
        table = _mapping(path, read(path), keys)
        triangles = as_indices(path, keys[0], to_array(path, keys[0], table[keys[0]]), len(faces), base=0)
        weights = to_array(path, keys[1], table[keys[1]])
        if len(triangles) != int(name) or weights.size != 3 * int(name):
            raise ModelFileError(path, f"expected {name} points, found {len(triangles)} and weights {weights.shape}")
        sets[name] = points_on_corners(path, published_faces[triangles], weights.reshape(-1, 3), faces)
    return sets


def _regions(path: Path, n_vertices: int) -> dict[str, npt.NDArray[np.bool_]]:
    if not path.is_file():
        return {}
    regions = {}
    for name, vertices in _mapping(path, load_pickle(path), ()).items():
        if not isinstance(name, str):
            raise ModelFileError(path, f"regions must have names, found a {type(name).__name__}")
        mask = np.zeros(n_vertices, np.bool_)
        mask[as_indices(path, name, to_array(path, name, vertices), n_vertices, base=0)] = True
        regions[name] = mask
    for name, sides in _BOTH_SIDES.items():
        if set(sides) <= set(regions):
            regions[name] = regions[sides[0]] | regions[sides[1]]
    return regions


def _appearance(
    path: Path, faces: npt.NDArray[np.int64], n_vertices: int
) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray, npt.NDArray]:
    """UV, UV faces, mean albedo and albedo basis; empty UV and grey without the texture file."""
    if not path.is_file():
        return np.zeros((0, 2), np.float32), np.zeros((0, 3), np.int64), *grey(n_vertices)
    texture = read_npz(path, ("mean", "tex_dir", "vt", "ft"))
    uv = texture["vt"].astype(np.float32).reshape(-1, texture["vt"].shape[-1])[:, :2]
    uv_faces = as_faces(path, "ft", texture["ft"], len(uv), base=0)
    if len(uv_faces) != len(faces):
        raise ModelFileError(
            path, f"'ft' must have one row for each of the model's {len(faces)} faces, found {len(uv_faces)}"
        )
    mean, directions = texture["mean"], texture["tex_dir"]
    if mean.ndim != 3 or mean.shape[2] != 3 or directions.shape[:3] != mean.shape or directions.ndim != 4:
        raise ModelFileError(
            path, f"'mean' and 'tex_dir' must be (H, W, 3) and (H, W, 3, K), found {mean.shape} and {directions.shape}"
        )
    first_uv = np.zeros((n_vertices, 2), np.float32)
    # Where the map has a seam a vertex has several places; reversed, so that the first mention is the one that stays.
    first_uv[faces.reshape(-1)[::-1]] = uv[uv_faces.reshape(-1)[::-1]]
    # The file stores blue first.
    albedo = _sample(mean, first_uv)[:, ::-1] / 255.0
    basis = _sample(directions, first_uv)[:, ::-1] / 255.0
    return uv, uv_faces, np.ascontiguousarray(albedo, np.float32), np.ascontiguousarray(basis, np.float32)


def _sample(image: npt.NDArray, uv: npt.NDArray) -> npt.NDArray:
    """``image (H, W, ...)`` at ``uv (N, 2)``, origin at the lower left, bilinear between pixel centres."""
    height, width = image.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1.0 - uv[:, 1]) * height - 0.5, 0, height - 1)
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    shape = (-1,) + (1,) * (image.ndim - 2)
    fx, fy = (x - x0).reshape(shape), (y - y0).reshape(shape)
    top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    bottom = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy)


SOURCE = ModelSource(
    name="flame",
    title="FLAME 2020 or 2023",
    licence=(
        "FLAME 2020 and 2023: Max Planck licence, non-commercial research only, by registration. FLAME 2023 Open: "
        "CC-BY-4.0, any use with attribution."
    ),
    how_to_get=(
        "https://flame.is.tue.mpg.de (registration), file generic_model.pkl or flame2023*.pkl; landmark_embedding.npy "
        "from the data folder of https://github.com/yfeng95/DECA"
    ),
    layouts=(
        ("flame2023_Open.pkl",),
        ("flame2023.pkl",),
        ("flame2023_no_jaw.pkl",),
        ("generic_model.pkl",),
    ),
    load=load,
    sizes=Sizes(vertices=5023, identity=300, expression=100, albedo=200),
)
