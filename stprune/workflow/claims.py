"""Public numbers against the records at hand: reproduced, within spread, not, or not run.

A record counts for a claim of ``claims.yaml`` if its resolved configuration agrees with the setting
there, on the whole data set, with the backbone's published sizes and optimiser. Published weights
are evaluated by our code on the same test windows.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any, Literal, get_args

import pandas as pd
import torch
from pydantic import Field

from stprune.backbones.base import BACKBONES
from stprune.base.errors import ConfigError, RecordError
from stprune.base.layout import DataLayout, recorded_runs
from stprune.base.schema import StrictModel, read_yaml, validate
from stprune.data.canonical import read_canonical
from stprune.data.card import RemoteFile
from stprune.data.dataset import forecast_data
from stprune.data.fetch import fetch_file, resolve_mirror
from stprune.data.prepare import prepare
from stprune.data.windows import Scaler
from stprune.records.run import RunRecord, Scores, read_record
from stprune.records.store import METRICS
from stprune.records.timing import settings_digest
from stprune.training.devices import fabric_on
from stprune.training.engine import forecast_task
from stprune.training.evaluation import RuleSums, evaluate, rule_scores

Metric = Literal["mae", "rmse", "mape"]
Verdict = Literal["reproduced", "within spread", "not reproduced", "not run"]
SPREADS = 2.0
# Steps of a published window, inputs as well as targets.
STEPS = 12
# A mean, or a mean and its standard deviation over seeds.
Value = float | tuple[float, float]
COLUMNS = (
    *("source", "dataset", "backbone", "metric", "claimed", "claimed_sd", "measured"),
    *("sd", "seeds", "verdict"),
)
WHOLE = {"node_stride": 1, "days": None, "window_stride": 1, "evaluation_stride": 1}


class ClaimSetting(StrictModel):
    """What of a run's configuration must agree; null where the source does not say."""

    pruner: str
    protocol: str = "paper"
    task: str = "forecast"
    history: int
    horizon: int
    epochs: int | None = None  # of full training
    patience: int | None = None


class ClaimCell(StrictModel):
    """Published errors of one data set and backbone, in the target's unit (mape: in percent)."""

    dataset: str
    backbone: str | None = None  # null: not stated, like the number of seeds behind a mean
    seeds: int | None = Field(None, ge=1)
    mae: Value | None = None
    rmse: Value | None = None
    mape: Value | None = None


class ClaimGroup(StrictModel):
    """Claims of one source in one setting, and how near counts as reproduced."""

    source: str
    setting: ClaimSetting
    rule: Literal["paper", "st_ttc", "largest", "opencity"]  # how it averages and masks errors
    tolerance_percent: float = Field(gt=0)
    cells: list[ClaimCell] = Field(min_length=1)
    note: str = ""


class WeightsClaim(StrictModel):
    """Errors that a publisher logged of one file of weights, in the target's unit (mape: in %)."""

    source: str
    dataset: str
    backbone: str  # with the options of `protocol: legacy`
    seed: int
    weights: RemoteFile
    mean: float  # of the values that the publisher's scaler saw, which are more than ours
    sd: float = Field(gt=0)
    batch_size: int = Field(ge=1)  # test windows of a last partial batch do not count
    tolerance: float = Field(gt=0)  # how near mae and rmse count as reproduced
    mape_tolerance: float = Field(gt=0)
    # By metric: of all steps ahead, and of single ones.
    errors: dict[Metric, dict[Literal["all"] | Annotated[int, Field(ge=1, le=STEPS)], float]]


class Claims(StrictModel):
    """A file of claims."""

    groups: list[ClaimGroup] = Field(min_length=1)
    published_weights: list[WeightsClaim] = Field(default_factory=list)


def load_claims(path: Path) -> Claims:
    """Read a file of claims; a ConfigError if it is missing or does not follow the schema."""
    return validate(Claims, read_yaml(path), str(path))


