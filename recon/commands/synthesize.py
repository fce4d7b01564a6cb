"""``recon synthesize``: make synthetic faces with exact labels, to disk or as a contact sheet."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from recon.commands.synthesize_talking import add_options, write_talking
from recon.io.faults import UsageError, complain
from recon.io.marked_png import marked_png_problem, write_marked_png
from recon.io.names import printable

if TYPE_CHECKING:
    from recon.synthesis.config import SynthesisConfig
    from recon.synthesis.cycles import CyclesSampler
    from recon.synthesis.output.writer import DatasetPlan
    from recon.synthesis.sampler import FaceSampler

EXAMPLES = """examples:
  recon synthesize --preview sheet.png
  recon synthesize -o faces --count 10000
  recon synthesize -o faces --count 10000 --layout webdataset --shard 0/4
  recon synthesize -o c3i --count 600 --layout c3i --set identities=20
  recon synthesize -o traced --count 100 --layout c3i --engine cycles
  recon synthesize -o talks --talking "My mother bought five maps." --size 256
  recon synthesize -o clean --count 1000 --config settings.yaml --set jpeg=0 --set hair=0.5
"""
_PREVIEW = 24


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``synthesize`` to the subcommands of the ``recon`` command; its ``run`` default is :func:`run`."""
    parser = subcommands.add_parser(
        "synthesize",
        help="make synthetic faces with exact labels",
        description="Make synthetic faces with exact depth, pose, landmarks and coefficients.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help="folder of the data set; an interrupted one goes on"
    )
    parser.add_argument("--count", type=int, help="samples in the whole data set")
    parser.add_argument("--layout", choices=("c3i", "webdataset", "folder"), default="folder", help="[folder]")
    parser.add_argument(
        "--preview", type=Path, metavar="SHEET.png", help=f"render {_PREVIEW} samples with labels on top"
    )
    parser.add_argument("--bare", action="store_true", help="leave the labels off the contact sheet")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML or JSON file of settings")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting; may be repeated")
    parser.add_argument("--clean", action="store_true", help="plain renders: only shape, colour, pose and light vary")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    parser.add_argument("--size", metavar="PX", help="side, or HEIGHTxWIDTH [224; 480x640 for c3i]")
    parser.add_argument(
        "--engine",
        choices=("raster", "cycles"),
        default="raster",
        help="cycles: path tracing in Blender, needs Python 3.11 and facerecon[blender] [raster]",
    )
    parser.add_argument("--paths", type=int, default=24, metavar="N", help="paths a pixel of the cycles engine [24]")
    parser.add_argument(
        "--shard", default="0/1", metavar="I/N", help="make only the I-th of N parts, counting from 0 [0/1]"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes of one thread each; 0 works in this one [0]")
    parser.add_argument(
        "--block", type=int, default=256, help="samples a tar file, and between two marks of progress [256]"
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, 1 for a failure, 2 for wrong usage; problems go to the standard error."""
    from recon.synthesis.config import SynthesisConfigError
    from recon.synthesis.cycles import BlenderError, load_bpy
    from recon.synthesis.scene.backgrounds import BackgroundError
    from recon.synthesis.scene.environments import EnvironmentMapError

    try:
        config = _config(arguments)
        size = _size(arguments)
        if arguments.talking is not None:
            return write_talking(arguments, config, size if arguments.size else None)
        problem = _usage_problem(arguments)
        if problem:
            return complain("recon synthesize", problem, 2)
        if arguments.engine == "cycles":
            load_bpy()
        if arguments.preview is not None:
            _preview(arguments, config, size)
            sys.stdout.write(f"wrote {printable(arguments.preview)}\n")
        if arguments.out is not None:
            return _write(_plan(arguments, config, size, arguments.count), arguments.workers)
    except (SynthesisConfigError, BackgroundError, EnvironmentMapError, UsageError) as error:
        return complain("recon synthesize", str(error), 2)
    except (OSError, ModuleNotFoundError, ValueError, BlenderError) as error:
        return complain("recon synthesize", str(error), 1)
    return 0


def _write(plan: DatasetPlan, workers: int) -> int:
    """Write the blocks of this run that are not there yet."""
    from recon.synthesis.output.plan import DatasetError
    from recon.synthesis.output.writer import tidy

    try:
        return _write_blocks(plan, workers)
    except KeyboardInterrupt:
        state = f"{plan.done()} blocks of {len(plan.blocks)} are finished in {printable(plan.folder)}"
        raise KeyboardInterrupt(f"{state}; the same command goes on from there") from None
    finally:
        with contextlib.suppress(DatasetError):  # the next run tries again, and its own fault says more
            tidy(plan)


def _write_blocks(plan: DatasetPlan, workers: int) -> int:
    from rich.progress import Progress

    import bfm
    from recon.synthesis.output.writer import begin, make_sampler

    todo = [block for block in plan.blocks if not plan.is_done(block)]
    # Once here, before anything is written or a process started: what is wrong with the run shows now, and once.
    sampler = make_sampler(plan) if todo else None
    begin(plan, sampler.model if sampler is not None else bfm.load(plan.model))
    total = 0
    with Progress(transient=True) as bar, contextlib.closing(_blocks_made(plan, todo, workers, sampler)) as blocks:
        task = bar.add_task("faces", total=sum(len(plan.indices(block)) for block in todo))
        for made in blocks:
            total += made
            bar.advance(task, made)
    left_out = len(plan.blocks) - len(todo)
    resumed = f"; {left_out} finished blocks were there already" if left_out else ""
    sys.stdout.write(f"wrote {total} samples to {printable(plan.folder)}{resumed}\n")
    return 0


def _blocks_made(
    plan: DatasetPlan, todo: list[int], workers: int, sampler: FaceSampler | CyclesSampler | None
) -> Generator[int, None, None]:
    """Yield how many samples were made, block by block."""
    from recon.synthesis.output.workers import make_blocks, make_blocks_in_processes

    if sampler is None:
        return
    workers = min(workers, len(todo))
    if workers > 1:
        yield from make_blocks_in_processes(plan, todo, workers)
    else:
        yield from make_blocks(plan, todo, sampler)


def _preview(arguments: argparse.Namespace, config: SynthesisConfig, size: tuple[int, int]) -> None:
    from recon.synthesis.output.writer import make_sampler
    from recon.visualize.batch_sheet import batch_sheet

    sampler = make_sampler(_plan(arguments, config, size, count=_PREVIEW))
    batch = sampler.batch(range(_PREVIEW))
    write_marked_png(arguments.preview, batch_sheet(batch, labels=not arguments.bare))


def _plan(arguments: argparse.Namespace, config: SynthesisConfig, size: tuple[int, int], count: int) -> DatasetPlan:
    from recon.synthesis.output.writer import DatasetPlan

    part, parts = (int(x) for x in arguments.shard.split("/"))
    return DatasetPlan(
        folder=arguments.out or arguments.preview.parent,
        count=count,
        layout=arguments.layout,
        config=config,
        seed=arguments.seed,
        size=size,
        block=arguments.block,
        shard=(part, parts),
        engine=arguments.engine,
        paths=arguments.paths,
    )


def _config(arguments: argparse.Namespace) -> SynthesisConfig:
    import yaml

    from recon.synthesis.config import SynthesisConfig, SynthesisConfigError, with_current_names

    base = SynthesisConfig.read(arguments.config) if arguments.config else SynthesisConfig()
    settings = dataclasses.asdict(base)
    if arguments.clean:
        settings |= {name: value for name, value in dataclasses.asdict(SynthesisConfig.clean()).items() if value == 0.0}
        settings["background"], settings["background_folder"] = "plain", None
    if arguments.layout == "c3i" and arguments.out is not None:
        settings |= {"capture": "c3i", "framing": "free", "field_of_view_deg": 60.0, "expressions": "basic"}
    given = {}
    for text in arguments.set:
        name, found, value = text.partition("=")
        if not found:
            raise SynthesisConfigError(f"--set takes NAME=VALUE, got {text!r}")
        given[name] = yaml.safe_load(value)
    return SynthesisConfig.of(settings | with_current_names(given))


def _size(arguments: argparse.Namespace) -> tuple[int, int]:
    from recon.synthesis.config import SynthesisConfigError

    if arguments.size is None:
        return (480, 640) if arguments.layout == "c3i" and arguments.out is not None else (224, 224)
    sides = arguments.size.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 16 <= int(side) <= 4096 for side in sides):
        raise SynthesisConfigError(f"--size takes a side or HEIGHTxWIDTH of 16 to 4096 px, got {arguments.size!r}")
    return int(sides[0]), int(sides[-1])


def _usage_problem(arguments: argparse.Namespace) -> str | None:
    if arguments.out is None and arguments.preview is None:
        return "name a folder with -o, or a picture with --preview"
    if arguments.out is not None and (arguments.count is None or arguments.count < 1):
        return f"-o needs --count of at least 1, got {arguments.count}"
    if arguments.preview is not None and arguments.preview.suffix.lower() != ".png":
        return f"the contact sheet is a PNG file: {arguments.preview} should end in .png"
    if arguments.preview is not None and not arguments.preview.absolute().parent.is_dir():
        return f"the folder of {arguments.preview} does not exist"
    if arguments.preview is not None and (problem := marked_png_problem(arguments.preview)) is not None:
        return problem
    part, _, parts = arguments.shard.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        return f"--shard takes I/N with 0 <= I < N, got {arguments.shard!r}"
    if min(arguments.block, arguments.paths) < 1 or min(arguments.seed, arguments.workers) < 0:
        return "--block and --paths must be at least 1, --seed and --workers at least 0"
    return None
