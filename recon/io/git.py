"""What git says about files: from which commit code or data comes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SECONDS = 30.0


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints in a folder, without blanks at the ends; "" when git is missing, fails or hangs.

    Nothing is changed: not even git's index is refreshed, and no program that the repository's settings name is started
    to watch files.
    """
    # Variables of a hook or of another repository would make git answer for that one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", errors="backslashreplace").strip() if done.returncode == 0 else ""


def commit_of(file: Path) -> str:
    """The commit (12 digits) of the repository that tracks a file, with ``+changes`` if its tree is not clean; else "".

    That a repository lies around the file says nothing: an environment inside somebody's project is not of that project.
    """
    place = file.resolve()
    if not git(place.parent, "ls-files", "--error-unmatch", "--", place.name):
        return ""
    head = git(place.parent, "rev-parse", "--short=12", "HEAD")
    if not head:
        return ""
    return head + ("+changes" if git(place.parent, "status", "--porcelain", "-uno") else "")
