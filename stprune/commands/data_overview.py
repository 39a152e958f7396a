"""`stprune data overview`: figures and tables that compare the data sets that were described."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

OUTPUT = Path("results") / "paper" / "data"


def add_overview_options(overview: argparse.ArgumentParser) -> None:
    """Where descriptions are read from, and where the figures go."""
    overview.add_argument(
        "--descriptions",
        type=Path,
        metavar="DIRECTORY",
        help="a folder a data set, as `data describe` writes them (default: those of the project)",
    )
    overview.add_argument(
        "--output", type=Path, default=OUTPUT, help=f"gets tables/ and figures/ (default: {OUTPUT})"
    )


def write_data_overview(parsed: argparse.Namespace) -> None:
    """Write them, and say where.

    Raises:
        DataError: If nothing is described there, or a description cannot be read.
    """
    from stprune.describe.products import DESCRIPTIONS, make_overview
    from stprune.describe.read import read_descriptions

    described = read_descriptions(parsed.descriptions or DESCRIPTIONS)
    made = make_overview(described, parsed.output)
    shown = [f"tables/{name}.md" for name in made["tables"]]
    shown += [f"figures/{name}.png" for name in made["figures"]]
    sys.stdout.write("".join(f"{parsed.output / path}\n" for path in shown))
