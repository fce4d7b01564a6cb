"""Weights of the verifier of depth maps on disk; there is one build, so the header has no config."""

from __future__ import annotations

import os
from pathlib import Path

from recon.networks.depth.siamese import SiameseVerifier
from recon.networks.network_file import NetworkFile

FILE: NetworkFile[None, SiameseVerifier] = NetworkFile(
    "facerecon-depth-verifier-1",
    "verifier of depth maps",
    lambda verifier: {},
    lambda header: None,
    lambda config: SiameseVerifier(),
)


def save_verifier(
    path: str | os.PathLike[str],
    verifier: SiameseVerifier,
    metrics: dict[str, float],
    extra: dict[str, str] | None = None,
) -> Path:
    """Write a verifier, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        verifier: its weights.
        metrics: what it reaches.
        extra: anything else worth knowing.

    Raises:
        OutputError: see :meth:`recon.networks.network_file.NetworkFile.save`.
    """
    return FILE.save(path, verifier, metrics, extra)


def load_verifier(path: str | os.PathLike[str]) -> tuple[SiameseVerifier, dict[str, str]]:
    """The verifier in evaluation mode, and its header.

    Raises:
        CheckpointError: see :meth:`recon.networks.network_file.NetworkFile.load`.
    """
    return FILE.load(path)
