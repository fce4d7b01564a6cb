"""Glasses, and hands or things in front of the face."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon.rotation import euler_to_matrix
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.parts import Part, grid_faces, present
from recon.synthesis.sample import SEGMENT_NAMES

_RIM, _TUBE, _SIDE_POINTS = 28, 4, 6
_LENGTHWISE, _AROUND = 9, 12


def glasses_part(rng: CounterRng, marks_obj: Float[Tensor, "b 68 3"], there: Tensor) -> tuple[Tensor, Part]:
    """Two rims, bridge, sides and lenses, fitted to the eyes.

    Args:
        draws: of the persons.
        marks_obj: ``(B, 68, 3)`` landmarks of the head, object frame.
        there: ``(B,)`` bool, who wears glasses.

    Returns:
        Vertices ``(B, G, 3)`` in the object frame, and the part with those in place of camera coordinates. The place's
        first coordinate is the opacity.
    """
    device = marks_obj.device
    eyes = torch.stack((marks_obj[:, 36:42].mean(dim=1), marks_obj[:, 42:48].mean(dim=1)), dim=1)
    middle, gap = eyes.mean(dim=1), (eyes[:, 1, 0] - eyes[:, 0, 0])
    wide = gap * rng.uniform("glass width", low=0.36, high=0.45)
    high = wide * rng.uniform("glass height", low=0.62, high=1.0)
    square = rng.uniform("glass square", low=2.0, high=4.5)[:, None]
    radius = rng.uniform("rim", low=0.7, high=2.6)
    turn = torch.linspace(0.0, 2.0 * math.pi, _RIM + 1, device=device)[:-1]
    cos, sin = turn.cos(), turn.sin()
    outline = torch.stack(
        (
            cos.sign() * cos.abs() ** (2.0 / square) * wide[:, None],
            sin.sign() * sin.abs() ** (2.0 / square) * high[:, None],
        ),
        dim=-1,
    )  # (B, R, 2)
    front = marks_obj[:, 27, 2] + 7.0
    lenses, tubes = [], []
    for k, side in enumerate((-1.0, 1.0)):
        centre = torch.stack((middle[:, 0] + side * 0.52 * gap, eyes[:, k, 1] - 2.0, front), dim=-1)
        bent = -0.10 * (side * outline[..., :1]).clamp_min(0.0)
        ring = centre[:, None] + torch.cat((outline, bent), dim=-1)
        tubes.append(_tube(ring, radius, closed=True))
        lenses.append(torch.cat((ring, centre[:, None]), dim=1))
        end = torch.stack((side * 80.0 * torch.ones_like(front), eyes[:, k, 1] + 2.0, front - 92.0), dim=-1)
        start = ring[:, 0 if side > 0 else _RIM // 2]
        share = torch.linspace(0.0, 1.0, _SIDE_POINTS, device=device)[None, :, None]
        out = torch.stack((side * 7.0 * torch.ones_like(front), 0.0 * front, 0.0 * front), dim=-1)[:, None]
        line = start[:, None] + share * (end - start)[:, None] + out * torch.sin(math.pi * share.clamp(0.0, 0.5))
        tubes.append(_tube(line, radius, closed=False))
    left, right = lenses[0][:, 0], lenses[1][:, _RIM // 2]
    share = torch.linspace(0.0, 1.0, _SIDE_POINTS, device=device)[None, :, None]
    rise = torch.tensor([0.0, 4.0, 1.5], device=device) * torch.sin(math.pi * share)
    tubes.append(_tube(left[:, None] + share * (right - left)[:, None] + rise, radius, closed=False))

    colour = _frame_colours(rng)
    dark = rng.chance("sunglasses", 0.22)
    opacity = torch.where(dark, rng.uniform("tint", low=0.75, high=0.97), rng.uniform("tint", low=0.02, high=0.10))
    vertices, faces, solid, first = [], [], [], 0
    for tube in tubes:
        closed = tube.shape[1] == _RIM
        vertices.append(tube.flatten(1, 2))
        faces.append(_tube_faces(tube.shape[1], closed).to(device) + first)
        solid.append(torch.ones_like(vertices[-1][..., 0]))
        first += vertices[-1].shape[1]
    fan = torch.stack((torch.arange(_RIM), (torch.arange(_RIM) + 1) % _RIM, torch.full((_RIM,), _RIM)), dim=1).to(
        device
    )
    for lens in lenses:
        vertices.append(lens)
        faces.append(fan + first)
        solid.append(opacity[:, None].expand(lens.shape[:2]))
        first += lens.shape[1]
    v_obj = present(torch.cat(vertices, dim=1), there)
    solid_all = torch.cat(solid, dim=1)
    glass = (solid_all < 0.999)[..., None]
    albedo = torch.where(glass, torch.full_like(colour, 0.012)[:, None], colour[:, None])
    place = torch.stack((solid_all, torch.zeros_like(solid_all), torch.zeros_like(solid_all)), dim=-1)
    return v_obj, Part(v_obj, torch.cat(faces), albedo, place, SEGMENT_NAMES.index("glasses"))


def hand_or_object_part(
    rng: CounterRng, marks_cam: Float[Tensor, "b 68 3"], skin: Float[Tensor, "b 3"], there: Tensor
) -> Part:
    """A hand (five fingers side by side with a palm) or a smooth thing, near the face, in the camera frame."""
    batch, device = len(marks_cam), marks_cam.device
    hand = rng.chance("hand", 0.6)
    spread = rng.uniform("finger spread", low=0.0, high=0.22)
    along = torch.linspace(0.0, 1.0, _LENGTHWISE, device=device)
    around = torch.linspace(0.0, 2.0 * math.pi, _AROUND + 1, device=device)[:-1]
    # Fingers: length, radius, place on the palm; the last is the palm itself.
    lengths = torch.tensor([62.0, 74.0, 80.0, 74.0, 58.0, 95.0], device=device)
    radii = torch.tensor([10.0, 9.0, 9.0, 8.5, 7.5, 44.0], device=device)
    places = torch.tensor([-52.0, -30.0, -10.0, 10.0, 29.0, -8.0], device=device)
    angles = torch.tensor([-2.6, -1.0, -0.3, 0.4, 1.1, 0.0], device=device) * spread[:, None]
    bend = rng.uniform("finger bend", 6, low=0.0, high=0.5)
    bend = torch.where(torch.arange(6, device=device) == 5, 0.0, bend)
    ends = torch.sin(math.pi * (0.02 + 0.96 * along)).clamp_min(0.02) ** 0.35
    length = along[None, None] * lengths[:, None]
    x = places[None, :, None] + length * torch.sin(angles)[..., None]
    y = (
        length * torch.cos(angles)[..., None]
        + torch.where(torch.arange(6, device=device) == 5, -78.0, -14.0)[None, :, None]
    )
    z = -0.5 * bend[..., None] * length * along
    centre = torch.stack((x, y, z), dim=-1)[..., None, :]  # (B, 6, L, 1, 3)
    thick = torch.where(torch.arange(6, device=device) == 5, 0.28, 1.0)[None, :, None, None]
    ring = torch.stack((around.cos().expand(1, 6, 1, -1), torch.zeros(1, 6, 1, _AROUND, device=device),
                        thick * around.sin()), dim=-1)  # fmt: skip
    tubes = centre + ring * (radii[:, None] * ends)[None, :, :, None, None]
    # A thing: one ellipsoid instead of the fingers, which vanish in it.
    sizes = rng.uniform("thing size", 3, low=18.0, high=70.0)
    polar = math.pi * along
    ball = torch.stack(
        (
            polar.sin()[:, None] * around.cos(), polar.cos()[:, None].expand(-1, _AROUND) * -1.0,
            polar.sin()[:, None] * around.sin(),
        ), dim=-1,
    )  # fmt: skip
    thing = (ball[None] * sizes[:, None, None])[:, None].expand(-1, 6, -1, -1, -1)
    keep = (torch.arange(6, device=device) == 5)[None, :, None, None, None]
    thing = torch.where(keep, thing, thing[:, :, :1, :1])
    shape = torch.where(hand[:, None, None, None, None], tubes, thing).flatten(1, 3)
    turn = euler_to_matrix(
        torch.stack(
            (0.5 * rng.normal("hold pitch"), 0.5 * rng.normal("hold yaw"), torch.pi * 2 * rng.uniform("hold")), 1
        )
    )
    anchor = marks_cam.gather(1, rng.integer("touched", 68)[:, None, None].expand(-1, 1, 3))[:, 0]
    towards = -torch.nn.functional.normalize(anchor, dim=1)
    offset = 25.0 * rng.normal("held", 3) + (30.0 + 30.0 * rng.uniform("held away"))[:, None] * towards
    v_cam = present(shape @ turn.transpose(1, 2) + (anchor + offset)[:, None], there)
    colour = torch.where(hand[:, None], skin, rng.uniform("thing colour", 3) ** 1.6)
    faces = torch.cat([grid_faces(_LENGTHWISE, _AROUND, closed=True) + k * _LENGTHWISE * _AROUND for k in range(6)]).to(
        device
    )
    place = torch.zeros_like(v_cam)
    place[..., 0] = 1.0
    return Part(v_cam, faces, colour[:, None].expand(batch, v_cam.shape[1], 3), place, SEGMENT_NAMES.index("occluder"))


def _frame_colours(rng: CounterRng) -> Float[Tensor, "b 3"]:
    colour = rng.uniform("frame colour", 3) ** 2.5
    black = rng.chance("black frame", 0.5)[:, None]
    return torch.where(black, torch.full_like(colour, 0.015), colour)


def _tube(line: Float[Tensor, "b n 3"], radius: Float[Tensor, " b"], closed: bool) -> Float[Tensor, "b n t 3"]:
    """A square tube along a line; cross-sections stand on the line's direction and the y or z axis."""
    before = line.roll(1, 1) if closed else torch.cat((line[:, :1], line[:, :-1]), dim=1)
    after = line.roll(-1, 1) if closed else torch.cat((line[:, 1:], line[:, -1:]), dim=1)
    along = torch.nn.functional.normalize(after - before, dim=-1)
    axis = line.new_tensor([0.0, 0.0, 1.0] if closed else [0.0, 1.0, 0.0]).expand_as(along)
    across = torch.nn.functional.normalize(torch.linalg.cross(along, axis), dim=-1)
    other = torch.linalg.cross(across, along)
    angles = torch.arange(_TUBE, device=line.device) * (2.0 * math.pi / _TUBE)
    ring = angles.cos()[:, None] * across[:, :, None] + angles.sin()[:, None] * other[:, :, None]
    return line[:, :, None] + radius[:, None, None, None] * ring


def _tube_faces(n: int, closed: bool) -> Tensor:
    """Faces of a tube of ``n`` cross-sections."""
    faces = grid_faces(n, _TUBE, closed=True)
    if not closed:
        return faces
    last = (n - 1) * _TUBE
    around = torch.arange(_TUBE)
    a, b, c, d = last + around, last + (around + 1) % _TUBE, around, (around + 1) % _TUBE
    return torch.cat((faces, torch.stack((a, c, b), 1), torch.stack((b, c, d), 1)))
