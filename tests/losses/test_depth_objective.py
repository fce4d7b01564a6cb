"""Weighted sums of depth losses, and the objectives against a discriminator."""

import copy
import math
import pickle

import pytest
import torch
from depth_inputs import B, camera, case, mask, sample

from losses.depth.adversarial import cgan_objective, discriminator_objective, judged, pix2pix_objective
from losses.depth.catalogue import CATALOGUE
from losses.depth.objective import FOUR_TERM, THREE_TERM, DepthObjective


@pytest.mark.parametrize("weights", [THREE_TERM, FOUR_TERM, {"l2": 0.0, "silog": 2.0}])
def test_terms_are_weight_times_mean_over_pictures(weights):
    given = case("l1")
    terms = DepthObjective(weights).terms(given.predicted, given.true, given.mask)
    assert list(terms) == [name for name, weight in weights.items() if weight]
    for name, term in terms.items():
        each = [
            CATALOGUE[name].function(*(x[i : i + 1] for x in (given.predicted, given.true, given.mask)))
            for i in range(B)
        ]
        torch.testing.assert_close(term, weights[name] * torch.cat(each).mean())


@pytest.mark.parametrize("weights", [THREE_TERM, FOUR_TERM])
def test_hybrids_are_zero_at_the_truth_and_learn(weights):
    given = case("l1")
    objective = DepthObjective(weights)
    at_truth = sum(objective.terms(given.true, given.true, given.mask).values())
    assert float(at_truth) == pytest.approx(0.0, abs=1e-12)
    depth = given.predicted.nan_to_num(650.0).requires_grad_()
    optimiser = torch.optim.Adam([depth], lr=0.5)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = sum(objective.terms(depth, given.true, given.mask).values())
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_the_three_term_hybrid_cannot_tell_distance_and_the_four_term_one_can():
    """But for its SSIM, whose luminance sees a whole offset faintly."""
    given = case("l1")
    away = given.true + 30.0
    terms = DepthObjective(THREE_TERM).terms(away, given.true, given.mask)
    assert float(terms["gradient_l1"] + terms["surface_normal"]) == pytest.approx(0.0, abs=1e-12)
    assert 0.0 < float(terms["ssim"]) < 0.01
    assert float(DepthObjective(FOUR_TERM).terms(away, given.true, given.mask)["l1"]) == pytest.approx(0.28 * 30.0)


def test_a_picture_weighs_alike_in_every_company():
    given = case("l1")
    objective = DepthObjective(FOUR_TERM)
    slopes = []
    for other in (given.mask[1], torch.zeros_like(given.mask[1])):
        start = given.predicted.clone().requires_grad_()
        inside = torch.stack([given.mask[0], other])
        sum(objective.terms(start, given.true, inside).values()).backward()
        slopes.append(start.grad[0])
    torch.testing.assert_close(slopes[0], slopes[1])


def test_each_loss_gets_the_options_and_inputs_it_knows():
    given = case("chamfer")
    objective = DepthObjective({"chamfer": 1.0, "surface_normal": 2.0, "ssim": 1.0}, {"ssim": {"max_depth": 4.0}})
    assert objective.needs == {"camera"}
    width = torch.tensor([2.0, 2.6], dtype=torch.float64)
    inputs = {"camera": camera(), "pixel_size": width, "image": sample(B, 3, 9, 13)}
    terms = objective.terms(given.predicted, given.true, given.mask, inputs)
    maps = given.predicted, given.true, given.mask
    torch.testing.assert_close(
        terms["surface_normal"], 2.0 * CATALOGUE["surface_normal"].function(*maps, pixel_size=width).mean()
    )
    torch.testing.assert_close(terms["ssim"], CATALOGUE["ssim"].function(*maps).mean() / 4.0)
    with pytest.raises(ValueError, match="depth loss chamfer needs 'camera' with each batch"):
        objective.terms(*maps)


def test_objectives_can_be_copied_and_sent():
    objective = DepthObjective({"l1": 1.0, "berhu": 2.0}, {"berhu": {"share": 0.3}})
    assert pickle.loads(pickle.dumps(objective)) == copy.deepcopy(objective) == objective


@pytest.mark.parametrize(
    ("weights", "options", "text"),
    [
        ({"l3": 1.0}, {}, "unknown depth loss 'l3'; known: l2, scale_invariant_log"),
        ({"l1": 1.0}, {"huver": {}}, "unknown depth loss 'huver'"),
        ({"l1": -1.0}, {}, "weight of depth loss l1 must be a finite number of at least 0, got -1.0"),
        ({"l1": math.nan}, {}, "got nan"),
        ({"l1": 0.0}, {}, "needs a loss with a weight above 0"),
        ({}, {}, "needs a loss with a weight above 0"),
        ({"huber": 1.0}, {"huber": {"cut": 1.0}}, "depth loss huber has no option 'cut'; it has: cutoff"),
        ({"l1": 1.0}, {"l1": {"camera": 1.0}}, "depth loss l1 has no option 'camera'; it has: none"),
    ],
)
def test_objectives_that_cannot_be_are_refused(weights, options, text):
    with pytest.raises(ValueError, match=text):
        DepthObjective(weights, options)


@pytest.mark.parametrize("shape", [(B,), (B, 1), (B, 1, 3, 4)])
def test_real_is_one_and_made_is_nought(shape):
    sure = torch.full(shape, 8.0, dtype=torch.float64)
    assert (
        float(discriminator_objective(sure, -sure).max())
        < 1e-3
        < 15.0
        < float(discriminator_objective(-sure, sure).min())
    )
    unsure = torch.zeros(shape, dtype=torch.float64)
    torch.testing.assert_close(discriminator_objective(unsure, unsure), torch.full((B,), 2.0 * math.log(2.0)).double())
    logits = sample(*shape, seed=1)
    chance = torch.sigmoid(logits).reshape(B, -1)
    torch.testing.assert_close(judged(logits, real=True), -chance.log().mean(dim=1))
    torch.testing.assert_close(judged(logits, real=False), -(1.0 - chance).log().mean(dim=1))


def test_generators_want_to_be_taken_for_real_and_to_be_right():
    made, true, logits, inside = (
        sample(B, 1, 9, 13, seed=1),
        sample(B, 1, 9, 13, seed=2),
        sample(B, 1, 3, 4, seed=3),
        mask(),
    )
    error = (made - true)[..., :].square()
    mse = torch.stack([error[i][inside[i]].mean() for i in range(B)])
    mae = torch.stack([error[i][inside[i]].sqrt().mean() for i in range(B)])
    fooled = judged(logits, real=True)
    torch.testing.assert_close(cgan_objective(logits, made, true, inside, weight=7.0), 7.0 * mse + fooled)
    torch.testing.assert_close(pix2pix_objective(logits, made, true, inside), 100.0 * mae + fooled)
    for objective in (
        lambda x: cgan_objective(x, true, true, inside, weight=7.0),
        lambda x: pix2pix_objective(x, true, true, inside),
    ):
        start = logits.clone().requires_grad_()
        (slope,) = torch.autograd.grad(objective(start).sum(), start)
        assert bool((slope < 0.0).all()), "a higher logit is better for the generator"


def test_sure_discriminators_have_finite_losses():
    far = torch.tensor([1e4, -1e4], requires_grad=True)
    found = discriminator_objective(far, far)
    found.sum().backward()
    assert bool(torch.isfinite(found).all()) and bool(torch.isfinite(far.grad).all())
