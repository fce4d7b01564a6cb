"""Light from environment maps, against maps whose light is known."""

import math
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from recon.cli import main
from recon.io.read_radiance import decode_radiance
from recon.io.write_exr import encode_exr
from recon.lighting import ambient, environment_directions, environment_to_sh, irradiance, lamps_to_sh
from recon.synthesis import FaceSampler, SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.scene.environments import (
    EnvironmentMapError,
    FolderEnvironments,
    read_environment,
    split_lamp,
)

_COLOUR = np.array([0.8, 0.5, 0.25], np.float32)


def _sun_map(height=64, towards=(0.6, 0.48, 0.64), strength=400.0):
    """Even light of radiance 1 and a disc of 6 degrees that is much brighter and reddish."""
    directions, _ = environment_directions(torch.zeros(3, height, 2 * height))
    disc = (directions @ torch.tensor(towards)) > math.cos(math.radians(6.0))
    colour = torch.tensor([1.0, 0.7, 0.4])[:, None, None]
    return torch.ones(3, height, 2 * height) + strength * colour * disc


def _rgbe(picture):
    """``(H, W, 3)`` to ``(H, W, 4)`` uint8."""
    brightest = picture.max(axis=-1)
    mantissa, exponent = np.frexp(brightest)
    scale = np.where(brightest > 1e-30, mantissa * 256.0 / np.maximum(brightest, 1e-30), 0.0)
    byte = np.where(brightest > 1e-30, exponent + 128.0, 0.0)
    return np.concatenate([picture * scale[..., None], byte[..., None]], axis=-1).astype(np.uint8)


def _radiance(picture, coded):
    height, width = picture.shape[:2]
    data = b"#?RADIANCE\n# made by a test\nFORMAT=32-bit_rle_rgbe\n\n" + f"-Y {height} +X {width}\n".encode()
    for line in _rgbe(picture):
        if not coded:
            data += line.tobytes()
            continue
        data += b"\x02\x02" + struct.pack(">H", width)
        for plane in line.T:
            # one run of five equal values, the rest as they are
            data += bytes([128 + 5, plane[0]])
            for start in range(5, width, 100):
                part = plane[start : start + 100]
                data += bytes([len(part)]) + part.tobytes()
    return data


def _blocks(height=8):
    picture = np.random.default_rng(0).uniform(0.01, 30.0, (height, 2 * height, 3)).astype(np.float32)
    picture[:, :5] = picture[:, :1]  # begins with five equal columns, which a run can hold
    picture[2, 7] = 0.0
    return picture


@pytest.mark.parametrize("coded", [False, True])
def test_radiance_pictures_are_read(coded):
    picture = _blocks()
    found = decode_radiance(_radiance(picture, coded))
    assert found.shape == picture.shape
    # eight bits of the brightest channel
    assert (np.abs(found - picture) <= picture.max(axis=-1, keepdims=True) / 127.0).all()
    assert (found[2, 7] == 0.0).all()


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-9], lambda d: b"P6" + d, lambda d: d.replace(b"-Y", b"+Y"), lambda d: b""]
)
def test_damaged_radiance_pictures_are_refused(damage):
    for coded in (False, True):
        with pytest.raises(ValueError, match=r"truncated|begin as|are read"):
            decode_radiance(damage(_radiance(_blocks(), coded)))


def test_all_kinds_of_files_hold_the_same_light(tmp_path):
    even = np.broadcast_to(_COLOUR, (32, 64, 3)).astype(np.float32)
    (tmp_path / "a.hdr").write_bytes(_radiance(even, True))
    (tmp_path / "b.exr").write_bytes(encode_exr({c: even[..., k].copy() for k, c in enumerate("RGB")}))
    code = np.where(even <= 0.0031308, 12.92 * even, 1.055 * even ** (1 / 2.4) - 0.055)
    for name in ("c.jpg", "d.png"):
        Image.fromarray((255.0 * code).round().astype(np.uint8)).save(tmp_path / name)
    maps = FolderEnvironments(tmp_path).maps
    assert len(maps.lighting) == 4
    expected = ambient(torch.as_tensor(_COLOUR / _COLOUR.mean()))
    assert torch.allclose(maps.lighting, expected.expand(4, 9, 3), atol=0.05)
    assert torch.allclose(maps.lighting[1], expected, atol=2e-3)
    assert maps.irradiance.abs().max() == 0.0


def test_a_sun_becomes_a_lamp_and_no_light_is_lost():
    picture = _sun_map()
    found = split_lamp(picture)
    assert torch.rad2deg((found.direction[0] @ torch.tensor([0.6, 0.48, 0.64])).clamp(-1, 1).acos()) < 1.0
    _, area = environment_directions(picture)
    mean = float((picture.mean(0) * area[:, None]).sum() / (4 * math.pi))
    # a disc of 6 degrees covers 2 pi (1 - cos 6)
    sun = 400.0 * 2 * math.pi * (1 - math.cos(math.radians(6.0))) / mean
    ratio = found.irradiance[0] / (sun * torch.tensor([1.0, 0.7, 0.4]))
    assert ((ratio > 0.85) & (ratio < 1.1)).all()
    total = found.lighting[0] + lamps_to_sh(found.direction, found.irradiance)
    whole = environment_to_sh(picture / mean)
    assert torch.allclose(total, whole, atol=0.02 * float(whole.abs().max()))
    assert found.lighting[0, 1:].abs().max() < 0.3 * whole[1:].abs().max()


