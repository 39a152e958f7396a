"""Where each tensor of our backbones stands in the published layout, as lists of rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rule:
    """One tensor of ours, and the published ones with the same numbers.

    Args:
        ours: Its name in our state.
        published: Names of the published tensors.
        join: The published tensors to ours.
        split: Ours to the published tensors.
    """

    ours: str
    published: tuple[str, ...]
    join: Callable[[Sequence[Tensor]], Tensor]
    split: Callable[[Tensor], Sequence[Tensor]]


def _same(ours: str, published: str) -> Rule:
    return Rule(ours, (published,), lambda parts: parts[0], lambda value: [value])


def _layer(ours: str, published: str) -> list[Rule]:
    """Weight and bias that differ in name only."""
    return [_same(f"{ours}.{kind}", f"{published}.{kind}") for kind in ("weight", "bias")]


def _pointwise(ours: str, published: str) -> list[Rule]:
    """A linear layer (out, in) that is published as a 1 x 1 convolution (out, in, 1, 1)."""
    weight = Rule(
        f"{ours}.weight",
        (f"{published}.weight",),
        lambda parts: parts[0][:, :, 0, 0],
        lambda value: [value[:, :, None, None]],
    )
    return [weight, _same(f"{ours}.bias", f"{published}.bias")]


def _gwnet(model: Any) -> list[Rule]:
    """Graph WaveNet of LargeST."""
    count, width = len(model.gates), model.options.residual_channels
    skips = [f"skip_convs.{i}" for i in range(count)]
    rules = [
        _same("source_embedding", "nodevec1"),
        _same("target_embedding", "nodevec2"),
        *_pointwise("start", "start_conv"),
        *_pointwise("end", "end_conv_1"),
        *_pointwise("regression", "end_conv_2"),
        Rule(
            "skip_weight",
            tuple(f"{skip}.weight" for skip in skips),
            lambda parts: torch.cat([part[:, :, 0, 0] for part in parts], dim=1),
            lambda value: [part[:, :, None, None] for part in value.split(width, dim=1)],
        ),
        Rule(
            "skip_bias",
            tuple(f"{skip}.bias" for skip in skips),
            lambda parts: torch.stack(list(parts)),
            torch.unbind,
        ),
    ]
    for i in range(count):
        pair = (f"filter_convs.{i}", f"gate_convs.{i}")
        rules += [
            # Ours has time before nodes, the published kernel nodes before time.
            Rule(
                f"gates.{i}.convolution.weight",
                tuple(f"{part}.weight" for part in pair),
                lambda parts: torch.cat(list(parts)).transpose(2, 3),
                lambda value: value.transpose(2, 3).chunk(2),
            ),
            Rule(
                f"gates.{i}.convolution.bias",
                tuple(f"{part}.bias" for part in pair),
                lambda parts: torch.cat(list(parts)),
                lambda value: value.chunk(2),
            ),
            # (terms, in, out) against (out, terms in, 1, 1).
            Rule(
                f"diffusions.{i}.weight",
                (f"gconv.{i}.mlp.mlp.weight",),
                lambda parts: parts[0].reshape(width, -1, width).permute(1, 2, 0),
                lambda value: [value.permute(2, 0, 1).flatten(1)[:, :, None, None]],
            ),
            _same(f"diffusions.{i}.bias", f"gconv.{i}.mlp.mlp.bias"),
            *_layer(f"norms.{i}", f"bn.{i}"),
            *(
                _same(f"norms.{i}.{moment}", f"bn.{i}.{moment}")
                for moment in ("running_mean", "running_var", "num_batches_tracked")
            ),
        ]
    return rules


def _stgcn(model: Any) -> list[Rule]:
    """STGCN of LargeST."""

    def temporal(ours: str, published: str) -> list[Rule]:
        return [
            *_layer(f"{ours}.convolution", f"{published}.causal_conv"),
            *_pointwise(f"{ours}.align.projection", f"{published}.align.align_conv"),
        ]

    rules = [
        *temporal("last", "output.tmp_conv1"),
        *_layer("norm", "output.tc1_ln"),
        *_layer("hidden", "output.fc1"),
        *_layer("regression", "output.fc2"),
    ]
    for i in range(len(model.blocks)):
        ours, published = f"blocks.{i}", f"st_blocks.{i}"
        rules += [
            *temporal(f"{ours}.before", f"{published}.tmp_conv1"),
            *_pointwise(
                f"{ours}.graph.align.projection", f"{published}.graph_conv.align.align_conv"
            ),
            *_layer(f"{ours}.graph", f"{published}.graph_conv.cheb_graph_conv"),
            *temporal(f"{ours}.after", f"{published}.tmp_conv2"),
            *_layer(f"{ours}.norm", f"{published}.tc2_ln"),
        ]
    return rules


def _stid(model: Any) -> list[Rule]:
    """STID of LargeST."""
    steps, channels = model.task.history, model.task.channels
    # Published columns go step by step: values, time, weekday; ours are all values, all times,
    # all weekdays. ``order`` says where in the published layer each column of ours stands.
    published = torch.arange(steps * (channels + 2)).view(steps, channels + 2)
    order = torch.cat([published[:, :channels].flatten(), published[:, channels:].T.flatten()])
    rules = [
        Rule(
            "series_embedding.weight",
            ("time_series_emb_layer.weight",),
            lambda parts: parts[0][:, order, 0, 0],
            lambda value: [value[:, order.argsort(), None, None]],
        ),
        _same("series_embedding.bias", "time_series_emb_layer.bias"),
        *_pointwise("regression", "regression_layer"),
    ]
    for table, emb in (
        ("node_embedding", "node_emb"),
        ("time_of_day_embedding", "time_in_day_emb"),
        ("day_of_week_embedding", "day_in_week_emb"),
    ):
        if getattr(model, table) is not None:
            rules.append(_same(table, emb))
    for i in range(len(model.encoder)):
        rules += _pointwise(f"encoder.{i}.inner", f"encoder.{i}.fc1")
        rules += _pointwise(f"encoder.{i}.outer", f"encoder.{i}.fc2")
    return rules


def _staeformer(model: Any) -> list[Rule]:
    """STAEformer of its authors, with the mixed projection."""
    rules = [*_layer("input_projection", "input_proj"), *_layer("regression", "output_proj")]
    for table, published in (
        ("time_of_day_embedding", "tod_embedding"),
        ("day_of_week_embedding", "dow_embedding"),
    ):
        if getattr(model, table) is not None:
            rules.append(_same(f"{table}.weight", f"{published}.weight"))
    if model.adaptive_embedding is not None:
        rules.append(_same("adaptive_embedding", "adaptive_embedding"))
    parts = {
        "query": "attn.FC_Q",
        "key": "attn.FC_K",
        "value": "attn.FC_V",
        "output": "attn.out_proj",
        "inner": "feed_forward.0",
        "outer": "feed_forward.2",
        "attention_norm": "ln1",
        "perceptron_norm": "ln2",
    }
    for axis, published in (("temporal", "attn_layers_t"), ("spatial", "attn_layers_s")):
        for i in range(len(getattr(model, f"{axis}_layers"))):
            for ours, theirs in parts.items():
                rules += _layer(f"{axis}_layers.{i}.{ours}", f"{published}.{i}.{theirs}")
    return rules


LAYOUTS: dict[str, Callable[[Any], list[Rule]]] = {
    "gwnet": _gwnet,
    "stgcn": _stgcn,
    "stid": _stid,
    "staeformer": _staeformer,
}
