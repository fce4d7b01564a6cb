"""Meshes of depth maps whose surface is known: a sphere before a wall."""

import numpy as np
import pytest
import torch
import trimesh
from scipy import ndimage
from scipy.spatial import cKDTree

from recon.camera import PerspectiveCamera
from recon.detection.face import Face
from recon.inference.depth import FaceDepth
from recon.inference.depth_mesh import head_mask, head_mesh, head_points
from recon.io.image import Photo
from recon.networks.depth.crop_depth import CLASSES

_SIZE, _FOCAL_PX, _RADIUS, _WALL = 240, 800.0, 70.0, -640.0
_MIDDLE = np.array([0.0, 0.0, -600.0])
_SKIN, _HAIR, _OTHER, _BACKGROUND = (CLASSES.index(name) for name in ("skin", "hair", "other", "background"))


def _seen(wall: bool) -> FaceDepth:
    """A sphere of skin, and behind it a wall of hair or nothing."""
    at = (np.arange(_SIZE) + 0.5 - _SIZE / 2) / _FOCAL_PX
    x, y = np.meshgrid(at, at)
    rays = np.stack((x, -y, -np.ones_like(x)), axis=2)
    square, along = (rays**2).sum(axis=2), rays @ _MIDDLE
    under = along**2 - square * (_MIDDLE @ _MIDDLE - _RADIUS**2)
    met = under > 0.0
    depth = np.where(met, (along - np.sqrt(np.maximum(under, 0.0))) / square, -_WALL)
    normals = np.where(met[..., None], (rays * depth[..., None] - _MIDDLE) / _RADIUS, [0.0, 0.0, 1.0])
    classes = np.where(met, _SKIN, _HAIR)
    if not wall:
        classes[~met], depth[~met], normals[~met] = _BACKGROUND, np.nan, np.nan
    camera = PerspectiveCamera.at(size=(_SIZE, _SIZE), focal_px=torch.full((1, 2), _FOCAL_PX))
    camera = camera.with_pose(torch.eye(3)[None], torch.zeros(1, 3))
    photo = Photo(np.full((_SIZE, _SIZE, 3), 128, dtype=np.uint8), focal_px=_FOCAL_PX)
    face = Face(np.array([40.0, 40.0, 200.0, 200.0]), np.full((5, 2), 120.0), 1.0, "test")
    return FaceDepth(photo, face, camera, "given", (0, 0), depth, normals, classes=classes)


def _hidden(found: FaceDepth, rows: slice, columns: slice) -> FaceDepth:
    """Nothing is seen there."""
    found.classes[rows, columns] = _BACKGROUND
    found.depth_mm[rows, columns] = np.nan
    found.normals[rows, columns] = np.nan
    return found


def _rims(mesh) -> list[np.ndarray]:
    """Vertices of each closed line of edges that one triangle has."""
    surface = trimesh.Trimesh(mesh.vertices_mm, mesh.faces, process=False)
    edges, counts = np.unique(np.sort(surface.edges, axis=1), axis=0, return_counts=True)
    assert counts.max() <= 2
    return trimesh.graph.connected_components(edges[counts == 1], min_len=1)


def _off(points: np.ndarray) -> np.ndarray:
    return np.abs(np.linalg.norm(points - _MIDDLE, axis=1) - _RADIUS)


def test_the_rim_follows_the_outline_smoothly():
    found = _seen(wall=False)
    inside = found.classes == _SKIN
    edge = inside & ~ndimage.binary_erosion(inside, iterations=3)
    teeth = edge & (np.random.default_rng(0).random(inside.shape) < 0.3)
    found.depth_mm[teeth], found.normals[teeth], found.classes[teeth] = np.nan, np.nan, _BACKGROUND
    mesh = head_mesh(found)
    (rim,) = _rims(mesh)
    x, y, z = mesh.vertices_mm[rim].T
    across = np.hypot(x, y) / -z * 600.0
    outline = 600.0 * np.tan(np.arcsin(_RADIUS / 600.0))
    assert outline - across.mean() == pytest.approx(2.5, abs=1.0)
    assert across.std() < 0.35
    assert _off(mesh.vertices_mm).mean() < 0.4 and _off(mesh.vertices_mm).max() < 2.5


def test_points_are_as_dense_on_slopes_and_their_areas_are_the_surface():
    points = head_points(_seen(wall=False), 1.5)
    spacing, _ = cKDTree(points.places_mm).query(points.places_mm, k=5)
    slope = np.linalg.norm(points.places_mm[:, :2], axis=1) > 0.8 * _RADIUS
    assert np.percentile(spacing[slope, 1:].max(axis=1), 99.0) < 2.2
    # Of what is seen at a cosine above 0.15, on a sphere from its near distance.
    reach = np.arccos(0.15) - np.arcsin(_RADIUS * np.sqrt(1.0 - 0.15**2) / 600.0)
    assert points.areas_mm2.sum() == pytest.approx(2.0 * np.pi * _RADIUS**2 * (1.0 - np.cos(reach)), rel=0.03)


def test_a_step_in_depth_is_bridged_even_where_nothing_is_seen():
    found = _hidden(_seen(wall=True), slice(105, 135), slice(14, 42))
    found = _hidden(found, slice(60, 66), slice(120, 150))
    mesh = head_mesh(found)
    assert len(_rims(mesh)) == 1
    steps = np.linalg.norm(np.diff(mesh.vertices_mm[mesh.faces], axis=1), axis=2)
    assert steps.max() < 2.0 * 2.5


def test_glasses_and_specks_are_no_holes_and_wide_gaps_are():
    found = _seen(wall=False)
    found.classes[80:95, 80:160] = _OTHER
    found = _hidden(found, slice(120, 126), slice(90, 96))
    assert head_mask(found)[80:95, 80:160].all() and head_mask(found)[120:126, 90:96].all()
    mesh = head_mesh(found)
    assert len(_rims(mesh)) == 1 and _off(mesh.vertices_mm).max() < 2.5
    gap = _hidden(_seen(wall=False), slice(90, 150), slice(90, 150))
    assert not head_mask(gap)[120, 120]
    assert len(_rims(head_mesh(gap))) == 2
