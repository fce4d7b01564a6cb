"""Faces from frame to frame: each is looked for where it was, and all of a frame is searched now and then.

What is found in a frame depends on the frame and on what was seen in the one before, and on nothing else.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.spatial.transform import Rotation

from bfm.model import MorphableModel
from recon.detection.align import AlignmentError
from recon.detection.detect import smallest_face_px
from recon.detection.error_model import roll_of
from recon.detection.face import Face, distinct, same_head
from recon.fitting.jaw_prior import jaw_prior_scale
from recon.inference.carried_faces import may_be_the_same, one_a_head
from recon.inference.dense_landmark_detector import DenseLandmarkDetector, face_from_landmarks, face_in_box
from recon.inference.face_boxes import FaceBoxFinder
from recon.inference.identity import FaceEmbedder
from recon.inference.landmarks import LandmarkRegressor
from recon.inference.lifting import FaceLifter
from recon.inference.regress import default_checkpoint
from recon.io.image import Photo
from recon.io.video import Frame
from recon.tracking.scene_cuts import is_cut, signature
from recon.tracking.seen import SeenFrame, face_dtype, frame_record

_SEARCH_EVERY_S, _LOOK_EVERY_S = 1.0, 0.1
"""Between searches of all of a frame while a face is followed, by which newcomers are found, and between looks of the lifting network at the
faces."""
_MISSED_EVERY_S, _MISSED_S = 0.4, 2.0
"""Between searches while others are followed than before, and for how long somebody is missed."""
_TURNED_EVERY_S = 1.0
"""Between searches for faces that lie on their side, while there is none."""
_REFRAME = 0.12
"""Of a face's middle, in sizes of it: beyond, it is framed anew in the same frame."""
_SHARPNESS_PX = 64


