import pytest
import torch
from render_scenes import SIZE, camera_of, clip_square, random_triangles, two_heads

from recon.render import rasterize
from recon.render.rasterize import pack_reference

BACKENDS = ["numba", "torch"]


def head_clip(dtype=torch.float32, size=SIZE):
    v_obj, faces = two_heads(dtype)
    camera = camera_of(size, dtype)
    return camera.to_clip(camera.to_camera(v_obj), size), faces


def search_slowly(v_clip, faces, size):
    """Nearest triangle by ray and plane, one pixel and one triangle at a time, in double: no code in common."""
    height, width = size
    ids = torch.full((len(v_clip), height, width), -1, dtype=torch.int32)
    for b, vertices in enumerate(v_clip.double()):
        best = torch.full((height, width), torch.inf, dtype=torch.float64)
        inverses = [(t, vertices[f]) for t, f in enumerate(faces.tolist())]
        for row in range(height):
            for col in range(width):
                x, y = (col + 0.5) / width * 2 - 1, 1 - (row + 0.5) / height * 2
                for t, corners in inverses:
                    # weights a >= 0, sum 1, of the point seen at (x, y): a @ (cx - x cw, cy - y cw) = 0
                    system = torch.stack(
                        (corners[:, 0] - x * corners[:, 3], corners[:, 1] - y * corners[:, 3], torch.ones(3).double())
                    )
                    if torch.linalg.det(system).abs() < 1e-12:
                        continue
                    a = torch.linalg.solve(system, torch.tensor([0.0, 0, 1]).double())
                    z, w = (a @ corners[:, 2]).item(), (a @ corners[:, 3]).item()
                    if (a >= 0).all() and w > 0 and -w <= z <= w and z / w < best[row, col]:
                        best[row, col] = z / w
                        ids[b, row, col] = t
    return ids


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("flat", [False, True])
def test_same_triangles_as_a_slow_search(backend, dtype, flat):
    v_clip, faces = random_triangles(9, dtype=dtype, flat=flat)
    got = rasterize(v_clip, faces, (7, 9), backend=backend).triangle_ids
    want = search_slowly(v_clip, faces, (7, 9))
    assert (want >= 0).float().mean() > 0.3
    assert torch.equal(got, want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [SIZE, (1, 1), (3, 70), (70, 3)])
def test_back_ends_agree_to_the_bit(dtype, size):
    for v_clip, faces in (head_clip(dtype, size), random_triangles(60, seed=1, dtype=dtype)):
        first, second = (rasterize(v_clip, faces, size, backend=backend) for backend in BACKENDS)
        assert torch.equal(first.triangle_ids, second.triangle_ids)
        assert torch.equal(first.depth_hard, second.depth_hard)


def test_back_ends_agree_when_the_torch_search_works_in_parts(monkeypatch):
    from recon.render.backends import torch_search as torch_search

    v_clip, faces = random_triangles(60, seed=2)
    whole = rasterize(v_clip, faces, SIZE, backend="torch")
    monkeypatch.setattr(torch_search, "MAX_CANDIDATES", 101)
    assert torch.equal(rasterize(v_clip, faces, SIZE, backend="torch").triangle_ids, whole.triangle_ids)


