"""The camera of a depth map as JSON that says what its numbers mean."""

from __future__ import annotations

from recon.camera import PerspectiveCamera
from recon.export.json_layout import json_text

SCHEMA_VERSION = 1


def encode_depth_json(
    camera: PerspectiveCamera, size: tuple[int, int], focal_source: str, distance_sigma: float | None = None
) -> bytes:
    """JSON of intrinsics, and where they come from.

    Args:
        camera: of the photo.
        size: (H, W) of the photo, px.
        focal_source: ``given``, ``EXIF`` or ``assumed``.
        distance_sigma: relative scale of the error of the head's distance for this focal length; None if it is not known.
    """
    (fx, fy), (cx, cy) = camera.focal_px[0].tolist(), camera.principal_px[0].tolist()
    values = {
        "schema": "facerecon-depth",
        "schema_version": SCHEMA_VERSION,
        "units": {"depth": "millimetre", "image": "pixel"},
        "conventions": {
            "depth": "planar distance along the optical axis, positive in front of the camera",
            "depth.png": "16 bit, one step is 0.1 mm, 0 is background; exr and npy hold mm, nan is background",
            "frame": "right-handed; x to the viewer's right, y up, the camera looks along -z",
            "unprojection": "x = (column - cx) z / fx, y = (cy - row) z / fy of depth z; pixel centres at +0.5",
        },
        "photo_size": {"width": size[1], "height": size[0]},
        "intrinsics": [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]],
        "focal_length_from": focal_source,
        "distance_sigma": distance_sigma,
    }
    return (json_text(values) + "\n").encode()
