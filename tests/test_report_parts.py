"""What the report says and carries: findings with their tests, runs, curves, charts, policy."""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from synthetic_records import PRUNERS, cost, results_of, run_of, write_experiment

from paper_figures import tab_equivalence, tab_pairs
from stprune.base.errors import RecordError
from stprune.base.layout import store_config
from stprune.paper.draw import LOOKS
from stprune.paper.report import charts
from stprune.paper.report.charts import chart, chart_data
from stprune.paper.report.findings import Headlines, findings, headlines, p_in_words, place_verdict
from stprune.paper.report.methods import methods
from stprune.paper.report.page import (
    compare_environments,
    content_policy,
    small_png,
    vega_script,
)
from stprune.results.summary import Results, load_results

Errors = Mapping[str, Sequence[float]]


def _results(root: Path, places: Mapping[str, Errors], ratio: float = 0.5, **spent: Any) -> Results:
    """Test errors by data set and pruner, one a seed."""
    runs = [
        run_of(dataset, pruner, 0.0 if pruner == "full" else ratio, seed, mae, cost=cost(**spent))
        for dataset, pruners in places.items()
        for pruner, errors in pruners.items()
        for seed, mae in enumerate(errors)
    ]
    return results_of(root, runs)


def _headlines(results: Results) -> list[Headlines]:
    tables = {"pairs": tab_pairs.build(results), "equivalence": tab_equivalence.build(results)}
    return headlines(results, tables)


def _said(results: Results) -> dict[str, str]:
    """What each finding rests on, by its sentence, where there is one budget."""
    (only,) = _headlines(results)
    assert only.heading == ""
    return dict(only.findings)


CONTROLS = {"random_dynamic": [2.0, 2.2, 2.1, 2.3], "full_fewer_epochs": [2.5, 2.0, 2.2, 2.4]}


def test_a_difference_that_holds_is_a_headline_with_its_test(tmp_path: Path) -> None:
    # Every seed 10 % (and a little) above the random control.
    worse = [2.2, 2.42, 2.32, 2.53]
    said = _said(_results(tmp_path, {"r": {**CONTROLS, "full": [2.0] * 4, "st_prune": worse}}))
    first = next(iter(said))
    assert first.startswith("ST-Prune is worse than Random (dynamic): difference +10.")
    assert "95 % interval +10." in first
    assert "4 pairs of runs, all prune ratios, 4 seeds: p < 0.001, Holm-corrected" in said[first]
    assert "Of 1 pruner better than both controls: none." in said


def test_a_difference_that_does_not_hold_is_no_headline(tmp_path: Path) -> None:
    ours = [2.1, 2.1, 2.2, 2.2]
    said = list(_said(_results(tmp_path, {"r": {**CONTROLS, "st_prune": ours}})))
    assert said[0].startswith("ST-Prune cannot be told apart from Random (dynamic): difference ")
    assert "Full training was not run, so nothing can be called lossless." in said


def test_who_beats_both_controls_is_named(tmp_path: Path) -> None:
    better = {
        "x": [1.2, 1.0, 1.1, 1.15],
        "y": [2.2, 2.0, 2.0, 2.4],
        "st_prune": [4.0, 4.1, 4.0, 4.0],
    }
    said = _said(_results(tmp_path, {"r": {**CONTROLS, **better}}))
    assert "Of 3 pruners better than both controls: X." in said
    against = next(sentence for sentence in said if sentence.startswith("Against Full (fewer"))
    assert against.index("better: X (") < against.index("worse: ST-Prune (+")
    assert "cannot be told apart: " in against


def test_one_run_is_too_few_and_an_absent_control_is_told(tmp_path: Path) -> None:
    said = list(_said(_results(tmp_path, {"r": {"st_prune": [2.2], "random_dynamic": [2.0]}})))
    assert said[0] == (
        "Too few runs to test ST-Prune against Random (dynamic); difference +10.00 % of the test"
        " MAE."
    )
    assert said[1] == (
        "ST-Prune and Full (fewer epochs) have no run in common, so no test was made."
    )
    assert "Nothing can be better than both controls: Full (fewer epochs) was not run." in said


