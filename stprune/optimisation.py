"""Optimisers and schedulers by name."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, StepLR

from stprune.backbones.base import OptimiserSettings


def build_optimiser(model: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser over all parameters of ``model``."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=settings.momentum, weight_decay=decay)
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, foreach=True)
    return torch.optim.Adam(parameters, rate, weight_decay=decay, foreach=True)


def build_scheduler(optimiser: torch.optim.Optimizer, settings: OptimiserSettings) -> LRScheduler:
    """The scheduler; it steps once an epoch."""
    if settings.milestones:
        return MultiStepLR(optimiser, list(settings.milestones), settings.gamma)
    if settings.step_epochs:
        return StepLR(optimiser, settings.step_epochs, settings.gamma)
    return LambdaLR(optimiser, _constant)


def _constant(_: int) -> float:
    return 1.0
