"""Simulated charging of electric cars with labelled events; made on the spot, no download.

Shape and channels are those of UrbanEV (Li et al. 2025, Scientific Data): zones of a city by the
hour. Drivers queue at limited chargers (simpy), lose patience and go to neighbouring zones. All
times are whole seconds and all powers whole watts, so that the same card gives the same bits on
any machine; another seed gives another city, other days and other events.
"""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import regular_times
from stprune.data.simulation import charging
from stprune.data.simulation.shared import check_card

CHANNELS = ["occupancy", "volume", "price"]
STEP_MINUTES = 60
# A day that fills the chargers, and is not part of the data.
WARM_DAYS = 1


class Options(StrictModel):
    """Size and character of the simulated city."""

    seed: int = Field(ge=0, description="Another seed is another city.")
    days: int = Field(ge=1, le=1830, description="Days, each of 24 steps.")
    zones: int = Field(ge=4, le=2000, description="Zones of the city, the nodes of the graph.")
    mean_chargers: float = Field(20.0, ge=4, le=200, description="Expected in a zone.")
    outages_per_week: float = Field(1.5, ge=0, description="Expected in the whole city.")
    crowds_per_week: float = Field(0.75, ge=0, description="Expected events that draw a crowd.")
    demand_level: float = Field(1.0, gt=0, le=3, description="Factor on all demand.")


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Simulate the data set that ``card`` describes; there are no files.

    Channels are chargers in use (mean over the hour), energy delivered (kWh / h) and price (yuan /
    kWh) of each zone. The graph of neighbouring zones is undirected. Events: outages and crowds.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    check_card(card, options.zones, options.days * charging.HOURS_PER_DAY, CHANNELS, STEP_MINUTES)
    layout, sky, trouble, arrivals, fees = (
        np.random.default_rng([options.seed, stream]) for stream in range(5)
    )
    start = card.start.replace(tzinfo=None)
    warm = WARM_DAYS * charging.HOURS_PER_DAY
    hours = warm + card.steps
    city = charging.build_city(card.nodes, options.mean_chargers, layout)
    around = charging.draw_circumstances(
        start - timedelta(days=WARM_DAYS), WARM_DAYS + options.days, sky
    )
    prices = charging.draw_prices(city, around, fees)
    expected = charging.expected_drivers(city, around, prices, options.demand_level)
    weeks = options.days / 7
    outages, crowds = options.outages_per_week * weeks, options.crowds_per_week * weeks
    events = charging.draw_disturbances(city, expected, warm, outages, crowds, trouble)
    extra = charging.extra_drivers(events, hours, card.nodes)
    drivers = charging.draw_drivers(city, around, expected, extra, arrivals)
    sessions = charging.simulate(city, drivers, events, hours)
    busy = charging.busy_seconds(sessions, hours, card.nodes)
    channels = [busy / charging.HOUR_SECONDS, charging.volume(city, busy), prices]
    values = np.stack(channels, axis=-1)[warm:].astype(np.float32)
    labels = pd.DataFrame(
        [(e.zone, e.first_hour, e.last_hour, e.chargers_out, e.extra_drivers) for e in events],
        columns=["node", "first_step", "last_step", "chargers_out", "extra_drivers"],
    )
    labels[["first_step", "last_step"]] -= warm
    labels.insert(0, "event", range(len(events)))
    labels["kind"] = [event.kind for event in events]
    times, mask = regular_times(card, card.steps), np.ones(values.shape, np.bool_)
    return RawSeries(values, mask, times, city.adjacency(), city.names, labels)
