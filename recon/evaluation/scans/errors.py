"""How far a predicted head is from a scan: the published protocols, and one that sees shrunken identities.

- :func:`micc_errors`: MICC Florence as in Basak et al. 2022, Section 5: both surfaces cropped 95 mm
  around the nose tip, landmark alignment, rigid ICP, mean symmetric point-to-plane distance.
- :func:`now_errors`: NoW (Sanyal et al. 2019; rules from github.com/soubhiksanyal/now_evaluation at 7bd1498): scan
  cropped around the face, seven landmarks with scale, then the scale and motion that minimise the squared distances of
  all scan vertices to the mesh; these distances are the errors.

Both let the alignment hide what it can: a mean head that is well scaled loses little. :mod:`.nonrigid` does not.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from recon.alignment import Similarity, fit_similarity
from recon.evaluation.scans.icp import IcpSettings, align_to_surface
from recon.evaluation.scans.scan import Scan
from recon.evaluation.scans.triangles import TriangleSurface

CROP_RADIUS_MM = 95.0


@dataclasses.dataclass(frozen=True, eq=False)
class HeadSurface:
    """The part of a predicted head that a scan could see, neutral, in mm.

    Attributes:
        surface: the outside of head and eyes, in the head's own frame.
        landmarks: ``(7, 3)`` in the order of :data:`recon.evaluation.scans.scan.LANDMARK_NAMES`.
        nose_tip: ``(3,)``, by the rule of :func:`recon.evaluation.scans.scan.outermost_near_nose`.
        face: vertex numbers ``(F,)`` of ``surface`` that make up the face, for the non-rigid protocol.
    """

    surface: TriangleSurface
    landmarks: Float[np.ndarray, "7 3"]
    nose_tip: Float[np.ndarray, " 3"]
    face: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ScanErrors:
    """Distances in mm, measured at the size of the scan.

    Attributes:
        scan_to_head: ``(N,)`` distances of the vertices of the cropped scan.
        head_to_scan: ``(M,)`` distances of the vertices of the cropped head; empty where a protocol has none.
        scan: the cropped scan whose vertices ``scan_to_head`` belongs to.
        motion: moves the head onto the scan.
    """

    scan_to_head: Float[np.ndarray, " n"]
    head_to_scan: Float[np.ndarray, " m"]
    scan: TriangleSurface
    motion: Similarity

    @property
    def symmetric(self) -> float:
        """Mean of the means of both directions."""
        return float(0.5 * (self.scan_to_head.mean() + self.head_to_scan.mean()))


def point_to_plane(points: Float[np.ndarray, "n 3"], surface: TriangleSurface) -> Float[np.ndarray, " n"]:
    """Distances to the plane of the nearest triangle. Inside the surface this is the distance to it; beyond its border
    the part along the surface does not count."""
    found = surface.closest(points)
    normals = surface.face_normals[found.triangles]
    along = np.abs(np.einsum("nc,nc->n", points - found.points, normals))
    return np.where(np.linalg.norm(normals, axis=1) > 0.5, along, found.distance)


def micc_errors(scan: Scan, head: HeadSurface, *, with_scale: bool = False) -> ScanErrors:
    """The MICC protocol: symmetric point-to-plane distance after cropping, landmarks and rigid ICP.

    Raises:
        ValueError: nothing is left after cropping.
    """
    coarse = fit_similarity(head.landmarks, scan.landmarks, with_scale=with_scale)
    cropped_scan = scan.surface.within(scan.nose_tip, CROP_RADIUS_MM)
    cropped_head = head.surface.within(head.nose_tip, CROP_RADIUS_MM / coarse.scale)
    motion = _head_to_scan(cropped_scan, cropped_head, coarse, IcpSettings(with_scale=with_scale))
    placed = cropped_head.moved(motion)
    return ScanErrors(
        point_to_plane(cropped_scan.vertices, placed),
        point_to_plane(placed.vertices, cropped_scan),
        cropped_scan,
        motion,
    )


def now_errors(scan: Scan, head: HeadSurface, *, with_scale: bool = True) -> ScanErrors:
    """The NoW protocol; without scale it is the metrical challenge."""
    centre, radius = now_crop(scan.landmarks)
    cropped = scan.surface.within(centre, radius)
    coarse = fit_similarity(head.landmarks, scan.landmarks, with_scale=with_scale)
    settings = IcpSettings(with_scale=with_scale, robust=False)
    motion = _head_to_scan(cropped, head.surface, coarse, settings)
    back = motion.inverse()
    # Distances in the frame of the head, brought to the size of the scan.
    distance = head.surface.closest(back.apply(cropped.vertices)).distance * motion.scale
    return ScanErrors(distance, np.zeros(0), cropped, motion)


def now_crop(landmarks: Float[np.ndarray, "7 3"]) -> tuple[Float[np.ndarray, " 3"], float]:
    """Centre and radius of the part of the scan that NoW measures: from the nose bottom 30 % up to the middle between
    the inner eye corners, 0.7 times the sum of outer eye distance and nose length."""
    bridge = landmarks[1:3].mean(axis=0)
    bottom = landmarks[4]
    nose = float(np.linalg.norm(bridge - bottom))
    eyes = float(np.linalg.norm(landmarks[0] - landmarks[3]))
    return bottom + 0.3 * (bridge - bottom), 0.7 * (eyes + nose)


def _head_to_scan(
    scan: TriangleSurface, head: TriangleSurface, coarse: Similarity, settings: IcpSettings
) -> Similarity:
    """ICP from a coarse motion of the head. The scan's points are moved instead, so that one tree serves all steps."""
    return align_to_surface(scan.vertices, head, coarse.inverse(), settings).motion.inverse()
