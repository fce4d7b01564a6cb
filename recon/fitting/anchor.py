"""A start that is believed: what another method, as a network, says about the photos before a fit looks at them."""

from __future__ import annotations

import dataclasses

import numpy as np
import roma
import torch
from jaxtyping import Float

from recon.fitting.state import FaceState
from recon.fitting.unknowns import Layout
from recon.rotation import turn_to_ray


@dataclasses.dataclass(frozen=True)
class Trust:
    """How wrong a start may be, as standard deviations. Infinity leaves something free.

    Attributes:
        identity: of each coefficient of the shape, in units of its N(0, 1) prior.
        expression: of each expression weight.
        rotation_rad: of the pose, about each axis.
        shift_mm: of the position across the line of sight.
        depth_share: of the distance, as a share of it.
    """

    identity: float = np.inf
    expression: float = np.inf
    rotation_rad: float = np.inf
    shift_mm: float = np.inf
    depth_share: float = np.inf

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not getattr(self, field.name) > 0.0:
                raise ValueError(
                    f"the trust in a start's {field.name} must be positive, got {getattr(self, field.name)}"
                )


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """Where a fit starts, and how strongly it is drawn back there.

    Attributes:
        state: poses are those of the photos, with the principal points in the photos' middles. Paint and light count only
            if there is light.
        focal_px: focal length of each photo that the poses were found with.
        trust: how wrong the state may be.
    """

    state: FaceState
    focal_px: tuple[float, ...]
    trust: Trust

    def __post_init__(self) -> None:
        if len(self.focal_px) != self.state.n_views:
            raise ValueError(f"a start of {self.state.n_views} views has {len(self.focal_px)} focal lengths")
        for name in ("identity", "expression", "rotation", "translation_mm"):
            if not bool(torch.isfinite(getattr(self.state, name)).all()):
                raise ValueError(f"the start's {name} holds nan or inf")
        if not bool((self.state.translation_mm[:, 2] < 0.0).all()):
            raise ValueError("the start puts a head behind the camera")

    def seen_through(self, focal_px: tuple[float, ...]) -> Start:
        """The same pictures through other lenses: distances grow with the focal lengths, and a head beside the axis keeps
        its turn against the ray on which it is seen."""
        moved = self.state.translation_mm.clone()
        for view, (new, old) in enumerate(zip(focal_px, self.focal_px, strict=True)):
            moved[view, 2] *= new / old
        rays = turn_to_ray(moved) @ turn_to_ray(self.state.translation_mm).transpose(1, 2)
        state = dataclasses.replace(self.state, translation_mm=moved, rotation=rays @ self.state.rotation)
        return dataclasses.replace(self, state=state, focal_px=focal_px)

    def equations(
        self,
        layout: Layout,
        identity: Float[np.ndarray, " ki"],
        expression: Float[np.ndarray, "v ke"],
        rotation: Float[np.ndarray, "v 3 3"],
        translation_mm: Float[np.ndarray, "v 3"],
    ) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
        """Diagonal ``(D,)`` and right side ``(D,)`` of the normal equations that draw the unknowns back to the start."""
        trust, state = self.trust, self.state
        weights, gaps = np.zeros(layout.n_all), np.zeros(layout.n_all)
        weights[layout.identity] = trust.identity**-2.0
        gaps[layout.identity] = _array(state.identity[0]) - identity
        spins = _spins(_array(state.rotation), rotation)
        wanted_mm = _array(state.translation_mm)
        for view in range(layout.n_views):
            face, pose = layout.expression(view), layout.pose(view)
            weights[face] = trust.expression**-2.0
            gaps[face] = _array(state.expression[view]) - expression[view]
            depth_mm = trust.depth_share * -wanted_mm[view, 2]
            sigmas = np.array([*[trust.rotation_rad] * 3, trust.shift_mm, trust.shift_mm, depth_mm])
            weights[pose] = sigmas**-2.0
            gaps[pose] = np.concatenate([spins[view], wanted_mm[view] - translation_mm[view]])
        return weights, weights * gaps


def shape_and_pose(
    state: FaceState,
) -> tuple[Float[np.ndarray, " ki"], Float[np.ndarray, "v ke"], Float[np.ndarray, "v 3 3"], Float[np.ndarray, "v 3"]]:
    """Identity, expressions, rotations and translations as :meth:`Start.equations` takes them."""
    return (
        _array(state.identity[0]),
        _array(state.expression),
        _array(state.rotation),
        _array(state.translation_mm),
    )


def _spins(wanted: Float[np.ndarray, "v 3 3"], now: Float[np.ndarray, "v 3 3"]) -> Float[np.ndarray, "v 3"]:
    """The turns, rad in the camera frame, that lead from one rotation to the other."""
    turns = torch.from_numpy(wanted @ now.transpose(0, 2, 1))
    return np.asarray(roma.rotmat_to_rotvec(turns).numpy())


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().double().cpu().numpy())
