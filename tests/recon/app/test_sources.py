"""Photos and clips as things with heads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recon.app.sources import Clip, ClipSource, NoHeadError, PhotoSource
from recon.io.image import ImageError
from recon.io.png import encode_png
from recon.reconstruction import Reconstruction

PNG = encode_png(np.full((20, 30, 3), 90, dtype=np.uint8))


def test_each_head_of_a_photo_is_made_once(maker) -> None:
    photo = PhotoSource.read("../x/two.png", PNG, maker)
    assert photo.name == "two.png" and photo.places == ("face 1 of 2", "face 2 of 2")
    assert not photo.has(1, "fit")
    with ThreadPoolExecutor(4) as pool:
        barrier = threading.Barrier(4)

        def ask(_: int) -> Reconstruction:
            barrier.wait()
            return photo.head(1, "fit")

        heads = list(pool.map(ask, range(4)))
    assert len(maker.made) == 1 and all(head is heads[0] for head in heads)
    photo.head(0, "regress")
    assert [method for _, method in maker.made] == ["fit", "regress"] and photo.has(1, "fit")


def test_a_text_named_jpg_is_no_photo(maker) -> None:
    with pytest.raises(ImageError):
        PhotoSource.read("text.jpg", b"dear reader", maker)


def test_frames_of_a_clip_are_its_places(head: Reconstruction) -> None:
    clip = ClipSource("walk.mp4", Clip([head, None], ["", "black picture"], 4.0))
    assert clip.places == ("0.00 s", "0.25 s") and clip.head(0, "track") is head
    with pytest.raises(NoHeadError, match="no head in this frame: black picture"):
        clip.head(1, "track")
