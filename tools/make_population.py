"""Makes ``recon/synthesis/scene/population.npz``: ``python tools/make_population.py``.

The open model's identity components come from a population of MakeHuman heads whose sex, age and ethnic groups are
known. The table says what the coefficients of a person are on average, given these, and how much they still vary:
a regression over the population. Needed only when the identity components of the open model change.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np

from bfm.data import FloatArray
from bfm.open.build import shape_weights
from bfm.open.head_mesh import cut_head
from bfm.open.identity import principal_components, read_offsets, sample_population, without_rigid_motion
from bfm.open.makehuman import data_folder, read_base_mesh
from bfm.open.options import MAX_IDENTITY
from recon.synthesis.scene.people import POPULATION_TABLE, features


def population_table() -> tuple[FloatArray, FloatArray]:
    """Slopes ``(F, K)`` of the coefficients on the features of a person, and what is left of each, ``(K,)``.

    Samples the population, takes its components as the build does, and regresses.
    """
    folder = data_folder()
    base = read_base_mesh(folder)
    head = cut_head(base)
    rest = head.binding @ base.vertices
    population = sample_population(folder)
    offsets = read_offsets(population, len(base.vertices), lambda o: head.binding @ o, lambda n: None)
    weights = shape_weights(head, rest)
    average = rest + np.tensordot(population.weights.mean(axis=0), offsets.astype(np.float64), 1)
    moved = without_rigid_motion(offsets.astype(np.float64), average, weights)
    scores = principal_components(population, moved, weights, MAX_IDENTITY).scores
    known = population.attributes
    columns = [known[name] for name in ("gender", "age", "african", "asian", "weight")]
    design = features(np.stack(columns, axis=1))
    slopes, *_ = np.linalg.lstsq(design, scores, rcond=None)
    return slopes, (scores - design @ slopes).std(axis=0)


def main() -> None:
    """Write the table and say how much it explains."""
    slopes, rest_sigma = population_table()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, slopes=slopes.astype(np.float32), rest_sigma=rest_sigma.astype(np.float32))
    path = Path(__file__).parents[1] / "recon" / "synthesis" / "scene" / POPULATION_TABLE
    path.write_bytes(buffer.getvalue())
    explained = 1.0 - rest_sigma**2
    sys.stdout.write(f"wrote {path}: variance explained in the first components {explained[:12].round(2).tolist()}\n")


if __name__ == "__main__":
    main()
