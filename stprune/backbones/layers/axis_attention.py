"""Scaled dot-product attention along one axis of (window, step, node), without moving axes."""

from typing import Literal

from torch import Tensor
from torch.nn import functional

Axis = Literal["time", "nodes"]
CUDA_WIDTH = 8


def split_heads(values: Tensor, heads: int, axis: Axis) -> Tensor:
    """A view with the attended axis last but one, as attention kernels want it.

    Over time the nodes count as further heads. So neither axis has to be moved, which would copy
    queries, keys, values and result: (B, T, N, C), contiguous, to (B, N heads, T, C / heads) for
    time and (B T, heads, N, C / heads) for nodes.
    """
    batch, steps, nodes, _ = values.shape
    if axis == "time":
        return values.view(batch, steps, nodes * heads, -1).transpose(1, 2)
    return values.view(batch * steps, nodes, heads, -1).transpose(1, 2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, heads: int, axis: Axis, causal: bool = False
) -> Tensor:
    """softmax(Q Kᵀ / √d) V of each head, d = C / heads channels (Vaswani et al. 2017).

    All are (B, T, N, C). Steps of a node, or nodes of a step, attend to each other; if causal, to
    none later along the axis.
    """
    q, k, v = (split_heads(part, heads, axis) for part in (query, key, value))
    if query.is_cuda and q.shape[-1] % CUDA_WIDTH:
        attended = padded_attention(q, k, v, causal)
    else:
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    # The kernel writes its result in the order of the query, so this copies nothing either.
    return attended.transpose(1, 2).reshape(query.shape)


def padded_attention(query: Tensor, key: Tensor, value: Tensor, is_causal: bool) -> Tensor:
    """Attention of heads whose width is no multiple of :data:`CUDA_WIDTH`: (..., L, d) each.

    Kernels of CUDA that do not store the scores decline such widths, and the others take memory
    with the square of L. Zeros in further channels change no score and are cut off the result.
    """
    width = query.shape[-1]
    q, k, v = (functional.pad(part, (0, -width % CUDA_WIDTH)) for part in (query, key, value))
    scale = width**-0.5
    attended = functional.scaled_dot_product_attention(q, k, v, is_causal=is_causal, scale=scale)
    return attended[..., :width]
