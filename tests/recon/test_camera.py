import dataclasses

import pytest
import torch

from recon.camera import (
    CAMERAS,
    Camera,
    CameraError,
    PerspectiveCamera,
    WeakPerspectiveCamera,
    check_camera_model,
    depth_to_ray_length,
)
from recon.rotation import euler_to_matrix

SIZE = (45, 60)


def perspective(dtype=torch.float64, **changes):
    fields = {
        "rotation": euler_to_matrix(torch.tensor([[0.1, -0.4, 0.2], [-0.2, 0.5, -0.1]], dtype=dtype)),
        "translation_mm": torch.tensor([[10.0, -12.0, -900.0], [-15.0, 8.0, -1100.0]], dtype=dtype),
        "focal_px": torch.tensor([[140.0, 150.0]], dtype=dtype),
        "principal_px": torch.tensor([[35.3, 18.8]], dtype=dtype),
    }
    return PerspectiveCamera(**{**fields, **changes})


def weak(dtype=torch.float64, **changes):
    fields = {
        "rotation": euler_to_matrix(torch.tensor([[0.1, -0.4, 0.2], [-0.2, 0.5, -0.1]], dtype=dtype)),
        "scale_px_per_mm": torch.tensor([0.15, 0.2], dtype=dtype),
        "offset_px": torch.tensor([[35.3, 18.8], [28.0, 25.0]], dtype=dtype),
    }
    planes = {name: changes.pop(name) for name in ("near_mm", "far_mm") if name in changes}
    return dataclasses.replace(WeakPerspectiveCamera.of_scale(**{**fields, **changes}), **planes)


@pytest.fixture(params=[perspective, weak])
def camera(request):
    return request.param()


@pytest.fixture
def v_obj():
    return 80 * torch.randn(2, 11, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_both_cameras_follow_the_protocol(camera):
    assert isinstance(camera, Camera)
    assert camera.batch == 2


def test_default_is_1015_px_at_224_px_one_metre_away_centred():
    camera = PerspectiveCamera.at()
    assert camera.focal_px.tolist() == [[1015.0, 1015.0]]
    assert camera.principal_px.tolist() == [[112.0, 112.0]]
    v_px = camera.to_pixels(camera.to_camera(torch.tensor([[[0.0, 0.0, 0.0], [10.0, 10.0, 0.0]]])))
    # 10 mm right and up at 1 m: 10.15 px right and, because y runs down in pixels, 10.15 px less
    torch.testing.assert_close(v_px[0], torch.tensor([[112.0, 112.0], [122.15, 101.85]]))


def test_default_focal_length_grows_with_the_picture():
    assert PerspectiveCamera.at(size=(448, 300)).focal_px.tolist() == [[2030.0, 2030.0]]
    assert PerspectiveCamera.at(size=(448, 300)).principal_px.tolist() == [[150.0, 224.0]]


def test_weak_perspective_is_the_formula_of_the_paper(v_obj):
    """Eq. 4 written out, S2d = rho P R S + t2d with y down, and its derivatives."""
    angles, scale = torch.tensor([[0.1, -0.4, 0.2]]).double(), torch.tensor([0.15]).double()
    offset, v_obj = torch.tensor([[35.3, 18.8]]).double(), v_obj[:1]
    flip = torch.diag(torch.tensor([1.0, -1.0]).double())

    def by_hand(v, a, s, t):
        upper = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).double()
        return s * v @ (flip @ upper @ euler_to_matrix(a)[0]).T + t[:, None]

    def by_camera(v, a, s, t):
        camera = WeakPerspectiveCamera.of_scale(euler_to_matrix(a), s, t)
        return camera.to_pixels(camera.to_camera(v))

    given = (v_obj, angles, scale, offset)
    torch.testing.assert_close(by_camera(*given), by_hand(*given))
    found, wanted = (torch.autograd.functional.jacobian(function, given) for function in (by_camera, by_hand))
    for gradient, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, right)


