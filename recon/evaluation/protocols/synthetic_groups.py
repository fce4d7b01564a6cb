"""Are heads of all people found equally well? Tables of the synthetic benchmark by sex, age and skin tone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recon.evaluation.reports.result import Cell, Sample, Table
from recon.synthesis.scene.people import ATTRIBUTE_NAMES

_OLDER, _OLD = 40.0, 60.0
"""Years at which the age groups begin; there are no children."""
_TONES = ((5, "Monk 1 to 5"), (6, "Monk 6"), (7, "Monk 7"), (10, "Monk 8 to 10"))
"""Groups of tones and the last of each: the face model's people have few at the ends of the scale."""
GROUPS = ("sex", "age", "tone")
_FEWEST = 20
"""Samples that a group needs to count as the worst or the best."""


def person_labels(attributes: Sequence[float], tone: int) -> dict[str, str]:
    """The groups of a synthetic person.

    Args:
        attributes: columns :data:`recon.synthesis.scene.people.ATTRIBUTE_NAMES`.
        tone: on the Monk scale.
    """
    known = dict(zip(ATTRIBUTE_NAMES, attributes, strict=True))
    years = known["age_years"]
    age = "under 40" if years < _OLDER else "40 to 60" if years < _OLD else "60 and older"
    return {
        "sex": "men" if known["male"] > 0.5 else "women",
        "age": age,
        "tone": next(name for last, name in _TONES if tone <= last),
    }


def group_table(samples: Sequence[Sample], failed: Sequence[Mapping[str, str]]) -> Table:
    """Mean errors of each group, and how much larger that of the worst is than that of the best.

    Args:
        samples: with the labels of :func:`person_labels`, and the benchmark's values.
        failed: labels of the people whose head was not found.
    """
    rows: list[tuple[Cell, ...]] = []
    for kind in GROUPS:
        members: dict[str, list[Sample]] = {}
        for sample in samples:
            members.setdefault(sample.labels[kind], []).append(sample)
        means: list[tuple[float, float]] = []
        for name in sorted(members):
            own = members[name]
            nme, identity, mean, lightness = (
                np.array([sample.values[key] for sample in own])
                for key in ("nme2d", "identity", "mean_identity", "lightness")
            )
            share = float(identity.mean() / mean.mean())
            n_failed = sum(labels[kind] == name for labels in failed)
            errors = [
                float(values.std(ddof=1) / len(own) ** 0.5) if len(own) > 1 else None for values in (nme, identity)
            ]
            rows.append(
                (
                    name,
                    float(nme.mean()),
                    errors[0],
                    float(identity.mean()),
                    errors[1],
                    share,
                    float(lightness.mean()),
                    len(own),
                    n_failed,
                )
            )
            if len(own) >= _FEWEST:
                means.append((float(nme.mean()), share))
        if len(means) > 1:
            worst = [max(column) / min(column) for column in zip(*means, strict=True)]
            rows.append((f"worst over best, {kind}", worst[0], None, None, None, worst[1], None, None, None))
    return Table(
        "By sex, age and skin tone",
        (
            *("group", "NME, %", "standard error", "neutral face, mm", "standard error"),
            *("neutral face over mean head's", "lightness, L*", "samples", "failed"),
        ),
        tuple(rows),
        note=(
            "Neutral faces of a group that differs more from the mean head are harder, so their error is also given as a share of "
            f"the mean head's. Lightness is that found less the true one. Groups of fewer than {_FEWEST} are no worst or best."
        ),
    )
