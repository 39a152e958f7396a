"""Public numbers against the records at hand: reproduced, within spread, not, or not run.

``claims.yaml`` holds what publications state, in the setting in which they state it. A record
counts for a claim if its resolved configuration agrees with that setting, on the whole data set,
with the backbone's published sizes and optimiser.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from stprune.backbones.base import BACKBONES
from stprune.base.errors import RecordError
from stprune.base.layout import recorded_runs
from stprune.base.schema import StrictModel, read_yaml, validate
from stprune.records.run import RunRecord, Scores, read_record

Verdict = Literal["reproduced", "within spread", "not reproduced", "not run"]
METRICS = ("mae", "rmse", "mape")
# Two standard deviations: what lies within them would surprise nobody.
SPREADS = 2.0
Value = float | tuple[float, float]


class ClaimSetting(StrictModel):
    """What of a run's configuration must agree; null where the source does not say."""

    pruner: str = Field(description="Id of the pruner.")
    protocol: str = Field("paper", description="Rules of training and splitting.")
    task: str = Field("forecast", description="What is learnt.")
    history: int = Field(description="Input steps.")
    horizon: int = Field(description="Forecast steps.")
    epochs: int | None = Field(None, description="Most epochs of full training.")
    patience: int | None = Field(None, description="Validations without a better one.")


class ClaimCell(StrictModel):
    """Published errors of one data set and backbone."""

    dataset: str = Field(description="Id of the data set.")
    backbone: str | None = Field(None, description="Id of the backbone; null: not stated.")
    seeds: int | None = Field(None, ge=1, description="Runs behind a mean; null: not stated.")
    mae: Value | None = Field(None, description="Mean, or mean and standard deviation.")
    rmse: Value | None = Field(None, description="As `mae`.")
    mape: Value | None = Field(None, description="As `mae`; in percent.")

    @model_validator(mode="after")
    def _claims_something(self) -> ClaimCell:
        if not any(getattr(self, metric) is not None for metric in METRICS):
            raise ValueError(f"a cell states at least one of {', '.join(METRICS)}")
        return self


class ClaimGroup(StrictModel):
    """Claims of one source in one setting."""

    source: str = Field(description="Where the numbers stand.")
    setting: ClaimSetting = Field(description="What a run must agree with.")
    rule: Literal["paper", "st_ttc", "largest", "opencity"] = Field(
        description="How the source averages and masks errors."
    )
    tolerance_percent: float = Field(gt=0, description="How near counts as reproduced.")
    cells: list[ClaimCell] = Field(min_length=1, description="The numbers.")
    note: str = Field("", description="What a reader should know of them.")


class Claims(StrictModel):
    """A file of claims."""

    groups: list[ClaimGroup] = Field(min_length=1, description="By source.")


class Checked(NamedTuple):
    """One claimed number and what the records say.

    Means are in the target's unit (mape: in percent). ``claimed_spread`` is the standard deviation
    over the source's seeds (NaN if not stated), ``spread`` ours (NaN below two seeds); ``measured``
    is NaN if not run.
    """

    source: str
    dataset: str
    backbone: str | None
    metric: str
    claimed: float
    claimed_spread: float
    measured: float
    spread: float
    seeds: int
    verdict: Verdict


def load_claims(path: Path) -> Claims:
    """Read a file of claims.

    Raises:
        ConfigError: If it is missing or does not follow the schema.
    """
    return validate(Claims, read_yaml(path), str(path))


def check_claims(claims: Claims, results: Path) -> list[Checked]:
    """Compare every claimed number with all records below ``results``.

    Raises:
        RecordError: If there is no such folder, or a record in it cannot be read.
    """
    if not results.is_dir():
        raise RecordError(f"there is no folder {results} of results; name one with --results")
    records = [read_record(path) for path in recorded_runs(results)]
    return [
        checked
        for group in claims.groups
        for cell in group.cells
        for checked in _check_cell(group, cell, records)
    ]


