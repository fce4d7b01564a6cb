from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_clips import LOST, SIZE, N, pixels_of, write_clip
from scipy.spatial.transform import Rotation

import bfm
from recon.lighting import ambient
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.moving import MovingConfig, MovingHeads
from recon.synthesis.sample import FaceBatch
from recon.tracking.estimate_variances import usual_variances
from recon.tracking.head_track import HeadTrack
from recon.tracking.known_person import KnownPerson
from recon.tracking.tracker import Tracker

_PEOPLE = (3, 0)


@pytest.fixture(scope="session")
def moving_heads(open_model: bfm.MorphableModel) -> MovingHeads:
    """People whose heads turn and speak for half a second."""
    config = MovingConfig(n_frames=12, noise=False, look=SynthesisConfig(glasses=0.0, occluders=0.0))
    return MovingHeads(open_model, config, seed=5, size=SIZE)


@pytest.fixture(scope="session")
def drawn_frames(moving_heads: MovingHeads) -> dict[int, list[FaceBatch]]:
    """The frames of two people."""
    return {number: list(moving_heads(person)) for number, person in enumerate(_PEOPLE)}


@pytest.fixture(scope="session")
def clip(drawn_frames: dict[int, list[FaceBatch]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of the first person."""
    return write_clip(tmp_path_factory.mktemp("clip") / "one.mp4", [pixels_of(frame) for frame in drawn_frames[0]])


@pytest.fixture(scope="session")
def tracker(open_model: bfm.MorphableModel) -> Tracker:
    return Tracker(open_model, "fast", people="all")


@pytest.fixture(scope="session")
def video_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = [np.full((*SIZE, 3), 90 + k, np.uint8) for k in range(N)]
    return write_clip(tmp_path_factory.mktemp("clip") / "grey.mp4", pictures)


@pytest.fixture(scope="session")
def made_up_track(open_model: bfm.MorphableModel, video_path: Path) -> HeadTrack:
    """Made up: a head that turns and opens its mouth, and is lost in between."""
    found = np.array([k not in LOST for k in range(N)])
    rotation = Rotation.from_euler("y", np.linspace(-30.0, 30.0, N)[:, None], degrees=True).as_matrix()
    expression = np.zeros((N, 52))
    expression[:, open_model.expression_names.index("jawOpen")] = np.linspace(0.0, 0.8, N)

    def where_found(values: np.ndarray) -> np.ndarray:
        return np.where(found.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)

    light = ambient(torch.tensor([[0.8, 0.8, 0.8]])).numpy().repeat(N, axis=0)
    return HeadTrack(
        source=str(video_path),
        size=SIZE,
        model=open_model,
        person=KnownPerson(torch.zeros(1, 80), torch.zeros(1, 80), 300.0, (SIZE[1] / 2, SIZE[0] / 2)),
        key_frames=(LOST[0], 5, 0),
        texture_frames=(5, 0),
        index=np.arange(N),
        time_s=0.04 * np.arange(N) + 2.0,
        rotation=where_found(rotation),
        translation_mm=where_found(np.tile([10.0, 20.0, -600.0], (N, 1))),
        expression=where_found(expression),
        sharpness=where_found(np.ones(N)),
        lighting=where_found(light),
        sigma_rad=where_found(np.full((N, 3), 0.01)),
        sigma_mm=where_found(np.full((N, 3), 2.0)),
        reason=tuple("" if one else "no face was found" for one in found),
        cuts=(2,),
        variances=usual_variances(52),
        causal=False,
        notes=("a note",),
    )
