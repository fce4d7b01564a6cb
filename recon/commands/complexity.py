"""``recon complexity``: parameters and multiply-adds of every network, beside the paper's."""

from __future__ import annotations

import argparse
import json
import sys


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``complexity`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "complexity",
        help="parameters and GFLOPs of the networks",
        description="Parameters and GFLOPs (10^9 multiply-adds) of the rows of Tables 4 and 5 and of the small networks, "
        "beside the paper's figures, of the networks of dense landmarks, beside the dissertation's (Table 5.3), of those of "
        "facial depth, beside the depth papers', and of those that tell people apart or dub videos. Heads of "
        "regressors are those of the paper's face model (80 + 64 + 80 coefficients); in the rows of the tables they predict white "
        "light, as in the paper.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0."""
    import dataclasses

    from recon.networks.arcface import CROP_PX
    from recon.networks.complexity import (
        BFM_BLOCKS,
        EDGE_ROWS,
        FOOTNOTE,
        LANDMARK_FOOTNOTE,
        LANDMARK_ROWS,
        PAPER_ROWS,
        complexity,
        identity_complexity,
    )
    from recon.networks.depth.costs import DEPTH_FOOTNOTE, DEPTH_ROWS, depth_complexity
    from recon.networks.diffusion.costs import EDITOR_FOOTNOTE, EDITOR_ROWS, editor_complexity
    from recon.networks.identity_network import IDENTITY_ROWS

    rows: list[dict[str, object]] = []
    for row in (*PAPER_ROWS, *EDGE_ROWS, *LANDMARK_ROWS):
        millions, gflops = complexity(row.config, BFM_BLOCKS)
        likely = None
        if row.likely_px is not None:
            likely = complexity(dataclasses.replace(row.config, size=row.likely_px), BFM_BLOCKS)[1]
        rows.append(
            {
                "table": row.table or None,
                "network": row.label,
                "size_px": row.config.size,
                "parameters_m": round(millions, 2),
                "paper_parameters_m": row.parameters_m,
                "gflops": round(gflops, 2),
                "paper_gflops": row.gflops,
                "paper_likely_px": row.likely_px,
                "gflops_at_likely_px": None if likely is None else round(likely, 2),
            }
        )
    for depth in DEPTH_ROWS:
        millions, gmac = depth_complexity(depth)
        _, height, width = depth.inputs[0]
        size = width if height == width else f"{width} x {height}"
        printed = (depth.parameters_m, depth.gmac)
        rows.append(_row("depth" if depth.paper else None, depth.label, size, (millions, gmac), printed))
    for label, identity in IDENTITY_ROWS:
        rows.append(_row(None, label, CROP_PX, identity_complexity(identity)))
    for label, editor in EDITOR_ROWS:
        rows.append(_row(None, label, editor.size, editor_complexity(editor)))
    if arguments.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in ("table", "network", "px", "parameters M", "paper", "GFLOPs", "paper", "paper's px*", "GFLOPs there"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for values in rows:
        table.add_row(*("" if value is None else str(value) for value in values.values()))
    console = Console()
    console.print(table)
    console.print(f"* {FOOTNOTE}")
    console.print(LANDMARK_FOOTNOTE)
    console.print(DEPTH_FOOTNOTE)
    console.print(EDITOR_FOOTNOTE)
    return 0


def _row(
    table: str | None,
    label: str,
    size: int | str,
    counted: tuple[float, float],
    printed: tuple[float | None, float | None] = (None, None),
) -> dict[str, object]:
    """A network that is counted at one size alone."""
    return {
        "table": table,
        "network": label,
        "size_px": size,
        "parameters_m": round(counted[0], 2),
        "paper_parameters_m": printed[0],
        "gflops": round(counted[1], 2),
        "paper_gflops": printed[1],
        "paper_likely_px": None,
        "gflops_at_likely_px": None,
    }
