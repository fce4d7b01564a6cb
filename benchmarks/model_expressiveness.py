"""How well the open model fits faces that nobody here made: identities of ICT-FaceKit, which come from real scans.

    python benchmarks/model_expressiveness.py --ict DIR [--subjects 20]

Each subject is an ICT identity with N(0, 1) coefficients. A similarity and K identity coefficients of the open model are
fitted (Gauss-Newton on robust distances to the closest surface points, with a N(0, 1) prior on the coefficients and a
scale that hardly leaves 1, because both models are in millimetres), helped at the start by the 51 inner landmarks. What is printed is the distance from each vertex
of ICT's narrow face (vertices 0 to 6705) to the fitted surface, in mm.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
from _report import print_header, print_table
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

import bfm
from bfm.data import ModelData
from bfm.loaders import ict
from bfm.surface import SurfaceTree

COUNTS = (40, 80, 120, 200)
TARGET_MM = {"median": 0.50, "mean": 0.95}
N_NARROW_FACE = 6706
SEED = 1

POINT_SHARE = 0.1
"""Weight of the distance to the closest point beside the distance to its tangent plane."""
SCALE_WEIGHT = 3e6
"""Prior on the logarithm of the scale: a standard deviation of 0.06 % for a misfit of 1 mm^2."""
LANDMARK_WEIGHTS = (30.0, 0.5)
LANDMARK_STEPS = 6
"""The landmarks' weight falls from the first to the second in so many steps."""
N_STEPS = 25

# Where the topologies do not correspond: ICT's vertices nearer than this to these of its landmarks.
LANDMARK_AREAS = {
    "eyelids": (tuple(range(36, 48)), 9.0),
    "nostrils": (tuple(range(31, 36)), 9.0),
    "lips": (tuple(range(48, 68)), 8.0),
}
OTHER_AREAS = {
    "brows": (tuple(range(17, 27)), 9.0),
    "nose": (tuple(range(27, 31)), 16.0),
    "chin and jaw": (tuple(range(3, 14)), 18.0),
}


@dataclasses.dataclass(frozen=True)
class Source:
    """The open model's part in a fit: skin triangles, landmark corners ``(51, 3)`` and weights ``(51, 3)``."""

    mean: np.ndarray
    basis: np.ndarray
    skin: np.ndarray
    corners: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, data: ModelData, n_identity: int) -> Source:
        points = data.landmarks["51"]
        # The whole sheet of skin: ICT's narrow face reaches into the nostrils and to the inner side of lips and lids.
        apart = data.regions["eyes"] | data.regions["teeth"] | data.regions["tongue"]
        return cls(
            mean=data.mean_shape.astype(np.float64),
            basis=data.identity_basis[..., :n_identity].astype(np.float64),
            skin=data.faces[~apart[data.faces].any(axis=1)],
            corners=data.faces[points.triangles],
            weights=points.barycentrics.astype(np.float64),
        )


@dataclasses.dataclass
class Pose:
    """A similarity: ``scale * rotation @ x + translation``."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    @classmethod
    def between(cls, source: np.ndarray, target: np.ndarray) -> Pose:
        """The best one from points to points ``(N, 3)`` (Umeyama 1991)."""
        a, b = source - source.mean(axis=0), target - target.mean(axis=0)
        u, spread, vt = np.linalg.svd(b.T @ a)
        sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        rotation = u @ np.diag(sign) @ vt
        scale = float((spread * sign).sum() / (a**2).sum())
        return cls(scale, rotation, target.mean(axis=0) - scale * rotation @ source.mean(axis=0))

    def apply(self, points: np.ndarray) -> np.ndarray:
        return self.scale * points @ self.rotation.T + self.translation

    def jacobian(self, points: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Of placed points ``(N, 3)`` in the coefficients, a rotation, a translation and the log scale."""
        arm = points - self.translation
        turns = np.stack([np.cross(axis, arm) for axis in np.eye(3)], axis=2)
        moved = self.scale * np.matmul(self.rotation, basis)
        shift = np.broadcast_to(np.eye(3), (len(points), 3, 3))
        return np.concatenate([moved, turns, shift, arm[:, :, None]], axis=2)

    def step(self, change: np.ndarray) -> None:
        self.rotation = Rotation.from_rotvec(change[:3]).as_matrix() @ self.rotation
        self.translation = self.translation + change[3:6]
        self.scale *= 1.0 + float(change[6])


