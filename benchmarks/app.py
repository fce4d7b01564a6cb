"""How fast `recon app` answers and whether it keeps memory, in a headless Chromium.

    python benchmarks/app.py [--photos FOLDER] [--drops 20] [--screens FOLDER]

Drops photos one after another in one window of a fresh server and prints seconds to the head and to its texture, milliseconds from
a slider's move to its picture (drawn by the software renderer of Chromium), and the memory of the server. Without a folder the
photos are the drawn example faces. Needs the extras app and browser, and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
VIEW = "document.querySelector('.head-view').head_view"
SLIDER_MOVES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of pictures")
    parser.add_argument("--drops", type=int, default=20)
    parser.add_argument("--screens", type=Path, help="folder for pictures of the window")
    arguments = parser.parse_args()
    photos = files(arguments.photos, arguments.drops)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.monotonic()
    server = subprocess.Popen([sys.executable, "-m", "recon.cli", "app", "--port", str(port)])
    try:
        wait_for(f"http://127.0.0.1:{port}/drawn-faces/0")
        print(f"server ready and warm after {time.monotonic() - begun:.1f} s")
        visit(f"http://127.0.0.1:{port}", photos, server.pid, arguments.screens)
    finally:
        server.terminate()
        server.wait()


def visit(address: str, photos: list[tuple[str, bytes]], pid: int, screens: Path | None) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 860})
        page.goto(address)
        page.wait_for_function("document.querySelector('.head-view')?.head_view?.model", timeout=60_000)
        heads_s, textures_s, memory_mb = [], [], []
        for number, (name, data) in enumerate(photos):
            shown = page.evaluate(f"{VIEW}.turn || 0")
            begun = time.monotonic()
            page.set_input_files("input[type=file]", {"name": name, "mimeType": "image/png", "buffer": data})
            page.wait_for_function(f"{VIEW}.turn > {shown} && {VIEW}.shown_turn == {VIEW}.turn", timeout=120_000)
            heads_s.append(time.monotonic() - begun)
            page.wait_for_function(f"{VIEW}.panes[0].head.uniforms.has_texture.value", timeout=120_000)
            textures_s.append(time.monotonic() - begun)
            memory_mb.append(resident_mb(pid))
            if screens is not None:
                page.wait_for_timeout(500)
                page.screenshot(path=screens / f"{number:02d}.png")
        report("head", heads_s)
        report("head and texture", textures_s)
        moves_ms = [move(page, 0.5 + 0.5 * (k % 2)) for k in range(SLIDER_MOVES)]
        print(f"slider to picture: median {statistics.median(moves_ms):.0f} ms, worst {max(moves_ms):.0f} ms")
        print("server, MB, after each photo:", *(f"{mb:.0f}" for mb in memory_mb))


def move(page: Any, weight: float) -> float:
    page.evaluate(f"{VIEW}.setWeight(24, {weight})")
    page.wait_for_function(f"!{VIEW}.changed_at")
    return float(page.evaluate(f"{VIEW}.last_ms"))


def report(name: str, seconds: list[float]) -> None:
    print(f"{name}: first {seconds[0]:.1f} s, median {statistics.median(seconds):.1f} s, worst {max(seconds):.1f} s")


def files(folder: Path | None, count: int) -> list[tuple[str, bytes]]:
    if folder is None:
        from recon.app.examples import example_photos

        drawn = example_photos()
        return [(f"{k}.png", drawn[k % len(drawn)]) for k in range(count)]
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    return [(path.name, path.read_bytes()) for path in paths[:: max(1, len(paths) // count)][:count]]


def wait_for(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=60.0).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{url} does not answer")


def resident_mb(pid: int) -> float:
    """Memory of a process, as Linux tells it."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000.0


if __name__ == "__main__":
    main()
