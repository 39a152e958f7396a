"""Summaries and epochs made up for tests of statistics: only the columns that those read."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from stprune.records.store import KEYS

Run = tuple[str, str, float, int, float]


def summary_of(runs: Iterable[Run], budget: str = "epochs") -> pd.DataFrame:
    """Data set, pruner, prune ratio, seed and test MAE of each run; a run takes 100 s."""
    frame = pd.DataFrame(runs, columns=["dataset", "pruner", "prune_ratio", "seed", "test_mae"])
    return frame.assign(backbone="stid", budget=budget, total_seconds=100.0)


# Data set, pruner, seed, validation MAE of each epoch, and seconds an epoch.
SeededRun = tuple[str, str, int, list[float], float]


def curves_of(*runs: SeededRun) -> pd.DataFrame:
    """The epochs of runs of full training, and of others at prune ratio 0.5."""
    rows = [
        (dataset, "stid", pruner, 0.0 if pruner == "full" else 0.5, seed, epoch, mae, time)
        for dataset, pruner, seed, curve, pace in runs
        for epoch, mae in enumerate(curve)
        for time in [(epoch + 1) * pace]
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "epoch", "validation_mae", "elapsed_seconds"])


def noisy_summary(
    rng: np.random.Generator, losses: Mapping[str, float], datasets: int, seeds: int, spread: float
) -> pd.DataFrame:
    """Full training and, at prune ratio 0.5, pruners with a known mean loss in percent of it.

    Each data set, ``d0`` and so on, has an error of its own; ``spread`` is the standard deviation
    of the difference from full training, in percent.
    """
    runs: list[Run] = []
    for place in range(datasets):
        level = 2 + rng.random()
        for seed in range(seeds):
            full = level * rng.normal(1, 0.01)
            runs.append((f"d{place}", "full", 0.0, seed, full))
            for pruner, loss in losses.items():
                factor = 1 + rng.normal(loss, spread) / 100
                runs.append((f"d{place}", pruner, 0.5, seed, full * factor))
    return summary_of(runs)