def check_claims(claims: Claims, results: Path) -> pd.DataFrame:
    """Compare every claimed number with all records below ``results``.

    One row a number: ``claimed`` and ``measured`` mean with standard deviation over seeds
    (``claimed_sd``, ``sd``), ``seeds`` of ours, ``verdict``; NaN is not known. Raises RecordError
    if there is no such folder, or a record in it cannot be read.
    """
    if not results.is_dir():
        raise RecordError(f"there is no folder {results} of results; name one with --results")
    records = [read_record(path) for path in recorded_runs(results)]
    cells = [(group, cell) for group in claims.groups for cell in group.cells]
    rows = [row for group, cell in cells for row in _check(group, cell, records)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _check(
    group: ClaimGroup, cell: ClaimCell, records: Sequence[RunRecord]
) -> Iterator[dict[str, Any]]:
    settings = defaultdict[Any, list[Scores]](list)
    for record in records:
        scores = record.test if group.rule == "paper" else record.scores_by_rule.get(group.rule)
        if scores is not None and _agrees(record.config, group.setting, cell):
            # All that decides the result but the seed.
            settings[settings_digest(record.config), record.prune_ratio].append(scores)
    for metric in METRICS:
        value = getattr(cell, metric)
        if value is None:
            continue
        claimed, claimed_sd = value if isinstance(value, tuple) else (value, math.nan)
        known = [
            [error for error in (getattr(scores, metric) for scores in runs) if error is not None]
            for runs in settings.values()
        ]
        # Several settings agree only where the source leaves something open.
        errors = min(filter(None, known), key=fmean, default=[])
        yield {
            "source": group.source.strip(),
            "dataset": cell.dataset,
            "backbone": cell.backbone or "(not stated)",
            "metric": metric,
            "claimed": claimed,
            "claimed_sd": claimed_sd,
            "measured": fmean(errors) if errors else math.nan,
            "sd": _spread(errors),
            "seeds": len(errors),
            "verdict": verdict(claimed, claimed_sd, errors, group.tolerance_percent),
        }


def _agrees(config: dict[str, Any], setting: ClaimSetting, cell: ClaimCell) -> bool:
    """Whether a run's resolved configuration is the claim's setting, on the whole data set."""
    dataset = {"evaluation_stride": 1, "task": "forecast"} | config["dataset"]
    wanted = WHOLE | {"id": cell.dataset, "task": setting.task}
    asked = setting.model_dump(include={"history", "horizon", "epochs", "patience"})
    backbone = config["backbone"]
    if cell.backbone not in (None, backbone["id"]) or backbone["id"] not in BACKBONES.ids():
        return False
    published = BACKBONES.load(backbone["id"])
    options = published.legacy_options if setting.protocol == "legacy" else {}
    return (
        all(dataset.get(key) == value for key, value in wanted.items())
        and config["pruner"]["id"] == setting.pruner
        and config.get("protocol", "paper") == setting.protocol
        and all(config["training"][k] == v for k, v in asked.items() if v is not None)
        and backbone["options"] == published.Options(**options).model_dump(mode="json")
        and backbone["optimisation"] == published.optimisation.model_dump(mode="json")
    )


def verdict(
    claimed: float, claimed_sd: float, errors: Sequence[float], tolerance_percent: float
) -> Verdict:
    """What ``errors``, one of each of our seeds, say of a claimed mean.

    Within ``tolerance_percent`` of the claim they reproduce it; ``claimed_sd`` is its standard
    deviation over seeds, NaN if not stated.
    """
    if not errors:
        return "not run"
    distance = abs(fmean(errors) - claimed)
    if distance <= tolerance_percent / 100 * abs(claimed):
        return "reproduced"
    spreads = [s for s in (claimed_sd, _spread(errors)) if not math.isnan(s)]
    if spreads and distance <= SPREADS * math.hypot(*spreads):
        return "within spread"
    return "not reproduced"


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else math.nan


def check_weights(claims: list[WeightsClaim], layout: DataLayout) -> pd.DataFrame:
    """Evaluate each file of weights, fetched if need be; one row a number, as `check_claims`."""
    rows = []
    for claim in claims:
        scores = evaluate_weights(claim, layout)
        for metric, errors in claim.errors.items():
            limit = claim.mape_tolerance if metric == "mape" else claim.tolerance
            whole, by_step = getattr(scores, metric), getattr(scores, f"{metric}_per_horizon")
            for step, claimed in errors.items():
                value = whole if step == "all" else by_step[step - 1]
                near = value is not None and abs(value - claimed) <= limit
                rows.append(
                    {
                        "source": claim.source.strip(),
                        "dataset": claim.dataset,
                        "backbone": f"{claim.backbone}, weights of seed {claim.seed}",
                        "metric": metric if step == "all" else f"{metric}, step {step}",
                        "claimed": claimed,
                        "measured": value,
                        "seeds": 1,
                        "verdict": "reproduced" if near else "not reproduced",
                    }
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def evaluate_weights(claim: WeightsClaim, layout: DataLayout) -> Scores:
    """Scores on the test windows of the data set, by the rule `st_ttc`.

    Raises FetchError if the weights or the data set are not to be had, ConfigError if the weights
    are not those of the backbone on this data set.
    """
    dataset = read_canonical(prepare(claim.dataset, layout))
    data = forecast_data(dataset, history=STEPS, horizon=STEPS)
    scaler = Scaler(torch.tensor([claim.mean]), torch.tensor([claim.sd]), target_channel=0)
    store = replace(data.test, scaler=scaler, ready=None)
    backbone = BACKBONES.load(claim.backbone)
    options = backbone.Options.model_validate(backbone.legacy_options)
    model: Any = backbone(forecast_task(data, STEPS, STEPS), options)
    target = layout.raw("published_weights", claim.backbone, f"{claim.weights.git_blob_sha1}.pt")
    path = fetch_file("published weights", claim.weights, target, resolve_mirror(None))
    weights = torch.load(path, map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(backbone.from_public_weights(weights))
    except (KeyError, RuntimeError):  # another name, or another size
        place = f"{claim.backbone} on {claim.dataset}"
        raise ConfigError(f"{claim.weights.url} has not the weights of {place}") from None
    sums = RuleSums(store, claim.batch_size)
    evaluate(model, store, claim.batch_size, data.mape_floor, fabric_on(), rules=sums)
    return rule_scores([sums])["st_ttc"]


def claims_text(checked: pd.DataFrame) -> str:
    """The rows of `check_claims` under their source, and how many there are of each verdict."""
    texts = []
    for source, rows in checked.groupby("source", sort=False):
        table = rows.drop(columns="source").to_string(index=False, na_rep="-", float_format="%.6g")
        texts.append(f"{source}\n{table}\n")
    counts = [f"{(checked['verdict'] == v).sum()} {v}" for v in get_args(Verdict)]
    return "\n".join([*texts, ", ".join(counts)]) + "\n"
