"""What the kept experiments give is known, and what depends on them."""

import json
import shutil
from pathlib import Path

import pytest
from synthetic_records import PRUNERS, write_experiment

from stprune.__main__ import main
from stprune.base.layout import RECORDS, kept_experiments, kept_hashes
from stprune.paper.products import check_products
from stprune.workflow.plan import WorkflowPlan

KEPT = Path(__file__).parents[1] / RECORDS


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kept experiment whose runs are gone."""
    layout = write_experiment(tmp_path_factory.mktemp("experiment"), pruners=PRUNERS[2:4])
    folder = tmp_path_factory.mktemp("records")
    shutil.move(layout.store, folder / "made_up")
    shutil.rmtree(layout.root)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", kept_experiments(KEPT))
def test_the_kept_records_give_what_they_are_to_give(name):
    assert check_products(KEPT / name).differences == []


def test_the_check_names_what_differs(records, tmp_path, capsys):
    copied = tmp_path / "records"
    shutil.copytree(records, copied)
    here = ["--records", str(copied), "made_up"]
    assert main(["paper", "--write-hashes", *here]) == 0
    assert "no hashes.json" in capsys.readouterr().out
    path = kept_hashes(copied / "made_up")
    hashes = json.loads(path.read_text(encoding="utf-8"))
    hashes["tables"]["main"] = hashes["figures"]["tradeoff"] = "0" * 64
    del hashes["tables"]["pairs"], hashes["figures"]["method"]
    path.write_text(json.dumps(hashes), encoding="utf-8")
    assert main(["paper", "--check", *here]) == 1
    said = capsys.readouterr()
    assert "table main differs; figure tradeoff differs\n" in said.out
    assert "made_up" in said.err
    made = check_products(copied / "made_up").hashes
    assert {kind: set(made[kind]) for kind in made} == {kind: set(hashes[kind]) for kind in hashes}
    path.write_text(json.dumps({"figures": {"tradeof": ""}}), encoding="utf-8")
    assert main(["paper", "--check", *here]) == 1
    assert str(path) in capsys.readouterr().err


def test_what_is_not_kept_is_one_line(records, tmp_path, capsys):
    (tmp_path / "records" / "data").mkdir(parents=True)
    cases = {
        ("made_upp", "--records", str(records)): "`made_upp`",
        ("--records", str(tmp_path)): str(tmp_path),
        ("data", "--records", str(tmp_path / "records")): str(tmp_path / "records" / "data"),
    }
    for arguments, named in cases.items():
        assert main(["paper", *arguments]) == 1
        said = capsys.readouterr().err
        assert named in said
        assert said.count("\n") == 1


def test_rules_depend_on_records_and_code_but_not_on_hashes(records, toy_values, monkeypatch):
    (records / "data" / "roads").mkdir(parents=True)
    (records / "data" / "roads" / "description.json").touch()
    (records / "data" / "hashes.json").touch()
    monkeypatch.setattr("stprune.workflow.plan.RECORDS", records)
    plan = WorkflowPlan(toy_values)
    paper = Path(toy_values["results_directory"]) / "paper"
    assert plan.paper_reports == [str(paper / "made_up/report.html")]
    assert str(paper / "data/figures") in plan.paper_products
    assert str(records / "data/roads/description.json") in plan.kept
    assert {Path(path).parent for path in plan.kept} == {
        records / "made_up",
        records / "data/roads",
    }
    assert not any("hashes" in path for path in plan.kept)
    assert {"fig_tradeoff.py", "report.py", "report.html.j2", "paper.mplstyle"} <= {
        Path(path).name for path in plan.product_code
    }
