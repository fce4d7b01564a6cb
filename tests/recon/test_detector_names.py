"""Names of detectors: every one can be opened."""

import pytest

from recon.detection import DETECTORS, open_detector
from recon.detector_names import DEFAULT_DETECTOR


@pytest.mark.parametrize("name", DETECTORS)
def test_every_name_opens_the_detector_of_that_name(name):
    assert open_detector(name).name == name


def test_the_default_is_one_of_them():
    assert DEFAULT_DETECTOR in DETECTORS and open_detector().name == DEFAULT_DETECTOR
