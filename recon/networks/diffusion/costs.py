"""Parameters and multiply-adds of the dubbing editors. Their paper prints neither."""

from __future__ import annotations

import torch

from recon.networks.complexity import counted
from recon.networks.diffusion.editor_network import GUIDE_CHANNELS, VOICE_BANDS, EditorConfig, EditorNetwork
from recon.networks.diffusion.noise_schedule import NoiseSchedule

EDITOR_ROWS: tuple[tuple[str, EditorConfig], ...] = (
    ("dubbing editor, one speaker", EditorConfig()),
    (
        "dubbing editor, many speakers",
        EditorConfig(multiples=(1, 2, 3), attention_px=(32,), schedule=NoiseSchedule("cosine", 1000)),
    ),
    (
        "our dubbing editor",
        EditorConfig(
            size=64,
            patch=2,
            channels=32,
            multiples=(1, 2, 4),
            blocks=1,
            dropout=0.0,
            voice="articulators",
            guide=GUIDE_CHANNELS,
            follows=False,
            difference=4.0,
            draw_steps=1,
            schedule=NoiseSchedule("cosine", 1000),
            target="velocity",
        ),
    ),
)
"""The two configurations of Bigioi et al. 2024, and the one that comes with the package."""
EDITOR_FOOTNOTE = "Dubbing editors: one step of one frame; their paper prints no sizes."


def editor_complexity(config: EditorConfig) -> tuple[float, float]:
    """Millions of parameters, and 10^9 multiply-adds of one step of one frame; see :func:`recon.networks.complexity.complexity`."""
    with torch.device("meta"):
        seen = torch.zeros(1, config.inputs, config.size, config.size)
        voice = torch.zeros(1, config.window, VOICE_BANDS[config.voice])
        return counted(EditorNetwork(config), seen, torch.zeros(1), voice)
