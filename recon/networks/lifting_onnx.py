"""Lifting networks as ONNX files, and the way to run one with onnxruntime."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.landmark_network import LandmarkPrediction
from recon.networks.lifting_checkpoint import FILE
from recon.networks.lifting_network import NOMINAL_SIZE, LiftedFaces, LiftingNetwork
from recon.networks.onnx_file import OnnxError, OnnxNetwork, least_seconds, relative_difference, write_onnx

_LANDMARKS = tuple(field.name for field in dataclasses.fields(LandmarkPrediction))
_INPUTS = (*_LANDMARKS, "intrinsics")
OUTPUTS = tuple(field.name for field in dataclasses.fields(LiftedFaces))
_FORMAT = "facerecon-lifting-onnx-1"


class _Plain(nn.Module):
    """Tensors in, tensors out."""

    def __init__(self, network: LiftingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, points: Tensor, log_sigma: Tensor, log_sigma_depth: Tensor, visible: Tensor, intrinsics: Tensor
    ) -> tuple[Tensor, ...]:
        landmarks = LandmarkPrediction(points, log_sigma, log_sigma_depth, visible)
        return tuple(_tensors(self.network(landmarks, intrinsics)).values())


def _tensors(lifted: LiftedFaces) -> dict[str, Tensor]:
    return {name: getattr(lifted, name) for name in OUTPUTS}


def export_lifting_onnx(
    network: LiftingNetwork, fingerprint: str, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write the network as one ONNX file.

    Inputs are those of :class:`recon.networks.landmark_network.LandmarkPrediction`, which outputs of a landmark network's ONNX file
    are, in the standard crop, and ``intrinsics`` (B, 3, 3); outputs those of :class:`recon.networks.lifting_network.LiftedFaces`.

    Args:
        network: it is put into evaluation mode.
        fingerprint: what its points mean, see :func:`recon.networks.landmark_checkpoint.landmark_fingerprint`.
        path: of the file.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_file`.
    """
    facts = {"format": _FORMAT, **FILE.describe(network), "landmarks": fingerprint}
    landmarks, intrinsics = _examples(network, 2)
    examples = {name: getattr(landmarks, name) for name in _LANDMARKS} | {"intrinsics": intrinsics}
    return write_onnx(path, _Plain(network), examples, OUTPUTS, facts, overwrite=overwrite)


def _examples(network: LiftingNetwork, count: int) -> tuple[LandmarkPrediction, Float[Tensor, "b 3 3"]]:
    generator = torch.Generator().manual_seed(0)
    noise = 0.02 * torch.randn(count, network.config.n_points, 3, generator=generator)
    log_sigma = -4.0 + 10.0 * noise[..., 0]
    landmarks = LandmarkPrediction(network.mean_points + noise, log_sigma, log_sigma, 100.0 * noise[..., 1])
    middle = 0.5 * NOMINAL_SIZE
    intrinsics = torch.tensor([[1000.0, 0.0, middle], [0.0, 1000.0, middle], [0.0, 0.0, 1.0]])
    return landmarks, intrinsics.expand(count, 3, 3).clone()


def example_inputs(network: LiftingNetwork, count: int) -> dict[str, np.ndarray]:
    """Landmarks near the mean face's and their cameras, by the names of the file's inputs."""
    landmarks, intrinsics = _examples(network, count)
    tensors = {name: getattr(landmarks, name) for name in _LANDMARKS} | {"intrinsics": intrinsics}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


class OnnxLiftingNetwork:
    """A lifting network run by onnxruntime; called like :class:`recon.networks.lifting_network.LiftingNetwork`.

    Args:
        path: of a file that :func:`export_lifting_onnx` wrote.
        threads: of onnxruntime; 0 leaves it to it.

    Attributes:
        config: how the network was built.
        face_blocks: of the face model.
        fingerprint: what its points mean.

    Raises:
        OnnxError: no such file, a damaged one, or another format.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0) -> None:
        self._network = OnnxNetwork(path, "lifting network", _FORMAT, _INPUTS, OUTPUTS, threads)
        (self.config, self.face_blocks), self.fingerprint = self._network.described(
            lambda facts: (FILE.config_of(facts), facts["landmarks"])
        )

    def __call__(self, landmarks: LandmarkPrediction, intrinsics: Float[Tensor, "b 3 3"]) -> LiftedFaces:
        """The heads, on the CPU.

        Raises:
            ValueError: another number of landmarks.
            OnnxError: the file's network fails, or gives what its description does not say.
        """
        count, n_points = landmarks.log_sigma.shape
        if n_points != self.config.n_points:
            raise ValueError(f"this network takes {self.config.n_points} landmarks, got {n_points}")
        inputs = {name: getattr(landmarks, name) for name in _LANDMARKS} | {"intrinsics": intrinsics}
        n_identity, n_expression = self.face_blocks.n_identity, self.face_blocks.n_expression
        rest = ((n_identity,), (n_expression,), (3, 3), (3,), (n_identity,), (n_expression,), (3, 3), (3,))
        shapes = {name: (count, *shape) for name, shape in zip(OUTPUTS, rest, strict=True)}
        return LiftedFaces(**self._network.run(inputs, shapes))


def is_lifting_onnx(path: str | os.PathLike[str]) -> bool:
    """Whether an ONNX file is that of a lifting network; of files that cannot be opened as one, False: whoever opens them says what is
    wrong."""
    try:
        OnnxLiftingNetwork(path, threads=1)
    except OnnxError:
        return False
    return True


def compare_lifting_with_torch(
    network: LiftingNetwork, path: str | os.PathLike[str], repeats: int = 20
) -> tuple[float, float]:
    """Largest difference between onnxruntime and torch on random landmarks, over each output's largest value; and the least time of
    one face on one thread in seconds."""
    exported = OnnxLiftingNetwork(path, threads=1)
    landmarks, intrinsics = _examples(network, 3)
    one, its_intrinsics = _examples(network, 1)
    with torch.no_grad():
        wanted = _tensors(network(landmarks, intrinsics))
    difference = relative_difference(_tensors(exported(landmarks, intrinsics)), wanted)
    return difference, least_seconds(lambda: exported(one, its_intrinsics), repeats)
