"""Records the moving picture of the window: a drawn face is dropped, sliders move the head, it is turned, its looks change.

    python tools/window_picture.py docs/app.webp

Needs the extras ``app`` and ``browser``, and a Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from recon.io.files import write_file

VIEW = "document.querySelector('.head-view').head_view"
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
_WINDOW = {"width": 1280, "height": 760}
_SHOWN_PX = (720, 428)
_MOST_BYTES = 1_500_000
_WAIT_MS = 60_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the WebP to write")
    parser.add_argument("--example", type=int, default=1, help="number of the drawn face [1]")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-m", "recon.cli", "app", "--port", str(port)]) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}")
            with sync_playwright() as playwright:
                opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
                page = opened.new_page(viewport=_WINDOW)
                page.goto(f"http://127.0.0.1:{port}")
                frames = [_shown(shot, hold_ms) for shot, hold_ms in _performed(page, arguments.example)]
                opened.close()
        finally:
            server.terminate()
    pictures, holds_ms = zip(*frames, strict=True)
    content = io.BytesIO()
    pictures[0].save(
        content,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=list(holds_ms),
        loop=0,
        quality=60,
        method=6,
    )
    if content.tell() > _MOST_BYTES:
        raise SystemExit(f"{content.tell()} bytes are too many for a README")
    write_file(arguments.path, content.getvalue(), overwrite=True)


def _wait_for(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=5.0).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the window did not open within a minute")


def _performed(page: Any, example: int) -> Iterator[tuple[bytes, int]]:
    """Screenshots, and how long each is shown."""
    page.wait_for_function(f"{VIEW.replace('.head_view', '?.head_view')}?.model", timeout=_WAIT_MS)
    page.wait_for_timeout(1500)
    yield page.screenshot(), 900
    page.locator(".example").nth(example).click()
    page.wait_for_function(f"{VIEW}.panes.length > 0", timeout=_WAIT_MS)
    page.wait_for_function(f"{VIEW}.panes[0].head.uniforms.has_texture.value", timeout=_WAIT_MS)
    page.wait_for_timeout(600)
    yield page.screenshot(), 1200
    for words, label in (("jaw open", "Jaw open"), ("smile left", "Mouth smile left"), ("brow inner", "Brow inner up")):
        page.get_by_placeholder("Search").fill(words)
        page.wait_for_timeout(800)
        slider = page.locator(".slider-row", has_text=label).locator(".q-slider")
        box = slider.bounding_box()
        for share in (0.25, 0.5, 0.75, 0.9):
            page.mouse.click(box["x"] + share * box["width"], box["y"] + 0.5 * box["height"])
            page.wait_for_timeout(250)
            yield page.screenshot(), 140
    page.get_by_text("Turn freely", exact=True).click()
    page.wait_for_timeout(500)
    box = page.locator(".head-view").bounding_box()
    middle = (box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.move(*middle)
    page.mouse.down()
    for step in (*range(1, 8), *range(6, -7, -1), *range(-5, 4)):
        page.mouse.move(middle[0] + 22.0 * step, middle[1] + 4.0 * step)
        page.wait_for_timeout(120)
        yield page.screenshot(), 110
    page.mouse.up()
    for look in ("Shape", "Normals", "Depth", "Photo texture"):
        page.locator(".q-btn-toggle").get_by_text(look, exact=True).first.click()
        page.wait_for_timeout(400)
        yield page.screenshot(), 700


def _shown(screenshot: bytes, hold_ms: int) -> tuple[Image.Image, int]:
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    return picture.resize(_SHOWN_PX, Image.Resampling.LANCZOS), hold_ms


if __name__ == "__main__":
    main()
