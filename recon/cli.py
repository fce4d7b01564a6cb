"""The ``recon`` command: one subcommand a module of :mod:`recon.commands`."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence

from recon.io.faults import UsageError, complain, reason, write_log
from recon.io.fingerprint import code_hash, package_version

_COMMANDS = (
    "reconstruct",
    "demo",
    "landmarks",
    "pose",
    "depth",
    "track",
    "models",
    "render",
    "synthesize",
    "calibrate",
    "prepare_photos",
    "evaluate",
    "export_onnx",
    "complexity",
    "speak",
    "dub",
    "app",
)
EXIT_CODES = """exit codes:
  0  everything was done
  1  something failed; the messages say what
  2  wrong usage: nothing was begun
  130  interrupted; the message says what is kept
"""


def parser() -> argparse.ArgumentParser:
    """The command's parser with all its subcommands."""
    top = argparse.ArgumentParser(
        prog="recon",
        description="A photo goes in, a head comes out: geometry in mm, albedo, expression, pose, light.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and the hash of the code, and end")
    subcommands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        importlib.import_module(f"recon.commands.{name}").add_parser(subcommands)
    return top


class _Version(argparse.Action):
    """Prints when asked for: reading all sources is nothing that every command should wait for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"recon {package_version()}, code {code_hash()}\n")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, 1 for a run that failed, 2 for wrong usage, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # terminals that know no UTF-8
    arguments = parser().parse_args(argv)
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()  # here, where a reader that has gone is dealt with, and not at exit
        return code
    except KeyboardInterrupt as error:
        sys.stderr.write(f"interrupted; {error}\n" if error.args else "interrupted\n")
        return 130
    except UsageError as error:
        return complain("recon", reason(error), 2)
    except BrokenPipeError:
        # Whoever read the output has gone (``recon models | head``); a second error at exit would say nothing new.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the last boundary: people get a line, developers a log
        return _fault(error, ["recon", *(sys.argv[1:] if argv is None else argv)])


def _fault(error: Exception, command: list[str]) -> int:
    """Say what went wrong: errors of this project and of the system in one line, others with a log file."""
    hint = None
    if isinstance(error, ImportError):
        from recon.io.extras import pip_hint

        hint = pip_hint(error)
    if hint is not None:
        return complain("recon", hint, 1)
    ours = type(error).__module__.partition(".")[0] in ("recon", "bfm", "losses")
    if ours or isinstance(error, OSError):
        return complain("recon", reason(error), 1)
    log = write_log(error, shlex.join(command))
    where = f"the details are in {log}" if log is not None else "no log file could be written"
    return complain("recon", f"{reason(error)}; this should not happen, {where}", 1)


if __name__ == "__main__":
    sys.exit(main())
