"""Expressions as people look for them."""

from __future__ import annotations

import bfm
from recon.app.expressions import grouped, matches, words


def test_every_expression_of_the_open_model_is_in_one_named_group(open_model: bfm.MorphableModel) -> None:
    groups = grouped(open_model.expression_names)
    assert sorted(sum(groups.values(), [])) == sorted(open_model.expression_names)
    assert "Other" not in groups and len(groups) >= 5


def test_names_of_other_models_are_kept() -> None:
    assert grouped(("expression0", "jawOpen")) == {"Jaw": ["jawOpen"], "Other": ["expression0"]}


def test_words_can_be_searched() -> None:
    assert words("mouthSmileLeft") == "Mouth smile left"
    assert matches("mouthSmileLeft", "LEFT smile") and matches("mouthSmileLeft", "")
    assert not matches("mouthSmileLeft", "smile right")