def test_maps_turn_about_the_vertical(tmp_path):
    (tmp_path / "a.exr").write_bytes(encode_exr({c: _sun_map()[k].numpy() for k, c in enumerate("RGB")}))
    maps = FolderEnvironments(tmp_path)
    sampled = maps.sample(CounterRng.of(0, range(20)))
    assert torch.allclose(sampled.direction[:, 1], maps.maps.direction[0, 1].expand(20), atol=1e-5)
    assert sampled.direction[:, 0].std() > 0.3
    # surroundings turn with their lamp
    towards = lamps_to_sh(sampled.direction[:, None], torch.ones(20, 1, 3))
    along = (sampled.lighting * towards).sum(dim=(1, 2))
    assert torch.allclose(along, along[:1].expand(20), rtol=1e-3)


def test_pictures_are_lit_by_their_map(tmp_path, head_model):
    (tmp_path / "a.exr").write_bytes(encode_exr({c: _sun_map()[k].numpy() for k, c in enumerate("RGB")}))
    config = SynthesisConfig.clean(environment_folder=str(tmp_path), exposure=0.0)
    scene = FaceSampler(head_model, config, size=(16, 16)).scene(range(4))
    lights = scene.lights
    share = irradiance(lights.directions[:, :1], lights.total).mean(dim=2)[:, 0]
    behind = irradiance(-lights.directions[:, :1], lights.total).mean(dim=2)[:, 0]
    assert (share > 3.0 * behind).all()
    assert (lights.irradiances[:, 0, 0] > 2.0 * lights.irradiances[:, 0, 2]).all()
    assert lights.irradiances[:, 1].abs().max() == 0.0


def test_folders_that_cannot_be_used(tmp_path, capsys):
    with pytest.raises(EnvironmentMapError, match="does not exist"):
        FolderEnvironments(tmp_path / "none")
    with pytest.raises(EnvironmentMapError, match="holds no environment maps"):
        FolderEnvironments(tmp_path)
    Image.fromarray(np.full((20, 30, 3), 9, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(EnvironmentMapError, match="is 30 x 20 px: an equirectangular map is twice as wide as high"):
        FolderEnvironments(tmp_path)
    for name, data, message in (
        ("a.png", b"no picture", "cannot be read"),
        ("b.hdr", b"#?RADIANCE\n", "cannot be read: only RGBE"),
        ("c.exr", encode_exr({"Z": np.ones((4, 8), np.float32)}), "has no channel 'R'"),
        ("d.exr", encode_exr(dict.fromkeys("RGB", np.full((4, 8), np.nan, np.float32))), "not finite"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(EnvironmentMapError, match=message):
            read_environment(tmp_path / name)
    out = tmp_path / "out"
    setting = f"environment_folder={tmp_path / 'none'}"
    assert main(["synthesize", "-o", str(out), "--count", "2", "--clean", "--set", setting]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_maps_that_cannot_be_read_are_left_out_and_counted(tmp_path, caplog):
    (tmp_path / "b.exr").write_bytes(encode_exr({c: _sun_map()[k].numpy() for k, c in enumerate("RGB")}))
    alone = FolderEnvironments(tmp_path).maps
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "c.hdr").write_bytes(b"#?RADIANCE\n")
    (tmp_path / "d.exr").mkdir()
    Image.fromarray(np.full((20, 30, 3), 9, np.uint8)).save(tmp_path / "e.jpg")
    maps = FolderEnvironments(tmp_path).maps
    assert torch.equal(maps.lighting, alone.lighting)
    (record,) = caplog.records
    assert "4 of 5 environment maps in" in record.getMessage() and "a.png cannot be read" in record.getMessage()


@pytest.mark.parametrize("height", [48, 50])  # 50 rows leave a last group of fewer lines
def test_large_maps_are_averaged_as_they_are_read(tmp_path, monkeypatch, height):
    picture = _blocks(height)
    (tmp_path / "a.hdr").write_bytes(_radiance(picture, True))
    (tmp_path / "b.exr").write_bytes(encode_exr({c: picture[..., k].copy() for k, c in enumerate("RGB")}))
    code = np.random.default_rng(2).integers(0, 256, picture.shape, np.uint8)
    Image.fromarray(code).save(tmp_path / "c.png")
    whole = {name: read_environment(tmp_path / name) for name in ("a.hdr", "b.exr", "c.png")}
    monkeypatch.setattr("recon.synthesis.scene.environments._MAX_ROWS", 12)
    monkeypatch.setattr("recon.io.pictures._STRIP_PIXELS", 700)
    side = -(-height // 12)
    for name, full in whole.items():
        reduced = read_environment(tmp_path / name)
        assert reduced.shape == (3, -(-height // side), -(-2 * height // side))
        for row, column in ((0, 0), (3, 7), (reduced.shape[1] - 1, reduced.shape[2] - 1)):
            part = full[:, side * row : side * (row + 1), side * column : side * (column + 1)]
            assert torch.allclose(reduced[:, row, column], part.mean(dim=(1, 2)), rtol=1e-4)


def test_pictures_over_pillow_s_limit_are_maps_too(tmp_path, monkeypatch):
    Image.fromarray(np.full((20, 40, 3), 99, np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert len(FolderEnvironments(tmp_path).maps.lighting) == 1


def test_light_that_cannot_be_summed_is_refused(tmp_path):
    values = np.full((4, 8), 3e38, np.float32)
    (tmp_path / "a.exr").write_bytes(encode_exr(dict.fromkeys("RGB", values)))
    with pytest.raises(EnvironmentMapError, match="not finite"):
        read_environment(tmp_path / "a.exr")
