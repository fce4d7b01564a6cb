"""``recon models``: which face models there are, whether their files are here, and what is in one of them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bfm.files import ModelFileError
from bfm.registry import MODEL_NAMES, ModelStatus, UnknownModelError, available_models, load
from recon.io.faults import complain
from recon.io.marked_png import marked_png_problem, write_marked_png

if TYPE_CHECKING:
    import bfm.model


def add_parser(subcommands: argparse._SubParsersAction) -> None:
    """Add ``models`` to the subcommands of the ``recon`` command; its ``run`` default is :func:`run`."""
    parser = subcommands.add_parser(
        "models",
        help="list the face models, check one, or render one",
        description="Without options: every face model, whether it is ready, where its files are looked for, "
        "its licence.",
    )
    parser.add_argument("--check", metavar="NAME", help="load this model and print a summary")
    parser.add_argument(
        "--preview",
        nargs=2,
        metavar=("NAME", "OUT.png"),
        help="render the mean, the first components and random samples of this model",
    )
    parser.add_argument("--path", type=Path, help="folder or file of the model, instead of the default folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, 1 for a failure, 2 for wrong usage; problems go to the standard error."""
    name = arguments.check or (arguments.preview[0] if arguments.preview else None)
    usage = _usage_problem(arguments, name)
    if usage:
        return complain("recon models", usage, 2)
    if name is None:
        _say(_table(available_models()))
        return 0
    started = time.perf_counter()
    try:
        model = load(name, arguments.path)
    except UnknownModelError as error:
        return complain("recon models", str(error), 2)
    except (ModelFileError, OSError) as error:
        return complain("recon models", str(error), 1)
    if arguments.check:
        _say(_summary(model, time.perf_counter() - started))
    if arguments.preview:
        try:
            _write_preview(model, Path(arguments.preview[1]))
        except OSError as error:
            return complain("recon models", str(error), 1)
        _say(f"wrote {arguments.preview[1]}")
    return 0


def _usage_problem(arguments: argparse.Namespace, name: str | None) -> str | None:
    if name is None:
        return "--path needs --check NAME or --preview NAME OUT.png" if arguments.path else None
    if name not in MODEL_NAMES and not name.endswith(".safetensors"):
        return f"unknown face model {name!r}; known: {', '.join(MODEL_NAMES)}, or the path of a .safetensors file"
    if not arguments.preview:
        return None
    if arguments.check and arguments.check != arguments.preview[0]:
        return f"--check {arguments.check} and --preview {arguments.preview[0]} name different models"
    out = Path(arguments.preview[1])
    if out.suffix.lower() != ".png":
        return f"the preview is a PNG file: {out} should end in .png"
    # Said now, because building and rendering a model takes minutes.
    if not out.absolute().parent.is_dir():
        return f"the folder of {out} does not exist"
    return marked_png_problem(out)


def _write_preview(model: bfm.model.MorphableModel, out: Path) -> None:
    from recon.visualize.model_sheet import model_sheet

    write_marked_png(out, model_sheet(model))


def _table(states: tuple[ModelStatus, ...]) -> str:
    """One block a model: state and sizes in the first line, place, licence and origin below."""
    blocks = []
    for state in states:
        source, sizes = state.source, state.source.sizes
        ready = "ready" if state.ready else "not here"
        lines = [
            f"{source.name:<9}{ready:<10}{source.title}",
            f"         sizes     {sizes.vertices} vertices; {sizes.identity} identity, {sizes.expression} expression, "
            f"{sizes.albedo} albedo components",
            f"         files     {state.folder or 'none needed: built on first use'}",
        ]
        if state.missing:
            lines.append(f"         needs     {', or '.join(' + '.join(files) for files in source.layouts)}")
            lines.append(f"         missing   {', '.join(state.missing)}")
            lines.append(f"         get it    {source.how_to_get}")
        lines.append(f"         licence   {source.licence}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _summary(model: bfm.model.MorphableModel, seconds: float) -> str:
    low, high = model.mean_shape.amin(dim=0), model.mean_shape.amax(dim=0)
    size = " x ".join(f"{edge:.1f}" for edge in (high - low).tolist())
    named = ", ".join(model.expression_names[:4]) + (", ..." if len(model.expression_names) > 4 else "")
    components = {
        "identity": f"{model.n_identity}, prior {model.identity_prior}",
        "expression": f"{model.n_expression}, prior {model.expression_prior}" + (f" ({named})" if named else ""),
        "albedo": f"{model.n_albedo}, prior {model.albedo_prior}, {model.albedo_space}",
    }
    lines = {
        "model": model.name,
        "loaded in": f"{seconds:.2f} s",
        "vertices": f"{model.n_vertices}, {size} mm",
        "faces": str(len(model.faces)),
        "uv points": str(len(model.uv)),
        **components,
        "regions": ", ".join(model.region_names) or "none",
        "landmarks": ", ".join(model.landmark_sets) or "none",
        "licence": model.licence,
        "source": model.source,
    }
    return "\n".join(f"{key:<11}{value}" for key, value in lines.items())


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
