"""Models of other packages that do what a backbone does, for the benchmark where they are here.

None is a dependency. Sizes are ours as far as their options allow; what they do not have they
do without. Each takes (B, T, N, C + 2) features and gives a (B, H, N) forecast.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from stprune.backbones.base import ForecastTask
from stprune.backbones.layers.geometric_temporal import import_geometric_temporal
from stprune.base.errors import UnknownNameError


class PeerModel(nn.Module):
    """Another package's model behind the features of the benchmark.

    Args:
        model: The model.
        call: Gives a (B, H, N) forecast from the model and (B, T, N, C + 2) features.
    """

    def __init__(self, model: nn.Module, call: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, N, C + 2) to (B, H, N)."""
        return self.call(self.model, features)


def basicts_stid(task: ForecastTask) -> nn.Module:
    """BasicTS's STID: the target's history alone, three layers, no dropout (it has none)."""
    package = import_module("basicts.models.STID")
    config = package.STIDConfig(
        input_len=task.history,
        output_len=task.horizon,
        num_features=task.nodes,
        num_layers=3,
        if_time_in_day=True,
        num_time_in_day=task.steps_per_day,
    )
    # Its calendar is that of the window, the same for all nodes.
    return PeerModel(package.STID(config), lambda model, x: model(x[..., 0], x[:, :, 0, 1:]))


def spatiotemporal_gwnet(task: ForecastTask) -> nn.Module:
    """torch-spatiotemporal's Graph WaveNet at its defaults, which are the published sizes."""
    model = import_module("tsl.nn.models").GraphWaveNetModel(
        input_size=task.channels + 2, output_size=1, horizon=task.horizon, n_nodes=task.nodes
    )
    edges = task.adjacency.nonzero().T.contiguous()
    weights = task.adjacency[edges[0], edges[1]]
    return PeerModel(model, lambda model, x: model(x, edges, weights)[..., 0])


def geometric_temporal_mtgnn(task: ForecastTask) -> nn.Module:
    """torch-geometric-temporal's MTGNN with the sizes of the paper's traffic runs."""
    layer = import_geometric_temporal().nn.attention.MTGNN
    model = layer(
        gcn_true=True,
        build_adj=True,
        gcn_depth=2,
        num_nodes=task.nodes,
        kernel_set=[2, 3, 6, 7],
        kernel_size=7,
        dropout=0.3,
        subgraph_size=min(20, task.nodes),
        node_dim=40,
        dilation_exponential=1,
        conv_channels=32,
        residual_channels=32,
        skip_channels=64,
        end_channels=128,
        seq_length=task.history,
        in_dim=task.channels + 2,
        out_dim=task.horizon,
        layers=3,
        propalpha=0.05,
        tanhalpha=3,
        layer_norm_affline=True,
        xd=None,
    )
    return PeerModel(model, lambda model, x: model(x.permute(0, 3, 2, 1))[..., 0])


def geometric_temporal_astgcn(task: ForecastTask) -> nn.Module:
    """torch-geometric-temporal's ASTGCN with the published sizes."""
    layer = import_geometric_temporal().nn.attention.ASTGCN
    model = layer(2, task.channels + 2, 3, 64, 64, 1, task.horizon, task.history, task.nodes)
    edges = task.adjacency.nonzero().T.contiguous()
    return PeerModel(model, lambda model, x: model(x.permute(0, 2, 3, 1), edges).transpose(1, 2))


class _AgcrnCells(nn.Module):
    """Two of torch-geometric-temporal's AGCRN cells in the paper's encoder, and its head."""

    def __init__(self, task: ForecastTask) -> None:
        super().__init__()
        cell = import_geometric_temporal().nn.recurrent.AGCRN
        self.embedding = nn.Parameter(torch.randn(task.nodes, 10))
        self.cells = nn.ModuleList(
            cell(task.nodes, width, 64, 2, 10) for width in (task.channels + 2, 64)
        )
        self.head = nn.Linear(64, task.horizon)

    def forward(self, features: Tensor) -> Tensor:
        states = list(features.unbind(1))
        for cell in self.cells:
            state = None
            for step, entered in enumerate(states):
                state = cell(entered, self.embedding, state)
                states[step] = state
        forecast: Tensor = self.head(states[-1])
        return forecast.transpose(1, 2)


def geometric_temporal_agcrn(task: ForecastTask) -> nn.Module:
    """torch-geometric-temporal's AGCRN cells, two layers as in the paper."""
    return PeerModel(_AgcrnCells(task), lambda model, x: model(x))


PEERS: dict[str, tuple[str, Callable[[ForecastTask], nn.Module]]] = {
    "stid": ("BasicTS", basicts_stid),
    "gwnet": ("torch-spatiotemporal", spatiotemporal_gwnet),
    "mtgnn": ("torch-geometric-temporal", geometric_temporal_mtgnn),
    "astgcn": ("torch-geometric-temporal", geometric_temporal_astgcn),
    "agcrn": ("torch-geometric-temporal", geometric_temporal_agcrn),
}


def peer(name: str, task: ForecastTask) -> nn.Module:
    """The peer of a backbone.

    Args:
        name: Id of the backbone.
        task: What to forecast.

    Raises:
        UnknownNameError: If the backbone has none.
        ImportError: If the package, or something that it needs, is not installed.
    """
    if name not in PEERS:
        raise UnknownNameError("peer", name, PEERS)
    return PEERS[name][1](task)


def missing_package(name: str, task: ForecastTask) -> str | None:
    """Why the peer of a backbone does not import here, or None if it does."""
    try:
        peer(name, task)
    except ImportError as error:
        return str(error)
    return None
