"""Faces through MediaPipe's networks: boxes at several scales and turns, then 478 points around each box."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, UInt8

from bfm.mediapipe_table import MEDIAPIPE_68, MIRROR_478
from recon.detection.body import head_of_person
from recon.detection.face import Face, distinct, roll_rad, roll_turn_deg
from recon.detection.mediapipe_graphs import (
    MESH_SIDE_PX,
    Graph,
    body_graph,
    detection_graph,
    detection_side_px,
    mesh_graph,
)
from recon.detection.regions import Roi, picture_size, reduced, tile_sides, tiles, turn_to_photo
from recon.detector_names import MEDIAPIPE, MEDIAPIPE_BODY_POSE, MEDIAPIPE_FACE_BOX
from recon.io.resample import resample

Image = UInt8[np.ndarray, "h w 3"]

_MIN_BOX_SCORE = 0.45
_MIN_MESH_SCORE = 0.5
_MIN_SCORE = 0.6
"""A find must reach this in the second look. The mesh network alone believes in faces on coins and cats (scores to 1.0),
and a single box in any of many tiles can be chance; seen again upright, in two sizes by both box networks, the mean score
was at least 0.72 on 21 photos of faces up to 71 degrees of yaw, and at most 0.53 on 40 false finds."""
_MIN_SCORE_WITHOUT_MESH = 0.7
"""The same for a face in full profile, of which the mesh network says it is none."""
_MIN_SCORE_ON_A_BODY = 0.55
"""The same where the body network has found a person and the box is about its head: of 48 heads drawn from behind one
scored more (0.65: the cheek and the glasses showed), 47 at most 0.46; bodies were seen in none of 16 pictures without people."""
_MIN_BOX_SCORE_ON_A_BODY = 0.2
_BODY_FACES = (1.5, 2.5)
"""Size of the face / extent of the body network's points on the head, as assumed when it is looked for."""
_BODY_BOXES = 6
_SECOND_LOOKS = (0.25, 0.35)
"""Face size / picture side in the second look."""
_ROI_SCALE = 1.5
"""Side of the crop shown to the mesh network / longer side of the face: what the network was trained with."""
_MIN_PROFILE_BOX_SCORE = 0.6
"""Weaker boxes are not tried as profiles; those of rendered heads at 70 to 90 degrees of yaw score 0.62 to 0.92."""
_PROFILE_SHIFTS = (0.0, 0.1, -0.1)
"""Where the crop is tried for profiles, as shares of its side: the face lies to one side of the box's middle."""
_MESH_PASSES = 3
"""The crop is placed anew from the points of the pass before. On 8 photos with 68 true points the inner 51 are off by
3.85 %, 3.32 % and 3.20 % of the box after one, two and three passes, and by 3.12 % with the mirrored crop averaged in."""
_MOUTH_PER_EYES = 0.81
"""Width of a mouth / distance of the eyes."""


@dataclasses.dataclass(frozen=True, eq=False)
class FaceBox:
    """What a box network says: the region, turned as the eyes are, and the eyes, nose tip and middle of the mouth."""

    roi: Roi
    points: Float[np.ndarray, "4 2"]
    score: float

    def moved(self, matrix: Float[np.ndarray, "3 3"]) -> FaceBox:
        return FaceBox(self.roi.moved(matrix), self.points @ matrix[:2, :2].T + matrix[:2, 2], self.score)