def test_weak_perspective_of_a_pose_has_the_scale_of_its_origin(v_obj):
    """rho = focal / depth of the origin, t2d its pixel: what a perspective camera shows of the origin itself."""
    far = perspective()
    camera = WeakPerspectiveCamera(far.rotation, far.translation_mm, far.focal_px, far.principal_px)
    origin = torch.zeros(2, 1, 3).double()
    torch.testing.assert_close(camera.offset_px[:, None], far.to_pixels(far.to_camera(origin)))
    torch.testing.assert_close(camera.scale_px_per_mm, far.focal_px / -far.translation_mm[:, 2:])
    step = torch.tensor([2.0, 3.0, 50.0]).double() @ far.rotation  # 2 mm right, 3 up, 50 nearer in the camera frame
    moved = camera.to_pixels(camera.to_camera(step[:, None])) - camera.offset_px[:, None]
    torch.testing.assert_close(moved[:, 0], camera.scale_px_per_mm * torch.tensor([2.0, -3.0]).double())


def test_weak_perspective_is_perspective_from_very_far(v_obj):
    scale, distance_mm = 0.15, 1e6
    place = torch.tensor([[12.0, -7.0, -distance_mm]]).double()
    focal = torch.full((1, 2), scale * distance_mm).double()
    principal = torch.tensor([[35.3, 18.8]]).double()
    shown = [
        camera.to_pixels(camera.to_camera(v_obj))
        for camera in (
            make(weak().rotation, place, focal, principal) for make in (PerspectiveCamera, WeakPerspectiveCamera)
        )
    ]
    # The difference is at most scale x^2 / distance.
    torch.testing.assert_close(shown[0], shown[1], rtol=0.0, atol=0.01)


def test_rays_of_a_pinhole_meet_in_it_and_those_of_weak_perspective_are_parallel(v_obj):
    v_cam = perspective().to_camera(v_obj)
    rays = perspective().view_rays(v_cam)
    torch.testing.assert_close(rays * torch.linalg.vector_norm(v_cam, dim=-1, keepdim=True), v_cam)
    assert bool((weak().view_rays(v_cam) == torch.tensor([0.0, 0.0, -1.0])).all())


