"""Files of a track: the moving head as GLB, tables, JSON, and the video with the head over it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from recon.export.animation import HeadAnimation
from recon.export.glb import write_glb
from recon.export.track_files import (
    MASKS_FOLDER,
    PICTURES_FOLDER,
    TrackTable,
    frame_name,
    targets_json,
    track_json,
    transforms_json,
    weights_csv,
)
from recon.export.usd import require_usd, write_usdz
from recon.io.files import write_files
from recon.io.names import printable
from recon.io.png import encode_png
from recon.io.video import BrokenVideoError, Frame, Video, frames_at
from recon.io.write_video import VideoWriter
from recon.tracking.head_track import HeadTrack
from recon.tracking.heads import head_at
from recon.tracking.texture import texture_of

_HOLD_S = 1e-3
"""How long before a head is seen again its last place is held up to: what it did meanwhile is not known."""
_COVERAGE_TEXT = "percent of the texture's frames that show the face at this texel of head.glb's texture, 0 to 100"


def write_track(
    folder: Path,
    track: HeadTrack,
    video: Video,
    *,
    texture_size: int = 1024,
    pictures: bool = False,
    usdz: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write ``head.glb``, ``head.usdz`` if it is wanted, ``coverage.png`` if there is a texture, ``weights.csv``, ``transforms.json``, ``targets.json``,
    ``overlay.mp4`` and, last, ``track.json``.

    Args:
        folder: is there.
        track: at least one frame of it has a result.
        video: that it is of.
        texture_size: of the texture, px; 0 for vertex colours.
        pictures: also write the pictures and masks that ``transforms.json`` names, which take much room.
        usdz: also write ``head.usdz``, with the same motion.
        overwrite: replace files.

    Raises:
        ValueError: no frame has a result.
        ModuleNotFoundError: ``usdz`` without usd-core (the extra ``usd``).
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    found = np.flatnonzero(track.found)
    if not len(found):
        raise ValueError(f"no frame of {track.source} has a result")
    if usdz:
        require_usd()
    with VideoWriter(folder / "overlay.mp4", video.wanted_fps or video.fps, overwrite=overwrite) as writer:
        first_s: float | None = None
        for frame, pixels in overlay_frames(track, video):
            first_s = frame.time_s if first_s is None else first_s
            writer.write(pixels, frame.time_s - first_s)
    written = [folder / "overlay.mp4"]
    if pictures:
        written += write_pictures(folder, track, video, overwrite=overwrite)
    texture = texture_of(track, video, texture_size) if texture_size > 0 and len(track.model.uv) else None
    # Nothing of the mesh is of the frame, but its size.
    head = head_at(track, int(found[0]), np.zeros((*track.size, 3), np.uint8))
    mesh = head.mesh(0, texture=None if texture is None else texture.colours)
    animation = animation_of(track) if track.model.expression_prior == "unit" else None
    written.append(write_glb(folder / "head.glb", mesh, animation=animation, overwrite=overwrite))
    if usdz:
        written.append(write_usdz(folder / "head.usdz", mesh, animation=animation, overwrite=overwrite))
    table = track_table(track)
    person = track.person
    lens = {
        "focal_px": person.focal_px,
        "principal_x_px": person.principal_px[0],
        "principal_y_px": person.principal_px[1],
    }
    contents = {
        folder / "weights.csv": weights_csv(table).encode(),
        folder / "transforms.json": transforms_json(table, lens, track.size),
        folder / "targets.json": targets_json(table.names),
    }
    facts = _facts(track, lens)
    if texture is not None:
        contents[folder / "coverage.png"] = encode_png(texture.coverage_percent, _COVERAGE_TEXT)
        facts["texture"] = {
            "frames": [int(track.index[position]) for position in sorted(track.texture_frames)],
            "face_covered_percent": round(texture.covered_percent, 1),
        }
    written += write_files(contents, overwrite=overwrite)
    # Last, so that a folder with this file is a finished one.
    return written + write_files({folder / "track.json": track_json(table, facts)}, overwrite=overwrite)


def write_pictures(folder: Path, track: HeadTrack, video: Video, *, overwrite: bool = False) -> list[Path]:
    """The pictures and masks that ``transforms.json`` names, of frames with a result.

    A mask is the rendered head: hair that stands off, glasses and shoulders are not in it.

    Returns:
        The two folders.
    """
    found = track.found
    places = [folder / name for name in (PICTURES_FOLDER, MASKS_FOLDER)]
    for place in places:
        place.mkdir(exist_ok=True)
    for position, pixels in frames_at(video, np.flatnonzero(found).tolist()):
        mask = np.where(np.isnan(head_at(track, position, pixels).depth_map()), 0, 255).astype(np.uint8)
        name = frame_name(int(track.index[position]))
        write_files(
            {place / name: encode_png(picture) for place, picture in zip(places, (pixels, mask), strict=True)},
            overwrite=overwrite,
        )
    return places


def overlay_frames(track: HeadTrack, video: Video) -> Iterator[tuple[Frame, UInt8[np.ndarray, "h w 3"]]]:
    """The frames of the track with the head rendered over them; those without a result as they are."""
    found = track.found
    frames = iter(video)
    for position in range(len(track)):
        try:
            frame = next(frames)
        except BrokenVideoError:
            return
        yield frame, head_at(track, position, frame.pixels).overlay() if found[position] else frame.pixels


def animation_of(track: HeadTrack) -> HeadAnimation:
    """The motion with a key a frame, from time 0 on. Where the head is lost, its last place is held until it is back."""
    at = np.flatnonzero(track.found)
    lost = np.flatnonzero(np.diff(at) > 1)
    time_s = track.time_s[at] - track.time_s[0]
    hold_s = time_s[lost + 1] - np.minimum(_HOLD_S, 0.5 * (time_s[lost + 1] - time_s[lost]))
    order = np.argsort(np.concatenate([time_s, hold_s]), kind="stable")
    rows = np.concatenate([at, at[lost]])[order]
    height, width = track.size
    return HeadAnimation(
        time_s=np.concatenate([time_s, hold_s])[order],
        rotation=track.rotation[rows],
        translation_mm=track.translation_mm[rows],
        weights=track.expression[rows],
        field_of_view_y_rad=2.0 * float(np.arctan(0.5 * height / track.person.focal_px)),
        aspect=width / height,
    )


def track_table(track: HeadTrack) -> TrackTable:
    """The frames as files have them."""
    names = {field.name for field in dataclasses.fields(TrackTable)} - {"weights", "names"}
    values: dict[str, Any] = {name: getattr(track, name) for name in names}
    names_of_expressions = track.model.expression_names or tuple(
        f"expression{k}" for k in range(track.expression.shape[1])
    )
    return TrackTable(weights=track.expression, names=names_of_expressions, **values)


def _facts(track: HeadTrack, lens: dict[str, float]) -> dict[str, Any]:
    spread: Float[np.ndarray, " d"] = np.sqrt(track.variances.spread)
    return {
        "video": {
            "source": printable(track.source),
            "height": track.size[0],
            "width": track.size[1],
            "frames": len(track),
            "frames_with_result": int(track.found.sum()),
            "cuts": [int(track.index[position]) for position in track.cuts],
            "notes": [printable(note) for note in track.notes],
        },
        "model": {"name": track.model.name, "licence": track.model.licence},
        "camera": lens,
        "person": {
            "identity": track.person.identity[0].double().numpy().round(6).tolist(),
            "albedo": track.person.albedo[0].double().numpy().round(6).tolist(),
            "key_frames": [int(track.index[position]) for position in track.key_frames],
        },
        "filter": {
            "causal": track.causal,
            "noise": round(track.variances.noise, 6),
            "rotation_rad_s15": round(float(spread[0]), 6),
            "across_mm_s15": round(float(spread[3]), 6),
            "depth_mm_s15": round(float(spread[5]), 6),
            "expression_s15": spread[6:].round(6).tolist(),
        },
    }
