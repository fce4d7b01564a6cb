"""``recon speak`` from files to files, and what it says of those that cannot be used."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

import recon
from recon.cli import main
from recon.export import ExportMesh
from recon.export.glb import encode_glb
from recon.io.audio import recording
from recon.speech import speak as module
from recon.speech.animation import PROVENANCE, SpeechAnimationSettings

RATE_HZ = 16_000
SOUND = 0.3 * np.sin(np.arange(12_000) / 8.0) * np.abs(np.sin(np.arange(12_000) / 1500.0))


def small_head(*names: str) -> ExportMesh:
    """A tetrahedron of head size."""
    corners = np.array([[0.0, 110.0, 0.0], [-90.0, -60.0, 40.0], [90.0, -60.0, 40.0], [0.0, -30.0, -90.0]])
    targets = {name: 0.05 * (k + 1) * corners for k, name in enumerate(names)}
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    return ExportMesh(corners, faces, colors=np.full((4, 3), 0.5), morph_targets=targets)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "head.glb").write_bytes(encode_glb(small_head("browInnerUp", "jawOpen", "mouthClose", "eyeBlinkLeft")))
    wavfile.write(tmp_path / "voice.wav", RATE_HZ, SOUND.astype(np.float32))
    return tmp_path


def document(path: Path) -> dict:
    data = path.read_bytes()
    return json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])


def speak(folder: Path, *words: str) -> int:
    return main(["speak", str(folder / "head.glb"), str(folder / "voice.wav"), "-o", str(folder / "out.glb"), *words])


def test_a_head_and_a_voice(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speak(files, "--fps", "60") == 0
    found = document(files / "out.glb")
    (animation,) = found["animations"]
    assert found["accessors"][animation["samplers"][0]["input"]]["count"] == 45
    assert found["asset"]["extras"]["provenance"] == PROVENANCE
    assert "45 keys" in capsys.readouterr().out
    assert speak(files) == 2 and "--overwrite" in capsys.readouterr().err
    assert speak(files, "--overwrite", "--head-motion", "0") == 0
    assert [c["target"]["path"] for c in document(files / "out.glb")["animations"][0]["channels"]] == ["weights"]


def test_the_api(files: Path) -> None:
    made = recon.speak(
        files / "head.glb", files / "voice.wav", files / "api.glb", settings=SpeechAnimationSettings(25.0)
    )
    assert made.weights.shape == (19, 52) and made.rotation.shape == (19, 3, 3)
    animator = recon.SpeechAnimator(made.names, 25.0)
    mouth = np.concatenate([animator.push(SOUND[:5000]), animator.push(SOUND[5000:]), animator.finish()])
    jaw = made.names.index("jawOpen")
    np.testing.assert_allclose(mouth[:, jaw], made.weights[:, jaw], atol=1e-5)


def test_a_video_with_sound(files: Path) -> None:
    av = pytest.importorskip("av")
    from recon.io.audio import read_audio

    sound = recording(SOUND, RATE_HZ)
    module.speak(files / "head.glb", sound, files / "out.glb", video=files / "out.mp4")
    with av.open(str(files / "out.mp4")) as container:
        assert container.metadata["comment"] == PROVENANCE
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 23 and frames[0].shape == (512, 512, 3)
    assert frames[0].std() > 10.0 and not np.array_equal(frames[0], frames[12])
    assert abs(read_audio(files / "out.mp4").seconds - 0.75) < 0.15


def test_channels_rates_and_clipping(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rate_hz, values in (
        ("stereo", 48_000, np.stack([SOUND, SOUND], axis=1)),
        ("low", 8000, SOUND),
        ("clipped", RATE_HZ, np.clip(9.0 * SOUND, -1.0, 1.0)),
    ):
        wavfile.write(files / "voice.wav", rate_hz, values.astype(np.float32))
        assert speak(files, "--overwrite") == 0
        assert ("clipped" in capsys.readouterr().err) == (name == "clipped")


def test_what_cannot_speak(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(code: int, said: str, *words: str) -> None:
        assert main(["speak", *words]) == code
        assert said in capsys.readouterr().err
        assert not (files / "out.glb").exists()

    head, voice, out = (str(files / name) for name in ("head.glb", "voice.wav", "out.glb"))
    refused(2, "got 1 files", head, "-o", out)
    refused(2, "got 2 files", head, voice, "--text", "hello", "-o", out)
    refused(2, "no such file", head, str(files / "none.wav"), "-o", out)
    refused(2, "should end in .glb", head, voice, "-o", str(files / "out.gltf"))
    refused(2, "does not exist", head, voice, "-o", str(files / "none" / "out.glb"))
    refused(2, "head_motion", head, voice, "-o", out, "--head-motion", "-1")
    refused(1, "frames a second", head, voice, "-o", out, "--fps", "0")
    refused(1, "no checkpoint", head, voice, "-o", out, "--checkpoint", str(files / "none.safetensors"))
    refused(1, "no GLB file", voice, voice, "-o", out)
    wavfile.write(files / "empty.wav", RATE_HZ, np.zeros(0, np.float32))
    refused(1, "empty", head, str(files / "empty.wav"), "-o", out)
    (files / "mute.glb").write_bytes(encode_glb(small_head()))
    refused(1, "no morph targets", str(files / "mute.glb"), voice, "-o", out)
    (files / "other.glb").write_bytes(encode_glb(small_head("Key 1")))
    refused(1, "Key 1", str(files / "other.glb"), voice, "-o", out)


def test_a_photo_without_a_face(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from recon.io.files import write_file
    from recon.io.png import encode_png

    write_file(files / "grey.png", encode_png(np.full((200, 240, 3), 128, np.uint8)))
    out = files / "out.glb"
    assert main(["speak", "--photo", str(files / "grey.png"), str(files / "voice.wav"), "-o", str(out)]) == 1
    assert "face" in capsys.readouterr().err and not out.exists()


def test_a_text_without_espeak(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from recon.speech import espeak

    monkeypatch.setattr(espeak.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(espeak.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv(espeak.LIBRARY_VARIABLE, raising=False)
    assert main(["speak", str(files / "head.glb"), "--text", "hello", "-o", str(files / "out.glb")]) == 1
    assert "apt-get install espeak-ng" in capsys.readouterr().err
