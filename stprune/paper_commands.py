"""`stprune compact`: the records of an experiment that are kept with the project."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stprune.compact_layout import RECORDS


def add_paper_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add them to the command line."""
    compact = commands.add_parser(
        "compact", help="write the records of an experiment into a few small files"
    )
    compact.add_argument("experiment", type=Path, help="its folder, such as results/demo")
    compact.add_argument(
        "--config", type=Path, help="says what runs there are (default: its own config.yaml)"
    )
    compact.add_argument("--into", type=Path, default=RECORDS, help=f"default: {RECORDS}")
    compact.add_argument(
        "--partial", action="store_true", help="leave out seeds that are not complete"
    )
    compact.set_defaults(command=_compact)


def _compact(parsed: argparse.Namespace) -> None:
    from stprune.compact import compact
    from stprune.config import load_config
    from stprune.errors import RecordError
    from stprune.layout import ExperimentLayout

    layout = ExperimentLayout(parsed.experiment)
    if not layout.root.is_dir():
        raise RecordError(f"there is no folder {layout.root}; name one such as results/demo")
    config = load_config(parsed.config or layout.config)
    written = compact(layout, config, parsed.into, parsed.partial)
    left_out = ", ".join(map(str, written.left_out))
    sys.stdout.write(
        f"{written.folder}: {written.runs} runs, {written.size / 1e6:.2f} MB"
        f"{f'; not complete and left out: seeds {left_out}' if left_out else ''}\n"
    )
