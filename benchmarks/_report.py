"""What every benchmark prints first: with which code, on what, and how to get the same again."""

from __future__ import annotations

import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from recon.io.fingerprint import code_hash
from recon.io.git import commit_of


def print_header(threads: int | None = None) -> None:
    """Command line, commit, hardware, load and versions. ``threads`` limits torch's threads first."""
    if threads is not None:
        torch.set_num_threads(threads)
    print(f"command   python {shlex.join(sys.argv)}")
    print(f"commit    {commit_of(Path(__file__)) or 'unknown'}, code {code_hash()}")
    print(f"hardware  {_processor()}, {os.cpu_count()} processors, {torch.get_num_threads()} threads used", end="")
    print(f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no CUDA device")
    if hasattr(os, "getloadavg"):
        print(f"load      {os.getloadavg()[0]:.1f} at the start: other processes slow the times below")
    print(f"software  Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table with aligned columns: text to the left, numbers to the right."""
    text = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(columns, *text, strict=True)]
    print(f"\n{title}")
    for row in (columns, *text):
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        print("  " + "  ".join((row[0].ljust(widths[0]), *padded[1:])))


def median_seconds(call: Callable[[], object], repeats: int, warm_up: int = 1) -> tuple[float, float]:
    """Median and minimum of the wall time in seconds."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times), min(times)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
