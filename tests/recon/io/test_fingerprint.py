"""What decides a result, and how a difference is said."""

import pytest

from recon.io.fingerprint import Fingerprint, file_hash, folder_hash, package_files


def test_equal_facts_have_no_difference_however_they_are_kept():
    facts = Fingerprint({"size": (2, 3), "name": "a"})
    assert facts.difference({"name": "a", "size": [2, 3]}) == ""
    assert facts.digest == Fingerprint({"name": "a", "size": [2, 3]}).digest


def test_a_difference_names_what_differs_and_hides_long_values():
    facts = Fingerprint({"quality": "fast", "code": "f" * 64, "count": 3})
    said = facts.difference({"quality": "best", "code": "0" * 64})
    assert 'quality was "best", is "fast"' in said
    assert "another code" in said and "ffff" not in said
    assert "count was null, is 3" in said
    assert facts.digest != Fingerprint({**facts.facts, "count": 4}).digest


def test_what_json_cannot_keep_is_no_fact():
    with pytest.raises(ValueError, match="JSON"):
        Fingerprint({"x": float("nan")})


def test_a_folder_is_known_by_names_and_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    first = folder_hash(tmp_path)
    assert folder_hash(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = folder_hash(tmp_path)
    (tmp_path / "b").write_bytes(b"2")
    assert len({first, renamed, folder_hash(tmp_path)}) == 3
    assert file_hash(tmp_path / "b") == "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"


def test_code_is_sources_and_networks_but_not_what_is_cached_beside_them(tmp_path):
    kept = ("recon/a.py", "recon/networks/weights/b.safetensors", "bfm/open/c.npz", "losses/d.py")
    others = ("recon/__pycache__/a.pyc", "recon/__pycache__/k.nbi", "tests/e.py", "recon/notes.md")
    for name in (*kept, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert {path.relative_to(tmp_path).as_posix() for path in package_files(tmp_path)} == set(kept)
