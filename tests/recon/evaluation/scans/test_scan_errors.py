"""Scan distances against known answers and against trimesh."""

import dataclasses

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from recon.alignment import Similarity
from recon.evaluation.scans.errors import micc_errors, now_crop, now_errors, point_to_plane
from recon.evaluation.scans.nonrigid import correspond, nonrigid_errors
from recon.evaluation.scans.scan import Scan
from recon.evaluation.scans.triangles import TriangleSurface


def test_a_surface_is_at_zero_from_itself(sphere):
    assert point_to_plane(sphere.vertices, sphere).max() < 1e-9


def test_a_plane_moved_1_mm_along_its_normal_is_at_1_mm():
    grid = np.stack(np.meshgrid(np.arange(7.0), np.arange(5.0), indexing="ij"), axis=-1).reshape(-1, 2)
    corner = (np.arange(6)[:, None] * 5 + np.arange(4)).reshape(-1)
    faces = np.concatenate(
        [np.stack([corner, corner + 5, corner + 6], 1), np.stack([corner, corner + 6, corner + 1], 1)]
    )
    plane = TriangleSurface(np.concatenate([grid, np.zeros((35, 1))], axis=1), faces)
    moved = plane.vertices + [0.3, 0.2, 1.0]
    # Points beyond the border slid along the plane: only the part along the normal counts.
    np.testing.assert_allclose(point_to_plane(moved, plane), 1.0, atol=1e-12)
    assert plane.closest(moved).distance.max() > 1.0


def test_a_sphere_one_percent_larger_is_one_percent_of_its_radius_away(sphere):
    larger = sphere.moved(Similarity(1.01, np.eye(3), np.zeros(3)))
    np.testing.assert_allclose(point_to_plane(larger.vertices, sphere), 1.0, rtol=2e-3)
    np.testing.assert_allclose(larger.closest(sphere.vertices).distance, 1.0, rtol=2e-3)


def test_distances_agree_with_trimesh():
    rng = np.random.default_rng(5)
    for n_vertices, n_faces in ((30, 50), (200, 500)):
        vertices = rng.normal(size=(n_vertices, 3)) * 40.0
        faces = np.stack([rng.choice(n_vertices, 3, replace=False) for _ in range(n_faces)])
        points = rng.normal(size=(300, 3)) * 60.0
        ours = TriangleSurface(vertices, faces).closest(points).distance
        _, theirs, _ = trimesh.proximity.closest_point_naive(trimesh.Trimesh(vertices, faces, process=False), points)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_border_and_areas(sphere):
    assert not sphere.border_faces.any()
    assert sphere.vertex_areas.sum() == pytest.approx(4.0 * np.pi * 100.0**2, rel=5e-3)
    cap = sphere.cropped(sphere.vertices[:, 2] > 20.0)
    assert cap.border_faces.any() and not cap.border_faces.all()
    edge = cap.vertices[cap.faces[cap.border_faces]].reshape(-1, 3)
    assert edge[:, 2].max() < 50.0
    with pytest.raises(ValueError, match="nothing of the surface is left"):
        sphere.within(np.zeros(3), 10.0)


def _placed(scan, motion):
    return Scan(scan.name, scan.surface.moved(motion), motion.apply(scan.landmarks))


ELSEWHERE = Similarity(1.0, Rotation.from_rotvec([0.3, 1.9, -0.4]).as_matrix(), np.array([100.0, -50.0, 700.0]))


@pytest.mark.parametrize("measure", [micc_errors, now_errors])
def test_the_same_head_anywhere_is_at_zero(scan_of_head, neutral_head, measure):
    for with_scale in (True, False):
        found = measure(_placed(scan_of_head, ELSEWHERE), neutral_head, with_scale=with_scale)
        assert found.scan_to_head.max() < 1e-3
        assert found.motion.scale == pytest.approx(1.0, abs=1e-5)
    assert len(found.scan.vertices) == len(found.scan_to_head) > 3000


