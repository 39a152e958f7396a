"""What the names in a configuration stand for, and whether it all fits together."""

from __future__ import annotations

from stprune.backbones.base import BACKBONES, OptimiserSettings
from stprune.base.errors import ConfigError, UnknownNameError
from stprune.base.schema import validate
from stprune.base.settings import TrainingSettings
from stprune.config.experiment import ExperimentConfig
from stprune.config.protocol import check_legacy
from stprune.config.union import check_union
from stprune.data.card import dataset_ids
from stprune.data.tasks.base import TASKS
from stprune.pruning.base import PRUNERS


def check_names(config: ExperimentConfig, where: str) -> None:
    """Refuse names that stand for nothing, options that do not fit, and what cannot go together.

    Raises:
        UnknownNameError: If there is no data set, task, backbone or pruner of a name.
        ConfigError: One line saying what is wrong and what would be right.
    """
    for name, dataset in config.datasets.items():
        validate(TrainingSettings, dataset.training, f"{where} at `datasets.{name}` in `training`")
        known = dataset_ids(config.data_directory)
        for card in dataset.cards(name):
            if card not in known:
                raise UnknownNameError("data set", card, known, f"{where} at `datasets`")
    for name, backbone in config.backbones.items():
        place = f"{where} at `backbones.{name}`"
        if (backbone.backbone or name) not in BACKBONES.ids():
            raise UnknownNameError("backbone", backbone.backbone or name, BACKBONES.ids(), place)
        kind = BACKBONES.load(backbone.backbone or name)
        validate(kind.Options, backbone.options, f"{place} in `options`")
        # Changes may be right alone and not fit what the backbone publishes, or the reverse.
        merged = kind.optimisation.model_dump() | backbone.optimisation
        validate(OptimiserSettings, merged, f"{place} in `optimisation`")
    for name, pruner in config.pruners.items():
        place = f"{where} at `pruners.{name}`"
        if (pruner.pruner or name) not in PRUNERS.ids():
            raise UnknownNameError("pruner", pruner.pruner or name, PRUNERS.ids(), place)
        options = PRUNERS.load(pruner.pruner or name).Options
        validate(options, pruner.options, f"{place} in `options`")
    for name, dataset in config.datasets.items():
        place = f"{where} at `datasets.{name}`"
        check_task(config, name, place)
        if dataset.union:
            check_union(config, name, dataset, place)
        if config.protocol == "legacy":
            check_legacy(config, name, place)


def check_task(config: ExperimentConfig, name: str, place: str) -> None:
    """What the task of the data set entry ``name`` asks of it, of training and every backbone.

    Raises:
        UnknownNameError: If there is no such task.
        ConfigError: One line saying what does not fit.
    """
    entry = config.datasets[name]
    if entry.task not in TASKS.ids():
        raise UnknownNameError("task", entry.task, TASKS.ids(), f"{place} in `task`")
    kind = TASKS.load(entry.task)
    options = validate(kind.Options, entry.task_options, f"{place} in `task_options`")
    training = TrainingSettings.model_validate(config.training.model_dump() | entry.training)
    kind(options).check(entry, training, place)
    if entry.union and not kind.of_unions:
        raise ConfigError(f"{place}: task `{entry.task}` is for one data set, not for a union")
    for backbone_name, backbone in config.backbones.items():
        if not kind.forecasts and not BACKBONES.load(backbone.backbone or backbone_name).trains:
            raise ConfigError(
                f"{place}: backbone `{backbone_name}` can only forecast, so it cannot do task"
                f" `{entry.task}`; give it an experiment of its own"
            )
