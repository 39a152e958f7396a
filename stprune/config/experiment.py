"""The one schema of an experiment's configuration; every file in ``config/`` follows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from stprune.base.errors import ConfigError
from stprune.base.layout import format_ratio
from stprune.base.plain_text import NAME, has_credentials
from stprune.base.schema import StrictModel, read_yaml, validate
from stprune.base.settings import ComputeSettings, TrackingSettings, TrainingSettings
from stprune.config.union import MEMBER_KEYS, LinearProbe, MemberEntry, complete_member

SEEDS = range(2**32)
LONGEST_PART = 255
ProtocolKind = Literal["paper", "legacy", "strict"]


class DatasetEntry(StrictModel):
    """A data set under a name of its own, perhaps only a declared part of it; or a union."""

    dataset: str | None = Field(None, description="Card in `data/`; the entry's name by default.")
    task: str = Field(
        "forecast",
        description="File of `stprune/data/tasks/`: `forecast`, `impute`, `few_shot`, or `transfer`"
        " to the data sets of `zero_shot`, which it is then tested on.",
    )
    task_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the task; its file documents them."
    )
    union: list[MemberEntry] = Field(
        default_factory=list,
        description="Train one model on all of these instead: names of cards, or mappings with"
        " `dataset`, `node_stride`, `days`, `window_stride`. Only their targets are used.",
    )
    zero_shot: list[MemberEntry] = Field(
        default_factory=list,
        description="Test the model of a union on these as well, which it was not trained on.",
    )
    linear_probe: LinearProbe | None = Field(
        None,
        description="Test on them once more after training the last layer for `epochs` there.",
    )
    loss_units: Literal["real", "standardised"] = Field(
        "real",
        description="Errors of a union in each data set's unit, as published, or divided by its"
        " standard deviation: in the loss, for the pruner, and for choosing the best epoch.",
    )
    node_stride: int = Field(1, ge=1, description="Take every so many-th node.")
    days: int | None = Field(None, ge=1, description="Take the first so many days; null for all.")
    window_stride: int = Field(
        1,
        ge=1,
        description="Train on every so many-th window; validation and test keep all. Without a"
        " factor of the steps of a day, or some times of day are never seen.",
    )
    evaluation_stride: int = Field(
        1, ge=1, description="Validate and test on every so many-th window."
    )
    training: dict[str, Any] = Field(
        default_factory=dict, description="Changes to `training` for this data set."
    )

    @model_validator(mode="before")
    @classmethod
    def _complete_members(cls, values: Any) -> Any:
        """Let a bare name stand for a member, and give each what it does not say itself."""
        if not isinstance(values, dict):
            return values
        own = {key: values[key] for key in MEMBER_KEYS if key in values}
        if values.get("task") == "transfer" and values.get("dataset") and not values.get("union"):
            # A model of one data set that is tried on others is that of a union of one.
            values = {**values, "union": [values["dataset"]], "dataset": None}
        lists = {
            key: [complete_member(member, own) for member in values[key]]
            for key in ("union", "zero_shot")
            if isinstance(values.get(key), list)
        }
        return {**values, **lists}

    @model_validator(mode="after")
    def _consistent(self) -> DatasetEntry:
        if self.union and self.dataset:
            raise ValueError("an entry has `dataset` or `union`, not both")
        if not self.union and (self.zero_shot or self.loss_units != "real"):
            raise ValueError("`zero_shot` and `loss_units` belong to a `union`")
        if self.linear_probe and not self.zero_shot:
            raise ValueError("`linear_probe` needs data sets in `zero_shot`")
        _distinct([member.dataset for member in (*self.union, *self.zero_shot)])
        return self

    def cards(self, name: str) -> list[str]:
        """Ids of the data sets that a run on this entry, called ``name``, reads."""
        listed = [member.dataset for member in (*self.union, *self.zero_shot)]
        return listed or [self.dataset or name]


class BackboneEntry(StrictModel):
    """A backbone under a name of its own, with options."""

    backbone: str | None = Field(
        None, description="File of `stprune/backbones/`; the entry's name by default."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the backbone; its file documents them."
    )
    optimisation: dict[str, Any] = Field(
        default_factory=dict, description="Changes to its published optimiser settings."
    )


class PrunerEntry(StrictModel):
    """A pruner under a name of its own, with options."""

    pruner: str | None = Field(
        None,
        description="`st_prune`, or a file of `baselines/`; the entry's name by default.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the pruner; its file documents them."
    )
    quota: Literal["union", "per_dataset"] = Field(
        "union",
        description="Of a union of data sets keep the prune ratio's share in all, or of each.",
    )


class ExperimentConfig(StrictModel):
    """One experiment: the product of data sets, backbones, pruners, prune ratios and seeds."""

    experiment: str = Field(pattern=NAME, description="Name; results go to results/<name>/.")
    datasets: dict[str, DatasetEntry] = Field(min_length=1, description="Name to data set.")
    backbones: dict[str, BackboneEntry] = Field(min_length=1, description="Name to backbone.")
    pruners: dict[str, PrunerEntry] = Field(min_length=1, description="Name to pruner.")
    prune_ratios: list[float] = Field(min_length=1, description="Shares left out, in [0, 1).")
    seeds: list[int] = Field(min_length=1, description="Seeds; each is one run of each cell.")
    training: TrainingSettings = Field(
        default_factory=TrainingSettings, description="How every run is trained."
    )
    protocol: ProtocolKind = Field(
        "paper",
        description="Splits, scaler, masks and metrics: `paper`, ours; `legacy`, as ST-TTC"
        " released them; `strict`, `paper` without windows across a split. See docs/protocols.md.",
    )
    compute: ComputeSettings = Field(
        default_factory=ComputeSettings, description="Device, precision, threads."
    )
    tracking: TrackingSettings = Field(
        default_factory=TrackingSettings, description="Weights & Biases."
    )
    keep_weights: bool = Field(
        False,
        description="Leave the best-validation weights of each run that is trained beside its"
        " record, as `weights.pt`, for `stprune data describe --run`.",
    )
    mirror: str | None = Field(
        None,
        description="Directory or base URL, laid out as HOST/PATH of the addresses, tried first.",
    )
    data_directory: Path = Field(
        Path("data"),
        description="Holds raw/ and processed/, and cards of your own (<id>.yaml).",
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
        import re

        for name in entries:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"a name is made of letters, digits, - and _, not {name!r}")
        return entries

    @field_validator("mirror")
    @classmethod
    def _no_password(cls, mirror: str | None) -> str | None:
        """A configuration is written beside the results and shown in the report."""
        if mirror is not None and has_credentials(mirror):
            raise ValueError(
                "an address with a password is no part of a configuration, which others read;"
                " set the variable STPRUNE_MIRROR to it instead"
            )
        return mirror

    @field_validator("data_directory", "results_directory")
    @classmethod
    def _is_a_path(cls, directory: Path) -> Path:
        """To Snakemake, braces in a path are a pattern; to the system, parts have a length."""
        if "{" in str(directory) or "}" in str(directory):
            raise ValueError(f"a directory without braces is meant, not {str(directory)!r}")
        if any(len(part.encode()) > LONGEST_PART for part in directory.parts):
            raise ValueError(f"no part of a path has more than {LONGEST_PART} bytes")
        return directory

    @field_validator("prune_ratios")
    @classmethod
    def _ratios_in_range(cls, ratios: list[float]) -> list[float]:
        for ratio in ratios:
            if not 0 <= ratio < 1:
                raise ValueError(f"a prune ratio is a share removed in [0, 1), not {ratio}")
            # A run's path holds the ratio, and a run is started from its path.
            if float(format_ratio(ratio)) != ratio:
                raise ValueError(f"a prune ratio has six digits at most, not {ratio}")
        return _distinct(ratios)

    @field_validator("seeds")
    @classmethod
    def _seeds_in_range(cls, seeds: list[int]) -> list[int]:
        for seed in seeds:
            if seed not in SEEDS:
                raise ValueError(f"a seed is a whole number in [0, 2**32), not {seed}")
        return _distinct(seeds)


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError(f"values repeat: {values}")
    return values


def parse_config(values: Any, where: str) -> ExperimentConfig:
    """Check a configuration, first its form, then the names and options in it.

    Raises:
        ConfigError: One line saying what is wrong and what would be right.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be a mapping of keys to values")
    # Imported late: it loads torch, which reading a configuration's form does not need.
    from stprune.config.names import check_names

    config = validate(ExperimentConfig, values, where)
    check_names(config, where)
    return config


def load_config(path: Path) -> ExperimentConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: If it is missing, not YAML, or not a configuration.
    """
    return parse_config(read_yaml(path), str(path))
