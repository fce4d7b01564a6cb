"""The tested versions belong to this project and to each Python that it promises."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_everything_asked_for_has_one_tested_version(python: str) -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tested = (extras[name] for name in ("dev", "train", "onnx", "app", "browser", "heic", "video"))
    wanted = [Requirement(line) for line in (*project["dependencies"], *itertools.chain.from_iterable(tested))]
    versions: dict[str, str] = {}
    for requirement in map(Requirement, LINES):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            (specifier,) = requirement.specifier
            name = canonicalize_name(requirement.name)
            assert specifier.operator == "==" and name not in versions
            versions[name] = specifier.version
    for requirement in wanted:
        if requirement.name != project["name"]:
            version = versions[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{requirement} excludes {version}"


def test_nothing_but_names_and_versions() -> None:
    assert not any(mark in line for line in LINES for mark in ("/", "@", "-e "))
