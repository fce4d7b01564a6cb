"""The shipped table of people belongs to the model that is built now."""

import io
from importlib import resources

import numpy as np
import pytest
from make_population import population_table

from recon.synthesis.scene.people import POPULATION_TABLE


@pytest.mark.slow
def test_the_table_was_made_from_the_components_of_this_build():
    """Components change sign and order with the population; a table of old ones would give women beards."""
    slopes, rest_sigma = population_table()
    with np.load(io.BytesIO((resources.files("recon.synthesis.scene") / POPULATION_TABLE).read_bytes())) as table:
        np.testing.assert_allclose(table["slopes"], slopes, atol=1e-3)
        np.testing.assert_allclose(table["rest_sigma"], rest_sigma, atol=1e-4)
