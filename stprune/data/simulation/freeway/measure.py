"""What a detector reports: flow and speed from cumulative counts at both ends of a road."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stprune.data.simulation.freeway.network import PLATOON_VEHICLES, STEP_SECONDS, Road

# Standard deviation of the speeds of single drivers, as a share of the mean.
DRIVER_SPREAD = 0.08


def flow(
    departures: NDArray[np.float64],
    moments: NDArray[np.float64],
    first_step: int,
    bins: int,
    bin_steps: int,
) -> NDArray[np.float64]:
    """Vehicles that pass the downstream end in each bin.

    A platoon is a figure of speech of the simulator: its vehicles are taken to pass one by one
    in the time since the platoon before, so counts are whole vehicles, not whole platoons.

    Args:
        departures: (K,) vehicles that have left the road by the end of each step.
        moments: (K,) when the last vehicle that leaves in a step does so, as a share of the
            step in (0, 1]. The simulator knows no more than the step; with random moments no
            count is more likely than another.
        first_step: Step at which the first bin begins.
        bins: Number of bins.
        bin_steps: Steps in a bin.

    Returns:
        (bins,) vehicles a bin. Their sum is what left the road, to within a platoon.
    """
    changes = np.flatnonzero(np.diff(departures, prepend=0.0))
    edges = first_step + bin_steps * np.arange(bins + 1)
    times = np.concatenate([[0.0], changes + moments[changes]])
    passed = np.interp(edges, times, np.concatenate([[0.0], departures[changes]]))
    # The tiny addition keeps a whole number whole that interpolation made 2.9999999.
    return np.diff(np.floor(passed + 1e-9))


def speed(
    arrivals: NDArray[np.float64],
    departures: NDArray[np.float64],
    road: Road,
    first_step: int,
    bins: int,
    bin_steps: int,
) -> NDArray[np.float64]:
    """Mean speed on the road in each bin, in m/s; the free speed where nobody drove.

    It is the distance driven in the bin over the time spent there (Edie 1963). Roads are first
    in, first out, so the n-th arrival is the n-th departure; between the two each vehicle
    counts as driving at its mean speed. Those still on the road at the end leave there.

    Args:
        arrivals: (K,) vehicles that have entered the road by the end of each step.
        departures: (K,) the same for leaving.
        road: The road.
        first_step: Step at which the first bin begins.
        bins: Number of bins.
        bin_steps: Steps in a bin.
    """
    count = len(arrivals)
    entered = _platoon_steps(arrivals)
    left = np.full(len(entered), count)
    gone = _platoon_steps(departures)
    left[: len(gone)] = gone
    pace = road.length / ((left - entered) * STEP_SECONDS)
    change = np.bincount(entered, pace, count + 1) - np.bincount(left, pace, count + 1)
    present = np.bincount(entered, minlength=count + 1) - np.bincount(left, minlength=count + 1)
    window = slice(first_step, first_step + bins * bin_steps)
    summed_speed = np.cumsum(change)[window].reshape(bins, bin_steps).sum(axis=1)
    vehicles = np.cumsum(present)[window].reshape(bins, bin_steps).sum(axis=1)
    mean = np.divide(summed_speed, vehicles, out=np.full(bins, road.free_speed), where=vehicles > 0)
    return np.asarray(np.clip(mean, 0.0, road.free_speed))


def reported_speed(
    true_speed: NDArray[np.float64], passed: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Speed as the mean over the drivers who passed, who do not all drive alike.

    Args:
        true_speed: Mean speed of the traffic, any shape and unit.
        passed: Vehicles that passed, same shape; where there were none nothing is added.
        rng: Source of chance.

    Returns:
        Speeds of the same shape, with a normal error of `DRIVER_SPREAD` / sqrt(passed).
    """
    spread = np.where(passed > 0, DRIVER_SPREAD / np.sqrt(np.maximum(passed, 1.0)), 0.0)
    error = np.clip(rng.standard_normal(true_speed.shape), -3.0, 3.0)
    return np.asarray(true_speed * (1 + spread * error))


def _platoon_steps(curve: NDArray[np.float64]) -> NDArray[np.int64]:
    """The step of each platoon's passage, from a cumulative count."""
    platoons = np.rint(np.diff(curve, prepend=0.0) / PLATOON_VEHICLES).astype(np.int64)
    return np.repeat(np.arange(len(curve)), platoons)
