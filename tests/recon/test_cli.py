"""The boundary of the ``recon`` command: exit codes and messages for whatever happens inside."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import recon
from recon import cli
from recon.io.faults import UsageError
from recon.io.fingerprint import code_hash


@pytest.fixture
def run_raises(monkeypatch, capsys):
    """Runs a command that raises this, and gives the exit code and what was said."""

    def run(error: BaseException) -> tuple[int, str]:
        def fails(arguments):
            raise error

        arguments = types.SimpleNamespace(run=fails)
        monkeypatch.setattr(cli, "parser", lambda: types.SimpleNamespace(parse_args=lambda argv: arguments))
        code = cli.main(["demo"])
        return code, capsys.readouterr().err

    return run


def test_wrong_usage_is_2_and_one_line(run_raises):
    assert run_raises(UsageError("no such photo: a\n.jpg")) == (2, "recon: no such photo: a .jpg\n")


def test_a_fault_of_the_system_is_1_and_one_line(run_raises):
    code, said = run_raises(PermissionError(13, "Permission denied", "/x/caf\udce9"))
    assert code == 1 and said.startswith("recon: [Errno 13] Permission denied") and said.count("\n") == 1


def test_an_unknown_error_is_1_with_a_log_and_no_traceback(run_raises):
    code, said = run_raises(KeyError("a thing"))
    assert code == 1 and "KeyError: 'a thing'; this should not happen, the details are in " in said
    assert "Traceback" not in said
    log = Path(said.split("the details are in ")[1].strip())
    text = log.read_text()
    log.unlink()
    assert "recon demo" in text and "KeyError" in text and "Traceback" in text


def test_an_interruption_says_what_is_kept_and_only_that(run_raises):
    assert run_raises(KeyboardInterrupt()) == (130, "interrupted\n")
    assert run_raises(KeyboardInterrupt("3 heads are kept")) == (130, "interrupted; 3 heads are kept\n")


_SAYS = """
import sys, types
import recon
from recon import cli
run = lambda arguments: print(sys.argv[1] * int(sys.argv[2])) or 0
cli.parser = lambda: types.SimpleNamespace(parse_args=lambda argv: types.SimpleNamespace(run=run))
sys.exit(cli.main([]))
"""


@pytest.mark.parametrize("times", [1, 100_000])
def test_a_reader_that_leaves_is_no_error_worth_a_word(times):
    command = [sys.executable, "-c", _SAYS, "word", str(times)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1


def test_terminals_that_know_no_utf8_get_escapes():
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", _SAYS, "caf\xe9 \u2026", "1"]
    done = subprocess.run(command, capture_output=True, env=ascii_only)
    assert done.returncode == 0 and done.stdout == b"caf\\xe9 \\u2026\n"


def test_the_version_names_the_code_that_runs(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"recon {recon.__version__}, code {code_hash()}\n"


def test_the_usual_door_opens_and_importing_the_package_is_quick():
    code = (
        "import sys, recon; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; assert 'Reconstructor' in dir(recon);"
        "from recon import NoFaceError, Reconstruction, Reconstructor; import recon.reconstructor as r;"
        "assert Reconstructor is r.Reconstructor and NoFaceError is r.NoFaceError"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = recon.Nothing
