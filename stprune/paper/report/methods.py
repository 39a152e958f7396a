"""How the runs of an experiment were made, from their records and the configuration."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stprune.base.errors import RecordError
from stprune.base.layout import format_ratio, store_config
from stprune.base.text import parse_yaml
from stprune.paper.tables import format_number
from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS, MARGIN

TIMES = (
    "Wall clock. A per-epoch time is from the selection of windows to the last optimiser step, so"
    " scoring and selection are in it; the median over pruned epochs is reported. The total adds"
    " preparation, validation and checkpoints; the test pass is in neither."
)
ERRORS = (
    "Masked errors of all test windows, pooled over windows, nodes and horizon steps, in real"
    " units, once a run and with the weights that were best on the validation windows."
)
TESTS = (
    "Runs are paired by data set, backbone, prune ratio and seed; p values are corrected by Holm's"
    f" method; lossless means a tested equivalence within {MARGIN:g} %. Which test stands behind"
    " which claim: docs/statistics.md of the project."
)
METHOD = (
    "ST-Prune (arXiv 2602.19113). Its formulas are our reading of the paper: docs/method.md of the"
    " project says what it does here and which parts are chosen by us."
)


def methods(results: Results) -> list[tuple[str, str]]:
    """Pairs of a heading and a sentence or two, in order."""
    runs = results.summary
    found = [
        ("Method", METHOD),
        ("Pruners", _pruners(runs)),
        ("Prune ratios", _listed(format_ratio(r) for r in sorted(_pruned(runs)["prune_ratio"]))),
        ("Seeds", _listed(str(seed) for seed in sorted(runs["seed"]))),
        ("Budget", _budget(_pruned(runs))),
        ("Protocol", _protocol(results)),
        ("Data", _data(runs)),
        ("Errors", ERRORS),
        ("Times", TIMES),
        ("Tests", TESTS),
        ("Code", _code(runs)),
    ]
    return [(heading, text) for heading, text in found if text]


def _pruned(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["pruner"] != REFERENCE]


def _pruners(runs: pd.DataFrame) -> str:
    present = sorted(set(runs["pruner"]), key=lambda name: label(name).lower())
    lacking = [label(name) for name in (REFERENCE, *CONTROLS) if name not in present]
    absent = f" Not run here: {', '.join(lacking)}." if lacking else ""
    return f"{', '.join(label(name) for name in present)}.{absent}"


def _budget(runs: pd.DataFrame) -> str:
    """What a pruned run could spend as much of as full training."""
    words = []
    for budget, part in runs.groupby("budget"):
        words.append(f"{str(budget).replace('_', ' ')} ({_listed(sorted(part['dataset']))})")
    return f"A pruned run may spend as much as full training of: {'; '.join(words)}." * bool(words)


def _protocol(results: Results) -> str:
    try:
        values = parse_yaml(results.configuration or "")
    except ValueError as error:
        path = store_config(results.store)
        raise RecordError(f"{path} is not a readable configuration: {error}") from None
    named = values.get("protocol") if isinstance(values, dict) else None
    return f"{named}; docs/protocols.md of the project says what that decides." if named else ""


def _data(runs: pd.DataFrame) -> str:
    words = []
    for dataset, part in runs.groupby("dataset"):
        first: pd.Series[Any] = part.iloc[0]
        unit = "" if pd.isna(first["target_unit"]) else f", errors in {first['target_unit']}"
        windows = [
            format_number(part[name].max(), 0) for name in ("training_windows", "test_windows")
        ]
        words.append(
            f"{dataset}: {windows[0]} training and {windows[1]} test windows{unit},"
            f" checksum {first['data_checksum'][:12]}"
        )
    return f"{'; '.join(words)}."


def _code(runs: pd.DataFrame) -> str:
    commits = _listed(commit[:12] for commit in sorted(set(runs["git_commit"].dropna())))
    digests = runs["source_digest"].nunique()
    return f"Commit {commits or 'not recorded'}; {digests} source digest{'s' * (digests != 1)}."


def _listed(words: Any) -> str:
    return ", ".join(dict.fromkeys(words))
