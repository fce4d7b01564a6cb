"""What single families of the depth losses do, by hand."""

import math

import pytest
import torch
from depth_inputs import DISTANCES_MM, B, camera, case, mask
from test_depth_losses import value

from losses.depth import depth_loss_shift_invariant
from losses.depth.catalogue import CATALOGUE
from losses.depth.ranking import segment_pairs
from losses.depth.reprojection import Views, pixel_points


def test_what_balance_leaves_of_the_scale():
    """The truth times k costs (1 - lambda) (ln k)^2; with lambda = 1 no factor counts."""
    given = case("scale_invariant_log")
    for balance, share in ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)):
        found = value("scale_invariant_log", given, 1.3 * given.true, balance=balance)
        torch.testing.assert_close(found, torch.full_like(found, share * math.log(1.3) ** 2), atol=1e-12, rtol=1e-9)
        root = value("silog", given, 1.3 * given.true, balance=balance, factor=2.0)
        torch.testing.assert_close(root, 2.0 * found.sqrt(), atol=3e-8, rtol=1e-6)
    scaled = given.predicted * torch.tensor([2.0, 0.3], dtype=torch.float64)[:, None, None, None]
    before, after = (value("scale_invariant_log", given, maps, balance=1.0) for maps in (given.predicted, scaled))
    torch.testing.assert_close(before, after)


@pytest.mark.parametrize("name", ["silog", "scale_invariant_log"])
def test_a_prediction_that_is_not_positive_is_led_back(name):
    given = case(name)
    start = torch.full_like(given.true, -100.0).requires_grad_()
    (slope,) = torch.autograd.grad(value(name, given, start).sum(), start)
    assert bool((slope[given.mask] < 0.0).all())


def test_berhu_and_huber_by_hand():
    true = torch.full((1, 1, 1, 3), 600.0, dtype=torch.float64)
    found = true + torch.tensor([10.0, 2.0, -1.0], dtype=torch.float64)
    whole = torch.ones_like(true, dtype=torch.bool)
    berhu, huber = (
        CATALOGUE["berhu"].function(found, true, whole),
        CATALOGUE["huber"].function(found, true, whole, cutoff=2.0),
    )
    assert float(berhu) == pytest.approx(((100.0 + 4.0) / 4.0 + 2.0 + 1.0) / 3.0)
    assert float(huber) == pytest.approx((18.0 + 2.0 + 0.5) / 3.0)


def test_rho_says_how_errors_count_after_the_alignment():
    given = case("scale_and_shift_invariant")
    for name in ("scale_invariant", "scale_and_shift_invariant"):
        squared = value(name, given, rho="squared")
        # Least squares is best at squares: no other scale does better.
        for factor in (0.98, 1.02):
            aligned = given.predicted * factor
            assert bool((squared <= 0.5 * value("l2", given, aligned) + 1e-9).all())
        assert bool((squared != value(name, given)).all())


def test_a_tilted_plane_has_the_normal_of_its_slope():
    """One pixel's width a pixel is 45 degrees, across as well as down."""
    columns = torch.arange(8, dtype=torch.float64).expand(1, 1, 6, 8)
    flat, whole = torch.full_like(columns, 600.0), torch.ones_like(columns, dtype=torch.bool)
    loss = CATALOGUE["surface_normal"].function
    for maps in ((flat + 2.5 * columns, flat), ((flat + 2.5 * columns).mT, flat.mT)):
        inside = whole if maps[1] is flat else whole.mT
        assert float(loss(*maps, inside, pixel_size=2.5)) == pytest.approx(1.0 - math.sqrt(0.5))
        assert float(loss(*maps, inside, pixel_size=torch.tensor([2.5]).double())) == pytest.approx(
            1.0 - math.sqrt(0.5)
        )
        assert float(loss(*maps, inside)) == pytest.approx(1.0 - 1.0 / math.hypot(1.0, 2.5))


def test_a_ramp_has_the_gradient_of_its_slope():
    rows = torch.arange(6, dtype=torch.float64)[:, None].expand(1, 1, 6, 8)
    whole = torch.ones_like(rows, dtype=torch.bool)
    assert float(CATALOGUE["gradient_l1"].function(3.0 * rows, 0.0 * rows, whole)) == pytest.approx(3.0)
    # Steps of 1, 2 and 4 pixels at three scales; every 8th row of six has no neighbour.
    assert float(CATALOGUE["gradient_matching"].function(3.0 * rows, 0.0 * rows, whole)) == pytest.approx(
        3.0 + 6.0 + 12.0
    )
    assert float(CATALOGUE["gradient_matching"].function(3.0 * rows, 0.0 * rows, whole, n_scales=1)) == pytest.approx(
        3.0
    )


