"""Whether the open model's people have the measures of real people: random heads beside a survey.

    python benchmarks/model_anthropometry.py [--people 2000]

Heads are sampled with N(0, 1) identity coefficients. The survey is ANSUR II: 4082 men and 1986 women of the US Army
measured by hand in 2010-2012, whose raw data is in the public domain (Gordon et al. 2014, Natick TR-15/007; files
"ANSUR II MALE/FEMALE Public.csv"). Means and standard deviations below were computed from those files. The column
"both" pools men and women in equal parts, as the model does. Measures that the survey lacks are printed without it.

A survey touches skin and bone with calipers; the model is measured between landmarks on the skin, so a few millimetres
between the two belong to the method.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from _report import print_header, print_table

import bfm
from bfm.model import MorphableModel

SEED = 5
BATCH = 50

# Between two of MediaPipe's 478 points.
BETWEEN = {
    "interpupillary breadth": (468, 473),
    "bizygomatic breadth": (234, 454),
    "menton-sellion length": (152, 168),
    "bigonial breadth": (172, 397),
    "subnasale-sellion length": (2, 168),
    "nose breadth": (129, 358),
    "lip length": (61, 291),
}
# Men's mean and standard deviation, women's mean and standard deviation, mm.
SURVEY = {
    "interpupillary breadth": (64.0, 3.4, 61.7, 3.6),
    "bizygomatic breadth": (142.6, 6.2, 133.8, 5.6),
    "menton-sellion length": (122.6, 6.7, 113.1, 6.1),
    "head breadth": (154.3, 5.5, 147.8, 5.2),
    "head length": (199.5, 7.0, 189.8, 7.4),
    "ear length": (64.2, 4.5, 59.4, 3.9),
}
_GLABELLA = 9


def measure(model: MorphableModel, heads: torch.Tensor) -> dict[str, torch.Tensor]:
    """Measures ``(B,)`` in mm of heads ``(B, V, 3)``."""
    points = model.landmarks(heads, "478")
    found = {name: torch.linalg.norm(points[:, a] - points[:, b], dim=-1) for name, (a, b) in BETWEEN.items()}
    # The widest place above the ears, and from the glabella to the farthest point of the back of the head.
    above = model.region("scalp") & ~model.region("ears") & (model.mean_shape[:, 1] > 25.0)
    x = heads[:, above, 0]
    found["head breadth"] = x.amax(dim=1) - x.amin(dim=1)
    back = model.region("scalp") & (model.mean_shape[:, 1] > 0.0)
    found["head length"] = points[:, _GLABELLA, 2] - heads[:, back, 2].amin(dim=1)
    ear = model.region("ears") & (model.mean_shape[:, 0] > 0.0)
    found["ear length"] = heads[:, ear, 1].amax(dim=1) - heads[:, ear, 1].amin(dim=1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--components", type=int, default=80)
    options = parser.parse_args()
    print_header()
    model = bfm.load("open", n_identity=options.components)
    generator = torch.Generator().manual_seed(SEED)
    weights = torch.randn(options.people, model.n_identity, generator=generator)
    with torch.no_grad():
        parts = [measure(model, model.shape(batch)) for batch in weights.split(BATCH)]
    rows = []
    for name in (*SURVEY, *(n for n in BETWEEN if n not in SURVEY)):
        values = torch.cat([part[name] for part in parts]).numpy()
        row = [name, f"{values.mean():.1f} +- {values.std():.1f}"]
        if name in SURVEY:
            men, spread_men, women, spread_women = SURVEY[name]
            spread = np.sqrt(0.5 * (spread_men**2 + spread_women**2) + 0.25 * (men - women) ** 2)
            row += [f"{0.5 * (men + women):.1f} +- {spread:.1f}"]
            row += [f"{men:.1f} +- {spread_men:.1f}", f"{women:.1f} +- {spread_women:.1f}"]
        rows.append(row + ["-"] * (5 - len(row)))
    columns = ("measure, mm", "open model", "survey, both", "men", "women")
    print_table(f"{options.people} random heads, {options.components} identity components", columns, rows)


if __name__ == "__main__":
    main()
