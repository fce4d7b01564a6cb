from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from bfm.data import ModelData, SurfacePoints
from bfm.model import CoefficientError, MorphableModel

B = 5


def sample(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def model(tiny_data: ModelData) -> MorphableModel:
    return MorphableModel(tiny_data).double()


BLOCKS = ("identity", "expression", "albedo")


def evaluate(model: MorphableModel, block: str) -> Callable[[Tensor], Tensor]:
    if block == "albedo":
        return model.albedo_unclamped
    return lambda x: model.shape(**{block: x})


def width(model: MorphableModel, block: str) -> int:
    return int(getattr(model, f"n_{block}"))


def mean_of(model: MorphableModel, block: str) -> Tensor:
    return model.mean_albedo if block == "albedo" else model.mean_shape


@pytest.mark.parametrize("block", BLOCKS)
def test_linear_in_each_block(model: MorphableModel, block: str) -> None:
    f, mean = evaluate(model, block), mean_of(model, block)
    x, y = sample(B, width(model, block)), sample(B, width(model, block), seed=2)
    assert_close(f(2.0 * x - 3.0 * y) - mean, 2.0 * (f(x) - mean) - 3.0 * (f(y) - mean))


@pytest.mark.parametrize("block", BLOCKS)
def test_each_component_moves_along_its_basis(model: MorphableModel, tiny_data: ModelData, block: str) -> None:
    """Against a plain sum over components, so that no axis of the stored basis can be swapped."""
    basis = getattr(tiny_data, f"{block}_basis").astype(np.float64)
    x = sample(B, basis.shape[-1])
    mean = mean_of(model, block).numpy()
    want = np.stack([mean + sum(c * basis[..., k] for k, c in enumerate(row)) for row in x.numpy()])
    assert_close(evaluate(model, block)(x), torch.from_numpy(want))


def test_identity_and_expression_add(model: MorphableModel) -> None:
    i, e = sample(B, 3), sample(B, 2)
    together = model.shape(i, e) - model.mean_shape
    assert_close(together, (model.shape(i) - model.mean_shape) + (model.shape(expression=e) - model.mean_shape))


@pytest.mark.parametrize("block", BLOCKS)
def test_zero_is_the_mean(model: MorphableModel, block: str) -> None:
    zero = evaluate(model, block)(torch.zeros(2, width(model, block), dtype=torch.float64))
    assert torch.equal(zero, mean_of(model, block).expand(2, -1, -1))
    assert torch.equal(model.shape()[0], model.mean_shape) and torch.equal(model.albedo()[0], model.mean_albedo)


@pytest.mark.parametrize("block", BLOCKS)
def test_batch_equals_singles(model: MorphableModel, block: str) -> None:
    f, x = evaluate(model, block), sample(B, width(model, block))
    whole = f(x)
    for k in range(B):
        assert_close(f(x[k : k + 1])[0], whole[k])


def test_batch_of_one_serves_all(model: MorphableModel) -> None:
    i, e = sample(B, 3), sample(1, 2)
    assert_close(model.shape(i, e), model.shape(i, e.expand(B, -1)))
    assert_close(model.shape(e.new_ones(1, 3), sample(B, 2)), model.shape(e.new_ones(B, 3), sample(B, 2)))
    with pytest.raises(CoefficientError, match=r"equal batches or 1, got \[2, 3\]"):
        model.shape(sample(2, 3), sample(3, 2))


def test_gradients(model: MorphableModel) -> None:
    def points(i: Tensor, e: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        return model.landmarks(model.shape(i, e), "front"), model.landmarks(model.albedo_unclamped(a), "front")

    blocks = tuple(sample(2, k).requires_grad_() for k in (3, 2, 4))
    assert torch.autograd.gradcheck(points, blocks)
    assert not list(model.parameters())


def test_albedo_is_clamped(model: MorphableModel) -> None:
    a = 100.0 * sample(B, 4)
    inside = model.albedo(a)
    assert inside.min() == 0.0 and inside.max() == 1.0
    assert_close(inside, model.albedo_unclamped(a).clamp(0, 1))


def test_inputs_are_untouched(model: MorphableModel) -> None:
    i, e, a, v = sample(B, 3), sample(B, 2), sample(B, 4), sample(B, 11, 3)
    before = [x.clone() for x in (i, e, a, v)]
    mean = model.mean_shape.clone()
    model.shape(i, e).add_(1.0)
    model.albedo(a).add_(1.0)
    model.landmarks68(v)
    assert all(torch.equal(x, y) for x, y in zip((i, e, a, v), before, strict=True))
    assert torch.equal(model.mean_shape, mean)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(tiny_data: ModelData, dtype: torch.dtype) -> None:
    full, half = MorphableModel(tiny_data), MorphableModel(tiny_data).to(dtype)
    i, e, a = (sample(B, k, dtype=torch.float32) for k in (3, 2, 4))
    tolerance = 64 * torch.finfo(dtype).eps
    for got, want in (
        (half.shape(i.to(dtype), e.to(dtype)), full.shape(i, e)),
        (half.albedo(a.to(dtype)), full.albedo(a)),
        (half.landmarks68(half.shape(i)), full.landmarks68(full.shape(i))),
    ):
        assert got.dtype == dtype
        assert_close(got.float(), want, atol=tolerance, rtol=tolerance)
    assert half.faces.dtype == torch.int64


COMPILED = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from conftest import make_tiny_data
from bfm.model import MorphableModel
model = MorphableModel(make_tiny_data())
f = lambda i, e, a: (model.landmarks68(model.shape(i, e)), model.albedo(a))
x = [torch.randn(5, k) for k in (3, 2, 4)]
for got, want in zip(torch.compile(f, fullgraph=True, backend=sys.argv[2])(*x), f(*x)):
    torch.testing.assert_close(got, want)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiles_without_graph_breaks(backend: str, request: pytest.FixtureRequest) -> None:
    """In a process of its own: the shape checks that tests switch on cannot be compiled."""
    tests = str(request.config.rootpath / "tests")
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, tests, backend], capture_output=True, text=True, cwd=request.config.rootpath
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_same_on_cuda(tiny_data: ModelData) -> None:
    model = MorphableModel(tiny_data)
    i, e = sample(B, 3, dtype=torch.float32), sample(B, 2, dtype=torch.float32)
    want = model.landmarks68(model.shape(i, e))
    on_device = MorphableModel(tiny_data).cuda()
    assert_close(on_device.landmarks68(on_device.shape(i.cuda(), e.cuda())).cpu(), want)
    assert on_device.crop("front").mean_shape.is_cuda and on_device.region("front").is_cuda


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("block", BLOCKS)
def test_coefficients_that_are_not_finite(model: MorphableModel, block: str, bad: float) -> None:
    x = torch.zeros(3, width(model, block), dtype=torch.float64)
    x[2, 1] = bad
    with pytest.raises(CoefficientError, match=rf"{block} coefficient \[2, 1\] is {bad}; it must be finite"):
        evaluate(model, block)(x)


@pytest.mark.parametrize("block", BLOCKS)
def test_coefficients_of_the_wrong_width(model: MorphableModel, block: str) -> None:
    n = width(model, block)
    for wrong in (n - 1, n + 1, 0):
        text = rf"model 'tiny' takes {block} coefficients \(B, {n}\), got \(2, {wrong}\)"
        with pytest.raises(CoefficientError, match=text):
            evaluate(model, block)(torch.zeros(2, wrong, dtype=torch.float64))


def test_single_precision_in_double_out(model: MorphableModel) -> None:
    assert model.shape(torch.zeros(1, 3)).dtype == torch.float64


def test_blocks_without_components(make_tiny: Callable[..., ModelData]) -> None:
    model = MorphableModel(make_tiny(n_identity=0, n_expression=0, n_albedo=0))
    empty = torch.zeros(B, 0)
    assert torch.equal(model.shape(empty, empty), model.mean_shape.expand(B, -1, -1))
    assert torch.equal(model.albedo(empty), model.mean_albedo.expand(B, -1, -1))
    assert model.shape().shape == (1, 11, 3)


def test_empty_batch(model: MorphableModel) -> None:
    assert model.shape(torch.zeros(0, 3, dtype=torch.float64)).shape == (0, 11, 3)


def test_landmarks_are_barycentric(model: MorphableModel, tiny_data: ModelData) -> None:
    v = sample(B, 11, 3)
    points = tiny_data.landmarks["front"]
    got = model.landmarks(v, "front")
    for n, (triangle, w) in enumerate(zip(points.triangles, points.barycentrics, strict=True)):
        a, b, c = tiny_data.faces[triangle]
        assert_close(got[:, n], w[0].item() * v[:, a] + w[1].item() * v[:, b] + w[2].item() * v[:, c])
    assert_close(model.landmarks68(v)[1:2], model.landmarks68(v[1:2]))
    back = model.landmark_points("front")
    assert np.array_equal(back.triangles, points.triangles) and np.array_equal(back.barycentrics, points.barycentrics)


def test_landmarks_of_any_quantity(model: MorphableModel) -> None:
    assert model.landmarks(sample(B, 11, 7), "front").shape == (B, 3, 7)
    single = model.float().landmarks(sample(B, 11, 3), "front")
    assert single.dtype == torch.float64, "in the precision of the quantity, not of the model"
    with pytest.raises(ValueError, match="model 'tiny' has 11 vertices, got 12"):
        model.landmarks68(sample(B, 12, 3))
    with pytest.raises(KeyError, match="model 'tiny' has no landmark set '69'; it has: 68, front"):
        model.landmarks(sample(B, 11, 3), "69")
    with pytest.raises(KeyError, match="no landmark set '69'"):
        model.landmark_points("69")


def test_regions(model: MorphableModel) -> None:
    assert model.region_names == ("front", "back", "ends")
    assert model.region("back").nonzero().flatten().tolist() == [5, 6, 7, 8, 9, 10]
    for call in (model.region, model.crop):
        with pytest.raises(KeyError, match="model 'tiny' has no region 'nose'; it has: front, back, ends"):
            call("nose")
    assert model.any_region("nose", "ends", "back").nonzero().flatten().tolist() == [0, 5, 6, 7, 8, 9, 10]
    assert not model.any_region("nose").any() and not model.any_region().any()


def test_subset(model: MorphableModel) -> None:
    small = model.subset(n_identity=2, n_expression=1, n_albedo=0)
    assert (small.n_identity, small.n_expression, small.n_albedo) == (2, 1, 0)
    assert small.expression_names == ("expression0",) and small.mean_shape.dtype == torch.float64
    i, e = sample(B, 2), sample(B, 1)
    padded = model.shape(torch.cat([i, i.new_zeros(B, 1)], 1), torch.cat([e, e.new_zeros(B, 1)], 1))
    assert_close(small.shape(i, e), padded, atol=1e-6, rtol=1e-6)
    same = model.subset()
    assert (same.n_identity, same.n_expression, same.n_albedo) == (3, 2, 4)
    assert model.n_identity == 3, "the model itself keeps its components"
    with pytest.raises(ValueError, match="has 3 identity components, 4 asked for"):
        model.subset(n_identity=4)
    with pytest.raises(ValueError, match="has 4 albedo components, -1 asked for"):
        model.subset(n_albedo=-1)


def test_crop(model: MorphableModel, tiny_data: ModelData) -> None:
    i, e, a = sample(B, 3), sample(B, 2), sample(B, 4)
    part = model.crop("back")
    kept = [5, 6, 7, 8, 9, 10]
    assert_close(part.shape(i, e), model.shape(i, e)[:, kept], atol=1e-6, rtol=1e-6)
    assert_close(part.albedo(a), model.albedo(a)[:, kept], atol=1e-6, rtol=1e-6)
    whole = tiny_data.faces[np.isin(tiny_data.faces, kept).all(axis=1)]
    assert np.array_equal(np.array(kept)[part.faces.numpy()], whole), "same triangles, same winding"
    corners = model.uv[model.uv_faces][-len(whole) :]
    assert torch.equal(part.uv[part.uv_faces], corners)
    assert len(part.uv) < len(model.uv)
    assert part.region("back").all() and part.region("front").tolist() == [True, True] + [False] * 4
    assert part.region("ends").tolist() == [False] * 5 + [True]
    assert part.landmark_sets == (), "both sets have points on the triangles that are gone"
    assert part.name == "tiny" and part.expression_names == model.expression_names


def test_crop_keeps_landmarks_that_survive(model: MorphableModel) -> None:
    front = model.crop("front")
    assert front.landmark_sets == ("front",)
    v = sample(B, 11, 3)
    assert_close(front.landmarks(v[:, :7], "front"), model.landmarks(v, "front"))


def test_crop_by_mask(model: MorphableModel) -> None:
    mask = torch.zeros(11, dtype=torch.bool)
    mask[[2, 3, 4, 8]] = True
    part = model.crop(mask)
    assert len(part.faces) == 1 and part.n_vertices == 3, "a vertex without a triangle goes too"
    with pytest.raises(ValueError, match="region 'ends' of model 'tiny' holds no whole triangle"):
        model.crop("ends")
    with pytest.raises(ValueError, match=r"mask .*\(12,\).*11 vertices"):
        model.crop(torch.ones(12, dtype=torch.bool))


def test_crop_without_texture(tiny_data: ModelData) -> None:
    bare = dataclasses.replace(tiny_data, uv=np.zeros((0, 2), np.float32), uv_faces=np.zeros((0, 3), np.int64))
    assert len(MorphableModel(bare).crop("front").uv) == 0


def test_with_landmarks(model: MorphableModel) -> None:
    more = model.with_landmarks("one", SurfacePoints(np.array([3]), np.array([[0.25, 0.25, 0.5]])))
    assert more.landmark_sets == ("68", "front", "one") and model.landmark_sets == ("68", "front")
    v = sample(1, 11, 3)
    assert_close(more.landmarks(v, "one")[:, 0], (v[:, model.faces[3]] * v.new_tensor([[0.25], [0.25], [0.5]])).sum(1))


def test_state_dict_round_trip(model: MorphableModel, make_tiny: Callable[..., ModelData]) -> None:
    other = MorphableModel(make_tiny(seed=9)).double()
    i = sample(B, 3)
    assert not torch.equal(other.shape(i), model.shape(i))
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(other.shape(i), model.shape(i))
    assert torch.equal(other.landmarks68(other.shape(i)), model.landmarks68(model.shape(i)))


def test_arrays_round_trip(tiny_data: ModelData) -> None:
    back = MorphableModel(tiny_data).data()
    for field in dataclasses.fields(ModelData):
        want, got = getattr(tiny_data, field.name), getattr(back, field.name)
        if isinstance(want, np.ndarray):
            assert np.array_equal(got, want), field.name
        elif field.name not in ("regions", "landmarks"):
            assert got == want, field.name
    assert all(np.array_equal(back.regions[name], mask) for name, mask in tiny_data.regions.items())
    for name, points in tiny_data.landmarks.items():
        assert np.array_equal(back.landmarks[name].triangles, points.triangles)


def test_description(model: MorphableModel) -> None:
    assert "'tiny', vertices=11, faces=9, identity=3, expression=2, albedo=4" in repr(model)


def test_open_model_batch_equals_singles(open_model: MorphableModel) -> None:
    i = sample(3, open_model.n_identity, dtype=torch.float32)
    e = torch.rand(3, open_model.n_expression)
    whole = open_model.shape(i, e)
    for k in range(3):
        assert_close(open_model.shape(i[k : k + 1], e[k : k + 1])[0], whole[k], atol=1e-3, rtol=0)
