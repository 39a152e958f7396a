"""OpenCity: a model for any city; attention over patches of time, convolution over the graph.

Paper: Li et al., "OpenCity: Open Spatio-Temporal Foundation Models for Traffic Prediction",
    arXiv 2408.10269.
Venue: arXiv preprint, 2024.
Official code: https://github.com/HKUDS/OpenCity
Where we differ: `head: short`, the default, is a declared adaptation: the published head forecasts
    the next day from one day (`head: next_day`), and the benchmark's task is 12 steps from 12. It
    cuts any history into at most `patches` patches and has a layer of its own for the horizon.
    Every measured channel is an input, each normalised by its own moments; with one channel this
    is the published model. Inputs come standardised for each data set, which the normalisation of
    each window undoes. Eigenvectors are those of the undirected graph without self-loops, and of
    each the first of its largest entries is positive. A key's bias shifts all scores of a query
    alike, so no forecast depends on it: it is kept, as is its count, and never added; for the same
    reason the node's part of the keys of the context attention is left out.
"""

from typing import Literal

import torch
from pydantic import Field
from scipy.linalg import eigh
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.backbones.layers.dropout import keep_mask
from stprune.backbones.layers.graph import random_walk, symmetric_laplacian
from stprune.base.errors import DeclinedError
from stprune.base.schema import StrictModel

MINUTES_PER_DAY = 1440
DAYS_PER_WEEK = 7
# Share of its own state that a node keeps when the graph mixes.
KEPT = 0.05
# Width and layers of the published sizes.
SIZES = {"mini": (128, 3), "base": (256, 3), "plus": (512, 6)}


class OpencityOptions(StrictModel):
    """Sizes of OpenCity."""

    size: Literal["mini", "base", "plus"] = Field(
        "mini", description="Published width and layers: 128 and 3, 256 and 3, or 512 and 6."
    )
    width: int | None = Field(None, ge=1, description="Width of a patch; none: that of the size.")
    layers: int | None = Field(None, ge=1, description="Blocks; none: those of the size.")
    heads: int = Field(16, ge=1, description="Heads of each attention.")
    swiglu_ratio: float = Field(2.0, gt=0, description="Width inside a perceptron over width.")
    eigenvectors: int = Field(8, ge=1, description="Laplacian eigenvectors that place a node.")
    head: Literal["short", "next_day"] = Field(
        "short",
        description="`next_day`: the published one, a day from a day; `short`: any history and"
        " horizon, a declared adaptation.",
    )
    patches: int = Field(24, ge=1, description="Patches of a history; fewer if it is shorter.")
    patch_steps: int = Field(12, ge=1, description="Longest patch; shorter ones are as if padded.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share dropped after the graph.")
    attention_dropout: float = Field(0.3, ge=0, lt=1, description="Share of attention dropped.")
    self_loops: bool = Field(True, description="Give every node an edge of weight 1 to itself.")


def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """softmax(QKᵀ / √d) V with a share of the softmax dropped; all are (batch, heads, P, d).

    On a CPU no fused kernel drops, and drawing a random number for each entry takes longer than
    the matrix products; sixteen random bits an entry serve as well, and take a sixth of the time.
    """
    if dropout == 0 or query.device.type != "cpu" or torch.compiler.is_compiling():
        return functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    kept, scale = keep_mask(scores.shape, dropout)
    attended: Tensor = (scores.softmax(dim=-1) * kept) @ (value * scale)
    return attended


