"""What to install when an import fails: the extra of a missing package, or the library of a minimal system."""

from __future__ import annotations

_EXTRAS = {
    "av": "video",
    "bpy": "blender",
    "fastapi": "app",
    "jsonargparse": "train",
    "lightning": "train",
    "nicegui": "app",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "pi_heif": "heic",
    "pxr": "usd",
    "starlette": "app",
    "tensorboard": "train",
    "uvicorn": "app",
}
"""Packages of :file:`pyproject.toml`'s extras, by the name under which they are imported."""

_LIBRARIES = ("libGL.so.1", "libgthread-2.0.so.0", "libglib-2.0.so.0")
"""Shared libraries that OpenCV links and that minimal systems lack."""


def pip_hint(error: ImportError) -> str | None:
    """What installs the thing that an import missed, with its command.

    Returns:
        One line without a full stop; None for what belongs to no extra: a fault of the code or of the installation.
    """
    for library in _LIBRARIES:
        if library in str(error):
            return (
                f"OpenCV needs the system library {library}, which is missing: apt-get install libgl1 libglib2.0-0 "
                "(as Debian and Ubuntu call them), or, for a system without a display, pip uninstall -y opencv-contrib-python and "
                "pip install opencv-contrib-python-headless"
            )
    name = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or name not in _EXTRAS:
        return None
    extra = _EXTRAS[name]
    return f"the package {name!r} is not installed: pip install 'facerecon[{extra}]', or '.[{extra}]' in a checkout"
