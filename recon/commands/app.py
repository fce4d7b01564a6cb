"""``recon app``: a local web page in which people drop photos, see the heads and steer them."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import socket
import sys
from typing import TYPE_CHECKING

from bfm.registry import MODEL_NAMES
from recon.detector_names import DEFAULT_DETECTOR, DETECTORS
from recon.io.faults import UsageError, complain

if TYPE_CHECKING:
    from bfm.model import MorphableModel
    from recon.app.sources import TrackVideo

EXAMPLES = """examples:
  recon app
  recon app --port 9000 --quality fast
  recon app --host 0.0.0.0    # everybody in the network can use it: there is no password
"""


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``app`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "app",
        help="a web page for photos and heads, on this machine",
        description="Serve a web page: drop photos, see the heads, steer them, take them away. Needs the extra 'app'.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8080, help="[8080]")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on [127.0.0.1: this machine only]"
    )
    parser.add_argument(
        "--model", default="open", help=f"one of {', '.join(MODEL_NAMES)}, or a .safetensors file [open]"
    )
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="default", help="of fits [default]")
    parser.add_argument("--detector", choices=DETECTORS, default=DEFAULT_DETECTOR, help=f"[{DEFAULT_DETECTOR}]")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted. Returns 1 if the address cannot be listened on.

    Raises:
        UsageError: an impossible port, or a model or detector that cannot be used.
        ModuleNotFoundError: the extra ``app`` is not installed.
        DetectorUnavailable: the detector's package or networks are missing.
    """
    if not 0 < arguments.port < 65536:
        raise UsageError(f"--port must lie in 1..65535, got {arguments.port}")
    problem = _address_problem(arguments.host, arguments.port)
    if problem is not None:
        return complain("recon app", problem, 1)
    from recon.app.methods import Methods
    from recon.app.server import Address, serve
    from recon.detection.detect import open_detector

    with open_detector(arguments.detector) as detector:
        try:
            maker = Methods(arguments.model, arguments.quality, detector)
        except ValueError as error:
            raise UsageError(str(error)) from error
        sys.stdout.write(f"open http://{arguments.host}:{arguments.port} in a browser; Ctrl-C ends\n")
        sys.stdout.flush()
        serve(maker, Address(arguments.host, arguments.port), track=_tracker(maker.model))
    return 0


def _tracker(model: MorphableModel) -> TrackVideo | None:
    """Of videos, where PyAV is installed; the window says so where it is not."""
    if importlib.util.find_spec("av") is None:
        return None
    from recon.app.clips import clip_tracker
    from recon.tracking.tracker import Tracker

    return clip_tracker(functools.partial(Tracker, model, "fast"))


def _address_problem(host: str, port: int) -> str | None:
    """Why an address cannot be listened on, before anything is loaded."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        return f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port or --host"
    return None
