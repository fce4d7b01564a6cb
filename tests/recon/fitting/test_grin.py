"""A grin and a dropped jaw part the lips alike; what shows between them decides."""

import dataclasses

import pytest

import bfm
from recon.fitting import FaceFitter, FitSettings
from recon.fitting.settings import Level
from recon.fitting.terms.landmark import LIPS

_SETTINGS = FitSettings(levels=(Level(96, 2.0, 5),))


@pytest.fixture(scope="module")
def model():
    return bfm.load("open", n_identity=20, n_albedo=20)


@pytest.fixture(scope="module")
def grin(model, render_expression):
    """A rendered grin and its landmarks; the jaw is shut."""
    names = ("mouthSmile", "mouthUpperUp", "mouthLowerDown")
    return render_expression(model, {name + side: 0.7 for name in names for side in ("Left", "Right")}, 0.1)


def jaw(model, view):
    found = FaceFitter(model)([view], _SETTINGS).parameters.expression[0]
    return float(found[model.expression_names.index("jawOpen")])


@pytest.fixture(scope="module")
def emptied(grin):
    """The same face with dark between the lips."""
    points = grin.landmarks.points_px
    dark = grin.pixels.copy()
    upper, lower = (points[list(side)] for side in zip(*LIPS["478"], strict=True))
    for (column, top), (_, bottom) in zip(upper, lower, strict=True):
        dark[int(top) : int(bottom) + 1, int(column) - 8 : int(column) + 9] = (25, 12, 10)
    return dataclasses.replace(grin, pixels=dark)


def test_teeth_keep_the_jaw_shut_and_a_dark_mouth_lets_it_fall(model, grin, emptied):
    shut, fallen = jaw(model, grin), jaw(model, emptied)
    assert shut < 0.1 and fallen > shut + 0.05


def test_two_views_have_a_jaw_each(model, grin, emptied):
    """Widths of the prior belong to views, not to the person."""
    found = FaceFitter(model)([grin, emptied], FitSettings(levels=())).parameters.expression
    shut, fallen = found[:, model.expression_names.index("jawOpen")].tolist()
    assert fallen > shut + 0.05
