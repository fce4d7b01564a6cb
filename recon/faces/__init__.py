"""Find faces and landmarks in a photo, crop and align them."""

from recon.faces.align import Alignment as Alignment
from recon.faces.align import AlignmentError as AlignmentError
from recon.faces.align import align as align
from recon.faces.detect import DETECTORS as DETECTORS
from recon.faces.detect import Detector as Detector
from recon.faces.detect import UnknownDetectorError as UnknownDetectorError
from recon.faces.detect import detect as detect
from recon.faces.detect import open_detector as open_detector
from recon.faces.exif import exif_focal_px as exif_focal_px
from recon.faces.face import DetectorUnavailable as DetectorUnavailable
from recon.faces.face import Face as Face
from recon.faces.image import ImageError as ImageError
from recon.faces.image import Photo as Photo
from recon.faces.image import read_image as read_image
