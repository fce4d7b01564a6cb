"""How a run of training goes, beside what is learnt from what."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """From where a regressor's training starts, and how its steps are made and averaged.

    Attributes:
        initial_weights: a ``.safetensors`` or ``.ckpt`` file of another run, whose averaged weights the network starts from
            (instead of ImageNet's); everything else starts anew. The same network for the same face model.
        average: decay of the averaged weights, which validation and checkpoints use; 0 keeps the latest.
        picture_every: losses that need a rendered picture are computed in every k-th step, with k times their weight.
        compile: train the network through ``torch.compile``. Worth its minutes of compiling in long runs on a GPU.

    Raises:
        ValueError: a decay that is none, or pictures in no step.
    """

    initial_weights: str | None = None
    average: float = 0.999
    picture_every: int = 1
    compile: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.average < 1.0:
            raise ValueError(
                f"the decay of averaged weights must lie in [0, 1), got {self.average}; run.average 0 keeps the latest"
            )
        if self.picture_every < 1:
            raise ValueError(
                f"picture_every must be at least 1, got {self.picture_every}; weights.photometric 0 leaves the picture out"
            )
