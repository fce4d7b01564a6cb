"""A head as the sliders show it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from recon.app.drawn_data import expression_names
from recon.reconstruction import Reconstruction
from recon.rotation import euler_to_matrix


@dataclasses.dataclass(frozen=True)
class Edits:
    """Where sliders stand; what is not named stays as it was found.

    Attributes:
        expression: weights by name.
        identity: coefficients by number.
        pose_deg: yaw, pitch and roll against the camera's axis, or None.
    """

    expression: Mapping[str, float] = dataclasses.field(default_factory=dict)
    identity: Mapping[int, float] = dataclasses.field(default_factory=dict)
    pose_deg: tuple[float, float, float] | None = None

    def __bool__(self) -> bool:
        return bool(self.expression or self.identity or self.pose_deg is not None)

    def of(self, head: Reconstruction) -> Reconstruction:
        """The head with these edits; its texture must be taken from the head as it was found, which fits the photo."""
        names = expression_names(head.model)
        expression, identity = head.expression.clone(), head.identity.clone()
        for name, weight in self.expression.items():
            expression[0, names.index(name)] = weight
        for number, coefficient in self.identity.items():
            identity[0, number] = coefficient
        camera = head.camera
        if self.pose_deg is not None:
            yaw, pitch, roll = self.pose_deg
            rotation = euler_to_matrix(torch.deg2rad(torch.tensor([[pitch, yaw, roll]])))
            camera = camera.with_pose(rotation.to(camera.rotation), camera.translation_mm)
        return dataclasses.replace(head, expression=expression, identity=identity, camera=camera)
