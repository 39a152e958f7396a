"""Weights in the published layout, moved into our backbones and back.

Our layers merge what the public code keeps apart (one convolution for filter and gate, one table
for all skip paths), so a public checkpoint has other names and shapes. Nothing is computed: every
number of one layout stands in exactly one place of the other.

The layouts are those of LargeST (https://github.com/liuxu77/LargeST) for Graph WaveNet, STGCN and
STID, and of https://github.com/XDZhelheim/STAEformer. The graph is no part of a checkpoint: the
forecasts are the published ones on the graph that the weights were trained on.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from stprune.backbones.base import BACKBONES, Backbone
from stprune.backbones.staeformer import DAYS_PER_WEEK
from stprune.base.errors import CheckpointError, UnknownNameError
from stprune.published_forms.layouts import LAYOUTS, Rule
from stprune.training.checkpoint import refuse_changed_bytes

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def from_published(name: str, model: Backbone, state: Mapping[str, Tensor]) -> State:
    """The state for :meth:`torch.nn.Module.load_state_dict` of ``model``.

    Args:
        name: Id of the backbone: gwnet, stgcn, stid or staeformer.
        model: A backbone of that kind and of the sizes that the weights were trained with.
        state: The published ``state_dict``; any floating dtype, which is kept.

    Returns:
        Our names to new tensors.

    Raises:
        UnknownNameError: If there is no published layout of ``name``.
        CheckpointError: If the model is of another kind, or a weight is missing, has no place
            or has another shape.
    """
    rules, own = _rules(name, model), model.state_dict()
    expected: Shapes = {}
    for rule in rules:
        parts = rule.split(own[rule.ours])
        expected |= {
            key: tuple(part.shape) for key, part in zip(rule.published, parts, strict=True)
        }
    _check(f"published {name} weights", state, expected)
    return {
        rule.ours: _new(rule.join([state[key].detach() for key in rule.published]))
        for rule in rules
    }


def to_published(name: str, model: Backbone, state: Mapping[str, Tensor] | None = None) -> State:
    """The published form of a state of ours; undoes :func:`from_published` exactly.

    Args:
        name: Id of the backbone.
        model: A backbone of that kind.
        state: A ``state_dict`` of ours; that of ``model`` by default.

    Returns:
        Published names to new tensors.

    Raises:
        UnknownNameError: If there is no published layout of ``name``.
        CheckpointError: As :func:`from_published`.
    """
    rules, own = _rules(name, model), model.state_dict()
    state = own if state is None else state
    _check(f"our {name} weights", state, {key: tuple(value.shape) for key, value in own.items()})
    result: State = {}
    for rule in rules:
        parts = rule.split(state[rule.ours].detach())
        result |= {key: _new(part) for key, part in zip(rule.published, parts, strict=True)}
    return result


def load_published(
    path: Path, name: str, model: Backbone, *, weekday_in_days: bool = False
) -> None:
    """Load a public checkpoint file into ``model``, converting to the model's dtype.

    For example, with weights that LargeST saved for the San Diego sensors::

        model = BACKBONES.load("stgcn")(task, StgcnOptions())
        load_published(Path("final_model_s2018.pt"), "stgcn", model)

    Args:
        path: A file that ``torch.save(model.state_dict(), path)`` of the public code wrote. Only
            tensors are unpickled from it, so that a stranger's file can run no code.
        name: Id of the backbone.
        model: A backbone of that kind and of the sizes that the weights were trained with; the
            task's graph must be the one they were trained on.
        weekday_in_days: The weights (staeformer only) were trained with the weekday as 0 to 6, as
            those of its authors' code, not as weekday / 7, as those of ST-TTC (which also need
            the option ``legacy_dow``); one column of the first layer is multiplied by 7.

    Raises:
        UnknownNameError: If there is no published layout of ``name``.
        CheckpointError: If the file cannot be read or does not fit; the model is left as it was.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file of weights {path}; give one that torch.save wrote")
    try:
        if zipfile.is_zipfile(path):  # older ones are not
            refuse_changed_bytes(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader stumble over anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"weights {path} cannot be read ({reason})") from None
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not a state_dict of names and tensors"
        )
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path} holds a {type(value).__name__} at `{key}` where a state_dict has tensors;"
                " save the model's state_dict alone"
            )
    state = from_published(name, model, content)
    if weekday_in_days:
        if name != "staeformer":
            raise CheckpointError(
                f"published {name} weights expect weekday / 7; weekday_in_days is for staeformer"
            )
        state["input_projection.weight"][:, -1] *= DAYS_PER_WEEK
    model.load_state_dict(state)


def _rules(name: str, model: Backbone) -> list[Rule]:
    """The layout of backbone ``name`` at the sizes of ``model``."""
    if name not in LAYOUTS:
        raise UnknownNameError("backbone with a published layout", name, LAYOUTS)
    wanted = BACKBONES.load(name)
    if not isinstance(model, wanted):
        raise CheckpointError(
            f"weights of {name} need a model of class {wanted.__name__},"
            f" got a {type(model).__name__}"
        )
    return LAYOUTS[name](model)


def _check(what: str, state: Mapping[str, Tensor], expected: Shapes) -> None:
    for key, shape in expected.items():
        if key not in state:
            raise CheckpointError(f"{what} lack `{key}`, expected with shape {shape}")
        if tuple(state[key].shape) != shape:
            raise CheckpointError(
                f"{what} hold `{key}` with shape {tuple(state[key].shape)}, expected {shape};"
                " build the model with the sizes, nodes and steps of those weights"
            )
    for key in state:
        if key not in expected:
            raise CheckpointError(
                f"{what} hold `{key}`, which has no place in a model of these sizes"
                f" ({len(expected)} names are expected, such as `{next(iter(expected))}`)"
            )


def _new(value: Tensor) -> Tensor:
    """A contiguous copy that shares no memory."""
    return value.clone(memory_format=torch.contiguous_format)
