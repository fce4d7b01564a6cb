"""Threads for kernels, on systems that cannot fork too."""

from __future__ import annotations

import importlib.util
import os

import pytest


@pytest.mark.parametrize("name", ["recon.render.threads", "recon.synthesis.parallel"])
def test_imported_on_systems_without_fork(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork")
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))  # a second copy; the first stays in use
