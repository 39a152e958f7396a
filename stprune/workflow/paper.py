"""Products of everything that is kept: the experiments and the descriptions of data sets."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from stprune.base.errors import RecordError, UnknownNameError
from stprune.base.layout import DATA, kept_experiments
from stprune.describe.products import make_overview
from stprune.paper.fingerprints import Made, compared
from stprune.paper.products import check_products, make_products
from stprune.paper.report import vega_script


def make_paper(
    names: Sequence[str], records: Path, into: Path | None, jobs: int = 1
) -> Iterator[tuple[str, Made]]:
    """Make the products of ``names``, by default of all that is kept, and compare their hashes.

    ``into`` gets a folder of products for each part; None makes them in memory only. ``jobs``
    processes make one part at a time each, the largest first. Raises RecordError if nothing is kept
    there, or a record is damaged; UnknownNameError if there is no such part.
    """
    known = kept_experiments(records) + ([DATA] if (records / DATA).is_dir() else [])
    if not known:
        raise RecordError(f"nothing is kept in {records}; copy the `store` of an experiment there")
    for name in names:
        if name not in known:
            raise UnknownNameError("experiment", name, known, str(records))

    def size(name: str) -> int:
        return sum(path.stat().st_size for path in (records / name).rglob("*"))

    chosen = sorted(names or known, key=size, reverse=True)
    make = partial(_make, records, into)
    if jobs == 1 or len(chosen) == 1:
        yield from zip(chosen, map(make, chosen), strict=True)
        return
    if into is not None:
        vega_script()  # every report needs it; forked processes inherit it
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        yield from zip(chosen, pool.map(make, chosen), strict=True)


def _make(records: Path, into: Path | None, name: str) -> Made:
    folder = records / name
    if name == DATA:
        return compared(make_overview(folder, into and into / name), folder)
    return make_products(folder, into / name) if into else check_products(folder)
