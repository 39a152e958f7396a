"""What every backbone promises, checked for each file of the folder."""

import ast
from fnmatch import fnmatch

import pytest
import torch
from torch import Tensor

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask, OptimiserSettings
from stprune.base.errors import ConfigError, DeclinedError
from stprune.base.schema import validate

BATCH, PER_DAY = 4, 24
Batch = tuple[Tensor, Tensor, Tensor]
# Parameters that a published model holds, at its published sizes, but no forecast depends on.
UNUSED = {
    "gwnet": ("diffusions.7.*", "norms.7.*"),  # after the last skip path
    "opencity": ("*.key.bias",),  # moves all scores of a query alike
    "staeformer": ("*.key.bias",),
    "stgcn": ("*before.align.*", "*after.align.*", "last.align.*"),  # these do not shrink
    "stnorm": ("residuals.7.*",),
}

pytestmark = pytest.mark.parametrize("name", BACKBONES.ids())


def a_task(nodes: int = 6, horizon: int = 12, channels: int = 1) -> ForecastTask:
    """Twelve steps of history on a random directed graph."""
    generator = torch.Generator().manual_seed(nodes)
    adjacency = torch.rand(nodes, nodes, generator=generator)
    adjacency = adjacency * (adjacency > 0.5)
    return ForecastTask(nodes, 12, horizon, channels, 0, PER_DAY, adjacency)


def a_batch(task: ForecastTask, seed: int = 0) -> Batch:
    """Windows with standardised values and consecutive time slots."""
    generator = torch.Generator().manual_seed(seed)
    shape = (BATCH, task.history, task.nodes, task.channels)
    start = torch.randint(7 * PER_DAY, (BATCH, 1), generator=generator)
    steps = start + torch.arange(task.history)
    inputs = torch.randn(shape, generator=generator)
    return inputs, steps % PER_DAY, steps // PER_DAY % 7


def build(name: str, task: ForecastTask, seed: int = 0) -> Backbone:
    """The backbone with its published sizes."""
    backbone_class = BACKBONES.load(name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return backbone_class(task, backbone_class.Options())


@pytest.mark.parametrize(
    ("nodes", "horizon", "channels"), [(6, 12, 1), (9, 3, 2), (2, 1, 3), (1, 24, 1)]
)
def test_forecast_has_one_finite_value_a_step_and_node(name, nodes, horizon, channels):
    task = a_task(nodes, horizon, channels)
    model, batch = build(name, task), a_batch(task)
    for training in (True, False):
        forecast = model.train(training)(*batch)
        assert forecast.shape == (BATCH, horizon, nodes)
        assert forecast.dtype == torch.float32
        assert torch.isfinite(forecast).all()


def test_gradient_reaches_every_parameter_but_those_held_for_nothing(name):
    task = a_task()
    model, batch = build(name, task), a_batch(task)
    parameters = dict(model.named_parameters())
    assert model.trains == bool(parameters)
    if model.trains:
        (model(*batch) - a_batch(task, seed=1)[0][..., 0]).square().mean().backward()
    gradients = {key: p.grad for key, p in parameters.items() if p.grad is not None}
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    reached = {key for key, gradient in gradients.items() if gradient.abs().max() > 0}
    unused = {key for key in parameters for one in UNUSED.get(name, ()) if fnmatch(key, one)}
    assert parameters.keys() - reached == unused


def test_what_is_not_ignored_can_change_the_forecast(name):
    task = a_task(channels=2)
    inputs, slots, weekdays = a_batch(task)
    ignores = BACKBONES.load(name).ignores
    seen = torch.ones(task.history, task.channels, dtype=torch.bool)
    seen[:-1] &= "past" not in ignores
    seen[:, 1] &= "other channels" not in ignores
    seen &= "history" not in ignores
    model = build(name, task).eval()
    for buffer in () if model.trains else model.buffers():  # estimates, not all alike
        if buffer.is_floating_point():
            buffer.copy_(torch.rand(buffer.shape, generator=torch.Generator().manual_seed(1)))
    forecast = model(inputs, slots, weekdays)
    for step, channel in torch.ones_like(seen).nonzero().tolist():
        changed = inputs.clone()
        changed[:, step, :, channel] += 1.0 + torch.arange(task.nodes)
        same = torch.equal(forecast, model(changed, slots, weekdays))
        assert same != seen[step, channel].item(), (step, channel)
    moved = model(inputs, (slots + PER_DAY // 2) % PER_DAY, weekdays)
    assert torch.allclose(moved, forecast) == ("calendar" in ignores)


def test_seed_and_state_are_all_of_a_model(name):
    task = a_task()
    batch = a_batch(task)
    one, two, other = build(name, task), build(name, task), build(name, task, seed=1)
    for key, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[key]), key
    forecast = one.eval()(*batch)
    if one.trains:
        assert not torch.allclose(forecast, other.eval()(*batch))
    one.train()(*batch)  # moments of normalisation layers move too
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.eval()(*batch), one.eval()(*batch))


def test_evaluation_repeats_itself_window_by_window(name):
    task = a_task()
    model, batch = build(name, task).eval(), a_batch(task)
    before = [part.clone() for part in batch]
    together = model(*batch)
    assert torch.equal(model(*batch), together)
    assert all(torch.equal(part, copy) for part, copy in zip(batch, before, strict=True))
    for window in range(BATCH):
        alone = model(*(part[window : window + 1] for part in batch))
        torch.testing.assert_close(alone[0], together[window], rtol=1e-4, atol=1e-5)


def test_goes_to_another_graph_as_if_built_for_it_or_says_that_it_cannot(name):
    here, there = a_task(), a_task(nodes=9)
    model, other = build(name, here).eval(), build(name, there, seed=1).eval()
    if not model.transferable:
        with pytest.raises(DeclinedError, match=name):
            model.use_graph("there", there.adjacency)
        return
    before = model(*a_batch(here))
    other.load_state_dict(model.state_dict())  # the graph is no part of it
    model.use_graph("there", there.adjacency)
    assert torch.equal(model(*a_batch(there)), other(*a_batch(there)))
    model.use_graph("here", here.adjacency)
    assert torch.equal(model(*a_batch(here)), before)


def test_options_are_described_and_closed_and_the_header_names_its_source(name):
    backbone_class = BACKBONES.load(name)
    for key, field in backbone_class.Options.model_fields.items():
        assert field.description, key
    with pytest.raises(ConfigError, match="no_such_option"):
        validate(backbone_class.Options, {"no_such_option": 1}, "here")
    assert isinstance(backbone_class.optimisation, OptimiserSettings)
    tree = ast.parse(BACKBONES.path(name).read_text(encoding="utf-8"))
    header = ast.get_docstring(tree) or ""
    for entry in ("Paper:", "Venue:", "Official code:", "Where we differ:"):
        assert f"\n{entry}" in header, entry
