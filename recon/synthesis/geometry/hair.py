"""Hair: a sheet that lies on the scalp with some thickness and hangs beyond the hairline, textured with strands.

The sheet is a grid around the crown: columns run from the crown to the hairline and on to the tips, at one azimuth each.
Up to the hairline it is bound to the scalp; beyond it follows the forehead (fringe) or falls (sides and back).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.render import vertex_normals
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.attributes import HairAttributes
from recon.synthesis.geometry.parts import Binding, Head, Part, collapse_absent, grid_faces
from recon.synthesis.sample import SEGMENT_NAMES
from recon.synthesis.scene.people import People

STYLES = ("bald", "buzz", "short", "fringe", "swept", "medium", "long", "curly")
_SHARES_MALE = (0.0, 0.18, 0.42, 0.12, 0.16, 0.04, 0.02, 0.06)
_SHARES_FEMALE = (0.0, 0.005, 0.04, 0.06, 0.055, 0.30, 0.46, 0.08)
# Low and high of thick_mm, sides_mm, fringe, fall_mm.
_STYLE_RANGES = {
    "short": (5, 13, 2, 6, 0.0, 0.15, 0, 6),
    "fringe": (9, 20, 4, 10, 0.35, 0.95, 8, 30),
    "swept": (14, 30, 3, 8, 0.0, 0.0, 2, 14),
    "medium": (8, 20, 6, 14, -0.8, 0.9, 80, 150),
    "long": (7, 18, 5, 14, -1.2, 0.9, 160, 310),
    "curly": (16, 52, 10, 40, 0.0, 0.12, 5, 60),
}

_COLUMNS, _SCALP_ROWS, _HANGING_ROWS = 65, 13, 11
_CENTRE_MM = np.array([0.0, 35.0, -80.0])
_TILT_RAD = np.radians(25.0)
"""The crown lies behind the top of the head."""
# Azimuth from the front and polar angle from the crown of the hairline of the mean head, degrees.
_HAIRLINE = np.array(
    [(0, 93), (22, 93), (38, 88), (58, 96), (76, 114), (86, 108), (97, 97), (115, 102), (132, 112), (180, 130)]
)
_TEMPLE_DEG = 50.0
_EAR_MM = 99.0
"""Half the width over the ears, which falling hair clears."""
_LEAST_FRINGE = 0.16
"""Share of the forehead's rows that hair reaches into where there is no fringe: ragged tips take as much away again."""
STRAND_CELLS = 420.0
"""Strands around the head in the coordinate along columns."""


@dataclasses.dataclass(frozen=True, eq=False)
class HairSheet:
    """The sheet's grid on one model.

    Attributes:
        scalp: binding of the rows up to the hairline.
        forehead: binding of the rows of a full fringe.
        faces: ``(F, 3)``.
        azimuth: ``(C,)`` radians, 0 at the front, positive to the viewer's right.
    """

    scalp: Binding
    forehead: Binding
    faces: Int[Tensor, "f 3"]
    azimuth: Float[Tensor, " c"]

    @classmethod
    def of(cls, model: MorphableModel) -> HairSheet:
        """Bind the grid to the outer skin without the ears."""
        vertices = model.mean_shape.cpu().double().numpy()
        elsewhere = model.any_region("ears", "mouth_interior", "eye_sockets", "eyes")
        allowed = (model.region("skin") & ~elsewhere).cpu().numpy()
        azimuth = np.linspace(-np.pi, np.pi, _COLUMNS)
        hairline = np.interp(np.abs(np.degrees(azimuth)), *_HAIRLINE.T)
        share = np.linspace(0.0, 1.0, _SCALP_ROWS)[:, None]
        device = model.mean_shape.device
        scalp = Binding.along(_rays(np.radians(share * hairline), azimuth), _CENTRE_MM, vertices, allowed)
        further = hairline + 33.0 * np.linspace(0.0, 1.0, _HANGING_ROWS + 1)[1:, None]
        forehead = Binding.along(_rays(np.radians(further), azimuth), _CENTRE_MM, vertices, allowed)
        faces = grid_faces(_SCALP_ROWS + _HANGING_ROWS, _COLUMNS).to(device)
        around = torch.as_tensor(azimuth.astype(np.float32), device=device)
        return cls(scalp.to(device), forehead.to(device), faces, around)


