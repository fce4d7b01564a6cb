"""Configs that build on another one: what is merged, and errors that name the file."""

import pytest

from recon.io.base_configs import ConfigError, config_files, files_with_key, read_config


def _write(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{next(iter(texts))}.yaml"


def test_mappings_are_merged_and_lists_and_values_replaced(tmp_path):
    path = _write(
        tmp_path,
        a="base: b.yaml\nx: {p: 1, q: null}\nitems: [3]\n",
        b="base: c.yaml\nx: {p: 2, r: {s: 1}}\n",
        c="x: {p: 3, q: {t: 1}, r: {u: 2}}\nitems: [1, 2]\ny: 4\n",
    )
    assert read_config(path) == {"x": {"p": 1, "q": None, "r": {"s": 1, "u": 2}}, "items": [3], "y": 4}
    assert [file.name for file in config_files(path)] == ["a.yaml", "b.yaml", "c.yaml"]


def test_settings_of_another_class_are_not_inherited(tmp_path):
    base = "o: {class_path: one.A, init_args: {a: 1}}"
    same = _write(tmp_path, same="base: b.yaml\no: {init_args: {b: 2}}", b=base)
    other = _write(tmp_path, other="base: b.yaml\no: {class_path: one.B, init_args: {b: 2}}")
    assert read_config(same)["o"] == {"class_path": "one.A", "init_args": {"a": 1, "b": 2}}
    assert read_config(other)["o"] == {"class_path": "one.B", "init_args": {"b": 2}}


def test_a_config_without_a_base_and_an_empty_one_are_what_they_say(tmp_path):
    assert read_config(_write(tmp_path, a="x: 1")) == {"x": 1}
    assert read_config(_write(tmp_path, a="")) == {}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"a": "base: b.yaml"}, r"a.yaml: its base \S*b.yaml does not exist"),
        ({"a": "base: a.yaml"}, r"a.yaml: a config cannot be its own base \(\S*a.yaml -> \S*a.yaml\)"),
        ({"a": "base: b.yaml", "b": "base: a.yaml"}, r"b.yaml: a config cannot be its own base"),
        ({"a": "base: ''"}, r"a.yaml: 'base' must be the path of a config"),
        ({"a": "base: {x: 1}"}, r"a.yaml: 'base' must be the path of a config"),
        ({"a": "base: b.yaml", "b": "x: ["}, r"b.yaml cannot be read as YAML"),
        ({"a": "base: b.yaml", "b": "3"}, r"b.yaml must hold keys with values, found int"),
        ({"a": "base: ../x.yaml"}, r"a.yaml: its base ../x.yaml lies outside"),
    ],
)
def test_faults_name_the_file(tmp_path, texts, message):
    (tmp_path / "x.yaml").write_text("x: 1")
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match=message):
        read_config(_write(tmp_path / "in", **texts))


def test_a_base_of_a_base_may_lie_above_it_but_not_above_the_config(tmp_path):
    (tmp_path / "deep").mkdir()
    path = _write(tmp_path, a="base: deep/b.yaml", c="x: 1")
    inner = _write(tmp_path / "deep", b="base: ../c.yaml")
    assert read_config(path) == {"x": 1}
    with pytest.raises(ConfigError, match=r"b.yaml: its base ../c.yaml lies outside"):
        read_config(inner)


def test_files_that_hold_a_key_are_found_at_any_depth(tmp_path):
    path = _write(tmp_path, a="base: b.yaml\nmodel: [{deep: {wrong: 1}}]", b="model.wrong: 2", c="model: wrong")
    files = (path, tmp_path / "b.yaml", tmp_path / "c.yaml")
    assert files_with_key(files, "model.wrong") == files[:2]
