"""`stprune data describe`: its options, what it writes and what it says."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stprune.base.layout import DataLayout
    from stprune.describe.described import Description

# Options with the names and defaults of `DescriptionOptions`.
OPTIONS = ("history", "horizon", "channel", "nodes", "days", "windows", "seed")


def add_describe_options(describe: argparse.ArgumentParser) -> None:
    """What is described and where it goes; numbers are checked when the command runs."""
    describe.add_argument("dataset")
    describe.add_argument("--history", help="input steps of a window (default: 12, or the run's)")
    describe.add_argument("--horizon", help="target steps (default: 12, or the run's)")
    describe.add_argument("--channel", help="which quantity (default: the target)")
    describe.add_argument("--nodes", help="nodes drawn, at most (default: 256)")
    describe.add_argument("--days", help="days compared, at most (default: 128)")
    describe.add_argument("--windows", help="windows compared, at most (default: 512)")
    describe.add_argument("--seed", help="of the draws (default: 0)")
    describe.add_argument(
        "--run",
        type=Path,
        metavar="METRICS",
        help="also what the mean error of this run's windows hides; needs `keep_weights`",
    )
    describe.add_argument(
        "--split",
        choices=["train", "validation", "test"],
        default="train",
        help="windows of --run to look at (default: train, which is what is pruned)",
    )
    describe.add_argument(
        "--tables-only", action="store_true", help="draw nothing; `stprune data overview` will"
    )
    describe.add_argument(
        "--output", type=Path, help="folder (default: described/<dataset> in the data directory)"
    )


def describe_data(parsed: argparse.Namespace, layout: DataLayout) -> None:
    """Describe a prepared data set, and a run on it.

    Raises:
        StpruneError: One line, before anything is written, for what cannot be described.
    """
    from stprune.base.errors import ConfigError
    from stprune.base.schema import validate
    from stprune.data.canonical import read_canonical
    from stprune.data.card import load_card
    from stprune.describe.describe import DescriptionOptions, describe
    from stprune.describe.write import write_description

    load_card(parsed.dataset, layout.root)
    dataset = read_canonical(layout.processed(parsed.dataset))
    given = {name: getattr(parsed, name) for name in OPTIONS if getattr(parsed, name) is not None}
    model = None
    if parsed.run is not None:
        from stprune.training.recorded_model import open_recorded_model

        model = open_recorded_model(parsed.run, parsed.config, parsed.data_directory)
        if model.spec.dataset != parsed.dataset:
            raise ConfigError(
                f"{parsed.run} is a run on {model.spec.dataset}, not on {parsed.dataset}"
            )
        training = model.spec.training
        given = {"history": training.history, "horizon": training.horizon} | given
    options = validate(DescriptionOptions, given, "stprune data describe")
    description = describe(parsed.dataset, dataset, options)
    directory = parsed.output or layout.described(parsed.dataset)
    figures = not parsed.tables_only
    shown = write_description(description, directory, figures=figures)
    if model is not None:
        from stprune.describe.masking_figure import write_masking

        shown.append(write_masking(model, dataset, parsed.split, directory, figure=figures))
    sys.stdout.write(summary(description))
    sys.stdout.write("".join(f"{path}\n" for path in shown))


def summary(description: Description) -> str:
    """The key numbers, one a line."""
    looked = description.facts["looked_at"]
    lines = [
        f"{description.title}, {description.quantity} ({description.unit}):"
        f" {looked['nodes']} of {looked['nodes_of']} nodes, {looked['steps']} steps"
    ]
    for name, value in description.facts["key_numbers"].items():
        lines.append(f"{'-' if value is None else format(value, '.4g'):>10}  {name}")
    return "\n".join(lines) + "\n"