@dataclasses.dataclass(frozen=True, eq=False)
class Hairstyles:
    """How B persons wear their hair.

    Attributes:
        style: ``(B,)`` index into STYLES.
        thick_mm: ``(B,)`` on top.
        sides_mm: ``(B,)`` thickness at the sides and the hairline.
        fringe: ``(B,)`` share of the forehead covered, 0 to 1.
        fall_mm: ``(B,)`` length beyond the hairline at sides and back.
        curl: ``(B,)`` [0, 1].
        colour: ``(B, 3)`` linear.
    """

    style: Int[Tensor, " b"]
    thick_mm: Float[Tensor, " b"]
    sides_mm: Float[Tensor, " b"]
    fringe: Float[Tensor, " b"]
    fall_mm: Float[Tensor, " b"]
    curl: Float[Tensor, " b"]
    colour: Float[Tensor, "b 3"]

    @property
    def has_sheet(self) -> Tensor:
        """``(B,)`` bool: more than painted roots."""
        return self.style >= STYLES.index("short")


def sample_hairstyles(
    person_rng: CounterRng, rng: CounterRng, people: People, share: float, colour: Float[Tensor, "b 3"]
) -> Hairstyles:
    """Hair by sex, age and group; ``share`` of the heads have any.

    Args:
        person_rng: of the persons: curls and bald heads stay.
        rng: of their looks: the style does not.
        people, share, colour: whose hair it is.
    """
    male = people.column("male") > 0.5
    style = torch.where(male, rng.choice("style m", _SHARES_MALE), rng.choice("style f", _SHARES_FEMALE))
    curls = person_rng.chance("curly", 0.5 * people.column("african")) & (style >= STYLES.index("short"))
    style = torch.where(curls, STYLES.index("curly"), style)
    older = (people.column("age_years") - 35.0).clamp(0.0, 40.0) / 40.0
    style = torch.where(person_rng.uniform("bald") < torch.where(male, 0.35 * older, 0.0), 0, style)
    style = torch.where(rng.chance("hair", share), style, 0)
    u = {name: rng.uniform(f"hair {name}") for name in ("thick", "sides", "fringe", "fall")}
    table = style.new_zeros(len(STYLES), 8, dtype=torch.float32)
    for name, row in _STYLE_RANGES.items():
        table[STYLES.index(name)] = torch.tensor(row, dtype=torch.float32)
    rows = table[style]
    mixed = [rows[:, 2 * k] + u[name] * (rows[:, 2 * k + 1] - rows[:, 2 * k]) for k, name in enumerate(u)]
    curl = torch.where(style == STYLES.index("curly"), 1.0, 0.5 * rng.uniform("curl") ** 3)
    return Hairstyles(style, mixed[0], mixed[1], mixed[2].clamp_min(0.0), mixed[3], curl, colour)


def hair_sheet(
    sheet: HairSheet, hairstyles: Hairstyles, rng: CounterRng, v_obj: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]
) -> tuple[Float[Tensor, "b g 3"], HairAttributes]:
    """Vertices of the sheet in mm, object frame, and their attributes ``(B, G)``."""
    normals = vertex_normals(v_obj, faces)
    scalp, scalp_normals = (sheet.scalp.at(x).unflatten(1, (_SCALP_ROWS, _COLUMNS)) for x in (v_obj, normals))
    brow, brow_normals = (sheet.forehead.at(x).unflatten(1, (_HANGING_ROWS, _COLUMNS)) for x in (v_obj, normals))
    on_scalp = scalp + _lift_mm(sheet, hairstyles, rng)[..., None] * torch.nn.functional.normalize(
        scalp_normals, dim=-1
    )
    fringe = _fringe_rows(
        hairstyles,
        rng,
        torch.cat((scalp[:, -1:], brow), dim=1),
        torch.cat((scalp_normals[:, -1:], brow_normals), dim=1),
    )
    falling = _falling_rows(sheet, hairstyles, rng, on_scalp[:, -1:])
    front = _frontness(sheet)
    hanging = front[:, None] * fringe + (1.0 - front[:, None]) * falling
    grid = torch.cat((on_scalp, hanging), dim=1)
    return grid.flatten(1, 2), _attributes(sheet, hairstyles, rng, grid)


