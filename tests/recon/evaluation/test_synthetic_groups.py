"""Tables by sex, age and tone."""

import pytest

from recon.evaluation.protocols.synthetic_groups import GROUPS, group_table, person_labels
from recon.evaluation.reports.result import Sample


def _sample(number: int, years: float, male: float, tone: int, nme: float) -> Sample:
    values = {"nme2d": nme, "identity": 2.0, "mean_identity": 4.0 if male else 5.0, "lightness": -1.0}
    return Sample(f"{number}", f"{number}", values, person_labels([male, years, 1.0, 0.0, 0.0, 0.5], tone))


@pytest.mark.parametrize(
    ("years", "male", "tone", "labels"),
    [
        (39.9, 1.0, 5, ("men", "under 40", "Monk 1 to 5")),
        (40.0, 0.0, 6, ("women", "40 to 60", "Monk 6")),
        (60.0, 0.0, 7, ("women", "60 and older", "Monk 7")),
        (89.0, 1.0, 8, ("men", "60 and older", "Monk 8 to 10")),
    ],
)
def test_people_belong_to_one_group_of_each_kind(years, male, tone, labels):
    found = person_labels([male, years, 0.2, 0.3, 0.5, 0.5], tone)
    assert tuple(found[kind] for kind in GROUPS) == labels


def test_the_worst_group_is_measured_against_the_best():
    samples = [_sample(k, 30.0, float(k % 2), 6, 3.0 if k % 2 else 2.0) for k in range(50)]
    samples += [_sample(100 + k, 70.0, 1.0, 6, 90.0) for k in range(3)]
    rows = {row[0]: row for row in group_table(samples, [samples[-1].labels, samples[0].labels]).rows}
    assert rows["women"][1:] == (2.0, 0.0, 2.0, 0.0, pytest.approx(0.4), -1.0, 25, 1)
    assert rows["men"][1] == pytest.approx((25 * 3.0 + 3 * 90.0) / 28) and rows["men"][-2:] == (28, 1)
    assert rows["worst over best, sex"][1] == pytest.approx(rows["men"][1] / 2.0)
    assert rows["worst over best, sex"][5] == pytest.approx(0.5 / 0.4)
    # Three old people are no group to judge by.
    assert "worst over best, age" not in rows and rows["60 and older"][-2:] == (3, 1)
