"""ST-Norm: a WaveNet that also sees its values normalised over time and over nodes.

Paper: Deng et al., "ST-Norm: Spatial and Temporal Normalization for Multi-variate Time Series
    Forecasting".
Venue: KDD 2021.
Official code: https://github.com/JLDeng/ST-Norm
Where we differ: sizes, optimiser settings and the calendar among the inputs are those of ST-TTC
    (NeurIPS 2025), which has the WaveNet of the official code. Work whose result that code throws
    away is not done: skip paths are taken at the last step only, and the last layer's residual
    layer keeps its parameters but never runs. A history beyond the receptive field is cut. A
    single node has no spread over nodes; its normalised value is 0, where the code gets 0 / 0.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.base.schema import StrictModel

EPSILON = 1e-5


class StnormOptions(StrictModel):
    """Sizes of the WaveNet, and which normalisations it has."""

    channels: int = Field(32, ge=1, description="Width of the layers.")
    kernel: int = Field(2, ge=2, description="Steps that a temporal convolution sees.")
    blocks: int = Field(4, ge=1, description="Times that the dilation starts again at 1.")
    layers: int = Field(2, ge=1, description="Layers of a block; each doubles the dilation.")
    temporal_norm: bool = Field(True, description="Normalise each node over windows and steps.")
    spatial_norm: bool = Field(True, description="Normalise each step over the nodes.")


class TemporalNorm(nn.BatchNorm1d):
    """Each node and channel over the windows and steps of the batch."""

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, N, channels) to the same."""
        return super().forward(values.reshape(-1, self.num_features)).view(values.shape)


class SpatialNorm(nn.Module):
    """Each step and channel of each window over its nodes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, N, channels) to the same."""
        batch, steps, nodes, channels = values.shape
        # The variance is the unbiased one, and PyTorch's kernel takes the biased one:
        # (x - m) / √(v n / (n - 1) + ε) = √r (x - m) / √(v + r ε) with r = (n - 1) / n.
        ratio = max(nodes - 1, 1) / nodes
        normalised: Tensor = functional.group_norm(
            values.flatten(0, 1).transpose(1, 2),
            channels,
            self.weight * ratio**0.5,
            self.bias,
            EPSILON * ratio,
        )
        return normalised.transpose(1, 2).view(batch, steps, nodes, channels)


class NormLayer(nn.Module):
    """tanh(f * [x, T(x), S(x)]) ⊙ σ(g * [x, T(x), S(x)]), both convolutions in one."""

    def __init__(self, nodes: int, dilation: int, options: StnormOptions) -> None:
        super().__init__()
        width = options.channels
        self.temporal_norm = TemporalNorm(nodes * width) if options.temporal_norm else None
        self.spatial_norm = SpatialNorm(width) if options.spatial_norm else None
        views = 1 + options.temporal_norm + options.spatial_norm
        self.convolution = nn.Conv2d(
            views * width, 2 * width, (options.kernel, 1), dilation=(dilation, 1)
        )
        self.skip = nn.Linear(width, width)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, N, width) to gated values and what their last step adds to the skip path.

        They are (B, T - (kernel - 1) dilation, N, width) and (B, N, width).
        """
        norms = (self.temporal_norm, self.spatial_norm)
        views = torch.cat([values, *(norm(values) for norm in norms if norm is not None)], dim=-1)
        # Permuted, not copied: the convolution works on channels-last memory as it stands.
        convolved = self.convolution(views.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        value, gate = convolved.chunk(2, dim=-1)
        gated = torch.tanh(value) * torch.sigmoid(gate)
        return gated, self.skip(gated[:, -1])


class Stnorm(Backbone):
    """The ST-Norm forecaster; it uses no graph.

    A history longer than the receptive field is cut, a shorter one padded with zeros before it.
    """

    Options = StnormOptions
    optimisation = OptimiserSettings(weight_decay=1e-4, clip_norm=5.0)

    def __init__(self, task: ForecastTask, options: StnormOptions) -> None:
        super().__init__(task, options)
        width = options.channels
        dilations = [2**layer for _ in range(options.blocks) for layer in range(options.layers)]
        self.receptive_field = 1 + (options.kernel - 1) * sum(dilations)
        self.start = nn.Linear(task.channels + 2, width)
        self.layers = nn.Sequential(*(NormLayer(task.nodes, d, options) for d in dilations))
        self.residuals = nn.ModuleList(nn.Linear(width, width) for _ in dilations)
        self.end = nn.Linear(width, width)
        self.regression = nn.Linear(width, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        values = self.calendar_inputs(inputs, time_of_day, day_of_week)
        values = values[:, -self.receptive_field :]
        missing = self.receptive_field - values.shape[1]
        hidden = self.start(functional.pad(values, (0, 0, 0, 0, missing, 0)))
        skips = []
        for number, (layer, residual) in enumerate(zip(self.layers, self.residuals, strict=True)):
            gated, skip = layer(hidden)
            skips.append(skip)
            if number + 1 < len(self.layers):
                hidden = residual(gated) + hidden[:, -gated.shape[1] :]
        total = torch.stack(skips).sum(dim=0)
        forecast: Tensor = self.regression(functional.relu(self.end(functional.relu(total))))
        return forecast.transpose(1, 2)
