"""A head and a voice to a head that speaks: the door to everything in this package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bfm.open.expression import ARKIT_NAMES
from recon.io.audio import Recording, read_audio, recording
from recon.speech.animation import DRIVEN_WEIGHTS, PROVENANCE, SpeechAnimation, SpeechAnimationSettings, animate_speech
from recon.speech.espeak import Espeak, EspeakVoice

if TYPE_CHECKING:
    from recon.export.glb_file import GlbFile


def speak(
    head: str | os.PathLike[str],
    voice: str | os.PathLike[str] | Recording,
    out: str | os.PathLike[str],
    *,
    settings: SpeechAnimationSettings | None = None,
    video: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> SpeechAnimation:
    """Write a GLB file whose head speaks.

    Args:
        head: a GLB file with morph targets that bear ARKit's names, as ``recon reconstruct`` writes them.
        voice: a file with sound, or a sound (:func:`speak_text` makes one of a text).
        out: the GLB file to write: ``head`` with an animation "speech" before those that it has.
        settings: how the voice is shown.
        video: an MP4 file to write, too: the head as our renderer draws it, with the sound.
        overwrite: replace files.

    Returns:
        The animation.

    Raises:
        MeshError: the head is no GLB file, or has no such morph targets.
        AudioError: the sound cannot be read.
        SpeechError, CheckpointError: see :class:`recon.speech.animator.SpeechAnimator`.
        OutputExistsError, OutputError: see :mod:`recon.io.files`.
        ModuleNotFoundError: a video, or a sound that is no WAV file, without PyAV (the extra ``video``).
    """
    from recon.export.face_animation import driven_nodes
    from recon.export.glb_file import read_glb
    from recon.io.files import OutputExistsError, write_file

    for path in (Path(out), *([Path(video)] if video is not None else [])):
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists; pass overwrite=True to replace it")
    glb = read_glb(head)
    driven_nodes(glb, DRIVEN_WEIGHTS)
    sound = voice if isinstance(voice, Recording) else read_audio(voice)
    animation = animate_speech(sound, ARKIT_NAMES, settings)
    if video is not None:
        write_speaking_video(video, glb, animation, sound, overwrite=overwrite)
    write_file(out, speaking_glb(glb, animation), overwrite=overwrite)
    return animation


def speaking_glb(glb: GlbFile, animation: SpeechAnimation) -> bytes:
    """The bytes of a GLB file with the animation added.

    Raises:
        MeshError: see :func:`recon.export.face_animation.driven_nodes`.
    """
    from recon.export.face_animation import FaceAnimation, animated_glb

    moving = _driven(animation)
    return animated_glb(glb, FaceAnimation(animation.time_s, moving, animation.rotation), PROVENANCE)


def write_speaking_video(
    path: str | os.PathLike[str],
    glb: GlbFile,
    animation: SpeechAnimation,
    sound: Recording,
    *,
    size: tuple[int, int] = (512, 512),
    overwrite: bool = False,
) -> Path:
    """The speaking head of a GLB file as our renderer draws it, with the sound, as MP4.

    Raises:
        MeshError: see :func:`recon.export.glb_mesh.mesh_of_glb`.
        OutputExistsError, OutputError, ModuleNotFoundError: see :class:`recon.io.write_video.VideoWriter`.
    """
    from recon.export.face_animation import driven_nodes
    from recon.export.glb_mesh import mesh_of_glb
    from recon.io.write_video import Sound, VideoWriter
    from recon.visualize.speaking_head import head_frames, shown_weights

    node = driven_nodes(glb, DRIVEN_WEIGHTS)[0]
    mesh = mesh_of_glb(glb, node)
    weights = shown_weights(node.names, node.weights, _driven(animation), len(animation))
    track = Sound(sound.samples[:, None].astype(np.float32), sound.rate_hz)
    with VideoWriter(path, animation.fps, sound=track, comment=PROVENANCE, overwrite=overwrite) as writer:
        for frame in head_frames(mesh, weights, animation.rotation, size):
            writer.write(frame)
    return Path(path)


def speak_text(text: str, voice: EspeakVoice | None = None) -> Recording:
    """A text in the voice of espeak-ng.

    Raises:
        SpeechError: see :class:`recon.speech.espeak.Espeak`, whose program must be installed.
    """
    with Espeak() as espeak:
        spoken = espeak.speak(text, voice)
    return recording(spoken.samples, spoken.rate_hz, "the spoken text")


def _driven(animation: SpeechAnimation) -> dict[str, np.ndarray]:
    return {name: animation.weights[:, k] for k, name in enumerate(animation.names) if name in DRIVEN_WEIGHTS}