def test_ssim_with_the_range_of_a_room_hardly_sees_a_face():
    """The papers divide by MaxDepth, that of a room; as the range of SSIM it would hide a relief of some centimetres."""
    given = case("ssim")
    of_head, of_room = value("ssim", given), value("ssim", given, data_range=5000.0)
    assert bool((of_room < 0.05 * of_head).all())
    torch.testing.assert_close(value("ssim", given, max_depth=5.0), of_head / 5.0)


@pytest.mark.parametrize("name", ["photometric", "reconstruction", "prior_reconstruction"])
def test_depth_explains_other_pictures_best_at_the_truth(name):
    given = case(name)
    costs = [value(name, given, factor * given.true) for factor in (1.0, 1.05, 1.2, 0.8)]
    assert all(bool((costs[0] < cost - 1e-3).all()) for cost in costs[1:])
    assert bool((costs[1] < costs[2]).all())
    for factor, sign in ((1.03, 1.0), (0.97, -1.0)):
        start = (factor * given.true).requires_grad_()
        (slope,) = torch.autograd.grad(value(name, given, start).sum(), start)
        assert sign * float(slope[given.mask].sum()) > 0.0


def test_the_least_error_passes_over_a_source_that_shows_something_else():
    given = case("prior_reconstruction")
    seen = given.inputs["views"]
    wrong = Views(
        seen.image, seen.camera, (1.0 - seen.sources[0], *seen.sources), (seen.source_cameras[0], *seen.source_cameras)
    )
    assert float(value("prior_reconstruction", given, given.true, views=wrong).max()) < 1e-9
    assert float(value("reconstruction", given, given.true, views=wrong).min()) > 0.1


def test_what_no_source_shows_does_not_count():
    given = case("photometric")
    seen = given.inputs["views"]
    past_the_wall = torch.zeros(B, 3, dtype=torch.float64)
    past_the_wall[:, 2] = 2000.0
    views = Views(seen.image, seen.camera, seen.sources[:1], (camera(past_the_wall),))
    start = given.predicted.clone().requires_grad_()
    for name in ("photometric", "reconstruction"):
        found = value(name, given, start, views=views)
        (slope,) = torch.autograd.grad(found.sum(), start)
        assert float(found.detach().max()) == 0.0 and float(slope.abs().max()) == 0.0
    with pytest.raises(ValueError, match="got 2 sources and 1 cameras"):
        Views(seen.image, seen.camera, seen.sources, seen.source_cameras[:1])


def test_points_of_pixels_project_back_onto_them():
    depth_mm = DISTANCES_MM[:, None, None, None] + 10.0 * torch.rand(B, 1, 3, 5, dtype=torch.float64)
    points = pixel_points(depth_mm, camera())
    torch.testing.assert_close(-points[..., 2], depth_mm.flatten(1))
    v_px = camera().to_pixels(points)
    torch.testing.assert_close(v_px[1, 7], torch.tensor([2.5, 1.5], dtype=torch.float64))


def test_ranking_wants_order_and_more_of_it():
    given = case("structure_guided_ranking")
    plain = {"gradient": 0.0, "tolerance": 0.0, "margin": 10.0}
    wrong, right, clearer = (
        value("structure_guided_ranking", given, factor * given.true, **plain) for factor in (-1.0, 1.0, 2.0)
    )
    assert bool((clearer < right).all() and (right < math.log(2.0)).all() and (wrong > math.log(2.0)).all())
    flat = value("structure_guided_ranking", given, torch.full_like(given.true, 9.0), **plain)
    torch.testing.assert_close(flat, torch.full_like(flat, math.log(2.0)))