def test_lossless_is_said_of_data_sets_only_where_there_are_enough(tmp_path: Path) -> None:
    full, same = [2.0, 2.1, 2.2], [2.001, 2.1, 2.199]
    place = {"full": full, "st_prune": same, "x": [2.4, 2.5, 2.7]}
    few = _said(_results(tmp_path / "few", {"r": place}))
    assert "Nothing can be called lossless in general: 1 data set is too few." in few
    spread = {name: {"full": full, "st_prune": same, "x": [x, x + 0.1, x + 0.2]}
              for name, x in (("a", 2.5), ("b", 2.52), ("c", 2.54))}  # fmt: skip
    results = _results(tmp_path / "many", spread)
    said = _said(results)
    general = next(sentence for sentence in said if sentence.startswith("Over 3 data sets"))
    assert "lossless: ST-Prune at 0.5; worse: X at 0.5" in general
    assert "TOST" in said[general]
    equivalence = tab_equivalence.build(results).frame
    assert place_verdict(equivalence, "a", "stid") == (
        "Tested against full training (TOST): lossless: ST-Prune at 0.5; worse: X at 0.5."
    )
    assert place_verdict(equivalence, "no", "stid") is None


def test_each_budget_has_its_own_findings(tmp_path: Path) -> None:
    runs = [
        run_of(dataset, pruner, 0.5, seed, 3.0, cost=cost(budget=budget))
        for dataset, budget in (("a", "epochs"), ("b", "total_time"))
        for pruner, seed in itertools.product(("st_prune", "random_dynamic"), range(3))
    ]
    found = _headlines(results_of(tmp_path, runs))
    assert [part.heading for part in found] == ["Budget: epochs", "Budget: total time"]
    assert all(part.findings for part in found)


def _sentences(tmp_path: Path, runs: Errors) -> list[str]:
    """What the means say, of one place at prune ratio 0.5."""
    ((place, sentences),) = findings(_results(tmp_path, {"r": runs}).aggregate)
    assert place == "r, STID (MAE in vehicles / 5 min)"
    return sentences


SPREAD = "than the larger of the two standard deviations"


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (
            {"full": [2.0, 2.0], "random_dynamic": [2.4, 2.4], "x": [2.1, 2.3]},
            [
                "X has the lowest mean test MAE of 2 pruners: 2.200 ± 0.141 (2 seeds), 10.0 %",
                f"0.200 below Random (dynamic) at 2.400 ± 0.000 (2 seeds), more {SPREAD} (0.141)",
                "Full (fewer epochs) was not run here",
            ],
        ),
        (
            {"random_dynamic": [2.4, 2.4], "full_fewer_epochs": [2.2, 2.4], "x": [2.2, 2.2]},
            [
                f"0.200 below Random (dynamic) at 2.400 ± 0.000 (2 seeds), more {SPREAD}",
                f"0.100 below Full (fewer epochs) at 2.300 ± 0.141 (2 seeds), not more {SPREAD}",
            ],
        ),
        (
            {"random_dynamic": [2.2, 2.6], "x": [2.3, 2.3]},
            [f"not more {SPREAD} (0.283)"],
        ),
        ({"random_dynamic": [2.4], "x": [2.3]}, ["2.300 (1 seed)", "spread is not known"]),
        ({"random_dynamic": [2.1], "x": [2.3]}, ["Random (dynamic) has the lowest"]),
        ({"x": [2.1], "y": [2.3]}, ["Random (dynamic) was not run here"]),
    ],
)
def test_the_best_is_held_to_full_training_and_both_controls(
    runs: Errors, words: list[str], tmp_path: Path
) -> None:
    first, best = _sentences(tmp_path, runs)
    assert ("2.000 ± 0.000 (2 seeds)" in first) == ("full" in runs)
    assert [part for part in words if part not in best] == []
    assert ("±" in best) == (len(runs["x"]) > 1)


def test_p_is_never_zero() -> None:
    assert [p_in_words(p) for p in (0.0, 0.0499, 1.0, math.nan)] == [
        *("p < 0.001", "p = 0.050", "p = 1.000", "too few for a p")
    ]


def test_runs_are_held_to_the_mean_of_full_training(tmp_path: Path) -> None:
    errors = {"full": [1.9, 2.1], "x": [2.2, 1.8]}
    data = chart_data(_results(tmp_path, {"r": errors}, epoch_seconds=3.0))
    assert data["runs"][-1]["id"] == "r/stid/x/p0.5/s1"
    assert [run["change"] for run in data["runs"]] == [-5, 5, 10, -10]
    assert [run["epoch"] for run in data["runs"]] == [100] * 4
    # Each run knows full training of its seed.
    assert [run["full"] for run in data["runs"]] == [0, 1, 0, 1]
    # Eight synthetic epochs of 10 s, 85 % of them steps.
    assert [row["seconds"] for row in data["ledger"] if row["part"] == "step"] == [68] * 4
    lone = chart_data(_results(tmp_path / "lone", {"r": {"x": [2.2]}}))
    assert (lone["runs"][0]["change"], lone["runs"][0]["full"]) == (None, -1)


