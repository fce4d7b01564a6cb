"""Depth of faces in photos: exact geometry, by networks whose answer is known."""

import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from recon import estimate_depth
from recon.camera import MIN_FOCAL_SHARE
from recon.depth.crop_view import CropView
from recon.depth.poisson_surface import SurfaceError
from recon.detection.align import STANDARD_POINTS_MM
from recon.detection.face import Face, NoFaceError
from recon.export import write_point_ply
from recon.inference import depth as subject
from recon.inference.depth import DepthEstimator, depth_network_file
from recon.inference.depth_mesh import head_mesh, head_points
from recon.io.image import Photo
from recon.networks.depth.checkpoint import save_depth_network
from recon.networks.depth.crop_depth import CLASSES, SIDES_PER_MM, CropDepthConfig, CropDepthNetwork
from recon.networks.depth.map_depth import DepthCoding, MapDepthConfig, MapDepthNetwork
from recon.networks.depth.onnx import export_depth_onnx
from recon.networks.network_file import CheckpointError

_PLANE = torch.nn.functional.normalize(torch.tensor([0.25, -0.15, 1.0], dtype=torch.float64), dim=0)
_OFFSET_MM = -620.0
"""The plane is _PLANE . v = _OFFSET_MM in the camera frame of the photo."""


def _face(x: float, y: float, per_mm: float, roll: float = 0.4) -> Face:
    cos, sin = np.cos(roll), np.sin(roll)
    plane = (STANDARD_POINTS_MM[:, :2] * [1.0, -1.0]) @ np.array([[cos, sin], [-sin, cos]]) * per_mm + [x, y]
    box = np.array([*(plane.min(axis=0) - 20.0), *(plane.max(axis=0) + 20.0)])
    return Face(box, plane, 1.0, "test")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network that says: everything is skin, flat and towards the camera, in the usual scale."""
    torch.manual_seed(0)
    made = CropDepthNetwork(CropDepthConfig("mobilenetv4_small_050", 64, 16))
    with torch.no_grad():
        for layer in (made.maps, made.scale[-1]):
            layer.weight.zero_()
            layer.bias.zero_()
        made.maps.bias[4] = 1.0
        made.maps.bias[5 + CLASSES.index("skin")] = 5.0
    return save_depth_network(tmp_path_factory.mktemp("depth") / "flat.safetensors", made, {})


@pytest.fixture
def photo():
    rng = np.random.default_rng(0)
    return Photo(rng.integers(0, 255, (300, 420, 3), dtype=np.uint8), focal_px=500.0)


def _of_plane(network, photo, view: CropView):
    """What a perfect network would say of the plane."""
    rays = view._directions(64)
    depth = _OFFSET_MM / torch.einsum("i,bhwi->bhw", _PLANE, rays)[:, None]
    normals = view.normals(_PLANE.view(1, 3, 1, 1).expand(1, 3, 64, 64))
    classes = torch.zeros(1, 4, 64, 64, dtype=torch.float64)
    classes[:, 1] = 1.0
    return subject._Maps(depth, 0.01 * depth, normals, classes, 0.02)


def test_a_plane_seen_by_the_crop_is_the_plane_in_the_photo(network, photo, monkeypatch):
    monkeypatch.setattr(subject, "_crop_maps", _of_plane)
    found = DepthEstimator(network)(photo, _face(300.0, 110.0, 0.6))
    seen = np.isfinite(found.depth_mm)
    assert seen.sum() > 15_000
    points, colours = found.points()
    np.testing.assert_allclose(points @ _PLANE.numpy(), _OFFSET_MM, atol=0.35)
    np.testing.assert_allclose(found.normals[seen], np.broadcast_to(_PLANE.numpy(), (seen.sum(), 3)), atol=1e-4)
    rows, columns = np.nonzero(np.isfinite(found.depth_map()))
    np.testing.assert_allclose(colours, photo.pixels[rows, columns] / 255.0)
    np.testing.assert_allclose(found.sigma_mm[seen], 0.01 * found.depth_mm[seen], rtol=1e-5)
    assert found.distance_sigma == 0.02 and found.focal_source == "EXIF"


def test_points_project_back_onto_their_pixels(network, photo, tmp_path):
    found = DepthEstimator(network)(photo, _face(60.0, 240.0, 0.8))
    points, colours = found.points()
    path = write_point_ply(tmp_path / "points.ply", points, colours)
    cloud = trimesh.load(path)
    rows, columns = np.nonzero(np.isfinite(found.depth_map()))
    x, y, z = np.asarray(cloud.vertices).T
    px = 210.0 + 500.0 * x / -z, 150.0 - 500.0 * y / -z
    np.testing.assert_allclose(np.stack(px, axis=1), np.stack((columns, rows), axis=1) + 0.5, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(cloud.colors)[:, :3], photo.pixels[rows, columns])
    with pytest.raises(ValueError, match="at least one point"):
        write_point_ply(tmp_path / "none.ply", points[:0], colours[:0])


def test_the_crop_shows_the_face_upright_in_the_middle(network):
    """A photo of a bright spot where the face's middle is, and another towards its chin."""
    face = _face(250.0, 160.0, 1.5, roll=0.8)
    pixels = np.zeros((400, 500, 3), dtype=np.uint8)
    chin = face.points5.mean(axis=0) * 3.0 - 2.0 * face.points5[:2].mean(axis=0)
    x, y = np.round(chin).astype(int)
    pixels[y - 6 : y + 7, x - 6 : x + 7] = 255
    estimator = DepthEstimator(network)
    seen = []
    original = estimator._network.forward
    estimator._network.forward = lambda crops: (seen.append(crops), original(crops))[1]
    estimator(Photo(pixels, focal_px=900.0), face)
    weight = seen[0][0].mean(dim=0)
    at = (torch.arange(64) + 0.5) / 64 - 0.5
    middle_x, middle_y = (weight.sum(0) * at).sum() / weight.sum(), (weight.sum(1) * at).sum() / weight.sum()
    assert abs(float(middle_x)) < 0.03 and 0.05 < float(middle_y) < 0.4


