"""Every loss of the depth catalogue: value by a plain loop, gradient, masks, batches, and what it promises not to see."""

import dataclasses

import depth_loops
import jaxtyping
import pytest
import torch
from depth_inputs import B, case, in_float32, one_picture

from losses.depth.catalogue import CATALOGUE
from losses.depth.reprojection import Views

NAMES = list(CATALOGUE)
LEARNT = {"bin_centre_density": "bin_centres", "pairwise_distillation": "student"}
"""What learns where it is not the depth map."""


def value(name, given, predicted=None, **inputs):
    maps = given.predicted if predicted is None else predicted
    return CATALOGUE[name].function(maps, given.true, given.mask, **{**given.inputs, **inputs})


def start_of(name, given):
    return given.inputs[LEARNT[name]] if name in LEARNT else given.predicted


def function_of(name, given):
    """The loss as a function of what learns."""
    if name in LEARNT:
        return lambda x: value(name, given, **{LEARNT[name]: x})
    return lambda x: value(name, given, x)


def value_and_slope(name, given, start=None):
    leaf = (start_of(name, given) if start is None else start).detach().clone().requires_grad_()
    found = function_of(name, given)(leaf)
    (slope,) = torch.autograd.grad(found.sum(), leaf)
    return found.detach(), slope


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_a_plain_loop(name):
    given = case(name)
    found = value(name, given)
    assert found.shape == (B,)
    for index in range(B):
        v, y, mask = (maps[index, 0].numpy() for maps in (given.predicted, given.true, given.mask))
        inputs = {}
        for key, one in one_picture(given.inputs, index).items():
            inputs[key] = one[0].numpy() if isinstance(one, torch.Tensor) else one
        expected = getattr(depth_loops, name)(v, y, mask, **inputs)
        assert float(found[index]) == pytest.approx(expected, rel=1e-5), index
        assert float(found[index]) > 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_gradients_agree_with_finite_differences(name):
    given = case(name)
    start = start_of(name, given)
    moved = torch.ones_like(start, dtype=torch.bool)
    if name not in LEARNT:
        # Differences at nan are nan, and the border of berhu, taken as a constant, moves with the largest error.
        moved = given.mask.clone()
        if name == "berhu":
            largest = (given.true - given.predicted).abs().nan_to_num().flatten(1).argmax(dim=1)
            moved.view(B, -1)[torch.arange(B), largest] = False

    def loss(values):
        return function_of(name, given)(start.masked_scatter(moved, values))

    values = start[moved].clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (values,), atol=1e-6, rtol=1e-5, fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_value_is_zero_where_that_is_promised(name):
    given = case(name)
    at_truth = value(name, given, given.true)
    at_flat = value(name, given, torch.full_like(given.true, 630.0))
    zero = {"truth": at_truth, "constant": at_flat}.get(CATALOGUE[name].zero)
    if zero is not None:
        torch.testing.assert_close(zero, torch.zeros_like(zero), atol=1e-9, rtol=0.0)
    for kind, found in (("truth", at_truth), ("constant", at_flat)):
        if kind != CATALOGUE[name].zero and not (name == "prior_reconstruction" and kind == "truth"):
            assert bool((found > 1e-5).all()), kind


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", ["error", "truth", "zero", "negative", "constant"])
def test_gradients_are_finite_and_off_the_mask_there_is_none(name, start):
    given = case(name)
    if name in LEARNT:
        at = start_of(name, given) * {"zero": 0.0, "negative": -1.0}.get(start, 1.0)
    else:
        makers = {
            "truth": given.true,
            "zero": given.true * 0.0,
            "negative": -given.true,
            "constant": given.true * 0.0 + 650.0,
        }
        at = makers.get(start, given.predicted)
    found, slope = value_and_slope(name, given, at)
    assert bool(torch.isfinite(found).all()) and bool(torch.isfinite(slope).all())
    if name not in LEARNT:
        assert float(slope[~given.mask].abs().max()) == 0.0
    if start == "error":
        assert float(slope.abs().max()) > 0.0


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_is_enough(name):
    given = case(name)
    single = type(given)(*(in_float32(getattr(given, field.name)) for field in dataclasses.fields(given)))
    found, slope = value_and_slope(name, single)
    expected, wanted = value_and_slope(name, given)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=0.0)
    assert float((slope.double() - wanted).norm()) < 0.01 * float(wanted.norm())


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_without_pixels_gives_zero(name):
    given = case(name)
    for emptied in ([1], [0, 1]):
        mask = given.mask.clone()
        mask[emptied] = False
        found, slope = value_and_slope(name, dataclasses.replace(given, mask=mask))
        assert bool(torch.isfinite(slope).all())
        for index in emptied:
            assert float(found[index]) == 0.0 and float(slope[index].abs().max()) == 0.0
        if emptied == [1]:
            torch.testing.assert_close(found[0], value(name, given)[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_pictures(name):
    given = case(name)
    whole = value(name, given)
    for index in range(B):
        part = [maps[index : index + 1] for maps in (given.predicted, given.true, given.mask)]
        single = CATALOGUE[name].function(*part, **one_picture(given.inputs, index))
        torch.testing.assert_close(single[0], whole[index])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", ["scale", "shift"])
def test_losses_do_not_see_what_they_promise_and_see_all_else(name, change):
    given = case(name)
    numbers = torch.tensor([1.07, 0.8] if change == "scale" else [11.0, -40.0], dtype=torch.float64)[
        :, None, None, None
    ]
    changed = given.predicted * numbers if change == "scale" else given.predicted + numbers
    before, after = value(name, given), value(name, given, changed)
    if change in CATALOGUE[name].invariant:
        torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-11)
    else:
        assert bool(((after - before).abs() > 1e-3 * before).all())


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_edits_its_arguments(name):
    given = case(name)
    tensors = [given.predicted, given.true, given.mask]
    tensors += [x for x in given.inputs.values() if isinstance(x, torch.Tensor)]
    copies = [tensor.clone() for tensor in tensors]
    value(name, given)
    for tensor, copy in zip(tensors, copies, strict=True):
        torch.testing.assert_close(tensor, copy, rtol=0.0, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (3, 2)])
