"""ICT-FaceKit, light model: a folder of OBJ files of one topology.

Layout, from https://github.com/ICT-VGL/ICT-FaceKit (README.md, ``FaceXModel/`` and ``Scripts/``, commit da5f95a):
``generic_neutral_mesh.obj`` is the mean; ``identity000.obj`` ... ``identity099.obj`` are the mean plus one principal
component at one standard deviation (``Scripts/ict_face_model.py`` draws identities with N(0, 1) weights on these
differences); ``<expression>.obj`` is the mean plus one expression at full weight. ``vertex_indices.json`` names the
expressions and the 68 landmarks. Centimetres; y up, the face looks along +z; quadrilaterals, counter-clockwise.

Expression names follow ARKit: ``eyeBlink_L`` becomes ``eyeBlinkLeft``, the person's left, at +x. Where ARKit has one
shape and ICT a left and a right one, both stay: ``browInnerUpLeft``/``Right`` and ``cheekPuffLeft``/``Right``, 53 in
all. ARKit's ``tongueOut`` does not exist here.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bfm.data import ModelData, SurfacePoints
from bfm.files import ModelFileError, ModelSource, Sizes, find_layout
from bfm.loaders.obj import ObjMesh, read_obj, read_obj_vertices
from bfm.reading import read_text

MM_PER_CM = 10.0
_FILE_STEM = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclasses.dataclass(frozen=True)
class VertexRanges:
    """What the README says about vertex indices.

    Attributes:
        n_vertices: of the whole mesh.
        n_identity: identity files.
        regions: for each region the half-open ranges of its vertices.
        jaw: for each of the 68 landmarks that moves to the ridge of the jaw, its vertex.
    """

    n_vertices: int
    n_identity: int
    regions: Mapping[str, tuple[tuple[int, int], ...]]
    jaw: Mapping[int, int]


_JAW_RIGHT = (1278, 1272, 12, 1834, 243, 781, 2199, 1447)
_JAW_LEFT = (3661, 4390, 3022, 2484, 4036, 2253, 3490, 3496)
LIGHT = VertexRanges(
    n_vertices=26719,
    n_identity=100,
    regions={
        "face": ((0, 9409),),
        "narrow_face": ((0, 6706),),
        "head_neck": ((9409, 11248),),
        "mouth_interior": ((11248, 13294), (14062, 21451)),
        "mouth_socket": ((11248, 13294),),
        "gums_tongue": ((14062, 17039),),
        "teeth": ((17039, 21451),),
        "eye_sockets": ((13294, 14062),),
        "eyes": ((21451, 24591),),
        "sclera": ((21451, 22221), (23021, 23791)),
        "iris": ((22221, 23021), (23791, 24591)),
        "lacrimal_fluid": ((24591, 24999),),
        "eye_blend": ((24999, 25047),),
        "eye_occlusion": ((25047, 25351),),
        "eyelashes": ((25351, 26719),),
    },
    jaw=dict(enumerate(_JAW_RIGHT)) | dict(enumerate(_JAW_LEFT, start=9)),
)

# The published UV puts the parts on neighbouring unit tiles and the eyeballs on top of the face. One picture needs them
# side by side: lower left corner (u, v) and edge length of each part's tile, the face on three quarters of the width.
_ATLAS: dict[str, tuple[float, float, float]] = {
    "M_Face": (0.0, 0.0, 0.75),
    "M_BackHead": (0.75, 0.0, 0.25),
    "M_GumsTongue": (0.75, 0.25, 0.25),
    "M_Teeth": (0.75, 0.5, 0.25),
    "M_ScleraLeft": (0.0, 0.75, 0.125),
    "M_IrisLeft": (0.125, 0.75, 0.125),
    "M_ScleraRight": (0.0, 0.875, 0.125),
    "M_IrisRight": (0.125, 0.875, 0.125),
    "M_LacrimalFluid": (0.25, 0.75, 0.125),
    "M_EyeBlend": (0.25, 0.875, 0.125),
    "M_EyeOcclusion": (0.375, 0.875, 0.125),
    "M_EyeLashes": (0.5, 0.75, 0.25),
}


def load(folder: Path, vertex_ranges: VertexRanges = LIGHT) -> ModelData:
    """The ICT-FaceKit light model.

    Args:
        folder: the repository or its ``FaceXModel`` folder.
        vertex_ranges: of the regions; the published ones by default.

    Raises:
        MissingModelFiles: the mean, the index file or the first identity is not there.
        ModelFileError: another file is missing, a file is malformed, or has another number of vertices.
    """
    mean_path, config_path, _ = find_layout(SOURCE, folder)
    folder = mean_path.parent
    config = _read_config(config_path, vertex_ranges.n_vertices)
    mesh = read_obj(mean_path)
    if len(mesh.vertices) != vertex_ranges.n_vertices:
        raise ModelFileError(mean_path, f"expected {vertex_ranges.n_vertices} vertices, found {len(mesh.vertices)}")
    expressions = config["expressions"]
    landmarks = np.array(config["idx_to_landmark_verts"], dtype=np.int64)
    jaw = landmarks.copy()
    jaw[list(vertex_ranges.jaw)] = list(vertex_ranges.jaw.values())
    uv, uv_faces = _atlas(mean_path, mesh)
    identities = [f"identity{k:03d}" for k in range(vertex_ranges.n_identity)]
    return ModelData(
        name="ict",
        licence=SOURCE.licence,
        source=SOURCE.how_to_get,
        mean_shape=(MM_PER_CM * mesh.vertices).astype(np.float32),
        identity_basis=_differences(folder, identities, mesh.vertices),
        expression_basis=_differences(folder, expressions, mesh.vertices),
        faces=mesh.faces,
        mean_albedo=np.full((vertex_ranges.n_vertices, 3), 0.5, np.float32),
        albedo_basis=np.zeros((vertex_ranges.n_vertices, 3, 0), np.float32),
        albedo_space="srgb",
        uv=uv.astype(np.float32),
        uv_faces=uv_faces,
        expression_prior="unit",
        expression_names=tuple(_arkit_name(name) for name in expressions),
        regions={name: _mask(ranges, vertex_ranges.n_vertices) for name, ranges in vertex_ranges.regions.items()},
        landmarks={
            "68": SurfacePoints.at_vertices(jaw, mesh.faces),
            "68_multipie": SurfacePoints.at_vertices(landmarks, mesh.faces),
        },
    )


def _read_config(path: Path, n_vertices: int) -> dict[str, list]:
    try:
        config = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(path, f"not valid JSON ({error})") from None
    for key in ("expressions", "idx_to_landmark_verts"):
        if not isinstance(config, dict) or not isinstance(config.get(key), list):
            raise ModelFileError(path, f"needs a list named {key!r}")
    landmarks = config["idx_to_landmark_verts"]
    if len(landmarks) != 68:
        raise ModelFileError(path, f"expected 68 landmarks, found {len(landmarks)}")
    for vertex in landmarks:
        if type(vertex) is not int or not 0 <= vertex < n_vertices:
            raise ModelFileError(path, f"landmarks must be vertices 0..{n_vertices - 1}, found {str(vertex)[:40]!r}")
    for name in config["expressions"]:
        # They become file names, and must not lead out of the folder.
        if not isinstance(name, str) or not _FILE_STEM.fullmatch(name):
            raise ModelFileError(path, f"expressions must be names of letters and digits, found {str(name)[:40]!r}")
    return config


def _differences(folder: Path, names: list[str], mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """``(V, 3, K)`` mm: each named mesh minus the mean."""
    basis = np.zeros((len(names), *mean.shape), np.float32)
    for row, name in zip(basis, names, strict=True):
        path = folder / f"{name}.obj"
        if not path.is_file():
            raise ModelFileError(path, f"missing from an otherwise present model; {SOURCE.how_to_get}")
        vertices = read_obj_vertices(path)
        if vertices.shape != mean.shape:
            raise ModelFileError(path, f"expected {len(mean)} vertices as in the mean, found {len(vertices)}")
        row[:] = MM_PER_CM * (vertices - mean)
    return np.ascontiguousarray(np.moveaxis(basis, 0, 2))


def _arkit_name(name: str) -> str:
    for ending, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(ending):
            return name.removesuffix(ending) + side
    return name


def _mask(ranges: tuple[tuple[int, int], ...], n_vertices: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(n_vertices, np.bool_)
    for start, stop in ranges:
        mask[start:stop] = True
    return mask


def _atlas(path: Path, mesh: ObjMesh) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Texture coordinates of all parts side by side on one unit square, and the faces' indices into them."""
    pieces, uv_faces, offset = [], np.zeros_like(mesh.uv_faces), 0
    for index, name in enumerate(mesh.material_names):
        if name not in _ATLAS:
            raise ModelFileError(path, f"unknown material {name!r}; known: {', '.join(_ATLAS)}")
        u, v, edge = _ATLAS[name]
        members = mesh.materials == index
        used, local = np.unique(mesh.uv_faces[members], return_inverse=True)
        uv = mesh.uv[used]
        tile = np.floor(uv.min(axis=0))
        pieces.append(np.array([u, v]) + edge * (uv - tile))
        uv_faces[members] = local.reshape(-1, 3) + offset
        offset += len(used)
    return np.concatenate(pieces), uv_faces


_NEEDED = ("generic_neutral_mesh.obj", "vertex_indices.json", "identity000.obj")
SOURCE = ModelSource(
    name="ict",
    title="ICT-FaceKit light model",
    licence="MIT licence: any use, commercial included, with the copyright notice kept.",
    how_to_get="git clone https://github.com/ICT-VGL/ICT-FaceKit and point to the clone or to its FaceXModel folder",
    layouts=(_NEEDED, tuple(f"FaceXModel/{name}" for name in _NEEDED)),
    load=load,
    sizes=Sizes(vertices=26719, identity=100, expression=53, albedo=0),
)
