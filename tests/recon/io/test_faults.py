"""Errors in one line."""

import errno

from recon.io.faults import UsageError, ends_the_run, reason, write_log


def test_errors_of_other_code_say_their_type_and_ours_speak_for_themselves():
    assert reason(UsageError("give\na folder")) == "give a folder"
    assert reason(KeyError("x")) == "KeyError: 'x'"
    assert reason(RuntimeError()) == "RuntimeError"
    strange = OSError(errno.ENOENT, "No such file", "caf\udce9 \x1b")
    assert reason(strange).encode().decode().startswith("[Errno 2] No such file") and "\x1b" not in reason(strange)


def test_a_full_disk_ends_the_run_even_behind_another_error():
    full = OSError(errno.ENOSPC, "No space left on device")
    try:
        raise ValueError("cannot write") from full
    except ValueError as error:
        assert ends_the_run(error)
    assert not ends_the_run(OSError(errno.ENOENT, "no such file"))
    assert not ends_the_run(ValueError("x"))


def test_a_log_holds_the_traceback_and_is_for_its_owner_alone():
    try:
        raise ValueError("caf\udce9")
    except ValueError as error:
        path = write_log(error, "recon demo")
    assert path is not None
    try:
        text = path.read_text()
        assert "recon demo" in text and "Traceback" in text and "ValueError" in text
        assert path.stat().st_mode & 0o077 == 0
    finally:
        path.unlink()
