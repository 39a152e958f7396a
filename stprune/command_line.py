"""Commands and their options; each imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stprune import __version__
from stprune.base.errors import ConfigError
from stprune.commands.data import add_data_commands
from stprune.commands.overview import add_overview_commands
from stprune.commands.paper import add_paper_commands
from stprune.commands.rerun import add_rerun_command
from stprune.commands.wandb import add_wandb_commands

if TYPE_CHECKING:
    from stprune.config.experiment import ExperimentConfig

DEFAULT_CONFIG = Path("config/demo.yaml")
CLAIMS = Path("claims.yaml")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; ``parsed.command`` runs the command."""
    parser = argparse.ArgumentParser(
        prog="stprune", description="Benchmark dynamic sample pruning for forecasting."
    )
    parser.add_argument("--version", action="version", version=f"stprune {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    add_data_commands(commands)
    _add_results(commands)
    add_overview_commands(commands, _config_option)
    add_rerun_command(commands)
    add_paper_commands(commands)
    add_wandb_commands(commands)
    _add_config(commands)
    bench = commands.add_parser("bench", help="measure, side by side in one run")
    bench.add_argument("name", help="file benchmarks/<name>.py")
    bench.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    bench.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    bench.add_argument("--data-directory", type=Path, default=Path("data"))
    bench.set_defaults(command=_bench)
    claims = commands.add_parser("claims", help="compare published numbers with the records")
    claims.add_argument("--file", type=Path, default=CLAIMS, help=f"default: {CLAIMS}")
    claims.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    claims.set_defaults(command=_claims)
    components = commands.add_parser("list", help="list pruners, backbones, data sets, figures")
    components.set_defaults(command=_list)
    return parser


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser("train", help="train one run of an experiment")
    _config_option(train)
    train.add_argument("--dataset", required=True, help="entry of `datasets` in the config")
    train.add_argument("--backbone", required=True, help="entry of `backbones`")
    train.add_argument("--pruner", required=True, help="entry of `pruners`")
    train.add_argument("--prune-ratio", type=float, default=0.0, help="share left out, in [0, 1)")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--threads", type=int, help="threads in all, instead of the config's")
    train.add_argument("--devices", type=int, help="devices, instead of the config's")
    train.set_defaults(command=_train)
    block = commands.add_parser("train-block", help="train the runs of one job of the workflow")
    _config_option(block)
    block.add_argument("block", help="such as sim_freeway/stid/s0")
    block.set_defaults(command=_train_block)


def _add_results(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    summarise = commands.add_parser("summarise", help="collect all runs of an experiment")
    summarise.set_defaults(command=_summarise)
    figure = commands.add_parser("figure", help="draw a figure from the summary")
    figure.add_argument("name", help="file paper_figures/fig_<name>.py")
    figure.set_defaults(command=_figure)
    table = commands.add_parser("table", help="write a table from the summary")
    table.add_argument("name", help="file paper_figures/tab_<name>.py")
    table.set_defaults(command=_table)
    report = commands.add_parser("report", help="write the self-contained report.html")
    report.set_defaults(command=_report)
    results = commands.add_parser("results", help="say where table, plot and report are")
    results.set_defaults(command=_results)
    for command in (summarise, figure, table, report, results):
        _config_option(command)


def _add_config(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    config = commands.add_parser("config", help="check a configuration and show its runs")
    _config_option(config)
    config.set_defaults(command=_config)


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help=f"default: {DEFAULT_CONFIG}"
    )


def _load(parsed: argparse.Namespace) -> ExperimentConfig:
    from stprune.config.experiment import load_config

    return load_config(parsed.config)


def _train(parsed: argparse.Namespace) -> None:
    from stprune.base.layout import RunKey
    from stprune.config.grid import experiment_layout
    from stprune.tracking.live import WandbTracking
    from stprune.training.events import RunListener
    from stprune.workflow.progress import Progress
    from stprune.workflow.train import train_once

    config = _load(parsed)
    compute = config.compute
    devices = parsed.devices if parsed.devices is not None else compute.devices
    if devices < 1:
        raise ConfigError(f"--devices {devices} is too few; a run needs at least 1")
    threads = compute.threads
    if parsed.threads is not None:
        if parsed.threads < 1 or parsed.threads % devices:
            raise ConfigError(
                f"--threads {parsed.threads} cannot be shared evenly by {devices} device(s)"
            )
        threads = parsed.threads // devices
    values = compute.model_dump() | {"devices": devices, "threads": threads}
    config = config.model_copy(update={"compute": type(compute).model_validate(values)})
    key = RunKey(parsed.dataset, parsed.backbone, parsed.pruner, parsed.prune_ratio, parsed.seed)
    listeners: list[RunListener] = [Progress()]
    if config.tracking.mode != "disabled":
        listeners.append(WandbTracking(config.tracking, experiment_layout(config).tracking()))
    train_once(config, key, listeners)


def _train_block(parsed: argparse.Namespace) -> None:
    from stprune.workflow.train import train_block

    train_block(parsed.config, parsed.block)


def _summarise(parsed: argparse.Namespace) -> None:
    from stprune.config.grid import experiment_layout, run_keys
    from stprune.results.summary import summarise
    from stprune.workflow.run_states import refuse_missing

    config = _load(parsed)
    layout, keys = experiment_layout(config), run_keys(config)
    refuse_missing(layout, keys)
    summarise([layout.metrics(key) for key in keys], layout.summary, layout.epochs)


def _figure(parsed: argparse.Namespace) -> None:
    from stprune.config.grid import experiment_layout
    from stprune.paper.figures import draw

    draw(parsed.name, experiment_layout(_load(parsed)))


def _table(parsed: argparse.Namespace) -> None:
    from stprune.config.grid import experiment_layout
    from stprune.paper.tables import make_table

    make_table(parsed.name, experiment_layout(_load(parsed)))


def _report(parsed: argparse.Namespace) -> None:
    from stprune.config.grid import experiment_layout
    from stprune.paper.report import write_report

    write_report(experiment_layout(_load(parsed)))


def _bench(parsed: argparse.Namespace) -> None:
    from benchmarks.base import check, run_bench

    result = run_bench(parsed.name, parsed.data_directory)
    sys.stdout.write(result.text())
    if parsed.json is not None:
        result.write(parsed.json)
    if parsed.check:
        check(result)


def _claims(parsed: argparse.Namespace) -> None:
    from stprune.workflow.claims import check_claims, claims_text, load_claims

    sys.stdout.write(claims_text(check_claims(load_claims(parsed.file), parsed.results)))


def _results(parsed: argparse.Namespace) -> None:
    from stprune.base.errors import RecordError
    from stprune.config.grid import experiment_layout

    for path in experiment_layout(_load(parsed)).headline:
        if not path.exists():
            raise RecordError(f"there is no {path} yet; run the workflow first")
        sys.stdout.write(f"{path}\n")


def _config(parsed: argparse.Namespace) -> None:
    from stprune.config.grid import run_keys, run_spec

    config = _load(parsed)
    keys = run_keys(config)
    sys.stdout.write(f"{parsed.config}: experiment {config.experiment}, {len(keys)} runs\n")
    for dataset in config.datasets:
        runs = [key for key in keys if key.dataset == dataset]
        training = run_spec(config, runs[0]).training
        length = f"{training.epochs} epochs of full training"
        sys.stdout.write(f"{dataset}: {len(runs)} runs, {length}, budget {training.budget}\n")
    for key in keys:
        sys.stdout.write(f"  {key.path}\n")


def _list(parsed: argparse.Namespace) -> None:
    from benchmarks.base import BENCHES
    from stprune.backbones.base import BACKBONES
    from stprune.data.card import dataset_ids
    from stprune.paper.figures import FIGURES
    from stprune.paper.tables import TABLES
    from stprune.pruning.base import PRUNERS

    groups = {
        "data sets": dataset_ids(),
        "backbones": BACKBONES.ids(),
        "pruners": PRUNERS.ids(),
        "figures": FIGURES.ids(),
        "tables": TABLES.ids(),
        "benches": BENCHES.ids(),
    }
    for title, names in groups.items():
        sys.stdout.write(f"{title + ':':12}{', '.join(names)}\n")
