"""A day of traffic through UXsim (Seo 2025, JOSS) in its C++ mode, and what detectors report.

Flow and speed follow from the cumulative counts at both ends of a road.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stprune.data.simulation.freeway.demand import Departures
from stprune.data.simulation.freeway.network import (
    JAM_DENSITY_PER_LANE,
    PLATOON_VEHICLES,
    REACTION_SECONDS,
    STEP_SECONDS,
    Network,
    Road,
)

Curves = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


def simulate(
    network: Network,
    departures: Departures,
    drops: list[tuple[int, int, str, float]],
    steps: int,
    seed: int,
    roads: list[str] | None = None,
) -> Curves:
    """Simulate ``steps`` steps that begin with empty roads.

    In C++ mode UXsim has no incidents, but the capacity at the end of a link may be set between
    two parts of a run: so the run is cut where a capacity changes.

    Args:
        network: The network.
        departures: Platoons, in seconds since the start of the run.
        drops: Incidents as first step, step after the last, road, share of capacity left.
        steps: Steps of `STEP_SECONDS` to run.
        seed: Seed of UXsim's own draws (the order of merging vehicles).
        roads: Names of the roads to report; all by default.

    Returns:
        For each such road the vehicles that have entered and have left it by the end of each
        step, each (steps,).
    """
    with _leave_no_trace():
        with warnings.catch_warnings():
            # Importing it causes warnings of its own.
            warnings.simplefilter("ignore")
            import uxsim
            import uxsim.uxsim_cpp
        world = _world(uxsim, network, steps, seed)
        # Before the roads: each platoon has a place for every road that there is when it is made,
        # which nobody reads, and which for a large network would take most of the memory.
        _send(uxsim, world, network, departures)
        for road in network.roads.values():
            world.addLink(
                road.name,
                road.start,
                road.end,
                length=road.length,
                free_flow_speed=road.free_speed,
                jam_density_per_lane=JAM_DENSITY_PER_LANE,
                number_of_lanes=road.lanes,
                merge_priority=road.priority,
            )
        _run(world, network, drops, steps)
    curves = {}
    for name in network.roads if roads is None else roads:
        link = world.get_link(name)
        curves[name] = (link.cum_arrival[:steps], link.cum_departure[:steps])
    # A world refers to itself; a month of them would not be freed soon enough.
    del world, link
    gc.collect()
    return curves


@contextmanager
def _leave_no_trace() -> Iterator[None]:
    """Undo what UXsim changes for the whole process: warning filters and format, and fonts.

    It does so both when it is imported and when a world starts to run.
    """
    import matplotlib as mpl

    formatwarning = warnings.formatwarning
    try:
        with warnings.catch_warnings(), mpl.rc_context():
            yield
    finally:
        warnings.formatwarning = formatwarning


def _world(uxsim: Any, network: Network, steps: int, seed: int) -> Any:
    seconds = steps * STEP_SECONDS
    world = uxsim.World(
        cpp=True,
        deltan=PLATOON_VEHICLES,
        reaction_time=REACTION_SECONDS,
        # A run that reaches its end starts analyses of every vehicle, which nobody needs.
        tmax=seconds + 10 * STEP_SECONDS,
        random_seed=seed,
        print_mode=0,
        save_mode=0,
        show_mode=0,
        show_progress=0,
        vehicle_logging_timestep_interval=0,
        eular_dt=3600,
        # There is one way between two zones: searching once, in the first step, is enough.
        duo_update_time=2 * seconds,
        duo_noise=0.0,
    )
    for position, name in enumerate(network.junctions()):
        world.addNode(name, position, 0)
    return world


def _send(uxsim: Any, world: Any, network: Network, departures: Departures) -> None:
    """Put the platoons on the timetable.

    This calls the C++ engine below `World.addVehicle`, which would make a Python object of every
    platoon: nobody reads those, and they take longer than the simulation itself.
    """
    add = uxsim.uxsim_cpp.add_demand
    sources = [zone.source for zone in network.zones]
    sinks = [zone.sink for zone in network.zones]
    # The engine makes a platoon whenever that many vehicles have gathered: here in one step,
    # with half a vehicle to spare for rounding.
    flow = (PLATOON_VEHICLES + 0.5) / STEP_SECONDS
    steps = np.floor(departures.seconds / STEP_SECONDS)
    first, last = (steps + 0.25) * STEP_SECONDS, (steps + 1.25) * STEP_SECONDS
    for start, end, origin, destination in zip(
        first.tolist(),
        last.tolist(),
        departures.origins.tolist(),
        departures.destinations.tolist(),
        strict=True,
    ):
        add(world._cpp_world, sources[origin], sinks[destination], start, end, flow, [])


def _run(
    world: Any, network: Network, drops: list[tuple[int, int, str, float]], steps: int
) -> None:
    """Run to the end, with the capacities changed just before the step where each must hold.

    This calls the C++ engine below `World.exec_simulation`, which after each part of a run looks
    at all platoons on behalf of Python objects that are not there.
    """

    def run_to(step: int) -> None:
        """Run all steps before ``step``; the engine's end time is inclusive."""
        world._cpp_world.main_loop(-1.0, (step - 1) * STEP_SECONDS)

    world.finalize_scenario()
    changes: dict[int, list[tuple[str, float]]] = {}
    for first, end, name, share in drops:
        changes.setdefault(first, []).append((name, share * network.roads[name].capacity))
        usual = world.get_link(name).capacity_out
        changes.setdefault(end, []).append((name, usual))
    for step in sorted(changes):
        if 0 < step < steps:
            run_to(step)
        for name, capacity in changes[step]:
            world.get_link(name).capacity_out = capacity
    run_to(steps)