def test_pairs_lie_in_two_segments_and_in_the_mask():
    inside = mask()
    segments = torch.zeros(B, 1, *inside.shape[2:], dtype=torch.int64)
    segments[0, :, :4], segments[0, :, :, 8:] = 2, 5
    pairs = segment_pairs(segments, inside, 500, torch.Generator().manual_seed(1))
    assert bool(inside.flatten(1).gather(1, pairs.flatten(1)).all())
    kinds = segments.flatten(1).gather(1, pairs.flatten(1)).view(B, -1, 2)
    assert bool((kinds[0, :, 0] != kinds[0, :, 1]).all())
    assert len({tuple(kind) for kind in kinds[0].tolist()}) == 6, "all ordered pairs of three segments"
    assert len(torch.unique(pairs[1])) == int(inside[1].sum()), "one segment: any two pixels"
    again = segment_pairs(segments, inside, 500, torch.Generator().manual_seed(1))
    assert torch.equal(pairs, again)
    assert bool((segment_pairs(segments, torch.zeros_like(inside), 4) == -1).all())


def test_chamfer_by_fewer_points_is_near_that_by_all():
    given = case("chamfer")
    ratio = value("chamfer", given, n_points=40) / value("chamfer", given)
    assert bool(((ratio > 0.5) & (ratio < 2.5) & (ratio != 1.0)).all())


def test_chamfer_of_one_number_each_is_their_squared_distance_twice():
    true = torch.tensor([[[[600.0, 700.0]]]], dtype=torch.float64)
    only_first = torch.tensor([[[[True, False]]]])
    found = CATALOGUE["bin_centre_density"].function(
        true, true, only_first, bin_centres=torch.tensor([[603.0, 640.0]], dtype=torch.float64)
    )
    assert float(found) == pytest.approx((9.0 + 1600.0) / 2.0 + 9.0)


def test_features_that_agree_up_to_their_length_are_alike():
    given = case("pairwise_distillation")
    alike = value("pairwise_distillation", given, student=3.0 * given.inputs["teacher"])
    torch.testing.assert_close(alike, torch.zeros_like(alike), atol=1e-20, rtol=0.0)
    teacher = given.inputs["teacher"].clone().requires_grad_()
    student = given.inputs["student"].clone().requires_grad_()
    value("pairwise_distillation", given, student=student, teacher=teacher).sum().backward()
    assert teacher.grad is None and float(student.grad.abs().max()) > 0.0
    coarse = value("pairwise_distillation", given, n_cells=2)
    assert bool((coarse != value("pairwise_distillation", given)).all())


def test_a_network_of_timm_gives_perceptual_features():
    import timm

    given = case("perceptual")
    network = timm.create_model("vgg16", features_only=True, out_indices=(1,), pretrained=False).eval().double()
    start = given.predicted.clone().requires_grad_()
    found = value("perceptual", given, start, features=network.requires_grad_(False))
    (slope,) = torch.autograd.grad(found.sum(), start)
    assert bool((found > 0.0).all()) and float(slope.abs().max()) > 0.0
    assert float(value("perceptual", given, given.true, features=network).max()) == 0.0


def test_relief_over_the_batch_weighs_pictures_by_their_masks():
    given = case("global_mean_removed")
    each, counts = value("global_mean_removed", given), given.mask.sum(dim=(1, 2, 3))
    whole = depth_loss_shift_invariant(given.predicted, given.true, given.mask)
    torch.testing.assert_close(whole, (each * counts).sum() / counts.sum())
    assert abs(float(whole - each.mean())) > 1e-4


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("berhu", {"share": 0.0}, r"share of the largest error in \(0, 1\], got 0.0"),
        ("huber", {"cutoff": 0.0}, "positive cutoff, got 0.0"),
        ("silog", {"balance": 1.5}, r"lies in \[0, 1\], got 1.5"),
        ("local_mean_removed", {"window_px": 4}, "odd window of at least 3 px, got 4"),
        ("ssim", {"data_range": 0.0}, "positive data range, got 0.0"),
        ("ssim", {"max_depth": -1.0}, "positive MaxDepth, got -1.0"),
        ("photometric", {"balance": -0.1}, r"lies in \[0, 1\], got -0.1"),
        ("reconstruction", {"cutoff": -1.0}, "positive cutoff, got -1.0"),
        ("gradient_matching", {"n_scales": 0}, "at least one scale, got 0"),
        ("surface_normal", {"pixel_size": 0.0}, "positive width, got 0.0"),
        ("perceptual", {"relief": 0.0}, "positive relief, got 0.0"),
        ("structure_guided_ranking", {"margin": 0.0}, "positive margin"),
        ("chamfer", {"n_points": 0}, "at least one point, got 0"),
        ("pairwise_distillation", {"n_cells": 0}, "at least one cell"),
    ],
)
def test_options_that_cannot_be_are_refused(name, options, text):
    with pytest.raises(ValueError, match=text):
        value(name, case(name), **options)