def verdict(
    claimed: float, claimed_spread: float, means: Sequence[float], tolerance_percent: float
) -> Verdict:
    """What ``means``, one of each of our seeds, say of a claim.

    Within ``tolerance_percent`` of the claim they reproduce it; ``claimed_spread`` is its standard
    deviation over seeds, NaN if not stated.
    """
    if not means:
        return "not run"
    distance = abs(fmean(means) - claimed)
    if distance <= tolerance_percent / 100 * abs(claimed):
        return "reproduced"
    spreads = [s for s in (claimed_spread, _spread(means)) if not math.isnan(s)]
    if spreads and distance <= SPREADS * math.hypot(*spreads):
        return "within spread"
    return "not reproduced"


def claims_text(checked: Sequence[Checked]) -> str:
    """A line a claim, under its source, and how many there are of each verdict."""

    def stated(mean: float, spread: float) -> str:
        return f"{mean:.2f}" + ("" if math.isnan(spread) else f" ± {spread:.2f}")

    lines: list[str] = []
    for source, claims in groupby(checked, key=attrgetter("source")):
        lines += ["", source.strip()]
        for claim in claims:
            place = f"{claim.dataset} {claim.backbone or '(backbone not stated)'} {claim.metric}"
            theirs = stated(claim.claimed, claim.claimed_spread)
            ours = f"{stated(claim.measured, claim.spread)} (n = {claim.seeds})"
            ours = ours if claim.seeds else "-"
            lines.append(f"  {place:42} {theirs:>14}  {ours:>24}  {claim.verdict}")
    counts = [f"{sum(c.verdict == v for c in checked)} {v}" for v in get_args(Verdict)]
    return "\n".join([*lines[1:], "", ", ".join(counts)]) + "\n"


def _check_cell(
    group: ClaimGroup, cell: ClaimCell, records: Iterable[RunRecord]
) -> Iterator[Checked]:
    settings: dict[str, list[Scores]] = defaultdict(list)
    for record in records:
        scores = record.test if group.rule == "paper" else record.scores_by_rule.get(group.rule)
        if scores is not None and _agrees(record.config, group.setting, cell):
            # All that decides the result but the seed.
            setting = {key: value for key, value in record.config.items() if key != "seed"}
            settings[json.dumps(setting, sort_keys=True)].append(scores)
    for metric in METRICS:
        value = getattr(cell, metric)
        if value is None:
            continue
        claimed, claimed_spread = value if isinstance(value, tuple) else (value, math.nan)
        runs = [[getattr(scores, metric) for scores in group] for group in settings.values()]
        known = [[value for value in values if value is not None] for values in runs]
        # Several settings agree only where the source leaves something open.
        means = min(filter(None, known), key=fmean, default=[])
        yield Checked(
            group.source,
            cell.dataset,
            cell.backbone,
            metric,
            claimed,
            claimed_spread,
            fmean(means) if means else math.nan,
            _spread(means),
            len(means),
            verdict(claimed, claimed_spread, means, group.tolerance_percent),
        )


def _agrees(config: dict[str, Any], setting: ClaimSetting, cell: ClaimCell) -> bool:
    """Whether a run's resolved configuration is the claim's setting, on the whole data set."""
    whole = {"node_stride": 1, "days": None, "window_stride": 1, "evaluation_stride": 1}
    dataset = {"evaluation_stride": 1, "task": "forecast"} | config["dataset"]
    wanted = whole | {"id": cell.dataset, "task": setting.task}
    asked = setting.model_dump(include={"history", "horizon", "epochs", "patience"})
    backbone = config["backbone"]
    return (
        all(dataset.get(key) == value for key, value in wanted.items())
        and config["pruner"]["id"] == setting.pruner
        and config.get("protocol", "paper") == setting.protocol
        and all(config["training"][k] == v for k, v in asked.items() if v is not None)
        and cell.backbone in (None, backbone["id"])
        and _as_published(backbone)
    )


def _as_published(backbone: dict[str, Any]) -> bool:
    if backbone["id"] not in BACKBONES.ids():
        return False
    kind = BACKBONES.load(backbone["id"])
    return bool(
        backbone["options"] == kind.Options().model_dump(mode="json")
        and backbone["optimisation"] == kind.optimisation.model_dump(mode="json")
    )


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else math.nan