def test_px_per_mm_is_the_length_of_a_millimetre_in_the_picture(camera, v_obj):
    v_cam = camera.to_camera(v_obj)
    across, up = (v_cam + torch.tensor(step).double() for step in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    lengths = [(camera.to_pixels(moved) - camera.to_pixels(v_cam)).norm(dim=-1) for moved in (across, up)]
    torch.testing.assert_close(camera.px_per_mm(-v_cam[..., 2]), 0.5 * (lengths[0] + lengths[1]))


def test_weak_perspective_depth_is_measured_from_its_distance():
    camera = weak(rotation=torch.eye(3, dtype=torch.float64)[None], distance_mm=700.0)
    v_cam = camera.to_camera(torch.tensor([[[0.0, 0.0, 30.0]]], dtype=torch.float64))
    assert v_cam[0, 0, 2] == -670.0


def test_clip_space_and_pixels_agree(camera, v_obj):
    v_cam = camera.to_camera(v_obj)
    clip = camera.to_clip(v_cam, SIZE)
    ndc = clip[..., :2] / clip[..., 3:]
    x, y = (ndc[..., 0] + 1) / 2 * SIZE[1], (1 - ndc[..., 1]) / 2 * SIZE[0]
    torch.testing.assert_close(torch.stack((x, y), dim=-1), camera.to_pixels(v_cam))


@pytest.mark.parametrize("make", [perspective, weak])
def test_near_and_far_planes_are_the_ends_of_clip_space(make):
    camera = make(near_mm=100.0, far_mm=3000.0)
    v_cam = torch.tensor([[[5.0, 3.0, -100.0], [5.0, 3.0, -3000.0]]], dtype=torch.float64)
    clip = camera.to_clip(v_cam, SIZE)
    torch.testing.assert_close(
        clip[..., 2] / clip[..., 3], torch.tensor([[-1.0, 1.0]] * 2, dtype=torch.float64)[: clip.shape[0]]
    )


def test_nearer_is_smaller_in_clip_depth(camera):
    v_cam = torch.tensor([[[0.0, 0.0, -800.0], [0.0, 0.0, -900.0]]], dtype=torch.float64)
    z = camera.to_clip(v_cam, SIZE)
    z = z[..., 2] / z[..., 3]
    assert (z[:, 0] < z[:, 1]).all()


def test_points_come_back(camera, v_obj):
    v_cam = camera.to_camera(v_obj)
    torch.testing.assert_close(camera.to_object(v_cam), v_obj, rtol=0, atol=1e-9)
    torch.testing.assert_close(camera.unproject(camera.to_pixels(v_cam), -v_cam[..., 2]), v_cam, rtol=0, atol=1e-9)


def test_crop_moves_pixels_and_resize_scales_them(camera, v_obj):
    v_cam = camera.to_camera(v_obj)
    v_px = camera.to_pixels(v_cam)
    corner = torch.tensor([7.0, -3.0], dtype=torch.float64)
    torch.testing.assert_close(camera.cropped(7.0, -3.0).to_pixels(v_cam), v_px - corner)
    torch.testing.assert_close(camera.resized(1.5, 1.5).to_pixels(v_cam), v_px * 1.5)


def test_pictures_may_be_resized_unequally(camera, v_obj):
    v_cam = camera.to_camera(v_obj)
    scale = torch.tensor([1.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(camera.resized(1.5, 0.5).to_pixels(v_cam), camera.to_pixels(v_cam) * scale)


def test_batch_equals_singles(v_obj):
    whole = perspective()
    both = whole.to_clip(whole.to_camera(v_obj), SIZE)
    for i in range(2):
        one = perspective(rotation=whole.rotation[i : i + 1], translation_mm=whole.translation_mm[i : i + 1])
        torch.testing.assert_close(one.to_clip(one.to_camera(v_obj[i : i + 1]), SIZE)[0], both[i])


def test_ray_length_is_the_distance_from_the_camera():
    got = depth_to_ray_length(torch.tensor([[3.0, 4.0, -12.0]]))
    assert got.item() == 13.0


@pytest.mark.parametrize("kind", CAMERAS.values())
def test_gradients(v_obj, kind):
    v_obj = v_obj[:, :3].requires_grad_()
    rotation = perspective().rotation.requires_grad_()
    translation = perspective().translation_mm.requires_grad_()
    focal, principal = perspective().focal_px.requires_grad_(), perspective().principal_px.requires_grad_()

    def project(v, r, t, f, c):
        camera = kind(r, t, f, c)
        v_cam = camera.to_camera(v)
        v_px = camera.to_pixels(v_cam)
        return camera.to_clip(v_cam, SIZE), v_px, camera.unproject(v_px, -v_cam[..., 2])

    assert torch.autograd.gradcheck(project, (v_obj, rotation, translation, focal, principal))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"near_mm": 0.0}, "0 < near < far"),
        ({"near_mm": 10.0, "far_mm": 5.0}, "got 10.0 and 5.0"),
        ({"focal_px": torch.tensor([[140.0, -1.0]])}, "focal_px must be positive"),
        ({"translation_mm": torch.zeros(3, 3)}, r"share one batch size or have 1, got \[1, 2, 3\]"),
        ({"translation_mm": torch.zeros(0, 3)}, "B > 0"),
    ],
)
def test_impossible_cameras_are_refused(changes, text):
    with pytest.raises(CameraError, match=text):
        perspective(**changes)


def test_camera_models_have_names():
    assert {name: kind.model for name, kind in CAMERAS.items()} == {name: name for name in CAMERAS}
    assert check_camera_model("weak_perspective") == "weak_perspective"
    with pytest.raises(CameraError, match="perspective or weak_perspective, got 'fisheye'"):
        check_camera_model("fisheye")


def test_scale_must_be_positive():
    with pytest.raises(CameraError, match="scale_px_per_mm must be positive"):
        weak(scale_px_per_mm=torch.tensor([0.1, 0.0]))
    with pytest.raises(CameraError, match="depth .* weak-perspective camera must be positive"):
        dataclasses.replace(weak(), translation_mm=torch.zeros(1, 3))
    with pytest.raises(CameraError, match="resize factors must be positive"):
        perspective().resized(0.0, 1.0)
