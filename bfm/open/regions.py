"""Where things are on the open head: soft maps for the albedo, and the named regions made from them.

Lips, lids, ears and face come from MakeHuman's own masks; the eyebrows from the skin that ARKit's brow shapes lift
most; the rest from distances on the mean head, in the frame with the eyes' midpoint as origin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from bfm.data import BoolArray, FloatArray
from bfm.open.eyeball import IRIS_ANGLE_DEG, PUPIL_ANGLE_DEG
from bfm.open.head_mesh import PARTS, HeadMesh
from bfm.open.makehuman import EXPRESSION_FOLDER, BaseMesh, read_target
from bfm.open.teeth import gums, lingual_shade

_MASKS = {"lips": "mpfb_lips.jpg", "lids": "mpfb_eyelids.jpg", "ears": "mpfb_ears.jpg", "front": "mpfb_face.jpg"}
_BROW_SHAPES = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
EVALUATION_RADIUS_MM = 95.0
"""The crop around the nose tip that the MICC protocol measures in."""
_SHADE_MM, _MOST_SHADE = 40.0, 0.85
"""Behind the front teeth, how far until the mouth is dark, and how dark it gets."""


@dataclasses.dataclass(frozen=True)
class HeadMaps:
    """Soft maps in [0, 1] on the final vertices, by name, and the vertex that is the nose tip."""

    maps: Mapping[str, FloatArray]
    nose_tip: int


def mask_values(base: BaseMesh, head: HeadMesh, folder: Path) -> dict[str, FloatArray]:
    """MakeHuman's masks ``(N,)`` sampled at the unsubdivided head's skin vertices, 0 elsewhere."""
    texel = np.full(len(base.vertices), -1)
    texel[base.faces["body"].ravel()] = base.uv_faces["body"].ravel()
    skin = head.part == PARTS.index("skin")
    uv = base.uv[texel[np.where(skin, head.base_index, base.faces["body"][0, 0])]]
    values = {}
    for name, file in _MASKS.items():
        with Image.open(folder / "mpfb2" / "textures" / file, formats=("PNG", "JPEG")) as image:
            pixels = np.asarray(image.convert("L"), dtype=np.float64) / 255.0
        height, width = pixels.shape
        column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
        row = np.clip(((1.0 - uv[:, 1]) * height).astype(int), 0, height - 1)
        values[name] = pixels[row, column] * skin
    return values


def brow_lift_mm(base: BaseMesh, head: HeadMesh, folder: Path) -> FloatArray:
    """How far the brow-raising shapes move each unsubdivided head vertex, ``(N,)``."""
    targets = (read_target(folder / EXPRESSION_FOLDER / f"{name}.target", len(base.vertices)) for name in _BROW_SHAPES)
    return np.asarray(sum(np.linalg.norm(head.binding @ offsets, axis=1) for offsets in targets))


def head_maps(
    vertices: FloatArray, part: FloatArray, island: FloatArray, eye_angle_rad: FloatArray, raw: Mapping[str, FloatArray]
) -> HeadMaps:
    """Soft maps on the final mesh.

    Args:
        vertices: ``(V, 3)`` mean head in mm, origin between the eyes.
        part: ``(V, 6)`` share of each part, 0 or 1.
        island: ``(V, 5)`` share of each skin island (outer head, cavity, neck, sockets).
        eye_angle_rad: ``(V,)``, nan off the eyeballs.
        raw: MakeHuman masks and ``brow_lift``, ``(V,)``.
    """
    x, y, z = vertices.T
    outer, cavity, neck = island[:, 0], island[:, 1], island[:, 2]
    sockets = island[:, 3] + island[:, 4]
    is_outer = outer > 0.5
    nose_tip = int(np.where(is_outer & (np.abs(x) < 3.0) & (np.abs(y + 40.0) < 25.0), z, -np.inf).argmax())
    tip = vertices[nose_tip]
    lips = raw["lips"] * (outer > 0.0)
    mouth = np.average(vertices, axis=0, weights=np.where(is_outer, lips, 0.0))
    ears = raw["ears"]
    front = raw["front"]

    def blob(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> FloatArray:
        """A Gaussian around a point and its mirror image."""
        away = ((np.abs(x) - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
        return np.asarray(outer * np.exp(-0.5 * (away + ((z - centre[2]) / radii[2]) ** 2)))

    def step(value: FloatArray, width: float) -> FloatArray:
        return np.asarray(1.0 / (1.0 + np.exp(-value / width)))

    nose = outer * np.maximum.reduce(
        [
            blob((0.0, tip[1] + 2.0, tip[2]), (11.0, 9.0, 16.0)),
            0.9 * blob((13.0, tip[1] - 3.0, tip[2] - 14.0), (8.0, 8.0, 10.0)),
            0.8 * blob((0.0, 0.5 * tip[1], 0.7 * tip[2]), (8.0, 13.0, 14.0)),
        ]
    )
    # The beard grows below a line from the sideburn to above the moustache, on the front of the neck, not on the lips.
    beard_top = mouth[1] + 12.0 + 0.018 * np.maximum(np.abs(x) - 18.0, 0.0) ** 1.75
    not_lips = np.clip(1.0 - 1.6 * lips, 0.0, 1.0)
    below = step(beard_top - y, 2.5) * step(y - (mouth[1] - 75.0), 6.0) * step(z + 62.0, 6.0)
    beard = np.maximum(outer, 0.6 * neck) * below * not_lips * (1.0 - ears)
    under_eye = blob((30.0, -12.5, 12.0), (13.0, 5.5, 14.0)) + 0.7 * blob((16.0, 0.0, 12.0), (6.0, 8.0, 12.0))
    scalp = outer * (1.0 - ears) * np.clip(1.0 - 1.25 * front, 0.0, 1.0)
    eye = part[:, 1] + part[:, 2] > 0.5
    angle_deg = np.degrees(np.where(eye, eye_angle_rad, np.pi))
    iris_edge = step(IRIS_ANGLE_DEG - angle_deg, 0.45)
    pupil = eye * step(PUPIL_ANGLE_DEG - angle_deg, 0.45)
    teeth = part[:, 4] + part[:, 5]
    behind_mm = z.max(where=teeth > 0.5, initial=-np.inf) - z
    inside = np.clip(cavity + part[:, 3] + teeth, 0.0, 1.0)
    maps = {
        "outer": outer,
        "neck": neck,
        "cavity": cavity,
        "sockets": sockets,
        "lips": lips,
        "lids": np.clip(raw["lids"] * outer, 0.0, 1.0),
        # The rim of each socket carries the lashes, the upper one most.
        "lashes": np.clip(4.0 * outer * sockets, 0.0, 1.0) * (0.35 + 0.65 * step(y + 1.0, 1.5)),
        "ears": ears,
        "front": front,
        "brows": _brows(vertices, outer, raw["brow_lift"]),
        "cheeks": blob((40.0, -38.0, 8.0), (17.0, 15.0, 26.0)),
        "nose": np.clip(nose, 0.0, 1.0),
        "forehead": outer * front * step(y - 30.0, 6.0),
        "beard": beard,
        "under_eye": np.clip(under_eye, 0.0, 1.0),
        "scalp": scalp,
        "sclera": eye * (1.0 - iris_edge),
        "iris": np.clip(eye * iris_edge - pupil, 0.0, 1.0),
        "pupil": pupil,
        "limbus": eye * np.exp(-0.5 * ((angle_deg - IRIS_ANGLE_DEG + 1.0) / 1.1) ** 2),
        "tongue": part[:, 3].astype(float),
        "teeth": teeth,
        "gums": gums(vertices, part),
        "in_shade": inside * np.clip(behind_mm / _SHADE_MM, lingual_shade(vertices, part), _MOST_SHADE),
    }
    return HeadMaps({name: np.asarray(values, dtype=np.float64) for name, values in maps.items()}, nose_tip)


def _brows(vertices: FloatArray, outer: FloatArray, lift_mm: FloatArray) -> FloatArray:
    """Two tapering arches along the crest of the skin that the brow shapes lift."""
    x, y, z = vertices.T
    side = np.abs(x)
    strength = np.where((outer > 0.5) & (z > -10.0) & (y > 4.0) & (y < 40.0), lift_mm, 0.0) ** 3
    stations_mm = np.linspace(10.0, 54.0, 12)
    crest = []
    for station in stations_mm:
        near = strength * np.exp(-0.5 * ((side - station) / 4.0) ** 2)
        crest.append(np.average(y, weights=near))
    # A parabola through the crest keeps the arch smooth where the mesh is coarse.
    arch = np.polynomial.Polynomial.fit(stations_mm, crest, 2)
    middle = arch(np.clip(side, 8.0, 56.0)) - 1.5
    half_height = np.interp(side, [9.0, 14.0, 34.0, 52.0, 56.0], [2.6, 4.4, 3.8, 2.0, 1.2])
    within = np.exp(-(((y - middle) / half_height) ** 4) * 0.7)
    ends = 1.0 / (1.0 + np.exp(-(side - 10.5) / 1.3)) / (1.0 + np.exp((side - 53.0) / 1.8))
    return np.asarray(outer * within * ends * (z > -30.0))


def named_regions(maps: HeadMaps, vertices: FloatArray, part: FloatArray) -> dict[str, BoolArray]:
    """Vertex masks ``(V,)`` of the regions a user can ask for."""
    m = maps.maps
    tip = vertices[maps.nose_tip]
    near_tip = np.linalg.norm(vertices - tip, axis=1) <= EVALUATION_RADIUS_MM
    # Halfway to the mouth or an eye socket counts as outside, so that every vertex belongs somewhere.
    outer = m["outer"] > 0.5 - 1e-9
    ears = m["ears"] > 0.4
    face = outer & (m["front"] > 0.35) & ~ears
    return {
        "face": face,
        "ears": ears & outer,
        "neck": (m["neck"] > 0.5) | (outer & (vertices[:, 1] < tip[1] - 80.0)),
        "scalp": outer & (m["scalp"] > 0.5),
        "eyes": part[:, 1] + part[:, 2] > 0.5,
        "left_eye": part[:, 1] > 0.5,
        "right_eye": part[:, 2] > 0.5,
        "irises": m["iris"] > 0.5,
        "pupils": m["pupil"] > 0.5,
        "mouth_interior": (m["cavity"] > 0.5) | (m["tongue"] > 0.5) | (m["teeth"] > 0.5),
        "teeth": m["teeth"] > 0.5,
        "tongue": m["tongue"] > 0.5,
        "eye_sockets": m["sockets"] > 0.5,
        "lips": outer & (m["lips"] > 0.5),
        "eyelids": outer & (m["lids"] > 0.3),
        "brows": outer & (m["brows"] > 0.4),
        "nose": outer & (m["nose"] > 0.4),
        "forehead": outer & (m["forehead"] > 0.5),
        "cheeks": outer & (m["cheeks"] > 0.4),
        "beard": outer & (m["beard"] > 0.5),
        "skin": outer | (m["neck"] > 0.5),
        "evaluation_95mm": outer & near_tip,
    }
