"""How long the open model takes to build, to load and to evaluate, and how large it is on disk.

python benchmarks/model_speed.py [--threads 2] [--skip-build]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from _report import median_seconds, print_header, print_table

import bfm
from bfm.open.cache import cache_file, cache_folder
from bfm.open.options import BuildOptions

TARGETS = {"first build, s": 180.0, "file, MB": 60.0, "load, s": 1.5, "shape, batch 32, ms": 60.0}
LOAD = "import time, bfm.model\nt = time.perf_counter()\nimport bfm\nbfm.load('open')\nprint(time.perf_counter() - t)"


def build_seconds() -> float:
    """One build into a new folder, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        code = f"import bfm; bfm.load('open', {folder!r})"
        subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start


def load_seconds(repeats: int) -> list[float]:
    """Loads from the cache, each in a process of its own; torch and numpy are imported before the clock starts."""
    command = [sys.executable, "-c", LOAD]
    done = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(repeats)]
    return [float(process.stdout) for process in done]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--skip-build", action="store_true", help="leave out the build, which takes half a minute")
    options = parser.parse_args()
    print_header(options.threads)
    model = bfm.load("open")
    measured: dict[str, tuple[float, float]] = {}
    if not options.skip_build:
        seconds = build_seconds()
        measured["first build, s"] = (seconds, seconds)
    size = cache_file(BuildOptions(), cache_folder()).stat().st_size / 1e6
    measured["file, MB"] = (size, size)
    loads = load_seconds(max(3, options.repeats // 3))
    measured["load, s"] = (statistics.median(loads), min(loads))
    generator = torch.Generator().manual_seed(0)
    identity = torch.randn(32, model.n_identity, generator=generator)
    expression = torch.rand(32, model.n_expression, generator=generator)
    colours = torch.randn(32, model.n_albedo, generator=generator)
    with torch.no_grad():
        calls = {
            "shape, batch 32, ms": lambda: model.shape(identity, expression),
            "shape, batch 1, ms": lambda: model.shape(identity[:1], expression[:1]),
            "albedo, batch 32, ms": lambda: model.albedo(colours),
        }
        for name, call in calls.items():
            median, least = median_seconds(call, options.repeats, warm_up=3)
            measured[name] = (1e3 * median, 1e3 * least)
    rows = [
        [name, f"{median:.2f}", f"{least:.2f}", f"{TARGETS[name]:g}" if name in TARGETS else "-"]
        for name, (median, least) in measured.items()
    ]
    print_table(f"Open model, {model.n_vertices} vertices", ("what", "median", "least", "at most"), rows)
    print("  the build is measured once; everything else is a median over repetitions")


if __name__ == "__main__":
    main()
