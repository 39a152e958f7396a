"""The one schema of an experiment's configuration; every file in ``config/`` follows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from stprune.base.errors import ConfigError
from stprune.base.layout import format_ratio
from stprune.base.schema import StrictModel, read_yaml, validate
from stprune.base.settings import (
    BackboneEntry,
    ComputeSettings,
    DatasetEntry,
    ProtocolKind,
    PrunerEntry,
    TrackingSettings,
    TrainingSettings,
    distinct,
)
from stprune.base.text import NAME, has_credentials

SEEDS = range(2**32)
LONGEST_PART = 255


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
        return distinct(ratios)

    @field_validator("seeds")
    @classmethod
    def _seeds_in_range(cls, seeds: list[int]) -> list[int]:
        for seed in seeds:
            if seed not in SEEDS:
                raise ValueError(f"a seed is a whole number in [0, 2**32), not {seed}")
        return distinct(seeds)


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
