"""What comes of photos whose face is small, cut, covered, turned over or painted: a head that says what is wrong, or none."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from recon.cli import main
from recon.reconstructor import NoFaceError, Reconstructor

EYES_PX = np.array([[204.0, 98.0], [251.0, 98.0]])
"""Roughly the astronaut's."""
UNSURE, SMALL, TURNED = "points of the face are known to", "the face is only", "lie on its side or head"


@pytest.fixture(scope="module")
def network(own_detector):
    return Reconstructor(method="regress", device="cpu", detector=own_detector)


@pytest.fixture(scope="module")
def usual(network, astronaut):
    return network(astronaut)[0]


def warnings_of(head):
    return " / ".join(head.fit_report.warnings)


def resized(image, factor):
    height, width = (round(factor * side) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def drawn_on(image, draw):
    picture = Image.fromarray(image)
    draw(ImageDraw.Draw(picture))
    return np.asarray(picture)


def turn_between_deg(a, b):
    cosine = (float((a.camera.rotation[0].T @ b.camera.rotation[0]).trace()) - 1.0) / 2.0
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def test_a_usual_photo_is_not_complained_of(usual):
    assert not any(words in warnings_of(usual) for words in (UNSURE, SMALL, TURNED))


def test_a_face_of_24_px_is_a_head_with_a_warning(network, astronaut, usual):
    small = network(resized(astronaut, 24.0 / usual.face.size_px))[0]
    assert SMALL in warnings_of(small) and UNSURE not in warnings_of(small)
    assert turn_between_deg(small, usual) < 8.0


@pytest.mark.parametrize("kept", [np.s_[:, 228:], np.s_[:, :228], np.s_[110:]], ids=["right", "left", "lower"])
def test_half_a_face_at_the_border_says_so(network, astronaut, kept):
    half = network(np.ascontiguousarray(astronaut[kept]))[0]
    assert UNSURE in warnings_of(half)


def test_a_mask_over_mouth_and_nose_says_so(network, astronaut, usual):
    covered = drawn_on(astronaut, lambda d: d.rectangle((170, 122, 284, 179), fill=(90, 140, 200)))
    masked = network(covered)[0]
    assert UNSURE in warnings_of(masked)
    assert turn_between_deg(masked, usual) < 12.0


def test_sunglasses_leave_the_pose(network, astronaut, usual):
    def glasses(draw):
        for x, y in EYES_PX:
            draw.ellipse((x - 22, y - 15, x + 22, y + 15), fill=(12, 12, 14))
        draw.line((*(EYES_PX[0] + [20, -4]), *(EYES_PX[1] + [-20, -4])), fill=(12, 12, 14), width=4)

    behind = network(drawn_on(astronaut, glasses))[0]
    assert turn_between_deg(behind, usual) < 8.0


def test_a_painting_is_a_face_like_any_other(network, astronaut, usual):
    strokes = Image.fromarray(astronaut).filter(ImageFilter.ModeFilter(7)).quantize(24).convert("RGB")
    painted = network(np.asarray(strokes))[0]
    assert turn_between_deg(painted, usual) < 8.0


def test_a_photo_on_its_head_is_reported_and_gives_the_same_head(network, astronaut, usual):
    turned = network(np.ascontiguousarray(np.rot90(astronaut, 2)))[0]
    assert TURNED in warnings_of(turned)
    assert abs(turned.pose_ray.yaw - usual.pose_ray.yaw) < 4.0
    assert abs(turned.pose_ray.pitch - usual.pose_ray.pitch) < 4.0
    assert abs(turned.pose_ray.roll - usual.pose_ray.roll) == pytest.approx(180.0, abs=4.0)


def test_where_all_but_the_eyes_is_covered_there_is_no_head_or_a_warning(network, astronaut):
    wrapped = drawn_on(astronaut, lambda d: d.rectangle((150, 112, 310, 200), fill=(150, 30, 40)))
    try:
        heads = network(wrapped)
    except NoFaceError:
        return
    assert UNSURE in warnings_of(heads[0])


@pytest.mark.parametrize("method", ["fit", "regress", "hybrid"])
def test_without_a_face_all_methods_end_alike(tmp_path, capsys, method):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(
        tmp_path / "noise.png"
    )
    assert main(["reconstruct", str(tmp_path / "noise.png"), "-o", str(tmp_path / "out"), "--method", method]) == 1
    assert "no face was found" in capsys.readouterr().out
    assert not list(tmp_path.glob("out/**/*.glb"))
