"""`stprune plan` and `stprune show`: what an experiment will take, and where it stands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

SECONDS = 20.0


def add_overview_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    config_option: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add both to the command line; ``config_option`` adds ``--config``."""
    show = commands.add_parser("show", help="show results, progress and failures")
    show.add_argument(
        "experiment", nargs="?", type=Path, help="folder or name; default: the only one there is"
    )
    show.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    show.set_defaults(command=_show)


def _show(parsed: argparse.Namespace) -> None:
    from rich.console import Console

    from stprune.show import show

    show(parsed.experiment, parsed.results, Console(highlight=False))
