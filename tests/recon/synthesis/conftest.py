"""Samplers shared by the tests of synthesis: building one takes a second."""

import pytest

import bfm
from recon.synthesis import FaceSampler, SynthesisConfig

SIZE = (144, 160)
"""H and W differ, and neither is a multiple of 16 in both."""


@pytest.fixture(scope="session")
def head_model():
    return bfm.load("open")


@pytest.fixture(scope="session")
def clean(head_model):
    return FaceSampler(head_model, SynthesisConfig.clean(), seed=3, size=SIZE)


@pytest.fixture(scope="session")
def everything(head_model):
    config = SynthesisConfig(occluders=0.5, glasses=0.5, blur=0.5, motion_blur=0.5, low_resolution=0.5, gray=0.3)
    return FaceSampler(head_model, config, seed=3, size=SIZE)


@pytest.fixture(scope="session")
def many(everything):
    return everything.batch(range(12))