def fit(source: Source, target: np.ndarray, marks: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Distances ``(N,)`` of the target points to the fitted surface, coefficients ``(K,)`` and scale."""
    n_coefficients = source.basis.shape[2]
    coefficients = np.zeros(n_coefficients)
    our_marks = np.einsum("nk,nkc->nc", source.weights, source.mean[source.corners])
    mark_basis = np.einsum("nk,nkcj->ncj", source.weights, source.basis[source.corners])
    pose = Pose.between(our_marks, marks)
    log_scale = 0.0
    for step in range(N_STEPS):
        placed = pose.apply(source.mean + source.basis @ coefficients)
        found = SurfaceTree(placed, source.skin).query(target)
        corners = source.skin[found.triangles]
        edges = placed[corners[:, 1:]] - placed[corners[:, :1]]
        normals = np.cross(edges[:, 0], edges[:, 1])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        # Cauchy weights: what does not correspond shall not pull.
        width = max(1.0, 2.5 * float(np.median(found.distance)))
        robust = 1.0 / (1.0 + (found.distance / width) ** 2)
        here = np.einsum("nk,nkcj->ncj", found.barycentrics, source.basis[corners])
        jacobian = pose.jacobian(found.points, here)
        residual = target - found.points
        along = np.einsum("nc,ncj->nj", normals, jacobian)
        matrix = along.T @ (along * robust[:, None])
        vector = along.T @ (robust * np.einsum("nc,nc->n", normals, residual))
        flat, weight = jacobian.reshape(-1, jacobian.shape[2]), POINT_SHARE * np.repeat(robust, 3)
        matrix += flat.T @ (flat * weight[:, None])
        vector += flat.T @ (weight * residual.ravel())
        # Landmarks start the fit and then let go, because no two annotations agree to the millimetre.
        share = max(LANDMARK_WEIGHTS[0] * (1.0 - step / LANDMARK_STEPS), LANDMARK_WEIGHTS[1])
        placed_marks = np.einsum("nk,nkc->nc", source.weights, placed[source.corners])
        mark_jacobian = pose.jacobian(placed_marks, mark_basis).reshape(-1, jacobian.shape[2])
        matrix += share * mark_jacobian.T @ mark_jacobian
        vector += share * mark_jacobian.T @ (marks - placed_marks).ravel()
        prior = np.concatenate([np.full(n_coefficients, ridge), np.zeros(6), [SCALE_WEIGHT]])
        vector[:n_coefficients] -= ridge * coefficients
        vector[-1] -= SCALE_WEIGHT * log_scale
        change = np.linalg.solve(matrix + np.diag(prior + 1e-9), vector)
        coefficients = coefficients + change[:n_coefficients]
        pose.step(change[n_coefficients:])
        log_scale = float(np.log(pose.scale))
    placed = pose.apply(source.mean + source.basis @ coefficients)
    return SurfaceTree(placed, source.skin).query(target).distance, coefficients, pose.scale


def areas(data: ModelData) -> dict[str, np.ndarray]:
    """Masks ``(6706,)`` of areas of the narrow face, by distance from landmarks on the mean."""
    marks = data.landmarks["68"].at(data.mean_shape, data.faces)
    face = data.mean_shape[:N_NARROW_FACE]
    x, y, z = face.T
    base = marks[33]
    masks = {"inside of the nose": (np.abs(x) < 14.0) & (z < base[2] - 1.0) & (y > base[1]) & (y < marks[30, 1] + 6.0)}
    for name, (numbers, reach_mm) in {**LANDMARK_AREAS, **OTHER_AREAS}.items():
        taken = np.any([*masks.values(), np.zeros(len(face), bool)], axis=0)
        masks[name] = (cKDTree(marks[list(numbers)]).query(face)[0] < reach_mm) & ~taken
    masks["forehead"] = (face[:, 1] > marks[17:27, 1].max() + 9.0) & ~np.any(list(masks.values()), axis=0)
    masks["cheeks and the rest"] = ~np.any(list(masks.values()), axis=0)
    return masks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ict", type=Path, required=True, help="ICT-FaceKit's repository or its FaceXModel folder")
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--ridge", type=float, default=1.0, help="weight of the prior on the coefficients")
    parser.add_argument("--components", type=int, nargs="+", default=COUNTS)
    options = parser.parse_args()
    print_header()
    subjects = ict.load(options.ict)
    model = bfm.load("open", n_identity=max(options.components)).data()
    coefficients = np.random.default_rng(SEED).normal(size=(options.subjects, subjects.identity_basis.shape[2]))
    masks = areas(subjects)
    apart = np.any([masks[name] for name in (*LANDMARK_AREAS, "inside of the nose")], axis=0)
    rows, per_area = [], {}
    for count in options.components:
        source, started = Source.of(model, count), time.perf_counter()
        distances, rms, scales = [], [], []
        for row in coefficients:
            head = subjects.mean_shape + subjects.identity_basis @ row
            marks = subjects.landmarks["68"].at(head, subjects.faces)[17:].astype(np.float64)
            found = fit(source, head[:N_NARROW_FACE].astype(np.float64), marks, options.ridge)
            distances.append(found[0])
            rms.append(np.sqrt((found[1] ** 2).mean()))
            scales.append(found[2])
        mm = np.stack(distances)
        seconds = (time.perf_counter() - started) / len(coefficients)
        row = [count, *(f"{value:.3f}" for value in (*medians(mm), *medians(mm[:, ~apart])))]
        rows.append([*row, f"{np.mean(rms):.2f}", f"{np.min(scales):.3f}..{np.max(scales):.3f}", f"{seconds:.1f}"])
        per_area[count] = mm
    print_table(
        f"Distance from ICT's narrow face to the fitted open model, mm, mean over {options.subjects} subjects",
        ("components", "median", "mean", "median*", "mean*", "coefficient rms", "scale", "s a fit"),
        rows,
    )
    print("  * without eyelids, nostrils, lips and the inside of the nose, which do not correspond")
    print(f"  target with 80 components, all vertices: median {TARGET_MM['median']:.2f}, mean {TARGET_MM['mean']:.2f}")
    table = [
        [name, int(mask.sum()), *(f"{value:.3f}" for mm in per_area.values() for value in medians(mm[:, mask]))]
        for name, mask in masks.items()
    ]
    names = [f"{kind} {count}" for count in per_area for kind in ("median", "mean")]
    print_table("By area (median and mean in mm for each number of components)", ("area", "vertices", *names), table)


def medians(mm: np.ndarray) -> tuple[float, float]:
    """Median and mean over the vertices ``(subjects, N)``, each averaged over subjects."""
    return float(np.median(mm, axis=1).mean()), float(mm.mean())


if __name__ == "__main__":
    main()