class PatchAttention(nn.Module):
    """Attention of each node over its patches, plus what it attends to, normalised."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.heads = heads
        self.dropout = dropout

    def forward(self, hidden: Tensor) -> Tensor:
        """Self-attention: (N, B, P, D) to the same."""
        return self._attend(self.query(hidden), hidden @ self.key.weight.T, hidden)

    def with_context(self, hidden: Tensor, past: Tensor, future: Tensor, places: Tensor) -> Tensor:
        """Attention whose queries are the future's calendar and whose keys are the past's.

        ``hidden`` (N, B, P, D) is attended to, by calendars of history and horizon (B, P, D) and
        places of nodes (N, D): (N, B, P, D).
        """
        # A layer of a sum is the sum of its layers, and calendars are the same for all nodes.
        asked = functional.linear(places, self.query.weight)[:, None, None]
        queries = self.query(future) + asked
        keys = functional.linear(past, self.key.weight).expand_as(hidden)
        return self._attend(queries, keys, hidden)

    def _attend(self, queries: Tensor, keys: Tensor, hidden: Tensor) -> Tensor:
        # (N, B, P, D) to (N B, heads, P, D / heads) and back.
        q, k, v = (
            part.flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (queries, keys, self.value(hidden))
        )
        attended = attend(q, k, v, self.dropout if self.training else 0.0)
        joined = attended.transpose(1, 2).reshape(hidden.shape)
        normalised: Tensor = self.norm(joined + hidden)
        return normalised


class PatchBlock(nn.Module):
    """Context attention, self-attention and graph, then a perceptron; both parts residual."""

    def __init__(self, width: int, options: OpencityOptions) -> None:
        super().__init__()
        self.before_attention = nn.RMSNorm(width, eps=1e-6)
        self.context = PatchAttention(width, options.heads, options.attention_dropout)
        self.itself = PatchAttention(width, options.heads, options.attention_dropout)
        self.neighbours = nn.Linear(width, width, bias=False)
        self.mixed = nn.Linear(width, width)
        self.dropout = nn.Dropout(options.dropout)
        self.before_perceptron = nn.RMSNorm(width, eps=1e-6)
        inner = max(1, int(width * options.swiglu_ratio))
        self.gates = nn.Linear(width, 2 * inner, bias=False)
        self.output = nn.Linear(inner, width, bias=False)

    def forward(
        self, hidden: Tensor, past: Tensor, future: Tensor, places: Tensor, mixing: Tensor
    ) -> Tensor:
        """(N, B, P, D) to the same; ``mixing`` is (N, N), the rest as in the attention."""
        attended = self.context.with_context(self.before_attention(hidden), past, future, places)
        attended = self.itself(attended)
        # W2 (0.05 x + 0.95 W1 (A x)) + b with the rows of A summing to 1.
        mixed = ((1 - KEPT) * mixing @ attended.flatten(1)).view_as(hidden)
        mixed = torch.add(self.neighbours(mixed), attended, alpha=KEPT)
        hidden = hidden + self.dropout(self.mixed(mixed))
        # W2 (silu(W1 x) * W3 x) without biases; W1 and W3 lie in one layer (Shazeer, 2020).
        gate, value = self.gates(self.before_perceptron(hidden)).chunk(2, dim=-1)
        perceived: Tensor = self.output(functional.silu(gate) * value)
        return hidden + perceived


class CityEncodings(nn.Module):
    """Mixing (N, N) and eigenvectors (N, E) of a city; nothing in them is learnt."""

    mixing: Tensor
    places: Tensor

    def __init__(self, adjacency: Tensor, options: OpencityOptions) -> None:
        super().__init__()
        # Computed on the CPU, since not every device knows float64.
        weights, kind = adjacency.detach().cpu(), adjacency.dtype
        mix = mixing(weights, options.self_loops).to(kind)
        places = laplacian_eigenvectors(weights, options.eigenvectors).to(kind)
        self.register_buffer("mixing", mix, persistent=False)
        self.register_buffer("places", places, persistent=False)


def mixing(adjacency: Tensor, self_loops: bool) -> Tensor:
    """I + D^(-1/2) A D^(-1/2) with D the row sums, each row then divided by its sum.

    (N, N) float64; the row of a node without edges is that of the identity.
    """
    weights = adjacency.double().clone()
    if self_loops:
        weights.fill_diagonal_(1.0)
    walk = random_walk(weights)
    # D^(-1/2) A D^(-1/2) = D^(1/2) (D^-1 A) D^(-1/2)
    root = weights.sum(dim=1).sqrt()
    inverse = torch.where(root > 0, 1 / root, 0.0)
    normalised = torch.eye(len(weights), dtype=torch.float64) + root[:, None] * walk * inverse
    return normalised / normalised.sum(dim=1, keepdim=True)


def laplacian_eigenvectors(adjacency: Tensor, count: int) -> Tensor:
    """``count`` eigenvectors of the symmetric normalised Laplacian with small eigenvalues.

    As many as there are nodes without edges are skipped, and one more (that of a connected
    graph's eigenvalue 0). The first entry within a millionth of the largest is positive. Columns of
    (N, count) float64 go by rising eigenvalue, zeros where there are not so many.
    """
    laplacian = symmetric_laplacian(adjacency.double())
    nodes = len(laplacian)
    # A node without edges has nothing in its row but the diagonal.
    skipped = int((laplacian.count_nonzero(dim=1) == 1).sum()) + 1
    places = torch.zeros(nodes, count, dtype=torch.float64)
    last = min(skipped + count, nodes) - 1
    if last < skipped:
        return places
    _, vectors = eigh(laplacian.numpy(), subset_by_index=[skipped, last])
    chosen = torch.from_numpy(vectors)
    sizes = chosen.abs()
    first = (sizes >= (1 - 1e-6) * sizes.amax(dim=0)).int().argmax(dim=0)
    places[:, : chosen.shape[1]] = chosen * chosen.gather(0, first[None]).sign()
    return places


class Opencity(Backbone):
    """The OpenCity forecaster.

    Inside, tensors are (N, B, P, D) with P patches, so that the graph acts on one matrix of N
    rows. No weight depends on the graph or its size, and none of the state does.
    """

    Options = OpencityOptions
    optimisation = OptimiserSettings(clip_norm=5.0)
    transferable = True
    graph_form: CityEncodings
    past_steps: Tensor
    future_steps: Tensor

    def __init__(self, task: ForecastTask, options: OpencityOptions) -> None:
        super().__init__(task, options)
        width, layers = SIZES[options.size]
        width, layers = options.width or width, options.layers or layers
        self.steps, self.patches = _patching(task, options)
        if width % options.heads or width % 2:
            shared = (
                f"{options.heads} heads cannot share a width of {width}, halved for the calendar"
            )
            raise DeclinedError(f"opencity: {shared}; give an even multiple of the heads")
        self.graph_form = self.derive_graph(task.adjacency)

        # Columns go step by step, the channels of a step side by side.
        self.patch = nn.Linear(options.patch_steps * task.channels, width, bias=False)
        self.minute = nn.Embedding(MINUTES_PER_DAY + 1, width // 2)
        self.weekday = nn.Embedding(DAYS_PER_WEEK + 1, width // 2)
        self.place = nn.Linear(options.eigenvectors, width)
        self.blocks = nn.ModuleList(PatchBlock(width, options) for _ in range(layers))
        day = options.patches * options.patch_steps
        outputs = day if options.head == "next_day" else task.horizon
        self.head = nn.Linear(self.patches * width, outputs)

        # The first step of each patch: of the history, and of as many parts of the horizon.
        starts = torch.arange(self.patches)
        self.missing = self.steps * self.patches - task.history
        past = (starts * self.steps - self.missing).clamp_min(0)
        future = starts * task.horizon // self.patches
        self.register_buffer("past_steps", past, persistent=False)
        self.register_buffer("future_steps", future, persistent=False)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`; N is that of the graph in use."""
        places = self.place(self.graph_form.places)
        past, future = self._calendars(time_of_day, day_of_week)

        series = inputs.permute(2, 0, 1, 3)
        mean = series.mean(dim=2, keepdim=True)
        deviation = (series.var(dim=2, correction=0, keepdim=True) + 1e-5).sqrt()
        hidden = self._embed((series - mean) / deviation)
        for block in self.blocks:
            hidden = block(hidden, past, future, places, self.graph_form.mixing)

        weight, bias = self.head.weight[: self.task.horizon], self.head.bias[: self.task.horizon]
        scaled = functional.linear(hidden.flatten(2), weight, bias)
        target = self.task.target_channel
        forecast = scaled * deviation[:, :, :, target] + mean[:, :, :, target]
        return forecast.permute(1, 2, 0)

    def derive_graph(self, adjacency: Tensor) -> CityEncodings:
        """How nodes mix, and where they are."""
        return CityEncodings(adjacency, self.options)

    def linear_probe_parameters(self) -> frozenset[str]:
        """Names of the parameters that a linear probe trains: those of the head."""
        return frozenset({"head.weight", "head.bias"})

    def _embed(self, series: Tensor) -> Tensor:
        """(N, B, T, C), normalised, to patches with their positions, (N, B, P, D)."""
        # Missing steps come first and hold the window's mean.
        padded = functional.pad(series, (0, 0, self.missing, 0))
        patches = padded.reshape(*series.shape[:2], self.patches, -1)
        # A short patch is as one padded with zeros, whose columns need not be multiplied.
        weight = self.patch.weight[:, : patches.shape[-1]]
        embedded = functional.linear(patches, weight)
        return embedded + _sinusoids(self.patches, embedded.shape[-1], series)

    def _calendars(self, time_of_day: Tensor, day_of_week: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded calendars of the patches of the history and of the horizon, (B, P, D) each."""
        per_day = self.task.steps_per_day
        ahead = time_of_day[:, -1:] + 1 + self.future_steps
        days = (day_of_week[:, -1:] + ahead // per_day) % DAYS_PER_WEEK
        past = self._calendar(time_of_day[:, self.past_steps], day_of_week[:, self.past_steps])
        return past, self._calendar(ahead % per_day, days)

    def _calendar(self, slots: Tensor, weekdays: Tensor) -> Tensor:
        """A slot is named by the minute of its end, and Monday is 1, whatever the step length."""
        minutes = (slots + 1) * MINUTES_PER_DAY // self.task.steps_per_day
        return torch.cat([self.minute(minutes), self.weekday(weekdays + 1)], dim=-1)


def _patching(task: ForecastTask, options: OpencityOptions) -> tuple[int, int]:
    """Steps of a patch, and patches of a history."""
    if options.head == "next_day":
        day = task.steps_per_day
        if not task.history == task.horizon == day or day % options.patches:
            raise DeclinedError(
                "opencity: `head: next_day` forecasts a day from a day, in"
                f" {options.patches} patches of equal length, but a day has {day} steps, the"
                f" history {task.history} and the horizon {task.horizon}; take `head: short`"
            )
    steps = -(-task.history // options.patches)
    if steps > options.patch_steps:
        have = f"{options.patches} patches of a history of {task.history} have {steps} steps"
        more = f"more than `patch_steps: {options.patch_steps}`; give more of either"
        raise DeclinedError(f"opencity: {have}, {more}")
    return steps, -(-task.history // steps)


def _sinusoids(positions: int, width: int, like: Tensor) -> Tensor:
    """(positions, width) of sines and cosines (Vaswani et al., 2017)."""
    place = torch.arange(positions, dtype=like.dtype, device=like.device)[:, None]
    even = torch.arange(0, width, 2, dtype=like.dtype, device=like.device)
    angles = place * 1e4 ** -(even / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