def test_distance_follows_the_focal_length_and_shape_does_not(network, photo):
    face = _face(210.0, 150.0, 0.7, roll=0.0)
    near, far = (DepthEstimator(network)(photo, face, focal_px) for focal_px in (500.0, 1000.0))
    assert near.focal_source == "given"
    middle = 150 - near.corner_px[1], 210 - near.corner_px[0]
    sides = 500.0 / (near.depth_mm.shape[0] - 1)
    assert near.depth_mm[middle] == pytest.approx(sides / SIDES_PER_MM, rel=0.05)
    assert far.depth_mm[150 - far.corner_px[1], 210 - far.corner_px[0]] == pytest.approx(
        2.0 * near.depth_mm[middle], rel=0.01
    )


def test_an_unknown_focal_length_is_assumed_as_in_a_fit(network, photo):
    unknown = dataclasses.replace(photo, focal_px=None)
    found = DepthEstimator(network)(unknown, _face(210.0, 150.0, 0.7))
    assert found.focal_source == "assumed"
    assert float(found.camera.focal_px[0, 0]) == pytest.approx(0.7 * 1500.0, rel=1e-3)
    small = DepthEstimator(network)(unknown, _face(210.0, 150.0, 0.1))
    assert float(small.camera.focal_px[0, 0]) == pytest.approx(MIN_FOCAL_SHARE * 420.0)
    with pytest.raises(ValueError, match="a focal length must be a positive number of pixels, got -3.0"):
        DepthEstimator(network)(photo, _face(210.0, 150.0, 0.7), -3.0)


def test_a_face_at_the_border_has_depth_inside_the_photo_alone(network, photo):
    found = DepthEstimator(network)(photo, _face(5.0, 295.0, 0.9))
    rows, columns = found.part
    assert columns.start == 0 and rows.stop == 300
    assert found.depth_map().shape == (300, 420) and found.normal_map().shape == (300, 420, 3)
    with pytest.raises(ValueError, match="the face lies outside of its photo"):
        DepthEstimator(network)(photo, _face(-900.0, 150.0, 0.5))


def test_background_has_no_depth(network, photo, monkeypatch):
    def half(network, photo, view):
        maps = _of_plane(network, photo, view)
        classes = maps.classes.clone()
        classes[..., :32] = torch.tensor([9.0, 0.0, 0.0, 0.0]).view(1, 4, 1, 1)
        return dataclasses.replace(maps, classes=classes)

    monkeypatch.setattr(subject, "_crop_maps", half)
    found = DepthEstimator(network)(photo, _face(210.0, 150.0, 0.7, roll=0.0))
    middle = 210 - found.corner_px[0]
    assert not np.isfinite(found.depth_mm[40:-40, 5 : middle - 5]).any()
    assert np.isfinite(found.depth_mm[40:-40, middle + 5 : -5]).all()
    assert np.isnan(found.normals[~np.isfinite(found.depth_mm)]).all()
    points = head_points(found, 2.0)
    assert (points.places_mm[:, 0] > -5.0).all()


def test_areas_of_points_add_up_to_that_of_the_surface(network, photo, monkeypatch):
    monkeypatch.setattr(subject, "_crop_maps", _of_plane)
    found = DepthEstimator(network)(photo, _face(230.0, 140.0, 0.7, roll=0.0))
    points = head_points(found, 2.5)
    corners = [
        points.places_mm[np.argmax(points.places_mm @ d)] for d in ([-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0])
    ]
    a, b, c, d = (np.array(corner) for corner in corners)
    area = 0.5 * np.linalg.norm(np.cross(c - a, d - b))
    assert points.areas_mm2.sum() == pytest.approx(area, rel=0.05)


