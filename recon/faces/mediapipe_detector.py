"""Faces through MediaPipe's networks: boxes at several scales and turns, then 478 points around each box."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from bfm.mediapipe_table import MEDIAPIPE_68, MIRROR_478
from recon.faces.face import Face, roll_turn_deg
from recon.faces.mediapipe_graphs import MESH_SIDE_PX, Graph, detection_graph, detection_side_px, mesh_graph
from recon.faces.resample import resample

Image = UInt8[np.ndarray, "h w 3"]

NAME = "mediapipe"
_MIN_BOX_SCORE = 0.45
_MIN_MESH_SCORE = 0.5
_MIN_SCORE = 0.6
"""A find must reach this in the second look. The mesh network alone believes in faces on coins and cats (scores to 1.0),
and a single box in any of many tiles can be chance; seen again upright, in two sizes by both box networks, the mean score
was at least 0.72 on 21 photos of faces up to 71 degrees of yaw, and at most 0.53 on 40 false finds."""
_SECOND_LOOKS = (0.25, 0.35)
"""Face size / picture side in the second look."""
_ROI_SCALE = 1.5
"""Side of the crop shown to the mesh network / longer side of the face: what the network was trained with."""
_MESH_PASSES = 3
"""The crop is placed anew from the points of the pass before. On 8 photos with 68 true points the inner 51 are off by
3.85 %, 3.32 % and 3.20 % of the box after one, two and three passes, and by 3.12 % with the mirrored crop averaged in."""
_TILE_OVERLAP = 0.3
_SMALLEST_IN_TILE = 0.085
"""Nine in ten faces of this part of a tile's side are found in it."""


@dataclasses.dataclass(frozen=True)
class _Roi:
    """A square in the photo, turned by ``angle_rad`` (clockwise as seen, since y is down)."""

    x: float
    y: float
    side_px: float
    angle_rad: float

    def to_photo(self, side: int) -> Float[np.ndarray, "3 3"]:
        """From pixels of a crop of this region, ``side`` px wide, to pixels of the photo."""
        cos, sin = np.cos(self.angle_rad), np.sin(self.angle_rad)
        matrix = np.eye(3)
        matrix[:2, :2] = np.array([[cos, -sin], [sin, cos]]) * (self.side_px / side)
        matrix[:2, 2] = np.array([self.x, self.y]) - matrix[:2, :2] @ np.full(2, side / 2)
        return matrix

    def scaled(self, factor: float) -> _Roi:
        return dataclasses.replace(self, side_px=self.side_px * factor)


