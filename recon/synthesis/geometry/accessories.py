"""Glasses, and hands or objects in front of the face."""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.rotation import euler_to_matrix
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.attributes import GlassesAttributes
from recon.synthesis.geometry.parts import Head, Part, collapse_absent, grid_faces
from recon.synthesis.sample import SEGMENT_NAMES

_RIM, _TUBE, _SIDE_POINTS = 28, 4, 6
"""Points around a rim, around a tube, and along a temple or bridge."""
_SIDES = (-1.0, 1.0)
"""Sign of x of the two lenses: the viewer's left first."""
_LENS_ALBEDO = 0.012
_LENGTHWISE, _AROUND = 9, 12
# Five fingers and, last, the palm: length mm, radius mm, place across the palm mm, direction per unit of spread.
_HAND = (
    (62.0, 10.0, -52.0, -2.6),
    (74.0, 9.0, -30.0, -1.0),
    (80.0, 9.0, -10.0, -0.3),
    (74.0, 8.5, 10.0, 0.4),
    (58.0, 7.5, 29.0, 1.1),
    (95.0, 44.0, -8.0, 0.0),
)
_PALM = len(_HAND) - 1
_PALM_Y_MM, _FINGERS_Y_MM = -78.0, -14.0
_PALM_FLATNESS = 0.28
"""Depth of the palm by its width."""


def glasses_part(rng: CounterRng, head: Head, has_part: Bool[Tensor, " b"]) -> Part:
    """Two rims, bridge, temples and lenses, fitted to the eyes, camera frame.

    Args:
        rng: of the persons.
        head: what they are fitted to.
        has_part: ``(B,)`` who wears glasses.
    """
    rims = _Rims.of(rng, head.landmarks_obj)
    tube_radius = rng.uniform("rim", low=0.7, high=2.6)
    solid = torch.ones_like(tube_radius)
    pieces: list[_Piece] = []
    for side in range(2):
        pieces.append(_tube_piece(rims.rings[side], tube_radius, closed=True, opacity=solid))
        pieces.append(_tube_piece(rims.temple(side), tube_radius, closed=False, opacity=solid))
    pieces.append(_tube_piece(rims.bridge(), tube_radius, closed=False, opacity=solid))
    opacity = _lens_opacity(rng)
    pieces += [_lens_piece(ring, centre, opacity) for ring, centre in zip(rims.rings, rims.centres, strict=True)]
    return _glasses_of(pieces, head, _frame_colours(rng), has_part)


