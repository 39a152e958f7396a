"""The benchmarks measure what they say, print it, and hold it to their goals when asked."""

import pytest
import torch

from benchmarks import batches, pruning, step_cost
from benchmarks.base import BenchResult, Goal, main

SMALL = step_cost.Size(nodes=20, edges=35, batch=4, rounds=2)


def test_goals_fail_only_if_they_are_checked(capsys):
    goals = [Goal("half an epoch", 0.625, 0.52), Goal("overhead", 0.001, 0.01)]
    missed = BenchResult("Two epochs", [{"kept": 0.5, "epoch_s": 1.25}], goals)
    assert [main(lambda: missed, words) for words in ([], ["--check"])] == [0, 1]
    printed = capsys.readouterr().out
    assert "1.25" in printed
    assert printed.count("MISSED") == 2
    assert main(lambda: missed._replace(goals=goals[1:]), ["--check"]) == 0


def test_batches_of_all_ways_hold_the_same_and_are_timed(monkeypatch):
    store = batches.store_of((400, 3, 2))
    order = [torch.tensor([5, 100, 7]), torch.tensor([3, 0])]
    ways = batches.ways(store)
    for windows, batch, copied in zip(
        order, ways["DataLoader"](order), ways["plain copy"](order), strict=True
    ):
        ours = store.gather(windows)
        expected = (ours.inputs, ours.time_of_day, ours.day_of_week, ours.targets)
        for part, other, plain in zip(expected, batch, copied, strict=True):
            torch.testing.assert_close(other.view(part.shape), part)
            assert plain.nbytes == part.nbytes
    monkeypatch.setattr(batches, "SHAPES", ((400, 3, 2),))
    monkeypatch.setattr(batches, "BATCH", 8)
    result = batches.run()
    assert [row["batches"] for row in result.rows] == ["gather", "plain copy", "DataLoader"]
    assert result.rows[0]["of_gather"] == 1.0
    assert len(result.goals) == 2


def test_pruning_measures_every_prune_ratio(toy_values, monkeypatch):
    monkeypatch.setattr(pruning, "WINDOWS", 1000)
    result = pruning.run(toy_values | {"prune_ratios": [0.75, 0.5]})
    kept = [row["kept"] for row in result.rows]
    assert kept == pytest.approx([1.0, 0.25, 0.5], abs=0.01)
    assert all(float(row["epoch_s"]) > 0 for row in result.rows)
    assert len(result.goals) == 5


@pytest.mark.parametrize("name", sorted(step_cost.LEAST_SPEED_UP))
def test_both_forms_of_a_backbone_take_the_same_kind_of_step(name):
    counts = []
    threads = torch.get_num_threads()
    for form in step_cost.FORMS:
        subject = step_cost.Subject(name, form, SMALL)
        before = [parameter.clone() for parameter in subject.model.parameters()]
        assert subject.step() > 0
        after = list(subject.model.parameters())
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
        counts.append(sum(parameter.numel() for parameter in after))
    torch.set_num_threads(threads)
    assert counts[0] == counts[1]
