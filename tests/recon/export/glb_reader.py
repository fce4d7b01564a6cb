"""A strict reader of GLB files."""

from __future__ import annotations

import json
import struct

import numpy as np

COMPONENTS = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


class Glb:
    """A GLB file taken apart, checking on the way what the glTF 2.0 specification demands of each part."""

    def __init__(self, data: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        json_length, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON" and json_length % 4 == 0
        self.json = json.loads(data[20 : 20 + json_length])
        bin_length, kind = struct.unpack_from("<I4s", data, 20 + json_length)
        assert kind == b"BIN\0" and bin_length % 4 == 0
        self.bin = data[28 + json_length :]
        assert len(self.bin) == bin_length == self.json["buffers"][0]["byteLength"]
        end = 0
        for view in self.json["bufferViews"]:
            assert view["byteOffset"] % 4 == 0 and view["byteOffset"] >= end
            end = view["byteOffset"] + view["byteLength"]
            assert end <= bin_length and view["byteLength"] > 0
        self.primitive = self.json["meshes"][0]["primitives"][0]

    def view(self, index: int) -> bytes:
        view = self.json["bufferViews"][index]
        return self.bin[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]

    def accessor(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        width = WIDTHS[accessor["type"]]
        dtype = np.dtype(COMPONENTS[accessor["componentType"]])
        values = np.zeros((accessor["count"], width), dtype)
        if "bufferView" in accessor:
            data = self.view(accessor["bufferView"])
            assert len(data) == values.nbytes
            values = np.frombuffer(data, dtype).reshape(-1, width).copy()
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            for part in ("indices", "values"):
                assert "target" not in self.json["bufferViews"][sparse[part]["bufferView"]]
            places = np.frombuffer(
                self.view(sparse["indices"]["bufferView"]), COMPONENTS[sparse["indices"]["componentType"]]
            )
            assert len(places) == sparse["count"] >= 1
            assert (np.diff(places.astype(np.int64)) > 0).all() and places.max() < len(values)
            values[places] = np.frombuffer(self.view(sparse["values"]["bufferView"]), dtype).reshape(-1, width)
        if "min" in accessor:
            np.testing.assert_array_equal(np.float32(accessor["min"]), values.min(axis=0))
            np.testing.assert_array_equal(np.float32(accessor["max"]), values.max(axis=0))
        return values

    def attribute(self, name: str) -> np.ndarray:
        return self.accessor(self.primitive["attributes"][name])

    def faces(self) -> np.ndarray:
        return self.accessor(self.primitive["indices"]).reshape(-1, 3)