class FaceFollower:
    """Finds and follows the faces of a video.

    Args:
        model: the face model, whose landmarks and lifting network are used.

    Raises:
        CheckpointError: no lifting network comes with the package for the model.
    """

    def __init__(self, model: MorphableModel) -> None:
        self._landmarks, self._boxes = LandmarkRegressor(model=model, folded=True), FaceBoxFinder(folded=True)
        self._lifter = FaceLifter(model, default_checkpoint(model.name))
        self._embedder = FaceEmbedder()
        self.face_dtype = face_dtype(model.n_expression, self._embedder.size)

    def __call__(self, frame: Frame, before: SeenFrame | None, position: int) -> SeenFrame:
        """What is seen in a frame.

        Args:
            frame: of the video.
            before: the frame before it; ``None`` for the first.
            position: of its record.
        """
        cells = signature(frame.pixels)
        cut = before is not None and is_cut(before.record["signature"], cells)
        known = None if cut else before
        carried = [] if known is None else self._carried(frame.pixels, known)
        searched_s = -np.inf if known is None else float(known.record["searched_s"])
        looked_s = -np.inf if known is None else float(known.record["looked_s"])
        lost_s = -np.inf if known is None else float(known.record["lost_s"])
        if known is not None and len(carried) < len(known.faces):
            lost_s = frame.time_s
        every_s = _MISSED_EVERY_S if frame.time_s - lost_s <= _MISSED_S else _SEARCH_EVERY_S
        next_track = 0 if before is None else int(before.record["next_track"])
        faces = carried
        if not carried or frame.time_s - searched_s >= every_s:
            sideways = not carried and frame.time_s - searched_s >= _TURNED_EVERY_S
            found = self._search(frame.pixels, sideways)
            new = [face for face in found if not any(same_head(face, other) for _, other in carried)]
            faces = [*carried, *((next_track + k, face) for k, face in enumerate(new))]
            next_track += len(new)
            if carried or sideways:
                searched_s = frame.time_s
        look = bool(faces) and frame.time_s - looked_s >= _LOOK_EVERY_S
        records = np.zeros(len(faces), self.face_dtype)
        for record, (track, face) in zip(records, faces, strict=True):
            self._fill(record, frame.pixels, face, look)
            record["frame"], record["track"] = position, track
        record = frame_record(
            index=frame.index,
            time_s=frame.time_s,
            cut=cut,
            searched_s=searched_s,
            looked_s=frame.time_s if look else looked_s,
            lost_s=lost_s,
            next_track=next_track,
            n_faces=len(faces),
            signature=cells,
        )
        return SeenFrame(record, records)

    def face_at(self, pixels: UInt8[np.ndarray, "h w 3"], record: np.void) -> Face | None:
        """The face of a record, looked at as carefully as in a photo."""
        try:
            return face_from_landmarks(self._landmarks(pixels, record["points5"]), float(record["score"]))
        except AlignmentError:
            return None

    def _carried(self, pixels: UInt8[np.ndarray, "h w 3"], before: SeenFrame) -> list[tuple[int, Face]]:
        """The faces of the frame before where they are now, by their tracks, which are in order."""
        found = []
        for record in before.faces:
            face = self._look_again(pixels, record)
            if face is not None:
                found.append((_moved(record, face), int(record["track"]), face))
        return sorted(one_a_head(found), key=lambda one: one[0])

    def _look_again(self, pixels: UInt8[np.ndarray, "h w 3"], record: np.void) -> Face | None:
        face = self._framed(pixels, record["points5"], float(record["score"]))
        if face is not None and _moved(record, face) > _REFRAME:
            face = self._framed(pixels, face.points5, face.score)
        if face is None or not _overlaps(face, pixels):
            return None
        return face if may_be_the_same(_moved(record, face), face.size_px, _size(record["box"])) else None

    def _framed(
        self, pixels: UInt8[np.ndarray, "h w 3"], points5: Float[np.ndarray, "5 2"], score: float
    ) -> Face | None:
        try:
            return face_from_landmarks(self._landmarks.once(pixels, points5), score)
        except AlignmentError:
            return None

    def _search(self, pixels: UInt8[np.ndarray, "h w 3"], sideways: bool) -> list[Face]:
        smallest_px = smallest_face_px(pixels)
        if sideways:
            with DenseLandmarkDetector(self._landmarks, self._boxes) as detector:
                return detector.detect(pixels, smallest_px)
        boxes = self._boxes(pixels, smallest_px)
        return distinct([face for box in boxes if (face := face_in_box(pixels, box, self._landmarks)) is not None])

    def _fill(self, record: np.void, pixels: UInt8[np.ndarray, "h w 3"], face: Face, look: bool) -> None:
        assert face.dense is not None and face.landmarks68 is not None, "our own network gives them"
        dense = face.dense.subset("478")
        record["score"], record["box"], record["points5"] = face.score, face.box, face.points5
        record["points"], record["sigma"] = dense.points_px[:, :2], dense.sigma_px
        record["mean_sigma"] = dense.sigma_px.mean()
        record["roll_rad"] = roll_of(face.landmarks68)
        record["jaw_prior_scale"] = jaw_prior_scale(pixels, dense.points_px[:, :2], face.size_px, "478")
        record["sharpness"] = sharpness(pixels, face.box)
        if look:
            found = self._lifter(Photo(pixels), face)
            record["lifted"] = True
            record["rotvec"] = Rotation.from_matrix(found.photo_camera.rotation[0].double().numpy()).as_rotvec()
            record["expression"] = found.coefficients.expression[0]
            record["embedding"] = self._embedder(pixels, face.points5)


def sharpness(pixels: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, " 4"]) -> float:
    """Mean absolute Laplacian of a face's brightness at 64 px over its contrast; 0 for a face without pixels."""
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(box[:2]).astype(int), 0, [width, height])
    right, bottom = np.clip(np.ceil(box[2:]).astype(int), 0, [width, height])
    if right - left < 2 or bottom - top < 2:
        return 0.0
    part = Image.fromarray(pixels[top:bottom, left:right]).convert("L")
    grey = np.asarray(part.resize((_SHARPNESS_PX, _SHARPNESS_PX), Image.Resampling.BOX), dtype=np.float64)
    laplacian = grey[1:-1, :-2] + grey[1:-1, 2:] + grey[:-2, 1:-1] + grey[2:, 1:-1] - 4.0 * grey[1:-1, 1:-1]
    return float(np.abs(laplacian).mean() / max(grey.std(), 1.0))


def _size(box: Float[np.ndarray, " 4"]) -> float:
    return float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))


def _moved(record: np.void, face: Face) -> float:
    """Of the middle of the five points, in sizes of the face."""
    shift = face.points5.mean(axis=0) - record["points5"].mean(axis=0)
    return float(np.linalg.norm(shift)) / _size(record["box"])


def _overlaps(face: Face, pixels: UInt8[np.ndarray, "h w 3"]) -> bool:
    """Whether the middle of the face is in the picture."""
    x, y = face.points5.mean(axis=0)
    return bool(0.0 <= x < pixels.shape[1] and 0.0 <= y < pixels.shape[0])
