"""`stprune compact` and `stprune paper`: records kept with the project, and all made of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stprune.records.compact_layout import PAPER, RECORDS


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
    paper = commands.add_parser(
        "paper", help="write all tables, figures and reports from compact records"
    )
    paper.add_argument(
        "parts", nargs="*", help="experiments, or `data` (default: all that have compact records)"
    )
    paper.add_argument("--records", type=Path, default=RECORDS, help=f"default: {RECORDS}")
    into = Path("results", PAPER)
    paper.add_argument("--into", type=Path, default=into, help=f"default: {into}")
    paper.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 1 if a table or figure is not what hashes.json says",
    )
    paper.add_argument(
        "--write-hashes",
        action="store_true",
        help="write hashes.json beside the records and nothing else",
    )
    paper.set_defaults(command=_paper)


def _compact(parsed: argparse.Namespace) -> None:
    from stprune.base.errors import RecordError
    from stprune.base.layout import ExperimentLayout
    from stprune.config.experiment import load_config
    from stprune.records.compact import compact

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


def _paper(parsed: argparse.Namespace) -> None:
    from stprune.base.errors import RecordError
    from stprune.paper.hashes import write_hashes
    from stprune.paper.make import check_paper, make_paper, parts
    from stprune.records.compact_layout import CompactLayout

    wrong = []
    for name in parts(parsed.records, parsed.parts):
        in_memory = parsed.check or parsed.write_hashes
        made = (
            check_paper(name, parsed.records)
            if in_memory
            else make_paper(name, parsed.records, parsed.into)
        )
        tables, figures = map(len, made.hashes)
        place = "" if in_memory else f" in {parsed.into / name}"
        sys.stdout.write(f"{name}: {tables} tables, {figures} figures{place}; {made.verdict}\n")
        if parsed.write_hashes:
            write_hashes(made.hashes, CompactLayout(parsed.records / name).hashes)
        elif made.differences != []:
            wrong.append(name)
    if parsed.check and wrong:
        raise RecordError(
            f"not what hashes.json says: {', '.join(wrong)}; if that is meant,"
            " `stprune paper --write-hashes` notes it"
        )
