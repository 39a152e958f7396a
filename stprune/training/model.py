"""From a run's specification to its network."""

from __future__ import annotations

import torch

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask
from stprune.config.grid import RunSpec
from stprune.data.dataset import ForecastData
from stprune.training.compilation import compile_network


def build_model(spec: RunSpec, data: ForecastData, seed: int) -> Backbone:
    """The run's backbone with the initial weights of ``seed``; global random state is kept.

    Raises:
        ConfigError: If it is to be compiled and this machine cannot.
        DeclinedError: If the backbone cannot do the run's task.
    """
    task = ForecastTask(
        nodes=data.adjacency.shape[0],
        history=spec.training.history,
        horizon=spec.training.horizon,
        channels=data.channels,
        target_channel=data.train.target_channel,
        steps_per_day=data.steps_per_day,
        adjacency=data.adjacency,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = BACKBONES.load(spec.backbone)(task, spec.backbone_options)
    if spec.compute.compile:
        compile_network(backbone, data.train.device)
    return backbone
