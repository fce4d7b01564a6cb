"""The Z-up world of C3I-SynFace and its capture modes (Basak et al. 2023, Data in Brief): constants, and cameras and heads in it.

World of the published files: metres, x to the right, y away from the first camera, z up. A camera looks along its own
-z, y up, so a camera at rest has the rotation (90, 0, 0) degrees. The head at rest looks along -y. Our head turns about
the point between the eyes, which is their head point, so the point stays where it starts.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.rotation import euler_to_matrix, matrix_to_euler

MODES = ("HeadRot", "CameraTran", "HeadCameraRotTran")
SCENES = ("Barbershop", "Classroom")
"""Names of the published set's scene folders. Ours hold other backgrounds under these names."""
FIELD_OF_VIEW_DEG = 60.0
SIZE = (480, 640)
DISTANCE_M = 0.3
TO_WORLD = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
"""Our axes (x right, y up, z to the viewer) to the world's."""


@dataclasses.dataclass(frozen=True, eq=False)
class Capture:
    """B cameras and heads in the world.

    Attributes:
        mode: ``(B,)`` index into MODES.
        camera_m, head_m: ``(B, 3)`` places in metres; of the head, the point between the eyes.
        camera_rotation: ``(B, 3, 3)`` camera to world.
        head_rotation: ``(B, 3, 3)`` of the head from its rest, in the world.
    """

    mode: Int[Tensor, " b"]
    camera_m: Float[Tensor, "b 3"]
    head_m: Float[Tensor, "b 3"]
    camera_rotation: Float[Tensor, "b 3 3"]
    head_rotation: Float[Tensor, "b 3 3"]

    @property
    def head_to_camera(self) -> tuple[Float[Tensor, "b 3 3"], Float[Tensor, "b 3"]]:
        """The heads as their cameras see them: rotations, and translations in mm, object to camera."""
        to_world = self.head_m.new_tensor(TO_WORLD)
        to_camera = self.camera_rotation.transpose(1, 2)
        translation_mm = 1000.0 * (to_camera @ (self.head_m - self.camera_m)[..., None])[..., 0]
        return to_camera @ self.head_rotation @ to_world, translation_mm


def world_angles_deg(rotation: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3"]:
    """Yaw, pitch, roll of the published text files: Euler angles e of Rz Ry Rx as (e_z, e_x, e_y), degrees."""
    about_x, about_y, about_z = torch.rad2deg(matrix_to_euler(rotation)).unbind(-1)
    return torch.stack((about_z, about_x, about_y), dim=-1)


def world_rotation(angles_deg: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """The inverse of :func:`world_angles_deg`."""
    yaw, pitch, roll = torch.deg2rad(angles_deg).unbind(-1)
    return euler_to_matrix(torch.stack((pitch, roll, yaw), dim=-1))