def test_pictures_smaller_than_a_window_have_a_value(name, height, width):
    given = case(name)
    maps = [x[..., 3 : 3 + height, 3 : 3 + width] for x in (given.predicted, given.true, given.mask)]
    inputs = dict(given.inputs)
    if "image" in inputs:
        inputs["image"] = inputs["image"][..., :height, :width]
    if "views" in inputs:
        seen = inputs["views"]
        image = seen.image[..., 3 : 3 + height, 3 : 3 + width]
        inputs["views"] = Views(image, seen.camera, seen.sources, seen.source_cameras)
    if "pairs" in inputs:
        inputs["pairs"] = inputs["pairs"] % (height * width)
    if "features" in inputs:
        inputs["features"] = inputs["features"].first
    found = CATALOGUE[name].function(*maps, **inputs)
    assert found.shape == (B,) and bool(torch.isfinite(found).all())


@pytest.mark.parametrize("name", NAMES)
def test_maps_and_masks_of_other_shapes_are_refused(name, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is outside tests
    given = case(name)
    with pytest.raises(ValueError, match=r"of one size \(B, 1, H, W\), got .* and \(2, 1, 9, 4\)"):
        CATALOGUE[name].function(given.predicted, given.true, given.mask[..., :4], **given.inputs)
    with pytest.raises(ValueError, match=r"of one size \(B, 1, H, W\), got \(2, 9, 13\)"):
        CATALOGUE[name].function(given.predicted[:, 0], given.true[:, 0], given.mask[:, 0], **given.inputs)
    with pytest.raises(ValueError, match="mask of a depth loss is boolean, got torch.float64"):
        CATALOGUE[name].function(given.predicted, given.true, given.mask.double(), **given.inputs)


def test_the_catalogue_is_the_reviews_and_cannot_be_changed():
    equations = [equation for loss in CATALOGUE.values() for equation in loss.equations]
    assert set(equations) == {*map(str, range(1, 24)), "14-1"}
    with pytest.raises(TypeError):
        CATALOGUE["l1"] = CATALOGUE["l2"]