def test_scale_is_forgiven_only_when_asked(scan_of_head, neutral_head):
    larger = _placed(scan_of_head, Similarity(1.05, np.eye(3), np.zeros(3)))
    assert now_errors(larger, neutral_head).scan_to_head.max() < 1e-3
    assert micc_errors(larger, neutral_head, with_scale=True).symmetric < 0.05  # the crops differ at the border
    assert now_errors(larger, neutral_head, with_scale=False).scan_to_head.mean() > 0.4
    assert micc_errors(larger, neutral_head, with_scale=False).symmetric > 0.4


def test_distances_are_in_the_size_of_the_scan(scan_of_head, parts):
    mean = parts.head(parts.vertices())
    once = now_errors(scan_of_head, mean)
    twice = now_errors(_placed(scan_of_head, Similarity(2.0, np.eye(3), np.zeros(3))), mean)
    np.testing.assert_allclose(twice.scan_to_head, 2.0 * once.scan_to_head, atol=1e-3)
    assert once.scan_to_head.mean() > 0.3


def test_the_crop_of_now_by_hand():
    landmarks = np.array(
        [[-45, 0, 0], [-16, 0, 0], [16, 0, 0], [45, 0, 0], [0, -50, 10], [-25, -80, 0], [25, -80, 0.0]]
    )
    centre, radius = now_crop(landmarks)
    np.testing.assert_allclose(centre, [0.0, -35.0, 7.0])
    assert radius == pytest.approx(0.7 * (90.0 + np.sqrt(2600.0)))


def test_the_crop_of_micc_is_95_mm_around_the_nose(scan_of_head, neutral_head, parts):
    found = micc_errors(scan_of_head, neutral_head)
    reach = np.linalg.norm(found.scan.vertices - scan_of_head.nose_tip, axis=1)
    assert 90.0 < reach.max() <= 95.0
    tip68 = parts.data.landmarks["68"].at(parts.vertices(), parts.data.faces)[30]
    assert np.linalg.norm(parts.head(parts.vertices()).nose_tip - tip68) < 7.0


def test_winding_does_not_matter(scan_of_head, neutral_head, parts):
    inverted = dataclasses.replace(
        scan_of_head, surface=TriangleSurface(scan_of_head.surface.vertices, scan_of_head.surface.faces[:, ::-1].copy())
    )
    mean = parts.head(parts.vertices())
    assert micc_errors(inverted, mean).symmetric == pytest.approx(micc_errors(scan_of_head, mean).symmetric, rel=1e-3)
    pairs = correspond(inverted, mean)
    assert pairs.valid.mean() > 0.6


def test_shrunken_identity_is_seen_by_the_nonrigid_protocol(parts, open_model, scan_of_head):
    identity = np.random.default_rng(1).normal(size=open_model.n_identity)
    mean_face = parts.face_of(parts.vertices())
    errors, slopes = {}, {}
    for share in (0.0, 0.5, 1.0):
        pairs = correspond(scan_of_head, parts.head(parts.vertices(share * identity)))
        found = nonrigid_errors(pairs, mean_face)
        errors[share], slopes[share] = float(np.nanmean(found.distance)), found.slope
        assert pairs.valid.mean() > 0.6
    assert errors[1.0] < 0.05
    assert errors[0.0] > errors[0.5] > errors[1.0]
    assert slopes[0.0] == pytest.approx(0.0, abs=1e-6)
    assert slopes[0.5] == pytest.approx(0.5, abs=0.1)
    assert slopes[1.0] == pytest.approx(1.0, abs=0.05)


def test_a_scan_without_a_face_is_refused_by_the_nonrigid_protocol(parts, scan_of_head):
    pairs = correspond(scan_of_head, parts.head(parts.vertices()))
    with pytest.raises(ValueError, match="only 0 of"):
        nonrigid_errors(dataclasses.replace(pairs, valid=np.zeros_like(pairs.valid)))
