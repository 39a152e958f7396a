"""`stprune paper`: everything that is made of the experiments kept with the project."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stprune.base.layout import PAPER, RECORDS


def add_paper_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the command line."""
    paper = commands.add_parser(
        "paper", help="write all tables, figures and reports of kept experiments"
    )
    paper.add_argument(
        "parts", nargs="*", help="experiments, or `data` (default: all that are kept)"
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


def _paper(parsed: argparse.Namespace) -> None:
    from stprune.base.errors import RecordError
    from stprune.base.layout import kept_hashes
    from stprune.paper.hashes import write_hashes
    from stprune.paper.make import check_paper, make_paper, parts

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
            write_hashes(made.hashes, kept_hashes(parsed.records / name))
        elif made.differences != []:
            wrong.append(name)
    if parsed.check and wrong:
        raise RecordError(
            f"not what hashes.json says: {', '.join(wrong)}; if that is meant,"
            " `stprune paper --write-hashes` notes it"
        )
