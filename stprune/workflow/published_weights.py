"""Weights that others trained and published, evaluated by our code on the same test windows.

``claims.yaml`` names each file of weights by its hash, with the errors that its publisher logged.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import pandas as pd
import torch
from pydantic import Field

from stprune.backbones.base import BACKBONES, ForecastTask
from stprune.base.layout import DataLayout
from stprune.base.schema import StrictModel
from stprune.data.canonical import read_canonical
from stprune.data.card import RemoteFile
from stprune.data.dataset import forecast_data
from stprune.data.fetch import fetch_file, resolve_mirror
from stprune.data.prepare import prepare
from stprune.data.windows import Scaler
from stprune.records.run import Scores
from stprune.training.evaluation import RuleSums, rule_scores

Metric = Literal["mae", "rmse", "mape"]


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
    history: int = 12
    horizon: int = 12
    tolerance: float = Field(gt=0)  # how near mae and rmse count as reproduced
    mape_tolerance: float = Field(gt=0)
    # By metric: of all steps ahead, and of single ones.
    errors: dict[Metric, dict[Literal["all"] | int, float]]


def check_weights(claims: list[WeightsClaim], layout: DataLayout) -> pd.DataFrame:
    """Evaluate each file of weights and compare its errors with those logged.

    Data sets are prepared and weights fetched where that has not been done.

    Returns:
        One row a number, as of `stprune.workflow.claims.check_claims`.

    Raises:
        FetchError: If a file is not to be had.
    """
    rows = []
    for claim in claims:
        scores = evaluate_weights(claim, layout)
        for metric, errors in claim.errors.items():
            limit = claim.mape_tolerance if metric == "mape" else claim.tolerance
            for steps, claimed in errors.items():
                measured = _measured(scores, metric, steps)
                near = abs(measured - claimed) <= limit
                rows.append(
                    {
                        "source": claim.source.strip(),
                        "dataset": claim.dataset,
                        "backbone": f"{claim.backbone}, weights of seed {claim.seed}",
                        "metric": metric if steps == "all" else f"{metric}, step {steps}",
                        "claimed": claimed,
                        "claimed_sd": math.nan,
                        "measured": measured,
                        "sd": math.nan,
                        "seeds": 1,
                        "verdict": "reproduced" if near else "not reproduced",
                    }
                )
    return pd.DataFrame(rows)


def _measured(scores: Scores, metric: Metric, steps: Literal["all"] | int) -> float:
    whole, by_step = getattr(scores, metric), getattr(scores, f"{metric}_per_horizon")
    value = whole if steps == "all" else by_step[steps - 1]
    return math.nan if value is None else float(value)


def evaluate_weights(claim: WeightsClaim, layout: DataLayout) -> Scores:
    """Scores on the test windows of the data set, by the rule `st_ttc`.

    Raises:
        FetchError: If the weights or the data set are not to be had.
    """
    dataset = read_canonical(prepare(claim.dataset, layout))
    data = forecast_data(dataset, history=claim.history, horizon=claim.horizon)
    scaler = Scaler(torch.tensor([claim.mean]), torch.tensor([claim.sd]), target_channel=0)
    store = replace(data.test, scaler=scaler, ready=None)
    backbone = BACKBONES.load(claim.backbone)
    task = ForecastTask(
        nodes=dataset.card.nodes,
        history=claim.history,
        horizon=claim.horizon,
        channels=1,
        target_channel=0,
        steps_per_day=data.steps_per_day,
        adjacency=data.adjacency,
    )
    model: Any = backbone(task, backbone.Options.model_validate(backbone.legacy_options))
    target = layout.raw("published_weights", claim.backbone, f"{claim.weights.git_blob_sha1}.pt")
    path = fetch_file("published weights", claim.weights, target, resolve_mirror(None), False)
    weights = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(backbone.from_public_weights(weights))
    model.eval()
    sums = RuleSums(store, claim.batch_size)
    with torch.no_grad():
        for windows in torch.arange(len(store)).split(claim.batch_size):
            batch = store.gather(windows)
            forecast = model(batch.inputs, batch.time_of_day, batch.day_of_week)
            sums.update(windows, store.scaler.restore(forecast), batch.targets, batch.mask)
    return rule_scores([sums])["st_ttc"]
