"""Simulated freeway traffic with labelled incidents; made on the spot, nothing is downloaded.

Simulator: UXsim (Seo 2025, JOSS), whose C++ mode moves platoons of vehicles by Newell's rule.
Every day is a run of its own, which begins an hour before midnight with the same departures as
the end of the day before. The same card gives the same bits with the same versions of NumPy and
UXsim; another seed gives another city, other days and other incidents.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import regular_times
from stprune.data.simulation import network as roads
from stprune.data.simulation import traffic
from stprune.data.simulation.shared import check_card

CHANNELS = ["flow", "speed"]
# A run fills the roads before its day begins, and ends when those of the day have got through.
WARM_BINS, LATE_BINS = 12, 2
BIN_STEPS = round(traffic.BIN_SECONDS / roads.STEP_SECONDS)
KMH = 3.6


class Options(StrictModel):
    """Size and character of the simulated city."""

    seed: int = Field(ge=0, description="Another seed is another city.")
    days: int = Field(ge=1, le=366, description="Days, each of 288 steps.")
    corridors: int = Field(ge=1, le=32, description="Freeways that meet.")
    segments: int = Field(ge=3, le=64, description="Detectors of a corridor in each direction.")
    incidents_per_day: float = Field(4.0, ge=0, description="Expected in the whole network.")
    demand_level: float = Field(
        1.05, gt=0, le=1.3, description="Weekday peak at the busiest detector / its capacity."
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Simulate the data set that ``card`` describes; there are no files.

    Channels are flow (vehicles / 5 min) at the downstream end of each segment and mean speed (km/h)
    on it. The graph is directed, by driving distance. Events: incidents, in which the capacity at a
    segment's end drops to ``capacity_share``.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    nodes, steps = 2 * options.corridors * options.segments, options.days * traffic.BINS_PER_DAY
    check_card(card, nodes, steps, CHANNELS, traffic.BIN_SECONDS // 60)
    layout, chance, accidents, readings, engine = (
        np.random.default_rng([options.seed, stream]) for stream in range(5)
    )
    network = roads.build_network(options.corridors, options.segments, layout)
    demand = traffic.expected_demand(network, options.demand_level, card.start.replace(tzinfo=None))
    departures = traffic.draw_departures(demand, -WARM_BINS, card.steps + LATE_BINS, chance)
    incidents = traffic.draw_incidents(demand, options.days, options.incidents_per_day, accidents)
    seeds = engine.integers(2**31, size=options.days).tolist()
    values = np.empty((card.steps, card.nodes, len(CHANNELS)), dtype=np.float32)
    # Speeds get the error of their reading after all days; until then they keep all their bits.
    speeds = np.empty(values.shape[:2])
    starts = range(0, card.steps, traffic.BINS_PER_DAY)
    days = [slice(start, start + traffic.BINS_PER_DAY) for start in starts]
    for day, steps in enumerate(days):
        values[steps, :, 0], speeds[steps] = _simulate_day(
            network, departures, incidents, day, seeds[day], readings
        )
    for steps in days:
        passed = values[steps, :, 0].astype(np.float64)
        values[steps, :, 1] = traffic.reported_speed(speeds[steps], passed, readings) * KMH
    columns = ["event", "node", "first_step", "last_step", "capacity_share", "kind"]
    labels = [
        (number, one.detector, one.first_bin, one.last_bin, one.capacity_share, "incident")
        for number, one in enumerate(incidents)
    ]
    times, mask = regular_times(card, card.steps), np.ones(values.shape, np.bool_)
    events = pd.DataFrame(labels, columns=columns)
    return RawSeries(values, mask, times, roads.detector_graph(network), network.detectors, events)


def _simulate_day(
    network: roads.Network,
    departures: traffic.Departures,
    incidents: list[traffic.Incident],
    day: int,
    seed: int,
    readings: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Flow (vehicles / 5 min) and speed (m/s) of one day, each (288, D)."""
    zero_bin = day * traffic.BINS_PER_DAY - WARM_BINS
    bins = WARM_BINS + traffic.BINS_PER_DAY + LATE_BINS
    zero, end = zero_bin * traffic.BIN_SECONDS, (zero_bin + bins) * traffic.BIN_SECONDS
    leaving = departures.between(zero, end)
    names, drops = network.detectors, []
    for one in incidents:
        if one.first_bin // traffic.BINS_PER_DAY == day:
            first, end = one.first_bin - zero_bin, one.last_bin + 1 - zero_bin
            way, share = names[one.detector], one.capacity_share
            drops.append((first * BIN_STEPS, end * BIN_STEPS, way, share))
    curves = traffic.simulate(network, leaving, drops, bins * BIN_STEPS, seed, names)
    counted = traffic.Bins(WARM_BINS * BIN_STEPS, traffic.BINS_PER_DAY, BIN_STEPS)
    moments = 1 - readings.random((len(names), bins * BIN_STEPS))
    flows = [
        traffic.flow_by_bin(curves[name][1], moments[at], counted) for at, name in enumerate(names)
    ]
    speeds = [traffic.speed_by_bin(*curves[name], network.roads[name], counted) for name in names]
    return np.stack(flows, axis=1), np.stack(speeds, axis=1)
