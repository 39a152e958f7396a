"""Resolves a configuration into its runs."""

import hashlib
import json
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, Self

from stprune.backbones.base import BACKBONES, OptimiserSettings
from stprune.base.errors import ConfigError, UnknownNameError
from stprune.base.layout import DataLayout, ExperimentLayout, RunKey
from stprune.base.schema import NoOptions, StrictModel
from stprune.base.settings import ComputeSettings, DatasetEntry, ProtocolKind, TrainingSettings
from stprune.config.experiment import SEEDS, ExperimentConfig
from stprune.data.tasks.base import build_task
from stprune.pruning.base import PRUNERS

UNPRUNED = "full"
# Settings of `compute` that decide where and when runs are trained, and nothing of their results.
NOT_RESULTS = {"own_cores", "runs_per_gpu", "runs_per_job"}


@dataclass(frozen=True)
class RunSpec:
    """One run with every default filled in."""

    experiment: str
    key: RunKey
    dataset: str  # card's id; of a union, the entry's name
    subset: DatasetEntry  # what the run reads of it
    backbone: str
    backbone_options: StrictModel
    optimisation: OptimiserSettings
    pruner: str
    pruner_options: StrictModel
    training: TrainingSettings
    compute: ComputeSettings
    quota: Literal["union", "per_dataset"] = "union"  # of what a pruner keeps its share
    protocol: ProtocolKind = "paper"

    @property
    def cards(self) -> list[str]:
        """Ids of the data sets that the run reads."""
        return self.subset.cards(self.key.dataset)

    def unpruned(self, **training: Any) -> Self:
        """Full training in the run's place, with these changes to ``training``."""
        return replace(
            self,
            key=self.key._replace(pruner=UNPRUNED, prune_ratio=0.0),
            pruner=UNPRUNED,
            pruner_options=NoOptions(),
            quota="union",
            training=self.training.model_copy(update=training),
        )

    def resolved(self) -> dict[str, Any]:
        """All that decides the result, as plain values for the record."""
        return {
            "dataset": self._resolved_dataset(),
            "backbone": {
                "name": self.key.backbone,
                "id": self.backbone,
                "options": self.backbone_options.model_dump(mode="json"),
                "optimisation": self.optimisation.model_dump(mode="json"),
            },
            "pruner": {
                "name": self.key.pruner,
                "id": self.pruner,
                "options": self.pruner_options.model_dump(mode="json"),
                **({"quota": self.quota} if self.subset.union else {}),
            },
            "prune_ratio": self.key.prune_ratio,
            "seed": self.key.seed,
            "training": self.training.model_dump(mode="json"),
            "compute": self.compute.model_dump(mode="json", exclude=NOT_RESULTS),
            **({} if self.protocol == "paper" else {"protocol": self.protocol}),
        }

    def _resolved_dataset(self) -> dict[str, Any]:
        left_out = {"dataset", "training", "task", "task_options"}
        subset = self.subset.model_dump(mode="json", exclude=left_out)
        plain = ("node_stride", "days", "window_stride")
        if self.subset.union:
            # Its members hold what they took over.
            part = {key: value for key, value in subset.items() if key not in plain}
        else:
            part = {key: subset[key] for key in plain}
            if self.subset.evaluation_stride > 1:
                part["evaluation_stride"] = self.subset.evaluation_stride
        if self.subset.task != "forecast":
            options = build_task(self.subset.task, self.subset.task_options).options
            part |= {"task": self.subset.task, "task_options": options.model_dump(mode="json")}
        return {"name": self.key.dataset, "id": self.dataset, **part}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of :meth:`resolved`."""
        text = json.dumps(self.resolved(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def run_keys(config: ExperimentConfig) -> list[RunKey]:
    """All runs of the experiment.

    A pruner without a prune ratio has one cell, at 0. A backbone that does not train has nothing
    that could be pruned, and so only the cells of ``full``; a ConfigError if it then has none.
    """
    keys = []
    for dataset, backbone in product(config.datasets, config.backbones):
        trains = BACKBONES.load(config.backbones[backbone].backbone or backbone).trains
        ids = {name: entry.pruner or name for name, entry in config.pruners.items()}
        pruners = [name for name, pruner in ids.items() if trains or pruner == UNPRUNED]
        if not pruners:
            why = f"backbone `{backbone}` does not train, so it runs with `{UNPRUNED}` only"
            raise ConfigError(f"experiment {config.experiment}: {why}; add that pruner")
        for pruner in pruners:
            prunes = PRUNERS.load(ids[pruner]).uses_prune_ratio
            ratios = config.prune_ratios if prunes else [0.0]
            for ratio, seed in product(ratios, config.seeds):
                keys.append(RunKey(dataset, backbone, pruner, ratio, seed))
    return keys


def run_spec(config: ExperimentConfig, key: RunKey) -> RunSpec:
    """Resolve one run; a ConfigError if the configuration has no entry, or no run, of that name."""
    entries: list[dict[str, Any]] = [config.datasets, config.backbones, config.pruners]
    kinds = ("data set", "backbone", "pruner")
    for kind, name, known in zip(kinds, key[:3], entries, strict=True):
        if name not in known:
            raise UnknownNameError(f"{kind} entry", name, known, f"experiment {config.experiment}")
    subset = config.datasets[key.dataset]
    backbone = config.backbones[key.backbone]
    pruner = config.pruners[key.pruner]
    backbone_id = backbone.backbone or key.backbone
    pruner_id = pruner.pruner or key.pruner
    backbone_class = BACKBONES.load(backbone_id)
    pruner_class = PRUNERS.load(pruner_id)
    if not backbone_class.trains and pruner_id != UNPRUNED:
        wanted = f"so its pruner is `{UNPRUNED}`, not `{pruner_id}`"
        raise ConfigError(f"backbone `{backbone_id}` does not train, {wanted}")
    if not 0 <= key.prune_ratio < 1:
        raise ConfigError(f"a prune ratio is a share removed in [0, 1), not {key.prune_ratio}")
    if key.prune_ratio and not pruner_class.uses_prune_ratio:
        raise ConfigError(f"pruner `{pruner_id}` has no prune ratio; use 0, not {key.prune_ratio}")
    if key.seed not in SEEDS:
        raise ConfigError(f"a seed is a whole number in [0, 2**32), not {key.seed}")
    settings = backbone_class.optimisation.model_dump() | backbone.optimisation
    legacy = backbone_class.legacy_options if config.protocol == "legacy" else {}
    return RunSpec(
        experiment=config.experiment,
        key=key,
        dataset=subset.dataset or key.dataset,
        subset=subset,
        backbone=backbone_id,
        backbone_options=backbone_class.Options.model_validate(legacy | backbone.options),
        optimisation=OptimiserSettings.model_validate(settings),
        pruner=pruner_id,
        pruner_options=pruner_class.Options.model_validate(pruner.options),
        training=TrainingSettings.model_validate(config.training.model_dump() | subset.training),
        compute=config.compute,
        quota=pruner.quota,
        protocol=config.protocol,
    )


def place_specs(config: ExperimentConfig, dataset: str, backbone: str) -> list[RunSpec]:
    """Every (pruner, prune ratio) of a data set and backbone, with the first seed."""
    keys = [key for key in run_keys(config) if key.seed == config.seeds[0]]
    found = [run_spec(config, key) for key in keys if key[:2] == (dataset, backbone)]
    if not found:
        known = dict.fromkeys("/".join(key[:2]) for key in keys)
        where = f"experiment {config.experiment}"
        raise UnknownNameError("data set and backbone", f"{dataset}/{backbone}", known, where)
    return found


def experiment_layout(config: ExperimentConfig) -> ExperimentLayout:
    """Where the experiment's results lie."""
    return ExperimentLayout(config.results_directory / config.experiment)


def data_layout(config: ExperimentConfig) -> DataLayout:
    """Where its data lie."""
    return DataLayout(config.data_directory)
