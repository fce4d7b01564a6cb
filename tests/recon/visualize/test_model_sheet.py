from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bfm.data import ModelData
from bfm.model import MorphableModel
from recon.visualize import model_sheet as preview


@pytest.mark.parametrize(("identity", "expression", "albedo"), [(3, 2, 4), (1, 0, 0), (0, 5, 1), (0, 0, 0)])
def test_sheet_of_a_model_with_few_components(
    make_tiny: Callable[..., ModelData],
    monkeypatch: pytest.MonkeyPatch,
    identity: int,
    expression: int,
    albedo: int,
) -> None:
    """Whatever a model lacks is left white; all rows are equally long."""
    monkeypatch.setattr(preview, "portrait", small_portrait)
    data = make_tiny(n_identity=identity, n_expression=expression, n_albedo=albedo)
    sheet = preview.model_sheet(MorphableModel(data))
    height = 24 + preview._LABEL_PX
    n_rows = 1 + max(identity, albedo) + 4
    assert sheet.shape == (n_rows * height, 8 * 24, 3) and sheet.dtype == np.uint8


def small_portrait(vertices, albedo, topology, framing, angles_deg):  # type: ignore[no-untyped-def]
    import torch

    return torch.full((1, 3, 24, 24), 0.5)
