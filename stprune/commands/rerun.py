"""`stprune rerun`: make a recorded run again and say whether it comes out the same."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stprune.base.errors import RecordError

if TYPE_CHECKING:
    from stprune.training.rerun_difference import Change, Difference

SHOWN = 10
LONGEST = 32


def add_rerun_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the command line."""
    rerun = commands.add_parser(
        "rerun", help="make a run again from its record alone, and report the difference"
    )
    rerun.add_argument("metrics", type=Path, help="the run's metrics.json")
    rerun.add_argument(
        "--into", type=Path, metavar="FOLDER", help="make it there (default: a temporary folder)"
    )
    rerun.add_argument("--data-directory", type=Path, default=Path("data"))
    rerun.set_defaults(command=_rerun)


def _rerun(parsed: argparse.Namespace) -> None:
    import tempfile

    from stprune.records.run import read_record
    from stprune.training.rerun import config_of_record, rerun
    from stprune.workflow.progress import Progress

    record = read_record(parsed.metrics)
    folder = parsed.into or Path(tempfile.mkdtemp(prefix="stprune-rerun-"))
    config = config_of_record(record, str(parsed.metrics), parsed.data_directory, folder)
    difference = rerun(parsed.metrics, record, config, [Progress()])
    sys.stdout.write(f"{parsed.metrics}\nmade again in {folder}\n{difference_text(difference)}")
    if record.config["training"].get("budget") == "total_time":
        sys.stdout.write("its budget is time, so what it trains depends on the machine\n")
    if not difference.bit_equal:
        raise RecordError(
            f"{parsed.metrics}: {len(difference.results)} of {difference.numbers} numbers differ"
            f" when it is made again, the most `{difference.results[0].name}`"
        )


def difference_text(difference: Difference) -> str:
    """All that was found, a line each."""
    lines = []
    if difference.bit_equal:
        lines.append(f"bit-equal: all {difference.numbers} numbers of the results")
    for change in difference.results[:SHOWN]:
        relative = "" if change.relative > 1e9 else f" (by {change.relative:.2g} of it)"
        lines.append(f"differs: {_line(change)}{relative}")
    if len(difference.results) > SHOWN:
        lines.append(f"differs: {len(difference.results) - SHOWN} more")
    lines += [f"not compared: {name}, which is not beside it" for name in difference.not_compared]
    if difference.one_sided:
        some = ", ".join(dict.fromkeys(name.partition(".")[0] for name in difference.one_sided))
        count = len(difference.one_sided)
        lines.append(f"not compared: {count} numbers that only one of the records has ({some})")
    lines += [f"other circumstances: {_line(change)}" for change in difference.circumstances]
    return "".join(f"{line}\n" for line in lines)


def _line(change: Change) -> str:
    return f"{change.name}: {_short(change.then)} then, {_short(change.now)} now"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
