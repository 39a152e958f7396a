"""Cheap dropout drops and scales as the usual one does."""

from __future__ import annotations

import pytest
import torch

from stprune.backbones.layers.dropout import COIN_BITS, Dropout


@pytest.mark.parametrize("share", [0.15, 0.3, 0.5])
def test_share_and_scale(share: float) -> None:
    """The share dropped of a million is within five standard deviations; the rest is scaled."""
    values = torch.full((1000, 1001), 2.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = Dropout(share)(values)
    realised = (dropped == 0).double().mean().item()
    assert realised == pytest.approx(share, abs=5 * (share * (1 - share) / values.numel()) ** 0.5)
    kept = 1 - round(share * 2**COIN_BITS) / 2**COIN_BITS
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 2.0 / kept]))


def test_coins_of_one_draw_are_independent() -> None:
    """Four coins share a random number: neighbours agree no more often than chance has it."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        kept = (Dropout(0.3)(torch.ones(250_000, 4)) != 0).double()
    correlation = torch.corrcoef(kept.T) - torch.eye(4, dtype=torch.float64)
    assert correlation.abs().max() < 0.01


def test_gradient_has_the_same_mask() -> None:
    values = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)
    dropped = Dropout(0.4)(values)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    torch.testing.assert_close(gradient * values, dropped)
    assert (gradient == 0).any()
    assert (gradient != 0).any()


def test_seed_decides_and_draws_are_fresh() -> None:
    layer, values = Dropout(0.5), torch.ones(64)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        one, other = layer(values), layer(values)
        torch.manual_seed(2)
        again = layer(values)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_nothing_is_dropped_in_evaluation_or_at_zero_and_all_at_one() -> None:
    values = torch.randn(11)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)
    assert not Dropout(1.0)(values).any()