def test_the_mesh_of_a_plane_lies_on_it_with_the_photo_at_its_place(network, photo, monkeypatch):
    monkeypatch.setattr(subject, "_crop_maps", _of_plane)
    found = DepthEstimator(network)(photo, _face(230.0, 140.0, 0.7, roll=0.0))
    mesh = head_mesh(found, 6.0)
    off = mesh.vertices_mm @ _PLANE.numpy() - _OFFSET_MM
    inner = np.abs(mesh.vertices_mm - mesh.vertices_mm.mean(axis=0)).max(axis=1) < 80.0
    assert np.abs(off[inner]).max() < 0.5
    normals = np.cross(*(mesh.vertices_mm[mesh.faces[:, k]] - mesh.vertices_mm[mesh.faces[:, 0]] for k in (1, 2)))
    assert ((normals @ _PLANE.numpy()) > 0.0).mean() > 0.9
    assert mesh.uv is not None and mesh.texture is not None
    height, width = mesh.texture.shape[:2]
    px = np.stack((mesh.uv[:, 0] * width, (1.0 - mesh.uv[:, 1]) * height), axis=1) + found.corner_px
    x, y, z = mesh.vertices_mm.T
    np.testing.assert_allclose(px, np.stack((210.0 + 500.0 * x / -z, 150.0 - 500.0 * y / -z), axis=1), atol=1e-6)


def test_no_head_makes_no_mesh(network, photo, monkeypatch):
    def empty(network, photo, view):
        maps = _of_plane(network, photo, view)
        return dataclasses.replace(maps, classes=maps.classes.roll(-1, dims=1))

    monkeypatch.setattr(subject, "_crop_maps", empty)
    with pytest.raises(SurfaceError, match="no head is seen"):
        head_mesh(DepthEstimator(network)(photo, _face(230.0, 140.0, 0.7)))


def test_published_networks_of_crops_give_depth_and_its_own_normals(photo, tmp_path):
    torch.manual_seed(0)
    config = MapDepthConfig("unet_simple", (64, 64), DepthCoding("linear", 2000.0, focal_sides=3.0))
    made = MapDepthNetwork(config)
    with torch.no_grad():
        made.body.answer.weight.zero_()
        made.body.answer.bias.fill_(0.5)
    path = save_depth_network(tmp_path / "map.safetensors", made, {})
    found = DepthEstimator(path)(photo, _face(210.0, 150.0, 0.7, roll=0.0))
    sides = 500.0 / (found.depth_mm.shape[0] - 1)
    assert np.nanmedian(found.depth_mm) == pytest.approx(1000.0 * sides / 3.0, rel=0.02)
    assert found.classes is None and found.sigma_mm is None
    known = np.isfinite(found.normals).all(axis=2)
    assert known.sum() > 10_000 and (found.normals[known][:, 2] > 0.99).all()


def test_networks_of_whole_pictures_are_refused(photo, tmp_path):
    path = save_depth_network(
        tmp_path / "map.safetensors", MapDepthNetwork(MapDepthConfig("unet_simple", (32, 48))), {}
    )
    with pytest.raises(
        CheckpointError, match="trained with whole pictures of 32 x 48 px; faces in photos need one of square crops"
    ):
        DepthEstimator(path)(photo, _face(210.0, 150.0, 0.7))


def test_without_a_network_it_is_said_how_to_train_one(monkeypatch, tmp_path):
    monkeypatch.setitem(subject.DEPTH_NETWORKS, "open", tmp_path / "none.safetensors")
    for name in (None, "open"):
        with pytest.raises(CheckpointError, match="train.py fit --config configs/depth/facerecon_depth.yaml"):
            DepthEstimator(name)
    with pytest.raises(CheckpointError, match="no depth network of this name; known: open"):
        DepthEstimator("closed")


def test_networks_are_found_by_name_and_by_file(network, monkeypatch):
    monkeypatch.setitem(subject.DEPTH_NETWORKS, "open", network)
    assert [depth_network_file(given) for given in (None, "open", network, str(network))] == [network] * 4


def test_onnx_gives_the_same_depth_of_a_photo(photo, tmp_path):
    torch.manual_seed(1)
    made = CropDepthNetwork(CropDepthConfig("mobilenetv4_small_050", 64, 16)).eval()
    with torch.no_grad():
        made.maps.weight.normal_(std=0.3)
        made.maps.bias[5 + CLASSES.index("skin")] = 3.0
    path = save_depth_network(tmp_path / "random.safetensors", made, {})
    exported = export_depth_onnx(made, tmp_path / "random.onnx")
    face = _face(210.0, 150.0, 0.7)
    wanted, found = (DepthEstimator(file)(photo, face) for file in (path, exported))
    assert np.isfinite(wanted.depth_mm).sum() > 1000
    np.testing.assert_allclose(found.depth_mm, wanted.depth_mm, rtol=1e-5)
    np.testing.assert_allclose(found.normals, wanted.normals, atol=1e-4)
    np.testing.assert_allclose(found.sigma_mm, wanted.sigma_mm, rtol=1e-3)


def test_grey_photos_have_depth_and_photos_without_a_face_say_so(astronaut, network, own_detector):
    grey = astronaut[:, :, 1].copy()
    (found,) = estimate_depth(grey, own_detector, network=network)
    assert np.isfinite(found.depth_mm).mean() > 0.5
    with pytest.raises(NoFaceError, match="no face was found in"):
        estimate_depth(np.full((120, 160), 90, dtype=np.uint8), own_detector, network=network)
