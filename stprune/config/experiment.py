"""The one schema of an experiment's configuration; every file in ``config/`` follows it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from stprune.base.errors import ConfigError, UnknownNameError
from stprune.base.gpus import visible_gpus
from stprune.base.layout import format_ratio
from stprune.base.schema import StrictModel, read_yaml, validate
from stprune.base.settings import (
    BackboneEntry,
    ComputeSettings,
    DatasetEntry,
    ProtocolKind,
    PrunerEntry,
    TimingSettings,
    TrackingSettings,
    TrainingSettings,
    distinct,
)
from stprune.base.text import CREDENTIALS, NAME
from stprune.data.card import dataset_ids, load_card

if TYPE_CHECKING:
    from stprune.backbones.base import Backbone

SEEDS = range(2**32)
Distinct = AfterValidator(distinct)


class ExperimentConfig(StrictModel):
    """One experiment: the product of data sets, backbones, pruners, prune ratios and seeds."""

    experiment: str = Field(pattern=NAME, description="Name; results go to results/<name>/.")
    datasets: dict[str, DatasetEntry] = Field(min_length=1, description="Name to data set.")
    backbones: dict[str, BackboneEntry] = Field(min_length=1, description="Name to backbone.")
    pruners: dict[str, PrunerEntry] = Field(min_length=1, description="Name to pruner.")
    prune_ratios: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Distinct] = Field(
        min_length=1, description="Shares left out."
    )
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=SEEDS.stop)]], Distinct] = Field(
        min_length=1, description="Seeds; each is one run of each cell."
    )
    training: TrainingSettings = Field(
        default_factory=TrainingSettings, description="How to train."
    )
    protocol: ProtocolKind = Field(
        "paper",
        description="Splits, scaler, masks and metrics: `paper`, ours; `legacy`, as ST-TTC"
        " released them; `strict`, `paper` without windows across a split. See docs/protocols.md.",
    )
    compute: ComputeSettings = Field(
        default_factory=ComputeSettings, description="Device and threads."
    )
    timing: TimingSettings = Field(
        default_factory=TimingSettings, description="How to measure times."
    )
    tracking: TrackingSettings = Field(
        default_factory=TrackingSettings, description="Weights & Biases."
    )
    keep_weights: bool = Field(
        False, description="Keep the best weights of each run beside its record, as `weights.pt`."
    )
    mirror: str | None = Field(
        None,
        description="Directory or base URL, laid out as HOST/PATH of the addresses, tried first.",
    )
    data_directory: Path = Field(
        Path("data"), description="Holds raw/ and processed/, and cards of your own (<id>.yaml)."
    )
    results_directory: Path = Field(Path("results"), description="Holds <experiment>/.")

    @field_validator("datasets", "backbones", "pruners", mode="before")
    @classmethod
    def _empty_entries(cls, entries: Any) -> Any:
        """Let a bare ``name:`` stand for an entry without options."""
        if isinstance(entries, dict):
            return {name: {} if entry is None else entry for name, entry in entries.items()}
        return entries

    @field_validator("datasets", "backbones", "pruners")
    @classmethod
    def _plain_names(cls, entries: dict[str, Any]) -> dict[str, Any]:
        for name in entries:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"a name is made of letters, digits, - and _, not {name!r}")
        return entries

    @field_validator("mirror")
    @classmethod
    def _no_password(cls, mirror: str | None) -> str | None:
        """A configuration is written beside the results and shown in the report."""
        if mirror and CREDENTIALS.search(mirror):
            raise ValueError("others read this: put an address with a password in STPRUNE_MIRROR")
        return mirror

    @field_validator("data_directory", "results_directory")
    @classmethod
    def _is_a_path(cls, directory: Path) -> Path:
        """To Snakemake, braces in a path are a pattern."""
        if "{" in str(directory) or "}" in str(directory):
            raise ValueError(f"a directory without braces is meant, not {str(directory)!r}")
        return directory

    @field_validator("prune_ratios")
    @classmethod
    def _ratios_of_paths(cls, ratios: list[float]) -> list[float]:
        """A run's path holds the ratio, and a run is started from its path."""
        for ratio in ratios:
            if float(format_ratio(ratio)) != ratio:
                raise ValueError(f"a prune ratio has six digits at most, not {ratio}")
        return ratios


