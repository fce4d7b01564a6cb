import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks gain nothing from threads, and the suite may share its cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