class MediapipeDetector:
    """Finds faces and their 478 points. A context manager: the networks are opened once and closed at the end.

    Deterministic: the same photo gives the same faces. Not for use by two threads at once.
    """

    name = NAME

    def __init__(self) -> None:
        self._boxes: dict[str, Graph] = {}
        self._mesh: Graph | None = None

    def __enter__(self) -> MediapipeDetector:
        self._boxes = {kind: detection_graph(kind, _MIN_BOX_SCORE) for kind in ("full", "short")}
        self._mesh = mesh_graph()
        return self

    def __exit__(self, *_: object) -> None:
        for graph in (*self._boxes.values(), self._mesh):
            if graph is not None:
                graph.close()
        self._boxes, self._mesh = {}, None

    def detect(self, image: Image, min_face_px: float) -> list[Face]:
        """Faces whose box is at least about ``min_face_px`` high, the largest first; see :func:`recon.faces.detect`."""
        if self._mesh is None:
            raise RuntimeError("MediapipeDetector is used in a with statement: with MediapipeDetector() as detector")
        faces = self._detect_turned(image, 0, min_face_px)
        for turn_deg in (90, 270, 180):
            if faces:
                break
            faces = self._detect_turned(image, turn_deg, min_face_px)
        return faces

    def _detect_turned(self, image: Image, turn_deg: int, min_face_px: float) -> list[Face]:
        """Faces found when the boxes are looked for in the photo turned clockwise."""
        turned = np.ascontiguousarray(np.rot90(image, -turn_deg // 90))
        to_photo = _turn_to_photo(_size(image), turn_deg)
        faces: list[Face] = []
        for side_px in tile_sides(_size(turned), min_face_px):
            level, to_turned = _reduced(turned, side_px / detection_side_px("full"))
            whole = side_px >= max(_size(turned))
            for tile in _tiles(_size(level), side_px / to_turned[0, 0]):
                # The short-range network only sees faces of a seventh of the picture and more: for the whole photo.
                for kind in ("full", "short") if whole else ("full",):
                    for box, _ in self._boxes_in(level, tile, kind):
                        roi = _moved(box, to_photo @ to_turned).scaled(_ROI_SCALE)
                        face = None if any(_already_found(known, roi) for known in faces) else self._face(image, roi)
                        if face is not None:
                            faces.append(face)
        return _distinct(faces)

    def _boxes_in(self, image: Image, tile: _Roi, kind: str) -> list[tuple[_Roi, float]]:
        """Boxes in a square of the picture, turned as the eyes are, and their scores."""
        from mediapipe.python import packet_getter

        side = detection_side_px(kind)
        to_image = tile.to_photo(side)
        packets = self._boxes[kind].run(resample(image, to_image, (side, side)))
        found = []
        for detection in packet_getter.get_proto_list(packets["detections"]):
            box = detection.location_data.relative_bounding_box
            eye, other_eye = detection.location_data.relative_keypoints[:2]
            roi = _Roi(
                x=side * (box.xmin + box.width / 2),
                y=side * (box.ymin + box.height / 2),
                side_px=side * max(box.width, box.height),
                angle_rad=float(np.arctan2(other_eye.y - eye.y, other_eye.x - eye.x)),
            )
            found.append((_moved(roi, to_image), float(detection.score[0])))
        return found

    def _face(self, image: Image, first: _Roi) -> Face | None:
        """The face in a region, or None if the mesh network sees none there."""
        roi = first
        for mirrored_too in (*[False] * (_MESH_PASSES - 1), True):
            points, presence = self._points(image, roi, mirrored_too)
            if presence < _MIN_MESH_SCORE:
                return None
            roi = _roi_of(points)
        score = self._second_look(image, roi)
        if score < _MIN_SCORE:
            return None
        lowest, highest = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        points5 = five_points(points)
        return Face(
            box=np.concatenate([lowest, highest]),
            points5=points5,
            score=score,
            detector=NAME,
            rotation_deg=roll_turn_deg(points5),
            landmarks478=points,
            landmarks68=points[list(MEDIAPIPE_68), :2],
        )

    def _second_look(self, image: Image, roi: _Roi) -> float:
        """Mean score of the box networks for a face in the middle of upright crops around ``roi``; 0 where none is seen."""
        scores = []
        for part in _SECOND_LOOKS:
            crop = roi.scaled(1.0 / (_ROI_SCALE * part))
            for kind in self._boxes:
                reach_px = _ROI_SCALE * roi.side_px / 6
                near = [s for box, s in self._boxes_in(image, crop, kind) if _distance(box, roi) < reach_px]
                scores.append(max(near, default=0.0))
        return float(np.mean(scores))

    def _points(self, image: Image, roi: _Roi, mirrored_too: bool) -> tuple[Float[np.ndarray, "478 3"], float]:
        """The 478 points in pixels of the photo, and the network's belief that the crop shows a face."""
        to_photo = roi.to_photo(MESH_SIDE_PX)
        crop = resample(image, to_photo, (MESH_SIDE_PX, MESH_SIDE_PX))
        points, score = self._crop_points(crop)
        if mirrored_too:
            mirrored, mirrored_score = self._crop_points(np.ascontiguousarray(crop[:, ::-1]))
            mirrored = (mirrored * [-1.0, 1.0, 1.0] + [MESH_SIDE_PX, 0.0, 0.0])[list(MIRROR_478)]
            points, score = 0.5 * (points + mirrored), 0.5 * (score + mirrored_score)
        xy = points[:, :2] @ to_photo[:2, :2].T + to_photo[:2, 2]
        return np.column_stack([xy, points[:, 2] * (roi.side_px / MESH_SIDE_PX)]), score

    def _crop_points(self, crop: Image) -> tuple[Float[np.ndarray, "478 3"], float]:
        from mediapipe.python import packet_getter

        assert self._mesh is not None
        packets = self._mesh.run(crop)
        landmarks = packet_getter.get_proto(packets["landmarks"]).landmark
        points = np.array([(p.x, p.y, p.z) for p in landmarks], dtype=np.float64) * MESH_SIDE_PX
        return points, float(packet_getter.get_float(packets["score"]))


def five_points(landmarks478: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "5 2"]:
    """The five points of :class:`Face` from MediaPipe's 478; an eye is the middle between its corners."""
    xy = landmarks478[:, :2]
    return np.stack([xy[[33, 133]].mean(axis=0), xy[[362, 263]].mean(axis=0), xy[4], xy[61], xy[291]])


def tile_sides(size: tuple[int, int], min_face_px: float) -> list[float]:
    """Sides of the squares in which a picture of ``size`` (H, W) is searched, from the whole to small ones.

    Each is at least half the one before; in the last, faces of ``min_face_px`` are just large enough.
    """
    whole = float(max(size))
    smallest = min(whole, min_face_px / _SMALLEST_IN_TILE)
    levels = int(np.ceil(np.log2(whole / smallest)))
    return [whole] + [whole * (smallest / whole) ** (level / levels) for level in range(1, levels + 1)]


def _tiles(size: tuple[int, int], side_px: float) -> Iterator[_Roi]:
    """Overlapping squares that cover a picture of ``size`` (H, W)."""
    for top in _starts(size[0], side_px):
        for left in _starts(size[1], side_px):
            yield _Roi(left + side_px / 2, top + side_px / 2, side_px, 0.0)


def _starts(length: int, side: float) -> list[float]:
    if side >= length:
        return [(length - side) / 2]
    count = int(np.ceil((length - side) / (side * (1 - _TILE_OVERLAP)))) + 1
    return [float(start) for start in np.linspace(0.0, length - side, count)]


def _reduced(image: Image, factor: float) -> tuple[UInt8[np.ndarray, "h2 w2 3"], Float[np.ndarray, "3 3"]]:
    """The picture at 1/factor of its size (never enlarged), and the map from its pixels to those of ``image``."""
    height, width = image.shape[:2]
    scale = max(1.0, factor)
    small = (max(1, round(height / scale)), max(1, round(width / scale)))
    # One scale for both sides: what rounding cuts off the border is less than a pixel of the small picture.
    to_image = np.diag([scale, scale, 1.0])
    return (image if scale == 1.0 else resample(image, to_image, small)), to_image


def _size(image: Image) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _turn_to_photo(size: tuple[int, int], turn_deg: int) -> Float[np.ndarray, "3 3"]:
    """From pixels of the photo turned clockwise to pixels of the photo, whose ``size`` is (H, W)."""
    height, width = size
    return {
        0: np.eye(3),
        90: np.array([[0.0, 1, 0], [-1, 0, height], [0, 0, 1]]),
        180: np.array([[-1.0, 0, width], [0, -1, height], [0, 0, 1]]),
        270: np.array([[0.0, -1, width], [1, 0, 0], [0, 0, 1]]),
    }[turn_deg]


def _moved(roi: _Roi, matrix: Float[np.ndarray, "3 3"]) -> _Roi:
    """The region in the pixels that the similarity ``matrix`` leads to."""
    x, y, _ = matrix @ [roi.x, roi.y, 1.0]
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    turn = float(np.arctan2(matrix[1, 0], matrix[0, 0]))
    return _Roi(float(x), float(y), roi.side_px * scale, roi.angle_rad + turn)


def _distance(a: _Roi, b: _Roi) -> float:
    return float(np.hypot(a.x - b.x, a.y - b.y))


def _roi_of(points: Float[np.ndarray, "478 3"]) -> _Roi:
    """The region the network wants for these points: upright by the eye line, 1.5 times the face."""
    xy = points[:, :2]
    across = xy[263] - xy[33]
    angle = float(np.arctan2(across[1], across[0]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = xy @ turn
    lowest, highest = upright.min(axis=0), upright.max(axis=0)
    x, y = turn @ ((lowest + highest) / 2)
    return _Roi(float(x), float(y), _ROI_SCALE * float((highest - lowest).max()), angle)


def _already_found(face: Face, roi: _Roi) -> bool:
    """Whether a new box is the same face again, seen in another tile."""
    x0, y0, x1, y1 = face.box.tolist()
    known = _Roi((x0 + x1) / 2, (y0 + y1) / 2, _ROI_SCALE * max(x1 - x0, y1 - y0), 0.0)
    ratio = roi.side_px / known.side_px
    return 0.5 < ratio < 2.0 and _distance(roi, known) < 0.15 * known.side_px


def _distinct(faces: list[Face]) -> list[Face]:
    """One face of each group that shows the same head; the largest first.

    Boxes of two heads may overlap a lot when one stands before the other, so boxes do not decide: two finds are the
    same head when the middle of one's five points lies near the middle of the other's, or a small find lies inside a
    large face.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: (-round(f.score, 1), -f.size_px)):
        if not any(_same_head(face, other) for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda f: -f.size_px)


def _same_head(a: Face, b: Face) -> bool:
    distance = float(np.linalg.norm(a.points5.mean(axis=0) - b.points5.mean(axis=0)))
    return distance < 0.4 * max(a.size_px, b.size_px)
