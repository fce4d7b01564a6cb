from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recon.export import encode_face_json, write_face_json

VALUES = {
    "vertices": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 1 / 3]], dtype=np.float32),
    "pose": {"yaw": np.float64(12.3456789012), "pitch": 0.0, "roll": -1e-12},
    "arkit": {"jawOpen": 0.5, "browDownLeft": np.float32(0.1)},
    "n_faces": np.int64(3),
    "warnings": ["eyes half closed, ünïcode"],
    "focal_from_exif": np.bool_(True),
    "missing": None,
}


def test_everything_comes_back_to_seven_digits() -> None:
    read = json.loads(encode_face_json(VALUES))
    assert read["schema_version"] == 1
    assert read["units"]["length"] == "millimetre" and "conventions" in read
    assert read["pose"] == {"pitch": 0.0, "roll": -1e-12, "yaw": 12.34568}
    assert read["vertices"] == [[1.0, 2.0, 3.0], [4.0, 5.0, 0.3333333]]
    assert read["arkit"]["browDownLeft"] == 0.1
    assert read["n_faces"] == 3 and read["focal_from_exif"] is True and read["missing"] is None
    assert read["warnings"] == ["eyes half closed, ünïcode"]


def test_order_of_keys_is_stable() -> None:
    text = encode_face_json(VALUES)
    assert text == encode_face_json(dict(reversed(VALUES.items())))
    keys = list(json.loads(text))
    assert keys[:4] == ["schema", "schema_version", "units", "conventions"]
    assert keys[4:] == sorted(keys[4:])
    other = encode_face_json({"pose": {"roll": 1.0, "yaw": 2.0}})
    assert other == encode_face_json({"pose": {"yaw": 2.0, "roll": 1.0}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pose": {"yaw": float("nan")}}, "pose.yaw is nan"),
        ({"vertices": np.array([[0.0, np.inf]])}, r"vertices\[0\]\[1\] is inf"),
        ({"units": "feet"}, "units belong to the format"),
    ],
)
def test_numbers_that_json_cannot_hold_are_refused_by_name(values: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_face_json(tmp_path / "face.json", values)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [{"a": {1: 2}}, {"a": object()}, {"a": b"bytes"}])
def test_other_kinds_of_values_are_refused(values: dict) -> None:
    with pytest.raises(TypeError, match="^a: "):
        encode_face_json(values)


def test_file_is_utf8(tmp_path: Path) -> None:
    path = write_face_json(tmp_path / "face ö.json", VALUES)
    assert "ünïcode" in path.read_text(encoding="utf-8")
