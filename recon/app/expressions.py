"""Expressions as people look for them: in groups, in plain words, searchable."""

from __future__ import annotations

import re
from collections.abc import Sequence

GROUPS = {
    "brow": "Brows",
    "eye": "Eyes",
    "cheek": "Cheeks and nose",
    "nose": "Cheeks and nose",
    "jaw": "Jaw",
    "mouth": "Mouth",
    "tongue": "Tongue",
}
"""By the first word of ARKit's names."""
_OTHER = "Other"


def words(name: str) -> str:
    """``"mouthSmileLeft"`` as ``"Mouth smile left"``; left and right are the person's own."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return " ".join(parts).capitalize() if parts else name


def grouped(names: Sequence[str]) -> dict[str, list[str]]:
    """Names by group, groups in the order of :data:`GROUPS`, names in their own."""
    found: dict[str, list[str]] = {title: [] for title in (*GROUPS.values(), _OTHER)}
    for name in names:
        first = re.match(r"[a-z]+", name)
        found[GROUPS.get(first.group(), _OTHER) if first else _OTHER].append(name)
    return {title: members for title, members in found.items() if members}


def matches(name: str, looked_for: str) -> bool:
    """Whether a name has all words that were typed, anywhere and in any case."""
    text = f"{name} {words(name)}".lower()
    return all(part in text for part in looked_for.lower().split())
