import pytest
import torch
from jaxtyping import config


@pytest.fixture
def as_users_call_it():
    """Run without shape checks, as installed code does, so that our own refusals are what is tested."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)


@pytest.fixture(autouse=True)
def one_thread():
    """Small pictures gain nothing from threads, and the suite may share its cores; tests of threads set their own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