class MediapipeDetector:
    """Finds faces and their 478 points. A context manager: the networks are opened once and closed at the end.

    Faces in full profile (about 75 to 90 degrees of yaw) are found, but mostly without the 478 points, and some only
    through the body; the face's ``evidence`` then says so.
    Deterministic: the same photo gives the same faces. Not for use by two threads at once.
    """

    name = MEDIAPIPE

    def __init__(self) -> None:
        self._boxes: dict[str, Graph] = {}
        self._mesh: Graph | None = None
        self._body: Graph | None = None
        self._weak_boxes: dict[str, Graph] = {}

    def __enter__(self) -> MediapipeDetector:
        self._boxes = {kind: detection_graph(kind, _MIN_BOX_SCORE) for kind in ("full", "short")}
        self._mesh = mesh_graph()
        return self

    def __exit__(self, *_: object) -> None:
        for graph in (*self._boxes.values(), self._mesh, self._body, *self._weak_boxes.values()):
            if graph is not None:
                graph.close()
        self._boxes, self._mesh, self._body, self._weak_boxes = {}, None, None, {}

    def detect(self, image: Image, min_face_px: float) -> list[Face]:
        """Faces whose box is at least about ``min_face_px`` high, the largest first; see :func:`recon.detection.detect`."""
        if not self._boxes:
            name = type(self).__name__
            raise RuntimeError(f"{name} is used in a with statement: with {name}() as detector")
        for turn_deg in (0, 90, 270, 180):
            faces = self._detect_turned(image, turn_deg, min_face_px)
            if faces:
                return faces
        return self._detect_on_a_body(image, min_face_px)

    def _detect_turned(self, image: Image, turn_deg: int, min_face_px: float) -> list[Face]:
        """Faces found when the boxes are looked for in the photo turned clockwise."""
        faces: list[Face] = []
        left_over: list[FaceBox] = []
        for box in self._all_boxes(image, turn_deg, min_face_px):
            if any(_same_place(face, box) for face in faces):
                continue
            face = self._face(image, box)
            if face is not None:
                faces.append(face)
            elif box.score >= _MIN_PROFILE_BOX_SCORE:
                left_over.append(box)
        # Profiles: only what no other size or network could turn into points.
        for box in sorted(left_over, key=lambda b: -b.score):
            if not any(_same_place(face, box) for face in faces):
                face = self._face_without_mesh(image, box, self._boxes)
                if face.score >= _MIN_SCORE_WITHOUT_MESH:
                    faces.append(face)
        return distinct(faces)

    def _detect_on_a_body(self, image: Image, min_face_px: float) -> list[Face]:
        """The face of a person of whom only the body is plain to see, as in full profile; at most one."""
        if self._body is None:
            self._body = body_graph()
            self._weak_boxes = {kind: detection_graph(kind, _MIN_BOX_SCORE_ON_A_BODY) for kind in self._boxes}
        head = head_of_person(self._body, image)
        if head is None:
            return []
        boxes = [
            box
            for factor in _BODY_FACES
            for part in _SECOND_LOOKS
            for graph in self._weak_boxes.items()
            for box in self._boxes_in(image, head.scaled(factor / part), *graph)
            if box.roi.distance_px(head) < 1.5 * head.side_px and box.roi.side_px >= min_face_px
        ]
        boxes = sorted(boxes, key=lambda b: -b.score)[:_BODY_BOXES]
        faces = [self._face_without_mesh(image, box, self._weak_boxes) for box in boxes]
        found = [
            dataclasses.replace(face, detector=MEDIAPIPE_BODY_POSE)
            for face in faces
            if face.score >= _MIN_SCORE_ON_A_BODY
        ]
        return [max(found, key=lambda face: face.score)] if found else []

    def _all_boxes(self, image: Image, turn_deg: int, min_face_px: float) -> Iterator[FaceBox]:
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

    def _boxes_in(self, image: Image, tile: Roi, kind: str, graph: Graph) -> list[FaceBox]:
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
            found.append(FaceBox(roi, points, float(detection.score[0])).moved(to_image))
        return found

    def _face(self, image: Image, box: FaceBox) -> Face | None:
        """The face in a box with its points, or None if the mesh network sees none or the second look denies it."""
        for roi in _crops_to_try(box):
            points = self._settled_points(image, roi)
            if points is None:
                continue
            score = self._second_look(image, _roi_of(points).scaled(1.0 / _ROI_SCALE), points[4, :2], self._boxes)
            if score < _MIN_SCORE:
                continue
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
        return None

    def _face_without_mesh(self, image: Image, box: FaceBox, graphs: Mapping[str, Graph]) -> Face:
        """The face of a box alone; the corners of its mouth are placed about the middle as the eyes lie.

        Its score is the second look's through these box networks.
        """
        upright = dataclasses.replace(box.roi, angle_rad=roll_rad(box.points[:2], box.points[3:]))
        score = self._second_look(image, upright, box.points[2], graphs)
        points5 = np.stack([*box.points[:3], *mouth_corners(box)])
        middle, half = np.array([box.roi.x, box.roi.y]), 0.5 * box.roi.side_px
        return Face(
            box=np.concatenate([middle - half, middle + half]),
            points5=points5,
            score=score,
            detector=MEDIAPIPE_FACE_BOX,
            rotation_deg=roll_turn_deg(points5),
        )

    def _settled_points(self, image: Image, roi: Roi) -> Float[np.ndarray, "478 3"] | None:
        """The points after a few passes, or None if the network doubts in one of them that it sees a face."""
        for mirrored_too in (*[False] * (_MESH_PASSES - 1), True):
            points, presence = self._points(image, roi, mirrored_too)
            if presence < _MIN_MESH_SCORE:
                return None
            roi = _roi_of(points)
        return points

    def _second_look(
        self, image: Image, face: Roi, nose: Float[np.ndarray, " 2"], graphs: Mapping[str, Graph]
    ) -> float:
        """Mean score of the box networks for this face in the middle of upright crops; 0 where it is not seen again."""
        scores = []
        for part in _SECOND_LOOKS:
            for graph in graphs.items():
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


def mouth_corners(box: FaceBox) -> Float[np.ndarray, "2 2"]:
    """The corners of the mouth, placed about its middle as the eyes lie."""
    half_mouth = 0.5 * _MOUTH_PER_EYES * (box.points[1] - box.points[0])
    return np.stack([box.points[3] - half_mouth, box.points[3] + half_mouth])


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


def _crops_to_try(box: FaceBox) -> list[Roi]:
    """Upright by the line of the eyes, then, for profiles, in which they nearly coincide, by all points of the box."""
    roi = box.roi.scaled(_ROI_SCALE)
    if box.score < _MIN_PROFILE_BOX_SCORE:
        return [roi]
    upright = dataclasses.replace(roi, angle_rad=roll_rad(box.points[:2], box.points[3:]))
    return [roi, *(upright.shifted(shift) for shift in _PROFILE_SHIFTS)]


def _agrees(box: FaceBox, face: Roi, nose: Float[np.ndarray, " 2"]) -> bool:
    """Whether a box of the second look shows the same face: its middle and its nose tip lie where they should."""
    nose_off_px = float(np.linalg.norm(box.points[2] - nose))
    return box.roi.distance_px(face) < 0.375 * face.side_px and nose_off_px < 0.4 * face.side_px


def _same_place(face: Face, box: FaceBox) -> bool:
    """Whether a box is a face already found, seen in another tile."""
    x0, y0, x1, y1 = face.box.tolist()
    known = Roi((x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0), 0.0)
    return 0.5 < box.roi.side_px / known.side_px < 2.0 and box.roi.distance_px(known) < 0.225 * known.side_px
