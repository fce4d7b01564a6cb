import pytest
import torch

from recon.camera import Camera, CameraError, PerspectiveCamera, WeakPerspectiveCamera, depth_to_ray_length
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
    return WeakPerspectiveCamera(**{**fields, **changes})


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
    v_pix = camera.to_pixels(camera.to_camera(torch.tensor([[[0.0, 0.0, 0.0], [10.0, 10.0, 0.0]]])))
    # 10 mm right and up at 1 m: 10.15 px right and, because y runs down in pixels, 10.15 px less
    torch.testing.assert_close(v_pix[0], torch.tensor([[112.0, 112.0], [122.15, 101.85]]))


def test_default_focal_length_grows_with_the_picture():
    assert PerspectiveCamera.at(size=(448, 300)).focal_px.tolist() == [[2030.0, 2030.0]]
    assert PerspectiveCamera.at(size=(448, 300)).principal_px.tolist() == [[150.0, 224.0]]


def test_weak_perspective_is_the_formula_of_the_paper(v_obj):
    camera = weak()
    rotated = torch.einsum("bij,bnj->bni", camera.rotation, v_obj)
    want_x = camera.scale_px_per_mm[:, None] * rotated[..., 0] + camera.offset_px[:, None, 0]
    want_y = -camera.scale_px_per_mm[:, None] * rotated[..., 1] + camera.offset_px[:, None, 1]
    got = camera.to_pixels(camera.to_camera(v_obj))
    torch.testing.assert_close(got, torch.stack((want_x, want_y), dim=-1))


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
    v_pix = camera.to_pixels(v_cam)
    corner = torch.tensor([7.0, -3.0], dtype=torch.float64)
    torch.testing.assert_close(camera.cropped(7.0, -3.0).to_pixels(v_cam), v_pix - corner)
    torch.testing.assert_close(camera.resized(1.5, 1.5).to_pixels(v_cam), v_pix * 1.5)


def test_perspective_resizes_unequally_and_weak_perspective_refuses(v_obj):
    camera = perspective()
    v_cam = camera.to_camera(v_obj)
    scale = torch.tensor([1.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(camera.resized(1.5, 0.5).to_pixels(v_cam), camera.to_pixels(v_cam) * scale)
    with pytest.raises(CameraError, match=r"one scale.*1.5 in x and 0.5 in y"):
        weak().resized(1.5, 0.5)


def test_batch_equals_singles(v_obj):
    whole = perspective()
    both = whole.to_clip(whole.to_camera(v_obj), SIZE)
    for i in range(2):
        one = perspective(rotation=whole.rotation[i : i + 1], translation_mm=whole.translation_mm[i : i + 1])
        torch.testing.assert_close(one.to_clip(one.to_camera(v_obj[i : i + 1]), SIZE)[0], both[i])


def test_ray_length_is_the_distance_from_the_camera():
    got = depth_to_ray_length(torch.tensor([[3.0, 4.0, -12.0]]))
    assert got.item() == 13.0


def test_gradients(v_obj):
    v_obj = v_obj[:, :3].requires_grad_()
    rotation = perspective().rotation.requires_grad_()
    translation = perspective().translation_mm.requires_grad_()
    focal, principal = perspective().focal_px.requires_grad_(), perspective().principal_px.requires_grad_()

    def project(v, r, t, f, c):
        camera = PerspectiveCamera(r, t, f, c)
        v_cam = camera.to_camera(v)
        v_pix = camera.to_pixels(v_cam)
        return camera.to_clip(v_cam, SIZE), v_pix, camera.unproject(v_pix, -v_cam[..., 2])

    assert torch.autograd.gradcheck(project, (v_obj, rotation, translation, focal, principal))

    def project_weakly(v, r, s, t):
        camera = WeakPerspectiveCamera(r, s, t)
        return camera.to_clip(camera.to_camera(v), SIZE)

    scale, offset = weak().scale_px_per_mm.requires_grad_(), weak().offset_px.requires_grad_()
    assert torch.autograd.gradcheck(project_weakly, (v_obj, rotation, scale, offset))


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


def test_scale_must_be_positive():
    with pytest.raises(CameraError, match="scale_px_per_mm must be positive"):
        weak(scale_px_per_mm=torch.tensor([0.1, 0.0]))
    with pytest.raises(CameraError, match="resize factors must be positive"):
        perspective().resized(0.0, 1.0)