# Standard deviation of the speeds of single drivers, as a share of the mean.
DRIVER_SPREAD = 0.08


class Bins(NamedTuple):
    """The time in which detectors count: ``number`` bins of ``steps`` steps from ``first_step``."""

    first_step: int
    number: int
    steps: int


def flow_by_bin(
    departures: NDArray[np.float64], moments: NDArray[np.float64], bins: Bins
) -> NDArray[np.float64]:
    """Vehicles that pass the downstream end in each bin: (bins,), to within a platoon.

    The simulator moves platoons; their vehicles are taken to pass one by one in the time since
    the platoon before, so counts are whole vehicles, not whole platoons.

    Args:
        departures: (K,) vehicles that have left the road by the end of each step.
        moments: (K,) when in a step its last vehicle leaves, a share in (0, 1] of the step, drawn
            at random: the simulator knows no more than the step.
        bins: When to count.
    """
    changes = np.flatnonzero(np.diff(departures, prepend=0.0))
    edges = bins.first_step + bins.steps * np.arange(bins.number + 1)
    times = np.concatenate([[0.0], changes + moments[changes]])
    passed = np.interp(edges, times, np.concatenate([[0.0], departures[changes]]))
    # The tiny addition keeps a whole number whole that interpolation made 2.9999999.
    return np.diff(np.floor(passed + 1e-9))


def speed_by_bin(
    arrivals: NDArray[np.float64], departures: NDArray[np.float64], road: Road, bins: Bins
) -> NDArray[np.float64]:
    """Mean speed on the road in each bin, (bins,) in m/s; the free speed where nobody drove.

    It is the distance driven in the bin over the time spent there (Edie 1963). Roads are first
    in, first out, so the n-th arrival is the n-th departure; between the two each vehicle
    counts as driving at its mean speed. Those still on the road at the end leave there.
    ``arrivals`` and ``departures`` are (K,) vehicles that have entered and left by each step.
    """
    count = len(arrivals)
    entered = _platoon_steps(arrivals)
    left = np.full(len(entered), count)
    gone = _platoon_steps(departures)
    left[: len(gone)] = gone
    pace = road.length / ((left - entered) * STEP_SECONDS)
    change = np.bincount(entered, pace, count + 1) - np.bincount(left, pace, count + 1)
    present = np.bincount(entered, minlength=count + 1) - np.bincount(left, minlength=count + 1)
    window = slice(bins.first_step, bins.first_step + bins.number * bins.steps)
    summed_speed = np.cumsum(change)[window].reshape(bins.number, bins.steps).sum(axis=1)
    vehicles = np.cumsum(present)[window].reshape(bins.number, bins.steps).sum(axis=1)
    mean = np.full(bins.number, road.free_speed)
    np.divide(summed_speed, vehicles, out=mean, where=vehicles > 0)
    return np.asarray(np.clip(mean, 0.0, road.free_speed))


def reported_speed(
    true_speed: NDArray[np.float64], passed: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Speed as the mean over the drivers who passed, who do not all drive alike.

    ``passed`` are vehicles, of the shape of ``true_speed``. The error is normal with a spread of
    `DRIVER_SPREAD` / sqrt(passed), and 0 where none passed.
    """
    spread = np.where(passed > 0, DRIVER_SPREAD / np.sqrt(np.maximum(passed, 1.0)), 0.0)
    error = np.clip(rng.standard_normal(true_speed.shape), -3.0, 3.0)
    return np.asarray(true_speed * (1 + spread * error))


def _platoon_steps(curve: NDArray[np.float64]) -> NDArray[np.int64]:
    """The step of each platoon's passage, from a cumulative count."""
    platoons = np.rint(np.diff(curve, prepend=0.0) / PLATOON_VEHICLES).astype(np.int64)
    return np.repeat(np.arange(len(curve)), platoons)
