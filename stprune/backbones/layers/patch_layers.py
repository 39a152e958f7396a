"""Layers of OpenCity: nodes attend over their own patches of time and mix over the graph.

Li et al., "OpenCity", arXiv 2408.10269. Tensors are (N, B, P, D): nodes, windows, patches, width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.layers.dropout import keep_mask


def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """softmax(QKᵀ / √d) V with a share of the softmax dropped.

    On a CPU no fused kernel drops, and drawing a random number for each entry takes longer than
    the matrix products; sixteen random bits an entry serve as well, and take a sixth of the time.

    Args:
        query: (batch, heads, P, d).
        key: (batch, heads, P, d).
        value: (batch, heads, P, d).
        dropout: Share of entries that are zeroed, in [0, 1); the others grow to make up for it.

    Returns:
        (batch, heads, P, d).
    """
    if dropout == 0 or query.device.type != "cpu" or torch.compiler.is_compiling():
        return functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    kept, scale = keep_mask(scores.shape, dropout)
    attended: Tensor = (scores.softmax(dim=-1) * kept) @ (value * scale)
    return attended


class PatchAttention(nn.Module):
    """Attention of each node over its patches, plus what it attends to, normalised.

    There is no projection after it.

    Args:
        width: D.
        heads: Parts of the width that attend apart.
        dropout: Share of the attention weights dropped.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.heads = heads
        self.dropout = dropout

    def forward(self, hidden: Tensor) -> Tensor:
        """Self-attention: (N, B, P, D) to (N, B, P, D)."""
        return self._attend(self.query(hidden), hidden @ self.key.weight.T, hidden)

    def with_context(self, hidden: Tensor, past: Tensor, future: Tensor, places: Tensor) -> Tensor:
        """The future's context asks, the past's answers.

        Args:
            hidden: (N, B, P, D), what is attended to.
            past: (B, P, D), calendar of the history.
            future: (B, P, D), calendar of the horizon.
            places: (N, D), which node it is.

        Returns:
            (N, B, P, D).
        """
        # A layer of a sum is the sum of its layers, and calendars are the same for all nodes.
        asked = functional.linear(places, self.query.weight)[:, None, None]
        queries = self.query(future) + asked
        keys = functional.linear(past, self.key.weight).expand_as(hidden)
        return self._attend(queries, keys, hidden)

    def _attend(self, queries: Tensor, keys: Tensor, hidden: Tensor) -> Tensor:
        attended = attend(
            self._split(queries),
            self._split(keys),
            self._split(self.value(hidden)),
            self.dropout if self.training else 0.0,
        )
        joined = attended.transpose(1, 2).reshape(hidden.shape)
        normalised: Tensor = self.norm(joined + hidden)
        return normalised

    def _split(self, values: Tensor) -> Tensor:
        """(N, B, P, D) to (N B, heads, P, D / heads)."""
        patches, width = values.shape[2:]
        return values.reshape(-1, patches, self.heads, width // self.heads).transpose(1, 2)


class GraphMix(nn.Module):
    """``W2 (0.05 x + 0.95 W1 (A x)) + b`` with the rows of A summing to 1."""

    KEPT = 0.05

    def __init__(self, width: int) -> None:
        super().__init__()
        self.neighbours = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width)

    def forward(self, hidden: Tensor, mixing: Tensor) -> Tensor:
        """(N, B, P, D) to (N, B, P, D); ``mixing`` is (N, N)."""
        mixed = ((1 - self.KEPT) * mixing @ hidden.flatten(1)).view_as(hidden)
        output: Tensor = self.output(torch.add(self.neighbours(mixed), hidden, alpha=self.KEPT))
        return output


class SwiGlu(nn.Module):
    """``W2 (silu(W1 x) * W3 x)`` without biases; W1 and W3 lie in one layer (Shazeer, 2020)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gates = nn.Linear(width, 2 * inner, bias=False)
        self.output = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        gate, value = self.gates(hidden).chunk(2, dim=-1)
        output: Tensor = self.output(functional.silu(gate) * value)
        return output


class PatchBlock(nn.Module):
    """Context attention, self-attention and graph, then a perceptron; both parts residual.

    Args:
        width: D.
        heads: Heads of each attention.
        inner: Width inside the perceptron.
        dropout: Share dropped after the graph.
        attention_dropout: Share of the attention weights dropped.
    """

    def __init__(
        self, width: int, heads: int, inner: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.before_attention = nn.RMSNorm(width, eps=1e-6)
        self.context = PatchAttention(width, heads, attention_dropout)
        self.itself = PatchAttention(width, heads, attention_dropout)
        self.graph = GraphMix(width)
        self.dropout = nn.Dropout(dropout)
        self.before_perceptron = nn.RMSNorm(width, eps=1e-6)
        self.perceptron = SwiGlu(width, inner)

    def forward(
        self, hidden: Tensor, past: Tensor, future: Tensor, places: Tensor, mixing: Tensor
    ) -> Tensor:
        """(N, B, P, D) to (N, B, P, D); the rest as for :class:`PatchAttention` and graph."""
        attended = self.context.with_context(self.before_attention(hidden), past, future, places)
        hidden = hidden + self.dropout(self.graph(self.itself(attended), mixing))
        perceived: Tensor = self.perceptron(self.before_perceptron(hidden))
        return hidden + perceived
