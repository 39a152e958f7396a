"""The rules of other publications in plain numpy, to hold ours to.

Written down from the description of their code, step by step and for whole arrays at once; nothing
of the project is used.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Split(NamedTuple):
    """Last input step of each window."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


class Errors(NamedTuple):
    """MAE, RMSE, and MAPE in percent."""

    mae: float
    rmse: float
    mape: float


def st_ttc_split(steps: int, history: int, horizon: int, few_shot: int = 100) -> Split:
    """Chronological, over windows; few-shot training takes that many % of all of them."""
    indices = np.arange(history - 1, steps - horizon)
    count = len(indices)
    train, validation = round(count * 0.6), round(count * 0.2)
    first = indices[: round(count * few_shot / 100)] if few_shot != 100 else indices[:train]
    return Split(first, indices[train : train + validation], indices[train + validation :])


def st_ttc_scaler(target: Array, train: NDArray[np.int64], history: int) -> tuple[float, float]:
    """Mean and deviation of all nodes up to the start of the last training window."""
    seen = target[: train[-1] - history + 1]
    return float(seen.mean()), float(seen.std())


def whole_batches(indices: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Consecutive batches; what is left over is dropped."""
    count = len(indices) // batch_size
    return [indices[i * batch_size : (i + 1) * batch_size] for i in range(count)]


def labels_of(target: Array, last_inputs: NDArray[np.int64], horizon: int) -> Array:
    """(n, H, N) of each window."""
    return np.stack([target[last + 1 : last + 1 + horizon] for last in last_inputs])


def inputs_of(target: Array, last_inputs: NDArray[np.int64], history: int) -> Array:
    """(n, T, N) of each window."""
    return np.stack([target[last - history + 1 : last + 1] for last in last_inputs])


def st_ttc_null(labels: Array) -> float:
    """The label that is masked."""
    lowest = float(labels.min())
    return lowest if lowest < 1 else 0.0


def masked(forecast: Array, labels: Array, null: float) -> Errors:
    """Pooled over the whole arrays: a mask is divided by its mean, NaN becomes 0."""
    with np.errstate(all="ignore"):
        mask = (labels != null).astype(np.float64)
        mask /= mask.mean()
        mask[np.isnan(mask)] = 0
        error = np.abs(forecast - labels)
        parts = (error * mask, error**2 * mask, error / labels * mask)
        mae, square, share = (float(np.where(np.isnan(p), 0, p).mean()) for p in parts)
    return Errors(mae, float(np.sqrt(square)), 100 * share)


def st_ttc_validation(forecast: Array, labels: Array) -> Errors:
    """Of the windows that were evaluated, pooled."""
    return masked(forecast, labels, st_ttc_null(labels))


def st_ttc_test(forecast: Array, labels: Array) -> tuple[Errors, list[Errors]]:
    """The mean of the errors of each step ahead, and those; one null label for all steps."""
    null = st_ttc_null(labels)
    steps = [masked(forecast[:, h], labels[:, h], null) for h in range(labels.shape[1])]
    return Errors(*np.mean(steps, axis=0).tolist()), steps


def opencity_test(forecast: Array, labels: Array) -> Errors:
    """Errors of labels above 0, shares of those above 0.001, pooled."""
    error = np.abs(forecast - labels)
    above, counted = labels > 0, labels > 0.001
    return Errors(
        float(error[above].mean()),
        float(np.sqrt((error[above] ** 2).mean())),
        float(100 * (error[counted] / labels[counted]).mean()),
    )