@pytest.mark.parametrize("threads", [1, 3])
def test_thread_count_does_not_change_the_picture(threads):
    before = torch.get_num_threads()
    v_clip, faces = random_triangles(60, seed=3)
    want = rasterize(v_clip, faces, SIZE, backend="torch")
    try:
        torch.set_num_threads(threads)
        got = rasterize(v_clip, faces, SIZE)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(got.triangle_ids, want.triangle_ids)
    assert torch.equal(got.pixel_index, want.pixel_index)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_square_covers_the_pixels_whose_centres_it_holds(backend):
    v_clip, faces = clip_square(2.4, 1.6, 6.6, 3.4, (5, 9))
    ids = rasterize(v_clip, faces, (5, 9), backend=backend).triangle_ids[0]
    want = torch.zeros(5, 9, dtype=torch.bool)
    want[2:3, 2:7] = True  # rows run down: centres 2.5 lie in 1.6..3.4; columns 2.5..6.5 in 2.4..6.6
    assert torch.equal(ids >= 0, want)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_pixel_falls_between_triangles_and_borders_go_to_the_lowest_id(backend):
    # the diagonal and the border run exactly through pixel centres
    v_clip, faces = clip_square(0.5, 0.5, 6.5, 6.5, (7, 7))
    ids = rasterize(v_clip, faces, (7, 7), backend=backend).triangle_ids[0]
    assert (ids >= 0).all()
    assert (ids.diagonal() == 0).all()
    swapped = rasterize(v_clip, faces.flip(0), (7, 7), backend=backend).triangle_ids[0]
    assert (swapped.diagonal() == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_head_has_no_holes(backend):
    v_clip, faces = head_clip()
    covered = rasterize(v_clip, faces, SIZE, backend=backend).triangle_ids >= 0
    for picture in covered:
        for line in (*picture, *picture.T):
            where = torch.nonzero(line).flatten()
            assert len(where) == 0 or where[-1] - where[0] + 1 == len(where)


@pytest.mark.parametrize("backend", BACKENDS)
def test_duplicates_go_to_the_lowest_id_and_triangles_without_area_are_not_rendered(backend):
    v_clip, faces = clip_square(1.0, 1.0, 8.0, 4.0, (5, 9))
    flat = torch.tensor([[0, 0, 1], [2, 2, 2]])
    ids = rasterize(v_clip, torch.cat((flat, faces, faces)), (5, 9), backend=backend).triangle_ids
    assert set(ids.unique().tolist()) == {-1, 2, 3}


@pytest.mark.parametrize("backend", BACKENDS)
def test_near_plane_cuts_through_a_triangle(backend):
    # a floor from far in front of the camera to far behind it, 100 mm below
    camera = camera_of((40, 40), batch=1, off_centre=False)
    camera = camera.with_pose(torch.eye(3)[None], torch.zeros(1, 3))
    floor = torch.tensor([[[-9e3, -100.0, -5e3], [9e3, -100.0, -5e3], [0.0, -100.0, 5e3]]])
    clip = camera.to_clip(floor, (40, 40))
    ids = rasterize(clip, torch.tensor([[0, 1, 2]]), (40, 40), backend=backend).triangle_ids[0]
    rows = (ids >= 0).any(1)
    assert not rows[:20].any()  # nothing above the horizon
    assert rows[24:].all()  # and nothing missing below it
    assert (ids[-1] >= 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("z_cam", [0.0, 50.0, -49.0, -20_001.0])
def test_what_is_outside_the_depth_range_is_not_rendered(backend, z_cam):
    camera = camera_of(SIZE, batch=1)
    square = torch.tensor([[[-900.0, -900, z_cam], [900, -900, z_cam], [900, 900, z_cam], [-900, 900, z_cam]]])
    raster = rasterize(camera.to_clip(square, SIZE), torch.tensor([[0, 1, 2], [0, 2, 3]]), SIZE, backend=backend)
    assert (raster.triangle_ids == -1).all()
    assert raster.pixel_index.numel() == 0
    assert (raster.barycentrics == 0).all()


def test_barycentrics_sum_to_1_and_find_the_pixel_centre():
    v_clip, faces = head_clip(torch.float64)
    raster = rasterize(v_clip, faces, SIZE)
    weights = raster.barycentrics_packed
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)).double())
    assert (weights >= 0).all()
    point = (v_clip.reshape(-1, 4)[raster.corner_index] * weights[..., None]).sum(1)
    x_px = (point[:, 0] / point[:, 3] + 1) / 2 * SIZE[1]
    y_px = (1 - point[:, 1] / point[:, 3]) / 2 * SIZE[0]
    index = raster.pixel_index % (SIZE[0] * SIZE[1])
    torch.testing.assert_close(x_px, (index % SIZE[1]).double() + 0.5)
    torch.testing.assert_close(y_px, index.div(SIZE[1], rounding_mode="floor").double() + 0.5)


def test_dense_and_packed_forms_agree():
    v_clip, faces = head_clip()
    raster = rasterize(v_clip, faces, SIZE)
    covered = raster.triangle_ids >= 0
    assert torch.equal(raster.barycentrics[covered], raster.barycentrics_packed)
    assert (raster.barycentrics[~covered] == 0).all()
    torch.testing.assert_close(raster.depth[covered], raster.depth_hard[covered])
    assert (raster.depth[~covered] == 1).all()
    for mine, reference in zip(
        (raster.pixel_index, raster.corner_index, raster.starts),
        pack_reference(raster.triangle_ids, faces, v_clip.shape[1]),
        strict=True,
    ):
        assert torch.equal(torch.as_tensor(mine), torch.as_tensor(reference))


def test_starts_divide_the_packed_list_by_picture():
    v_clip, faces = head_clip()
    raster = rasterize(v_clip, faces, SIZE)
    for picture in range(2):
        mine = raster.pixel_index[raster.starts[picture] : raster.starts[picture + 1]]
        assert (mine.div(SIZE[0] * SIZE[1], rounding_mode="floor") == picture).all()
        assert len(mine) == (raster.triangle_ids[picture] >= 0).sum()


def test_batch_equals_singles_and_inputs_stay():
    v_clip, faces = head_clip()
    before = v_clip.clone(), faces.clone()
    whole = rasterize(v_clip, faces, SIZE)
    for i in range(2):
        one = rasterize(v_clip[i : i + 1], faces, SIZE)
        assert torch.equal(one.triangle_ids[0], whole.triangle_ids[i])
        assert torch.equal(one.barycentrics[0], whole.barycentrics[i])
    assert torch.equal(v_clip, before[0]) and torch.equal(faces, before[1])
    assert not torch.equal(whole.triangle_ids[0], whole.triangle_ids[1])


def test_gradients_of_barycentrics_and_depth():
    v_clip, faces = random_triangles(5, seed=4, dtype=torch.float64)
    v_clip = v_clip + torch.tensor([0.0, 0, 0, 0.6])  # all in front
    v_clip.requires_grad_()
    assert (rasterize(v_clip, faces, (5, 6)).triangle_ids >= 0).sum() > 5

    def run(v):
        raster = rasterize(v, faces, (5, 6))
        return raster.barycentrics, raster.depth

    assert torch.autograd.gradcheck(run, v_clip)