def _frontness(sheet: HairSheet) -> Float[Tensor, " c"]:
    """1 over the forehead, 0 beyond the temples."""
    return torch.sigmoid((np.radians(_TEMPLE_DEG) - sheet.azimuth.abs()) / 0.10)


def _lift_mm(sheet: HairSheet, hairstyles: Hairstyles, rng: CounterRng) -> Float[Tensor, "b r c"]:
    """Height of the sheet over the scalp: most on top and, swept up, at the front; little towards the hairline."""
    top, sides = hairstyles.thick_mm[:, None, None], hairstyles.sides_mm[:, None, None]
    down = torch.linspace(0.0, 1.0, _SCALP_ROWS, device=rng.device)[None, :, None]
    lift = top + (sides - top) * (down**3) * (0.6 + 0.4 * sheet.azimuth.abs() / torch.pi)
    swept = (hairstyles.style == STYLES.index("swept")).float()[:, None, None]
    lift = lift + swept * 0.7 * top * _frontness(sheet) * torch.exp(-(((down - 0.85) / 0.22) ** 2))
    return lift * (1.0 + 0.30 * _locks(rng, "locks", _SCALP_ROWS, len(top))) + 0.6


def _hanging_fractions(device: torch.device) -> Float[Tensor, "1 r 1"]:
    """Of the way from the hairline to the tips, row by row."""
    return torch.linspace(0.0, 1.0, _HANGING_ROWS + 1, device=device)[1:][None, :, None]


def _fringe_rows(
    hairstyles: Hairstyles,
    rng: CounterRng,
    forehead: Float[Tensor, "b q c 3"],
    normals: Float[Tensor, "b q c 3"],
) -> Float[Tensor, "b r c 3"]:
    """Hair that lies on the forehead and ends where the fringe does.

    Args:
        hairstyles, rng: of the persons.
        forehead: ``(B, R + 1, C, 3)`` rows of the skin from the hairline down, object frame.
        normals: of these points, of any length.
    """
    fringe = hairstyles.fringe[:, None, None] * (1.0 + 0.12 * _locks(rng, "fringe", 1, len(forehead)))
    row = _hanging_fractions(rng.device) * fringe.clamp(_LEAST_FRINGE, 1.0) * _HANGING_ROWS
    above = row.floor().clamp(0, _HANGING_ROWS - 1).long()
    fraction = (row - above)[..., None]
    height = (0.75 * hairstyles.sides_mm[:, None, None] + 2.5)[..., None]
    path = forehead + height * torch.nn.functional.normalize(normals, dim=-1)
    index = above[..., None].expand(-1, -1, -1, 3)
    return path.gather(1, index) * (1.0 - fraction) + path.gather(1, index + 1) * fraction


