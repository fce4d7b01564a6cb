"""Faces through MediaPipe's networks: boxes at several scales and turns, then 478 points around each box."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from bfm.mediapipe_table import MEDIAPIPE_68, MIRROR_478
from recon.detection.face import Face, distinct, roll_turn_deg
from recon.detection.mediapipe_graphs import (
    MESH_SIDE_PX,
    Graph,
    detection_graph,
    detection_side_px,
    mesh_graph,
)
from recon.detection.regions import Roi, picture_size, reduced, tile_sides, tiles, turn_to_photo
from recon.detector_names import MEDIAPIPE
from recon.io.resample import resample

Image = UInt8[np.ndarray, "h w 3"]

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


@dataclasses.dataclass(frozen=True, eq=False)
class MediapipeBox:
    """What a box network says: the region, turned as the eyes are, and the eyes, nose tip and middle of the mouth."""

    roi: Roi
    points: Float[np.ndarray, "4 2"]
    score: float

    def moved(self, matrix: Float[np.ndarray, "3 3"]) -> MediapipeBox:
        return MediapipeBox(self.roi.moved(matrix), self.points @ matrix[:2, :2].T + matrix[:2, 2], self.score)


class MediapipeDetector:
    """Finds faces and their 478 points. A context manager: the networks are opened once and closed at the end.

    Faces in full profile (about 75 to 90 degrees of yaw) are seldom found: the network of the points sees none.
    Deterministic: the same photo gives the same faces. Not for use by two threads at once.
    """

    name = MEDIAPIPE

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
        """Faces whose box is at least about ``min_face_px`` high, the largest first; see :func:`recon.detection.detect`."""
        if not self._boxes:
            name = type(self).__name__
            raise RuntimeError(f"{name} is used in a with statement: with {name}() as detector")
        for turn_deg in (0, 90, 270, 180):
            faces = self._detect_turned(image, turn_deg, min_face_px)
            if faces:
                return faces
        return []

    def _detect_turned(self, image: Image, turn_deg: int, min_face_px: float) -> list[Face]:
        """Faces found when the boxes are looked for in the photo turned clockwise."""
        faces: list[Face] = []
        for box in self._all_boxes(image, turn_deg, min_face_px):
            if not any(_same_place(face, box) for face in faces):
                face = self._face(image, box)
                if face is not None:
                    faces.append(face)
        return distinct(faces)

    def _all_boxes(self, image: Image, turn_deg: int, min_face_px: float) -> Iterator[MediapipeBox]:
        """Boxes in all tiles of the turned photo, in pixels of the photo as given; a face may come several times."""
        turned = np.ascontiguousarray(np.rot90(image, -turn_deg // 90))
        to_photo = turn_to_photo(picture_size(image), turn_deg)
        for side_px in tile_sides(picture_size(turned), min_face_px):
            level, to_turned = reduced(turned, side_px / detection_side_px("full"))
            whole = side_px >= max(picture_size(turned))
            for tile in tiles(picture_size(level), side_px / float(to_turned[0, 0])):
                # The short-range network only sees faces of a seventh of the picture and more: for the whole photo.
                for kind in ("full", "short") if whole else ("full",):
                    for box in self._boxes_in(level, tile, kind, self._boxes[kind]):
                        yield box.moved(to_photo @ to_turned)

    def _boxes_in(self, image: Image, tile: Roi, kind: str, graph: Graph) -> list[MediapipeBox]:
        """Boxes in one square of the picture."""
        from mediapipe.python import packet_getter

        side = detection_side_px(kind)
        to_image = tile.to_photo(side)
        packets = graph.run(resample(image, to_image, (side, side)))
        found = []
        for detection in packet_getter.get_proto_list(packets["detections"]):
            box = detection.location_data.relative_bounding_box
            points = np.array([(p.x, p.y) for p in detection.location_data.relative_keypoints[:4]]) * side
            roi = Roi(
                x=side * (box.xmin + box.width / 2),
                y=side * (box.ymin + box.height / 2),
                side_px=side * max(box.width, box.height),
                angle_rad=float(np.arctan2(*(points[1] - points[0])[::-1])),
            )
            found.append(MediapipeBox(roi, points, float(detection.score[0])).moved(to_image))
        return found

    def _face(self, image: Image, box: MediapipeBox) -> Face | None:
        """The face in a box with its points, or None if the mesh network sees none or the second look denies it."""
        points = self._settled_points(image, box.roi.scaled(_ROI_SCALE))
        if points is None:
            return None
        score = self._second_look(image, _roi_of(points).scaled(1.0 / _ROI_SCALE), points[4, :2])
        if score < _MIN_SCORE:
            return None
        points5 = five_points(points)
        return Face(
            box=np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)]),
            points5=points5,
            score=score,
            detector=MEDIAPIPE,
            rotation_deg=roll_turn_deg(points5),
            landmarks478=points,
            landmarks68=points[list(MEDIAPIPE_68), :2],
        )

    def _settled_points(self, image: Image, roi: Roi) -> Float[np.ndarray, "478 3"] | None:
        """The points after a few passes, or None if the network doubts in one of them that it sees a face."""
        for mirrored_too in (*[False] * (_MESH_PASSES - 1), True):
            points, presence = self._points(image, roi, mirrored_too)
            if presence < _MIN_MESH_SCORE:
                return None
            roi = _roi_of(points)
        return points

    def _second_look(self, image: Image, face: Roi, nose: Float[np.ndarray, " 2"]) -> float:
        """Mean score of the box networks for this face in the middle of upright crops; 0 where it is not seen again."""
        scores = []
        for part in _SECOND_LOOKS:
            for graph in self._boxes.items():
                boxes = self._boxes_in(image, face.scaled(1.0 / part), *graph)
                again = [box.score for box in boxes if _agrees(box, face, nose)]
                scores.append(max(again, default=0.0))
        return float(np.mean(scores))

    def _points(self, image: Image, roi: Roi, mirrored_too: bool) -> tuple[Float[np.ndarray, "478 3"], float]:
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


def _roi_of(points: Float[np.ndarray, "478 3"]) -> Roi:
    """The region the network wants for these points: upright by the eye line, 1.5 times the face."""
    xy = points[:, :2]
    across = xy[263] - xy[33]
    angle = float(np.arctan2(across[1], across[0]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = xy @ turn
    lowest, highest = upright.min(axis=0), upright.max(axis=0)
    x, y = turn @ ((lowest + highest) / 2)
    return Roi(float(x), float(y), _ROI_SCALE * float((highest - lowest).max()), angle)


def _agrees(box: MediapipeBox, face: Roi, nose: Float[np.ndarray, " 2"]) -> bool:
    """Whether a box of the second look shows the same face: its middle and its nose tip lie where they should."""
    nose_off_px = float(np.linalg.norm(box.points[2] - nose))
    return box.roi.distance_px(face) < 0.375 * face.side_px and nose_off_px < 0.4 * face.side_px


def _same_place(face: Face, box: MediapipeBox) -> bool:
    """Whether a box is a face already found, seen in another tile."""
    x0, y0, x1, y1 = face.box.tolist()
    known = Roi((x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0), 0.0)
    return 0.5 < box.roi.side_px / known.side_px < 2.0 and box.roi.distance_px(known) < 0.225 * known.side_px
