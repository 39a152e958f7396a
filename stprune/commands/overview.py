"""`stprune plan` and `stprune show`: what an experiment will take, and where it stands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from stprune.base.errors import ConfigError

SECONDS = 15.0


def add_overview_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    config_option: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add both to the command line; ``config_option`` adds ``--config``."""
    plan = commands.add_parser("plan", help="say what an experiment will take, before it starts")
    config_option(plan)
    plan.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help=f"measure steps for at most so long (default: {SECONDS:g}; 0: do not measure)",
    )
    plan.add_argument("--cells", action="store_true", help="also each data set and backbone")
    plan.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    plan.set_defaults(command=_plan)
    show = commands.add_parser("show", help="show results, progress and failures")
    show.add_argument(
        "experiment", nargs="?", type=Path, help="folder or name; default: the only one there is"
    )
    show.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    show.set_defaults(command=_show)


def _plan(parsed: argparse.Namespace) -> None:
    from rich.console import Console

    from stprune.base import atomic
    from stprune.config.experiment import load_config
    from stprune.workflow.estimate import make_plan
    from stprune.workflow.estimate_text import plan_values, print_plan

    if not 0 <= parsed.seconds < float("inf"):
        raise ConfigError(f"--seconds {parsed.seconds:g} is no time to measure; give 0 or more")
    plan = make_plan(load_config(parsed.config), parsed.seconds)
    if parsed.json is not None:
        atomic.write_json(parsed.json, plan_values(plan))
    print_plan(plan, Console(highlight=False), parsed.cells, parsed.seconds)


def _show(parsed: argparse.Namespace) -> None:
    from rich.console import Console

    from stprune.workflow.show import show

    show(parsed.experiment, parsed.results, Console(highlight=False))