def _falling_rows(
    sheet: HairSheet, hairstyles: Hairstyles, rng: CounterRng, root: Float[Tensor, "b 1 c 3"]
) -> Float[Tensor, "b r c 3"]:
    """Hair that falls from the hairline at sides and back: clear of the ears, with waves, wider or narrower downwards."""
    hang, side = _hanging_fractions(rng.device), sheet.azimuth.abs()
    fall = hairstyles.fall_mm[:, None, None] * (1.0 + 0.10 * _locks(rng, "fall", 1, len(root)))
    length = hang * fall
    out = torch.stack((torch.sin(sheet.azimuth), torch.zeros_like(side), torch.cos(sheet.azimuth)), dim=-1)
    beside = torch.exp(-(((side - 1.75) / 0.75) ** 2))
    to_ear = (_EAR_MM + 0.5 * hairstyles.sides_mm[:, None, None] - root[..., 0].abs()).clamp_min(0.0)
    clear = to_ear * beside * (length / 45.0).clamp(0.0, 1.0)
    wave = 0.06 * fall * _locks(rng, "wave", _HANGING_ROWS, len(root)) * hang
    taper = rng.uniform("taper", low=-0.18, high=0.12)[:, None, None] * length * (length / 160.0).clamp(0.0, 1.0)
    falling = root + (wave + taper)[..., None] * out
    return falling + torch.stack((torch.sign(sheet.azimuth) * clear, -length, torch.zeros_like(length)), dim=-1)


def _attributes(
    sheet: HairSheet, hairstyles: Hairstyles, rng: CounterRng, grid: Float[Tensor, "b r c 3"]
) -> HairAttributes:
    steps_mm = torch.linalg.vector_norm(grid[:, 1:] - grid[:, :-1], dim=-1)
    to_tip = steps_mm.flip(1).cumsum(1).flip(1)
    to_tip = torch.cat((to_tip, torch.zeros_like(to_tip[:, :1])), dim=1)
    swirl = rng.uniform("swirl", low=-0.10, high=0.10)[:, None, None]
    rows = torch.linspace(0.0, 1.0, grid.shape[1], device=grid.device)[None, :, None]
    strand = (sheet.azimuth / (2.0 * torch.pi) + 0.5 + swirl * rows) * STRAND_CELLS
    strand = strand + 1000.0 * rng.uniform("strands")[:, None, None]
    curl = hairstyles.curl[:, None, None].expand_as(to_tip)
    return HairAttributes(strand.flatten(1), to_tip.flatten(1), curl.flatten(1))


def hair_part(sheet: HairSheet, hairstyles: Hairstyles, rng: CounterRng, head: Head) -> Part:
    """The sheet on heads, camera frame."""
    v_obj, attributes = hair_sheet(sheet, hairstyles, rng, head.v_obj, head.model.faces)
    v_cam = head.camera.to_camera(collapse_absent(v_obj, hairstyles.has_sheet))
    albedo = hairstyles.colour[:, None].expand(-1, v_cam.shape[1], -1)
    return Part(v_cam, sheet.faces, albedo, attributes, SEGMENT_NAMES.index("hair"))


def _locks(rng: CounterRng, name: str, rows: int, batch: int) -> Float[Tensor, "b r c"]:
    """Smooth random values over the sheet, closed around the head, spread about 1."""
    coarse = rng.normal(f"{name} coarse", min(rows, 4), 9)
    fine = rng.normal(f"{name} fine", min(rows, 6), 26)
    total = torch.zeros(batch, rows, _COLUMNS, device=rng.device)
    for layer, amount in ((coarse, 0.8), (fine, 0.5)):
        closed = torch.cat((layer, layer[..., :1]), dim=-1)[:, None]
        total = (
            total
            + amount
            * torch.nn.functional.interpolate(closed, size=(rows, _COLUMNS), mode="bilinear", align_corners=True)[:, 0]
        )
    return total.clamp(-2.0, 2.0)


def _rays(polar: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Directions ``(rows * columns, 3)`` from polar angles ``(rows, columns)`` about the crown."""
    crown = np.array([0.0, np.cos(_TILT_RAD), -np.sin(_TILT_RAD)])
    front = np.array([0.0, np.sin(_TILT_RAD), np.cos(_TILT_RAD)])
    right = np.array([1.0, 0.0, 0.0])
    flat = np.sin(polar)[..., None]
    around = np.sin(azimuth)[:, None] * right + np.cos(azimuth)[:, None] * front
    return (np.cos(polar)[..., None] * crown + flat * around).reshape(-1, 3)
