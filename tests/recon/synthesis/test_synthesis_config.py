"""Settings of synthesis."""

import dataclasses

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
        ({"mesh": "rough"}, "mesh must be one of fine, coarse"),
        ({"looks": -1}, "looks must be a whole number"),
        ({"looks": 4}, "nobody has 4 looks"),
        ({"background": "folder"}, "background_folder go together"),
        ({"capture": "c3i"}, "set framing to 'free'"),
        ({"capture": "other", "framing": "free"}, "capture must be one of c3i"),
    ],
)
def test_impossible_values_are_refused(settings, message):
    with pytest.raises(SynthesisConfigError, match=message):
        SynthesisConfig.of(settings)


def test_a_yaml_file_of_endless_depth_is_refused(tmp_path):
    (tmp_path / "deep.yaml").write_text("[" * 20_000, encoding="utf-8")
    with pytest.raises(SynthesisConfigError, match="is no YAML file"):
        SynthesisConfig.read(tmp_path / "deep.yaml")


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


FORMER = [("occlusion", "ambient_occlusion"), ("shine", "specular"), ("softness", "subsurface")]


@pytest.mark.parametrize(("former", "name"), FORMER)
@pytest.mark.parametrize("make", [SynthesisConfig.of, SynthesisConfig.clean, SynthesisConfig])
def test_former_names_are_still_read(make, former, name):
    with pytest.warns(FutureWarning, match=f"'{former}' is now called '{name}'") as caught:
        config = make({former: 0.25}) if make == SynthesisConfig.of else make(**{former: 0.25})
    assert len(caught) == 1
    assert config == (SynthesisConfig.clean if make == SynthesisConfig.clean else SynthesisConfig)(**{name: 0.25})
    assert getattr(dataclasses.replace(config, hair=0.5), name) == 0.25
    assert former not in dataclasses.asdict(config)


@pytest.mark.parametrize("make", [SynthesisConfig.of, lambda settings: SynthesisConfig(**settings)])
def test_a_setting_is_not_given_under_both_names(make):
    with pytest.raises(SynthesisConfigError, match="'shine' is the former name of 'specular' and both are given"):
        make({"shine": 0.5, "specular": 0.25})


def test_former_names_have_the_limits_of_the_present_ones():
    with (
        pytest.warns(FutureWarning),
        pytest.raises(SynthesisConfigError, match=r"specular must lie in \[0, 1\], got 2"),
    ):
        SynthesisConfig(shine=2.0)


def test_configs_of_training_may_hold_former_names():
    jsonargparse = pytest.importorskip("jsonargparse")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--synthesis", type=SynthesisConfig)
    found = parser.parse_object({"synthesis": {"softness": 0.0, "hair": 0.5}}).synthesis
    with pytest.warns(FutureWarning, match="'softness' is now called 'subsurface'"):
        assert SynthesisConfig(**found.as_dict()) == SynthesisConfig(subsurface=0.0, hair=0.5)