def parse_config(values: Any, where: str) -> ExperimentConfig:
    """Check form, names and options; accelerator `auto` becomes what this machine has."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be a mapping of keys to values")
    config = validate(ExperimentConfig, values, where)
    backbones = _check_components(config, where)
    for name in config.datasets:
        _check_entry(config, name, f"{where} at `datasets.{name}`", backbones)
    if config.compute.accelerator == "auto":
        from torch import backends

        # Without starting CUDA, which no fork could use then.
        here = "mps" if backends.mps.is_available() else "cpu"
        if visible_gpus() and backends.cuda.is_built():
            here = "cuda"
        compute = config.compute.model_copy(update={"accelerator": here})
        config = config.model_copy(update={"compute": compute})
    return config


def load_config(path: Path) -> ExperimentConfig:
    """Read and check a configuration file."""
    return parse_config(read_yaml(path), str(path))


# Imported late: torch, and components that load it, which a configuration's form does not need.


def _check_components(config: ExperimentConfig, where: str) -> "dict[str, type[Backbone]]":
    """Refuse unknown names, and options that do not fit; returns the class of each backbone."""
    from stprune.backbones.base import BACKBONES, OptimiserSettings
    from stprune.pruning.base import PRUNERS

    known = dataset_ids(config.data_directory)
    for name, dataset in config.datasets.items():
        validate(TrainingSettings, dataset.training, f"{where} at `datasets.{name}` in `training`")
        for card in dataset.cards(name):
            if card not in known:
                raise UnknownNameError("data set", card, known, f"{where} at `datasets`")
    classes: dict[str, type[Backbone]] = {}
    for name, backbone in config.backbones.items():
        place = f"{where} at `backbones.{name}`"
        classes[name] = kind = BACKBONES.load(backbone.backbone or name, place)
        validate(kind.Options, backbone.options, f"{place} in `options`")
        # Changes may be right alone and not fit what the backbone publishes, or the reverse.
        merged = kind.optimisation.model_dump() | backbone.optimisation
        validate(OptimiserSettings, merged, f"{place} in `optimisation`")
    for name, pruner in config.pruners.items():
        place = f"{where} at `pruners.{name}`"
        options = PRUNERS.load(pruner.pruner or name, place).Options
        validate(options, pruner.options, f"{place} in `options`")
    return classes


def _check_entry(
    config: ExperimentConfig, name: str, place: str, backbones: "dict[str, type[Backbone]]"
) -> None:
    """What a data set entry asks of its task, of a union, of training and of every backbone."""
    from stprune.data.tasks.base import TASKS

    entry = config.datasets[name]
    kind = TASKS.load(entry.task, f"{place} in `task`")
    options = validate(kind.Options, entry.task_options, f"{place} in `task_options`")
    training = TrainingSettings.model_validate(config.training.model_dump() | entry.training)
    kind(options).check(entry, training, place)
    if entry.union:
        if not kind.of_unions:
            raise ConfigError(f"{place}: task `{entry.task}` is for one data set, not for a union")
        cards = {card: load_card(card, config.data_directory) for card in entry.cards(name)}
        # A history is a number of steps.
        if len({card.step_minutes for card in cards.values()}) > 1:
            listed = ", ".join(f"{name}: {card.step_minutes} min" for name, card in cards.items())
            raise ConfigError(
                f"{place}: data sets of a union must have one time step, got {listed}"
            )
        if training.budget == "steps":
            why = "the steps of a union depend on what is selected, so they cannot be a budget"
            raise ConfigError(f"{place}: {why}; take epochs, total_windows or total_time")
    for backbone, learner in backbones.items():
        wrong = ""
        if entry.union and not (learner.transferable and learner.trains):
            wrong = "cannot be trained on a union: it is not transferable, or learns nothing"
        elif not (kind.forecasts or learner.trains):
            wrong = f"can only forecast, so it cannot do task `{entry.task}`"
        elif entry.linear_probe and not hasattr(learner, "linear_probe_parameters"):
            wrong = "does not say which layer a `linear_probe` trains"
        if wrong:
            raise ConfigError(
                f"{place}: backbone `{backbone}` {wrong}; give it an experiment of its own"
            )
    if config.protocol == "legacy":
        # What the code released as that protocol could not do.
        wrong = ""
        if entry.union or entry.task not in ("forecast", "few_shot"):
            wrong = "is for forecasts on one data set; take `paper` or `strict`"
        elif training.budget != "epochs":
            wrong = "drops partial batches, which no budget but `epochs` plans"
        elif config.compute.devices > 1 or config.compute.micro_batch:
            wrong = "masks by the lowest label of a whole batch; take one device, no micro_batch"
        if wrong:
            raise ConfigError(f"{place}: protocol `legacy` {wrong}")
