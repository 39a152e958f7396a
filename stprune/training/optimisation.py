"""Optimisers by name, and the course of the learning rate.

Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/) is for matrices. Our reading:
parameters of exactly two dimensions get Muon, embedding tables among them, all others AdamW. Jordan
kept embeddings and the output layer out: ``muon_excludes`` does that by name.
"""

import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from stprune.backbones.base import OptimiserSettings
from stprune.base.errors import ConfigError
from stprune.pruning.base import Pruner

MUON_SCALES = {"adamw": "match_rms_adamw", "original": "original"}
MOMENTA = {"sgd": 0.9, "muon": 0.95}


def build_optimiser(model: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser of a model, fused: one pass over a step's numbers, on a GPU one kernel."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    common: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    adam = common | {"fused": True}
    usual = MOMENTA.get(settings.optimiser, 0.0)
    momentum = usual if settings.momentum is None else settings.momentum
    match settings.optimiser:
        case "muon":
            names = matrices_for_muon(named, settings.muon_excludes)
            matrices = [named.pop(name) for name in names]
            muon = common | {"momentum": momentum, "adjust_lr_fn": MUON_SCALES[settings.muon_scale]}
            parts = [torch.optim.Muon(matrices, **muon)] if matrices else []
            rest = [torch.optim.AdamW(named.values(), **adam)] if named else []
            return MuonWithAdamW([*parts, *rest])
        case "sgd":
            return torch.optim.SGD(named.values(), momentum=momentum, **common)
        case "adamw":
            return torch.optim.AdamW(named.values(), **adam)
    return torch.optim.Adam(named.values(), **adam)


def matrices_for_muon(named: dict[str, nn.Parameter], excludes: Sequence[str]) -> list[str]:
    """Names of the matrices that no pattern excludes; a ConfigError if one matches none."""
    matrices = [name for name, parameter in named.items() if parameter.ndim == 2]
    for pattern in excludes:
        if not any(fnmatchcase(name, pattern) for name in matrices):
            known = f"names no matrix of the backbone ({', '.join(matrices)})"
            raise ConfigError(f"`optimisation.muon_excludes`: `{pattern}` {known}")
    return [m for m in matrices if not any(fnmatchcase(m, pattern) for pattern in excludes)]


class MuonWithAdamW(torch.optim.Optimizer):
    """``torch.optim.Muon`` for matrices and ``AdamW`` for the rest, as one optimiser."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self._parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of both; a closure is not called."""
        for part in self._parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from ``state_dict()``."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        # One group each: loading replaces the groups by new ones in the same order.
        for part, group in zip(self._parts, self.param_groups, strict=True):
            part.param_groups = [group]
            part.state = self.state


class RateSchedule:
    """The course of the learning rate of one run.

    Cuts follow the epochs of full training. A cosine (Loshchilov and Hutter 2017) follows the run's
    own gradient steps: an epoch's share of the rest of the course is its share of the planned
    steps, so the course ends with the run's last step even if plans change. The ``optimiser`` is
    the bare one, without Fabric's wrapper.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, settings: OptimiserSettings) -> None:
        self.optimiser, self.settings = optimiser, settings
        self.last_epoch = 0
        self._reached = 0.0  # of the course, in [0, 1], at the end of this epoch
        self._shares = iter([0.0])  # of the rate, for the epoch's steps to come
        for group in optimiser.param_groups:
            group.setdefault("initial_lr", group["lr"])
        if settings.schedule == "cosine":
            optimiser.register_step_pre_hook(lambda *_: self._set(next(self._shares)))

    def begin_epoch(self, steps: int, ahead: Sequence[int]) -> None:
        """Plan the rates of an epoch of ``steps``; ``ahead`` are the steps of each later epoch."""
        if self.settings.schedule == "cuts" or steps == 0:
            return
        by_step = self.settings.schedule_unit == "steps"
        share = steps / (steps + sum(ahead)) if by_step else 1 / (1 + len(ahead))
        start, end = self._reached, self._reached + (1 - self._reached) * share
        pieces = steps if by_step else 1
        ends = [start + (end - start) * step / pieces for step in range(pieces + 1)]
        shares = [self._cosine(*move) for move in pairwise(ends)] * (steps // pieces)
        self._reached, self._shares = end, iter(shares)
        self._set(shares[0])

    def step(self) -> None:
        """End an epoch of full training."""
        self.last_epoch += 1
        if self.settings.schedule == "cuts":
            cuts = sum(milestone <= self.last_epoch for milestone in self.settings.milestones)
            if every := self.settings.step_epochs:
                cuts = self.last_epoch // every
            self._set(self.settings.gamma**cuts)

    def state_dict(self) -> dict[str, Any]:
        """What to continue from between two epochs."""
        return {"last_epoch": self.last_epoch, "reached": self._reached}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`; the rate itself is in the optimiser's state."""
        self.last_epoch, self._reached = state["last_epoch"], state["reached"]

    def _cosine(self, start: float, end: float) -> float:
        """Share of the learning rate for a step from ``start`` to ``end`` of the course."""
        warmup, final = self.settings.warmup, self.settings.final_rate
        if start < warmup:
            return min(1.0, end / warmup)  # the first step is not lost on a rate of 0
        through = (start - warmup) / (1 - warmup)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * through))

    def _set(self, share: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * share


def planned_steps(
    pruner: Pruner, epochs: range, batch_size: int, drop_partial: bool = False
) -> list[int]:
    """Gradient steps that each of ``epochs`` (0-based) is planned to have, as far as known now."""
    windows = (pruner.epoch_windows(epoch, pruner.epochs) for epoch in epochs)
    return [count // batch_size if drop_partial else -(-count // batch_size) for count in windows]
