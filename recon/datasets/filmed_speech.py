"""Filmed speech: the GRID corpus (Cooke et al. 2006) and CREMA-D (Cao et al. 2014), with the splits of Bigioi et al. 2024.

Where the paper says two things, the first is taken: of CREMA-D speaker 15 is held out (section 4.1) and not 5 (section 4.3). Which 50 of
GRID's sentences are held out is not printed; here every twentieth in the order of names.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from recon.datasets.record import existing_folder

CREMA_D_HELD_OUT = (15, 20, 21, 30, 33, 52, 62, 81, 82, 89)
"""Speakers, from 1 on; files count them from 1001 on."""
_GRID_HELD_OUT_EVERY = 20
_VIDEO_ENDINGS = (".mpg", ".mpeg", ".mp4", ".avi", ".flv", ".mov", ".mkv")
_CREMA_D_NAME = re.compile(r"(1\d{3})_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}")


@dataclasses.dataclass(frozen=True)
class FilmedSpeech:
    """One sentence of one speaker.

    Attributes:
        video: file.
        sound: file; the video itself if it has the sound.
        speaker: name.
        held_out: whether it is not trained on.
    """

    video: Path
    sound: Path
    speaker: str
    held_out: bool


def grid_speech(root: str | Path, speaker: str = "s1") -> list[FilmedSpeech]:
    """The sentences of one speaker of GRID, in the order of names.

    Videos lie anywhere below a folder of the speaker's name; a ``.wav`` of the same name, below any folder of that name or beside the
    videos, takes the place of the video's own sound.

    Args:
        root: of the corpus.
        speaker: ``s1`` to ``s34``.

    Raises:
        FileNotFoundError: no such folder, or no video of this speaker below it.
    """
    folder = existing_folder(root)
    below = [path for path in sorted(folder.rglob("*")) if speaker in path.relative_to(folder).parts[:-1]]
    videos = {path.stem: path for path in below if path.suffix.lower() in _VIDEO_ENDINGS}
    sounds = {path.stem: path for path in below if path.suffix.lower() == ".wav"}
    if not videos:
        raise FileNotFoundError(
            f"{folder} holds no video below a folder {speaker} (endings: {', '.join(_VIDEO_ENDINGS)})"
        )
    return [
        FilmedSpeech(videos[name], sounds.get(name, videos[name]), speaker, k % _GRID_HELD_OUT_EVERY == 0)
        for k, name in enumerate(sorted(videos))
    ]


def crema_d_speech(root: str | Path) -> list[FilmedSpeech]:
    """The clips of CREMA-D, in the order of names: ``1001_DFA_ANG_XX.flv`` below ``VideoFlash``, ``.wav`` below ``AudioWAV``.

    Args:
        root: of the corpus; the folders may lie anywhere below it.

    Raises:
        FileNotFoundError: no such folder, or no video of CREMA-D below it.
    """
    folder = existing_folder(root)
    files = [path for path in sorted(folder.rglob("*")) if _CREMA_D_NAME.fullmatch(path.stem)]
    videos = {path.stem: path for path in files if path.suffix.lower() in _VIDEO_ENDINGS}
    sounds = {path.stem: path for path in files if path.suffix.lower() == ".wav"}
    if not videos:
        raise FileNotFoundError(f"{folder} holds no video of CREMA-D, such as 1001_DFA_ANG_XX.flv")
    return [
        FilmedSpeech(videos[name], sounds.get(name, videos[name]), name[:4], int(name[:4]) - 1000 in CREMA_D_HELD_OUT)
        for name in sorted(videos)
    ]
