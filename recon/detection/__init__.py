"""Find faces and landmarks in a photo, crop and align them.

- ``detect``: detectors by name. ``mediapipe_detector`` (with ``mediapipe_graphs``) and ``insightface_detector`` are here; the
  detector ``"open"``, of our own networks, is :mod:`recon.inference.dense_landmark_detector`. ``regions``: squares of a photo.
- ``face``: one detected face. Its landmarks have three forms: ``dense_landmarks`` (as a network gives them, with uncertainty),
  ``landmark_sets`` (as files hold them, of any detector) and ``observation`` (as a fit takes them: with the detector's errors,
  which ``error_model`` holds).
- ``align``: the crop that networks see, and the way back to the photo.
"""

from recon.detection.align import Alignment as Alignment
from recon.detection.align import AlignmentError as AlignmentError
from recon.detection.align import align as align
from recon.detection.detect import DETECTORS as DETECTORS
from recon.detection.detect import Detector as Detector
from recon.detection.detect import UnknownDetectorError as UnknownDetectorError
from recon.detection.detect import detect as detect
from recon.detection.detect import open_detector as open_detector
from recon.detection.face import DetectorUnavailable as DetectorUnavailable
from recon.detection.face import Face as Face
from recon.io.exif import exif_focal_px as exif_focal_px
from recon.io.image import ImageError as ImageError
from recon.io.image import Photo as Photo
from recon.io.image import read_image as read_image
