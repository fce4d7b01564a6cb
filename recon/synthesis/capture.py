"""The three capture modes of the published synthetic depth set (SPEC_OTHER_SYSTEMS.md A.5), in its Z-up world.

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
from recon.synthesis.draws import Draws
from recon.synthesis.poses import HeadPoses

MODES = ("HeadRot", "CameraTran", "HeadCameraRotTran")
SCENES = ("Barbershop", "Classroom")
"""Names of the published set's scene folders (001:814, 001:1011). Ours hold other backgrounds under these names."""
FIELD_OF_VIEW_DEG = 60.0
SIZE = (480, 640)
DISTANCE_M = 0.3
_HEAD_POINT_M = (0.0, 0.0, 1.65)
_STEP_DEG, _MOST_DEG = 3.0, 30.0
_NOD_DEG = (0.0, 20.0, -20.0)
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
    def poses(self) -> HeadPoses:
        """The heads as their cameras see them."""
        to_world = self.head_m.new_tensor(TO_WORLD)
        to_camera = self.camera_rotation.transpose(1, 2)
        translation = 1000.0 * (to_camera @ (self.head_m - self.camera_m)[..., None])[..., 0]
        distance = torch.linalg.vector_norm(translation, dim=1)
        return HeadPoses(to_camera @ self.head_rotation @ to_world, translation, distance)


def draw_capture(draws: Draws) -> Capture:
    """One capture a sample, of the three modes in equal parts."""
    device = draws.device
    mode = draws.integer("capture mode", len(MODES))
    batch = len(draws.keys)
    head = torch.tensor(_HEAD_POINT_M, device=device).expand(batch, 3)
    steps = int(_MOST_DEG / _STEP_DEG)
    yaw = _STEP_DEG * (draws.integer("capture yaw", 2 * steps + 1) - steps).float()
    nod = torch.tensor(_NOD_DEG, device=device)[draws.integer("capture nod", len(_NOD_DEG))]
    turned = (mode != MODES.index("CameraTran")).float()
    zero = torch.zeros_like(yaw)
    head_rotation = euler_to_matrix(torch.deg2rad(torch.stack((turned * nod, zero, turned * yaw), dim=1)))
    start = head - torch.tensor([0.0, DISTANCE_M, 0.0], device=device)
    moved = torch.stack(
        (draws.uniform("capture x", low=0.001, high=0.140), zero, draws.uniform("capture z", low=0.001, high=0.04)), 1
    )
    phi = torch.deg2rad(draws.uniform("capture phi", low=60.0, high=120.0))
    theta = torch.deg2rad(draws.uniform("capture theta", low=-45.0, high=45.0))
    sphere = torch.stack((-theta.sin() * phi.sin(), -theta.cos() * phi.sin(), phi.cos()), dim=1)
    camera = torch.where((mode == 1)[:, None], start + moved, start)
    camera = torch.where((mode == 2)[:, None], head + DISTANCE_M * sphere, camera)
    rest = torch.tensor(TO_WORLD, device=device).expand(batch, 3, 3)
    rotation = torch.where((mode == 2)[:, None, None], _aimed(head - camera), rest)
    return Capture(mode, camera, head, rotation, head_rotation)


def world_angles_deg(rotation: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3"]:
    """Yaw, pitch, roll of the published text files: Euler angles e of Rz Ry Rx as (e_z, e_x, e_y), degrees."""
    about_x, about_y, about_z = torch.rad2deg(matrix_to_euler(rotation)).unbind(-1)
    return torch.stack((about_z, about_x, about_y), dim=-1)


def world_rotation(angles_deg: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """The inverse of :func:`world_angles_deg`."""
    yaw, pitch, roll = torch.deg2rad(angles_deg).unbind(-1)
    return euler_to_matrix(torch.stack((pitch, roll, yaw), dim=-1))


def _aimed(direction: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Cameras that look along a direction with the world's z up in the picture."""
    back = -torch.nn.functional.normalize(direction, dim=1)
    up = direction.new_tensor([0.0, 0.0, 1.0]).expand_as(back)
    right = torch.nn.functional.normalize(torch.linalg.cross(up, back), dim=1)
    return torch.stack((right, torch.linalg.cross(back, right), back), dim=-1)
