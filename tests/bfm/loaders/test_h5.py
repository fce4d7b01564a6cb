"""HDF5 files: data sets of the file itself."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from bfm.files import ModelFileError
from bfm.loaders.h5 import read_h5, text_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.arange(3.0)
    (tmp_path / "raw").write_bytes(np.arange(3.0).tobytes())
    layout = h5py.VirtualLayout((3,), float)
    layout[:] = h5py.VirtualSource("other.h5", "secret", (3,))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/numbers"] = np.arange(4.0)
        file["text"] = "[]"
        file["link"] = h5py.ExternalLink("other.h5", "secret")
        file["soft"] = h5py.SoftLink("/link")
        file["folder"] = h5py.ExternalLink("other.h5", "/")
        file.create_dataset("stored", (3,), float, external=[(str(tmp_path / "raw"), 0, 24)])
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("huge", (1 << 40,), float, chunks=(1 << 20,))
    return tmp_path / "a.h5"


def test_data_sets(path: Path) -> None:
    found = read_h5(path, ("group/numbers",), ("text", "group/absent", "absent/too"))
    np.testing.assert_array_equal(found.pop("group/numbers"), np.arange(4.0))
    assert {name: text_of(value) for name, value in found.items()} == {"text": "[]"}


@pytest.mark.parametrize("name", ["link", "soft", "folder/secret", "stored", "virtual"])
def test_other_files_are_not_opened(path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match=r"a\.h5: (has a link|keeps).*file"):
        read_h5(path, (name,))


def test_sizes_are_known_before_memory_is_taken(path: Path) -> None:
    with pytest.raises(ModelFileError, match="unpacks to 8796093022208 bytes"):
        read_h5(path, ("huge",))


def test_groups_and_names_that_are_missing(path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"lacks group, none; top-level groups: .*huge"):
        read_h5(path, ("group", "none"))


def test_no_text() -> None:
    with pytest.raises(ValueError, match="instead of a text"):
        text_of(np.zeros(0))
