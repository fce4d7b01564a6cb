"""Settings of synthesis."""

import pytest

from recon.synthesis import SynthesisConfig, SynthesisConfigError


def test_unknown_keys_are_named():
    with pytest.raises(SynthesisConfigError, match=r"unknown synthesis settings: 'hare'; there are: .*hair"):
        SynthesisConfig.of({"hare": 1.0})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hair": 1.5}, r"hair must lie in \[0, 1\], got 1.5"),
        ({"hair": float("nan")}, "hair must lie in"),
        ({"hair": "much"}, "hair must be a number, got 'much'"),
        ({"yaw_deg": 120}, r"yaw_deg must lie in \[0, 90\]"),
        ({"pose": "any"}, "pose must be one of uniform, biwi, 300w-lp"),
        ({"distance_mm": (900, 400)}, "distance_mm must be two numbers"),
        ({"distance_mm": 900}, "distance_mm must be two numbers"),
        ({"identities": -1}, "identities must be a whole number"),
        ({"background": "folder"}, "background_folder go together"),
        ({"capture": "c3i"}, "set framing to 'free'"),
        ({"capture": "other", "framing": "free"}, "capture must be one of c3i"),
    ],
)
def test_impossible_values_are_refused(settings, message):
    with pytest.raises(SynthesisConfigError, match=message):
        SynthesisConfig.of(settings)


def test_yaml_files(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("hair: 0.25\ndistance_mm: [400, 800]\n")
    config = SynthesisConfig.read(path)
    assert config.hair == 0.25
    assert config.distance_mm == (400.0, 800.0)
    path.write_text("")
    assert SynthesisConfig.read(path) == SynthesisConfig()
    path.write_text("- hair\n")
    with pytest.raises(SynthesisConfigError, match="must hold settings by name, found list"):
        SynthesisConfig.read(path)
