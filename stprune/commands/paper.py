"""`stprune compact` and `stprune paper`: records kept with the project, and all made of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stprune.base.errors import RecordError
from stprune.records.compact_layout import PAPER, RECORDS

if TYPE_CHECKING:
    from stprune.paper.fingerprints import Hashes


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
    products = commands.add_parser(
        "products", help="write all tables, figures and the report of an experiment"
    )
    products.add_argument("folder", type=Path, help="results, such as results/demo")
    products.add_argument("--into", type=Path, help="where to write (default: the same folder)")
    products.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 1 if a table or figure is not what hashes.json says",
    )
    products.set_defaults(command=_products)
    for command in (paper, products):
        command.add_argument(
            "--jobs", type=int, default=1, help="processes that draw at the same time (default: 1)"
        )


def _compact(parsed: argparse.Namespace) -> None:
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


def _products(parsed: argparse.Namespace) -> None:
    from stprune.paper.products import check_products, make_products

    folder, into = parsed.folder, parsed.into or parsed.folder
    made = (
        check_products(folder, parsed.jobs)
        if parsed.check
        else make_products(folder, into, parsed.jobs)
    )
    sys.stdout.write(f"{_counts(made.hashes)}; {made.verdict}\n")
    if parsed.check and made.differences != []:
        raise _differs(folder.name)


def _paper(parsed: argparse.Namespace) -> None:
    from stprune.base.errors import UnknownNameError
    from stprune.describe.products import make_overview
    from stprune.describe.read import read_descriptions
    from stprune.paper.fingerprints import write_hashes
    from stprune.paper.products import check_products, compared, make_products
    from stprune.records.compact_layout import DATA, compact_experiments

    records, in_memory = parsed.records, parsed.check or parsed.write_hashes
    known = compact_experiments(records) + ([DATA] if (records / DATA).is_dir() else [])
    if not known:
        raise RecordError(f"there are no kept records in {records}; `stprune compact` makes them")
    for name in parsed.parts:
        if name not in known:
            raise UnknownNameError("experiment", name, known, str(records))
    wrong = []
    for name in parsed.parts or known:
        folder, into = records / name, parsed.into / name
        if name == DATA:
            described = read_descriptions(folder)
            made = compared(make_overview(described, None if in_memory else into), folder)
        elif in_memory:
            made = check_products(folder, parsed.jobs)
        else:
            made = make_products(folder, into, parsed.jobs)
        place = "" if in_memory else f" in {into}"
        sys.stdout.write(f"{name}: {_counts(made.hashes)}{place}; {made.verdict}\n")
        if parsed.write_hashes:
            write_hashes(made.hashes, folder)
        elif made.differences != []:
            wrong.append(name)
    if parsed.check and wrong:
        raise _differs(", ".join(wrong))


def _counts(hashes: Hashes) -> str:
    return f"{len(hashes['tables'])} tables, {len(hashes['figures'])} figures"


def _differs(names: str) -> RecordError:
    return RecordError(
        f"not what hashes.json says: {names}; if that is meant, `stprune paper --write-hashes`"
        " notes it"
    )