def test_curves_that_do_not_fit_are_left_out_whole_last_seeds_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = _results(tmp_path, {"r": {"x": [2.0] * 3, "y": [2.0] * 2}})
    results.epochs.loc[results.epochs["epoch"] == 1, "train_loss"] = math.nan
    # 8 epochs each; by seeds: x/s0, y/s0, x/s1, y/s1, x/s2.
    monkeypatch.setattr(charts, "MOST_EPOCHS", 3 * 8 + 7)
    rows = chart_data(results)["epochs"]
    assert sorted({row["run"] for row in rows}) == [0, 1, 3]
    assert [row["seconds"] for row in rows[:2]] == [11.1, 22.2]
    assert rows[1]["train_loss"] is None


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2"])
def test_a_configuration_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    results = _results(tmp_path, {"r": {"x": [2.0]}})
    assert "Protocol" not in dict(methods(results))
    store_config(results.store).write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=r"config\.yaml") as refused:
        methods(load_results(results.store))
    assert "\n" not in str(refused.value)


def test_the_chart_is_the_same_every_time_and_asks_for_nothing(tmp_path: Path) -> None:
    results = load_results(write_experiment(tmp_path, seeds=(0,), ratios=(0.5,)).store)
    spec = chart(results)
    assert spec == chart(results)
    text = json.dumps(spec, allow_nan=False)
    assert "http" not in text
    assert '"url"' not in text
    scales = [layer["encoding"]["color"]["scale"] for layer in spec["vconcat"][0]["layer"][1:]]
    assert all(scale == scales[0] for scale in scales)
    assert scales[0]["domain"][0] == "Full training"
    colours = dict(zip(scales[0]["domain"], scales[0]["range"], strict=True))
    assert colours["ST-Prune"] == LOOKS["st_prune"].colour
    assert len(colours) == 1 + len(PRUNERS)


def test_without_full_training_times_are_seconds_and_no_limit_is_offered(tmp_path: Path) -> None:
    lean = write_experiment(tmp_path, with_full=False, seeds=(0,), ratios=(0.5,))
    spec = chart(load_results(lean.store))
    assert "limit" not in {param["name"] for param in spec["params"]}
    assert spec["vconcat"][0]["layer"][-1]["encoding"]["x"]["title"] == "Time (s)"


def test_methods_say_protocol_budget_data_and_what_was_not_run(tmp_path: Path) -> None:
    layout = write_experiment(tmp_path, pruners=("st_prune",), ratios=(0.5,), seeds=(0, 3))
    store_config(layout.store).write_text("protocol: strict\n", encoding="utf-8")
    said = dict(methods(load_results(layout.store)))
    assert said["Protocol"].startswith("strict; ")
    assert (
        said["Budget"]
        == "A pruned run may spend as much as full training of: epochs (synthetic_roads)."
    )
    assert said["Seeds"] == "0, 3"
    assert said["Pruners"].endswith("Not run here: Random (dynamic), Full (fewer epochs).")
    assert "1000 training and 200 test windows, errors in vehicles / 5 min" in said["Data"]
    assert said["Code"] == "Commit 12345678; 1 source digest."


def test_policy_allows_the_very_scripts_and_nothing_else() -> None:
    # The example of the standard: CSP level 3, section 8.2.
    policy = content_policy(["alert('Hello, world.');"])
    assert "script-src 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe-inline" not in policy[policy.index("script-src") :]


def test_a_picture_gets_small_and_stays_the_same() -> None:
    image = Image.new("RGB", (60, 40), "white")
    image.paste((213, 94, 0), (10, 10, 30, 30))
    buffer = io.BytesIO()
    image.save(buffer, "png")
    small = small_png(buffer.getvalue())
    assert small == small_png(buffer.getvalue())
    with Image.open(io.BytesIO(small_png(buffer.getvalue(), 0.25))) as cut:
        assert cut.size == (60, 30)
    with Image.open(io.BytesIO(small)) as found:
        assert found.mode == "P"
        assert found.convert("RGB").tobytes() == image.tobytes()


def test_no_library_can_end_its_script_early() -> None:
    script = vega_script()
    assert "vegaEmbed" in script
    assert "</script" not in script.lower()
    assert "<!--" not in script


def test_environments_that_differ_are_named() -> None:
    rows, differing = compare_environments(
        [
            ({"threads": 1, "cpu": {"name": "a"}}, 1),
            ({"threads": 2, "cpu": {"name": "a"}}, 3),
            ({"threads": 2}, 1),
        ]
    )
    assert dict(rows)["threads"] == "1 (1 run); 2 (4 runs)"
    assert dict(rows)["cpu.name"] == "a (4 runs); not recorded (1 run)"
    assert differing == ["cpu.name", "threads"]
    assert compare_environments([({"threads": 1}, 2)]) == ([("threads", "1")], [])
