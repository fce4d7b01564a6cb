"""What is known of expressions before looking."""

import dataclasses

import numpy as np
import pytest
import torch

import bfm
from recon.fitting import FaceFitter, FitSettings, InitialEstimate, InitialSigma, fit
from recon.fitting.settings import Level
from recon.fitting.terms import expression_prior
from recon.fitting.terms.expression_prior import (
    LID_SCALE,
    ExpressionCouplingPrior,
    expression_widths,
    gaze_rows,
    symmetry_rows,
)


@pytest.fixture(scope="module")
def model():
    return bfm.load("open", n_identity=20, n_albedo=20)


def test_gaze_costs_nothing_when_both_eyes_look_the_same_way(model):
    names = model.expression_names
    rows = gaze_rows(names)
    together, squint = np.zeros(len(names)), np.zeros(len(names))
    together[[names.index(n) for n in ("eyeLookOutLeft", "eyeLookInRight", "eyeLookUpLeft", "eyeLookUpRight")]] = 0.6
    squint[[names.index(n) for n in ("eyeLookInLeft", "eyeLookInRight")]] = 0.6
    assert np.abs(rows @ together).max() < 1e-12
    assert np.abs(rows @ squint).max() > 5.0, "a squint of 0.6 is far out"
    one_up = np.zeros(len(names))
    one_up[names.index("eyeLookUpLeft")] = 0.1
    assert 1.0 < np.abs(rows @ one_up).max() < np.abs(rows @ (2.0 * one_up)).max()


def test_a_model_without_eye_weights_has_no_gaze():
    assert gaze_rows(("a", "b")).shape == (0, 2)


def test_lips_part_more_easily_than_jaws():
    names = ("jawOpen", "mouthUpperUpLeft", "browInnerUp")
    widths = expression_widths(names)
    assert widths.shape == (3,)
    assert widths[0] < widths[2] == 1.0 < widths[1]


def test_acted_shapes_are_rare():
    puffed, pushed, raised = expression_widths(("cheekPuff", "jawForward", "browInnerUp"))
    assert max(puffed, pushed) < 0.5 * raised


def test_shut_eyes_are_nothing_rare():
    shut, raised = expression_widths(("eyeBlinkLeft", "browInnerUp"), lid_scale=LID_SCALE)
    assert shut > 2.0 * raised


def test_halves_of_a_face_act_alike():
    names = ("mouthSmileRight", "browDownRight", "jawOpen", "browDownLeft", "mouthSmileLeft")
    rows = symmetry_rows(names)
    assert rows.shape == (2, 5)
    assert np.abs(rows @ [0.7, 0.3, 0.9, 0.3, 0.7]).max() < 1e-12
    frown, smile = (np.abs(rows @ np.eye(5)[names.index(name)]).max() for name in ("browDownLeft", "mouthSmileLeft"))
    assert frown > 2.0, "half a frown is rare"
    assert smile < frown, "a smile goes further, and so may its halves"


def test_jaws_that_slide_and_eyes_that_turn_or_wink_have_no_other_half():
    alone = ("jawLeft", "jawRight", "mouthLeft", "mouthRight", "eyeLookInLeft", "eyeLookInRight", "tongueOut")
    assert symmetry_rows((*alone, "eyeBlinkLeft", "eyeBlinkRight")).shape == (0, 9)


def test_the_prior_knows_gaze_and_symmetry(model):
    prior = ExpressionCouplingPrior.of(model.expression_names)
    parts = (gaze_rows(prior.names), symmetry_rows(prior.names))
    assert np.array_equal(prior.rows.numpy(), np.concatenate(parts)) and all(len(part) for part in parts)


_LEFT_CORNER = (409, 291, 375, 308, 415, 324, 310, 318, 270, 321)


@pytest.fixture
def act(model, render_expression):
    """Weights by name of a fit to a rendered face, the left corner of whose mouth was detected so much too low."""

    def act(weights, yaw_rad, corner_px=0.0):
        view = render_expression(model, weights, yaw_rad)
        points = view.landmarks.points_px.copy()
        points[list(_LEFT_CORNER), 1] += corner_px
        settings = FitSettings(levels=(Level(96, 2.0, 8),))
        found = FaceFitter(model)(
            [dataclasses.replace(view, landmarks=dataclasses.replace(view.landmarks, points_px=points))], settings
        ).parameters.expression[0]
        return dict(zip(model.expression_names, found.tolist(), strict=True))

    return act


def test_shut_eyes_are_shut_and_nothing_else_moves(act):
    found = act({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, 0.1)
    assert min(found["eyeBlinkLeft"], found["eyeBlinkRight"]) > 0.85
    others = {name: weight for name, weight in found.items() if not name.startswith("eyeBlink")}
    assert sum(others.values()) < 0.6 and sum(weight > 0.03 for weight in others.values()) < 7, others


def test_a_smirk_and_a_wink_stay_on_their_side(act):
    found = act({"mouthSmileLeft": 0.8, "eyeBlinkRight": 1.0}, 0.1)
    assert found["mouthSmileLeft"] > found["mouthSmileRight"] + 0.3
    assert found["eyeBlinkRight"] > found["eyeBlinkLeft"] + 0.5


def test_a_corner_of_the_mouth_detected_amiss_bends_the_face_less(model, act, monkeypatch):
    def unlikeness():
        found = act({"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}, 0.6, corner_px=6.0)
        weights = np.array([found[name] for name in model.expression_names])
        return np.abs(halves @ weights).sum()

    halves = symmetry_rows(model.expression_names)
    bent = unlikeness()
    monkeypatch.setattr(expression_prior, "symmetry_rows", lambda names: np.zeros((0, len(names))))
    # The sparse prior alone bends it by 2.0, where a Gaussian one did by 7.3, and with these rows by 2.4.
    assert bent < 1.8 < unlikeness()


@pytest.mark.parametrize(("sigma", "factor"), [(InitialSigma(expression=0.2), 2.0), (InitialSigma(identity=0.7), 1.0)])
def test_an_estimate_of_expressions_brings_part_of_their_prior(model, render_expression, monkeypatch, sigma, factor):
    """One of the pose or the identity alone does not."""
    seen = []

    def stage(landmark_model, state, views, settings, expression_width, initial=None):
        seen.append(expression_width)
        return state

    monkeypatch.setattr(fit, "landmark_stage", stage)
    view = render_expression(model, {}, 0.0)
    fitter, settings = FaceFitter(model), FitSettings(levels=())
    estimate = InitialEstimate(fitter([view], settings).parameters, (1300.0,), sigma)
    fitter([view], settings, estimate)
    torch.testing.assert_close(seen[1], factor * seen[0])