@dataclasses.dataclass(frozen=True, eq=False)
class _Rims:
    """The outlines of the two lenses, object frame in mm; the viewer's left one first.

    Attributes:
        rings: ``(B, R, 3)`` each, counter-clockwise from the viewer's right.
        centres: ``(B, 3)`` each.
        eyes: ``(B, 2, 3)`` middles of the eyes.
    """

    rings: tuple[Float[Tensor, "b r 3"], Float[Tensor, "b r 3"]]
    centres: tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"]]
    eyes: Float[Tensor, "b 2 3"]

    @classmethod
    def of(cls, rng: CounterRng, marks_obj: Float[Tensor, "b 68 3"]) -> _Rims:
        """Rims of random size and shape before the eyes."""
        eyes = torch.stack((marks_obj[:, 36:42].mean(dim=1), marks_obj[:, 42:48].mean(dim=1)), dim=1)
        middle, eye_distance = eyes.mean(dim=1), (eyes[:, 1, 0] - eyes[:, 0, 0])
        outline = _lens_outline(rng, eye_distance)
        front_z = marks_obj[:, 27, 2] + 7.0
        rings, centres = [], []
        for k, side in enumerate(_SIDES):
            centre = torch.stack((middle[:, 0] + side * 0.52 * eye_distance, eyes[:, k, 1] - 2.0, front_z), dim=-1)
            # Rims bend backwards on the outside.
            bent = -0.10 * (side * outline[..., :1]).clamp_min(0.0)
            rings.append(centre[:, None] + torch.cat((outline, bent), dim=-1))
            centres.append(centre)
        return cls((rings[0], rings[1]), (centres[0], centres[1]), eyes)

    def temple(self, side: int) -> Float[Tensor, "b n 3"]:
        """The line from the outer end of a rim to the ear, a little wider than straight."""
        sign, front_z = _SIDES[side], self.centres[side][:, 2]
        end = torch.stack((sign * 80.0 * torch.ones_like(front_z), self.eyes[:, side, 1] + 2.0, front_z - 92.0), dim=-1)
        start = self.rings[side][:, 0 if sign > 0 else _RIM // 2]
        along = _fractions(start)
        out = torch.stack((sign * 7.0 * torch.ones_like(front_z), 0.0 * front_z, 0.0 * front_z), dim=-1)[:, None]
        return start[:, None] + along * (end - start)[:, None] + out * torch.sin(math.pi * along.clamp(0.0, 0.5))

    def bridge(self) -> Float[Tensor, "b n 3"]:
        """The arch between the inner ends of the rims."""
        left, right = self.rings[0][:, 0], self.rings[1][:, _RIM // 2]
        along = _fractions(left)
        rise = torch.tensor([0.0, 4.0, 1.5], device=left.device) * torch.sin(math.pi * along)
        return left[:, None] + along * (right - left)[:, None] + rise


def _lens_outline(rng: CounterRng, eye_distance: Float[Tensor, " b"]) -> Float[Tensor, "b r 2"]:
    """Superellipses of random width, height and exponent around the origin, mm."""
    wide = eye_distance * rng.uniform("glass width", low=0.36, high=0.45)
    high = wide * rng.uniform("glass height", low=0.62, high=1.0)
    exponent = rng.uniform("glass square", low=2.0, high=4.5)[:, None]
    angle = torch.linspace(0.0, 2.0 * math.pi, _RIM + 1, device=eye_distance.device)[:-1]
    cos, sin = angle.cos(), angle.sin()
    return torch.stack(
        (
            cos.sign() * cos.abs() ** (2.0 / exponent) * wide[:, None],
            sin.sign() * sin.abs() ** (2.0 / exponent) * high[:, None],
        ),
        dim=-1,
    )


def _fractions(like: Tensor) -> Float[Tensor, "1 n 1"]:
    return torch.linspace(0.0, 1.0, _SIDE_POINTS, device=like.device)[None, :, None]


def _lens_opacity(rng: CounterRng) -> Float[Tensor, " b"]:
    """Clear lenses, and sometimes sunglasses."""
    dark = rng.chance("sunglasses", 0.22)
    return torch.where(dark, rng.uniform("tint", low=0.75, high=0.97), rng.uniform("tint", low=0.02, high=0.10))


@dataclasses.dataclass(frozen=True, eq=False)
class _Piece:
    """A tube or a lens: ``(B, N, 3)`` vertices, faces, and ``(B,)`` opacity."""

    v_obj: Float[Tensor, "b n 3"]
    faces: Int[Tensor, "f 3"]
    opacity: Float[Tensor, " b"]


def _tube_piece(
    line: Float[Tensor, "b n 3"], radius: Float[Tensor, " b"], *, closed: bool, opacity: Float[Tensor, " b"]
) -> _Piece:
    tube = _tube(line, radius, closed)
    return _Piece(tube.flatten(1, 2), _tube_faces(tube.shape[1], closed).to(line.device), opacity)


def _lens_piece(ring: Float[Tensor, "b r 3"], centre: Float[Tensor, "b 3"], opacity: Float[Tensor, " b"]) -> _Piece:
    """A fan of triangles around the centre."""
    first = torch.arange(_RIM)
    fan = torch.stack((first, (first + 1) % _RIM, torch.full((_RIM,), _RIM)), dim=1)
    return _Piece(torch.cat((ring, centre[:, None]), dim=1), fan.to(ring.device), opacity)


def _glasses_of(pieces: list[_Piece], head: Head, frame_colour: Float[Tensor, "b 3"], has_part: Tensor) -> Part:
    faces, first = [], 0
    for piece in pieces:
        faces.append(piece.faces + first)
        first += piece.v_obj.shape[1]
    opacity = torch.cat([piece.opacity[:, None].expand(piece.v_obj.shape[:2]) for piece in pieces], dim=1)
    is_lens = (opacity < 0.999)[..., None]
    albedo = torch.where(is_lens, torch.full_like(frame_colour, _LENS_ALBEDO)[:, None], frame_colour[:, None])
    v_cam = head.camera.to_camera(collapse_absent(torch.cat([piece.v_obj for piece in pieces], dim=1), has_part))
    return Part(v_cam, torch.cat(faces), albedo, GlassesAttributes(opacity), SEGMENT_NAMES.index("glasses"))


def hand_or_object_part(rng: CounterRng, head: Head, has_part: Bool[Tensor, " b"]) -> Part:
    """A hand, or a smooth object, near a random landmark of the face, camera frame.

    Args:
        rng: of the samples.
        head: the heads; hands have the colour of the face.
        there: ``(B,)`` who holds something before the face.
    """
    is_hand = rng.chance("hand", 0.6)
    shape = torch.where(is_hand[:, None, None, None, None], _hand(rng), _object(rng)).flatten(1, 3)
    rotation, position = _held(rng, head.camera.to_camera(head.landmarks_obj))
    v_cam = collapse_absent(shape @ rotation.transpose(1, 2) + position[:, None], has_part)
    skin = head.model.landmarks68(head.albedo)[:, 27:36].mean(dim=1)
    colour = torch.where(is_hand[:, None], skin, rng.uniform("thing colour", 3) ** 1.6)
    finger = grid_faces(_LENGTHWISE, _AROUND, closed=True)
    faces = torch.cat([finger + k * _LENGTHWISE * _AROUND for k in range(len(_HAND))]).to(rng.device)
    albedo = colour[:, None].expand(-1, v_cam.shape[1], 3)
    return Part(v_cam, faces, albedo, None, SEGMENT_NAMES.index("occluder"))


def _hand(rng: CounterRng) -> Float[Tensor, "b 6 l a 3"]:
    """Five fingers side by side and a palm, each a tube that closes at its ends; mm, fingers along +y."""
    lengths, radii, places, directions = torch.tensor(_HAND, device=rng.device).unbind(1)
    is_palm = torch.arange(len(_HAND), device=rng.device) == _PALM
    along, around = _grid_coordinates(rng.device)
    angles = directions * rng.uniform("finger spread", low=0.0, high=0.22)[:, None]
    bend = torch.where(is_palm, 0.0, rng.uniform("finger bend", len(_HAND), low=0.0, high=0.5))
    length = along[None, None] * lengths[:, None]
    x = places[None, :, None] + length * torch.sin(angles)[..., None]
    start_y = torch.where(is_palm, _PALM_Y_MM, _FINGERS_Y_MM)[None, :, None]
    y = length * torch.cos(angles)[..., None] + start_y
    z = -0.5 * bend[..., None] * length * along
    axis = torch.stack((x, y, z), dim=-1)[..., None, :]  # (B, 6, L, 1, 3)
    flatness = torch.where(is_palm, _PALM_FLATNESS, 1.0)[None, :, None, None]
    n = len(_HAND)
    ring = torch.stack(
        (around.cos().expand(1, n, 1, -1), around.new_zeros(1, n, 1, _AROUND), flatness * around.sin()), dim=-1
    )
    taper = torch.sin(math.pi * (0.02 + 0.96 * along)).clamp_min(0.02) ** 0.35
    return axis + ring * (radii[:, None] * taper)[None, :, :, None, None]


def _object(rng: CounterRng) -> Float[Tensor, "b 6 l a 3"]:
    """An ellipsoid in place of the palm; the fingers are one point of it each."""
    sizes = rng.uniform("thing size", 3, low=18.0, high=70.0)
    along, around = _grid_coordinates(rng.device)
    polar = math.pi * along
    sphere = torch.stack(
        (
            polar.sin()[:, None] * around.cos(),
            polar.cos()[:, None].expand(-1, _AROUND) * -1.0,
            polar.sin()[:, None] * around.sin(),
        ),
        dim=-1,
    )
    ellipsoid = (sphere[None] * sizes[:, None, None])[:, None].expand(-1, len(_HAND), -1, -1, -1)
    is_palm = (torch.arange(len(_HAND), device=rng.device) == _PALM)[None, :, None, None, None]
    return torch.where(is_palm, ellipsoid, ellipsoid[:, :, :1, :1])


def _grid_coordinates(device: torch.device) -> tuple[Float[Tensor, " l"], Float[Tensor, " a"]]:
    """Along a finger in [0, 1], and around it in radians."""
    along = torch.linspace(0.0, 1.0, _LENGTHWISE, device=device)
    return along, torch.linspace(0.0, 2.0 * math.pi, _AROUND + 1, device=device)[:-1]


def _held(rng: CounterRng, marks_cam: Float[Tensor, "b 68 3"]) -> tuple[Float[Tensor, "b 3 3"], Float[Tensor, "b 3"]]:
    """A random rotation, and a position in mm, camera frame, between a random landmark and the camera."""
    rotation = euler_to_matrix(
        torch.stack(
            (0.5 * rng.normal("hold pitch"), 0.5 * rng.normal("hold yaw"), torch.pi * 2 * rng.uniform("hold")), 1
        )
    )
    anchor = marks_cam.gather(1, rng.integer("touched", 68)[:, None, None].expand(-1, 1, 3))[:, 0]
    towards_camera = -torch.nn.functional.normalize(anchor, dim=1)
    offset = 25.0 * rng.normal("held", 3) + (30.0 + 30.0 * rng.uniform("held away"))[:, None] * towards_camera
    return rotation, anchor + offset


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
