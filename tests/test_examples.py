"""Each example runs, and prints what was kept and a loss that falls."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FULL, PRUNED = 490, 147  # n, and 30 % of it
KEPT = [FULL, *[PRUNED] * 6, FULL]
BATCHES = [16, *[5] * 6, 16]
Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an example in this process; returns what it printed."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def output_of(name: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *words])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return output_of


def distributed() -> str:
    """What two processes print that torchrun starts."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *words, str(EXAMPLES / "plain_loop.py")]
    return subprocess.check_output(command, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def column(output: str, pattern: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, output)]


@pytest.mark.parametrize("without", [False, True])
def test_the_loop_of_the_readme_runs_as_it_stands(without):
    text = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    if without:
        assert 'options={"strata": 1}' in code
        code = code.replace("stationarity=psi", 'options={"strata": 1}')
    inputs = torch.randn(100, 4, 3, generator=torch.Generator().manual_seed(0))
    model = torch.nn.Linear(3, 3)
    before = model.weight.detach().clone()
    names: dict[str, Any] = {
        "inputs": inputs,
        "targets": inputs.cumsum(1),
        "mask": torch.ones_like(inputs, dtype=torch.bool),
        "psi": inputs.std((1, 2)),
        "model": model,
        "optimiser": torch.optim.SGD(model.parameters(), lr=0.1),
    }
    exec(code, names)  # noqa: S102 - the text of our own page
    assert names["pruning"].epoch == 20
    assert not torch.equal(before, model.weight)


EPOCHS = {r"epoch (\d+):": list(range(8)), r"kept (\d+) of 490": KEPT}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning warns of settings that do not matter here
def test_examples_print_what_they_kept(run):
    losses = {}
    for name, columns in {
        "plain_loop": EPOCHS,
        "distributed": EPOCHS,
        "data_loader": EPOCHS | {r"in (\d+) batches": BATCHES},
        "lightning_trainer": {r"epoch \d+: (\d+) batches": BATCHES},
    }.items():
        output = distributed() if name == "distributed" else run(name)
        for pattern, expected in columns.items():
            assert column(output, pattern) == expected
        losses[name] = column(output, r"loss ([\d.]+)")
        # Both are of all windows, with weight 1.
        assert losses[name][-1] < losses[name][0] / 2
    # Two processes train what one does; the printed loss may differ in its last digit.
    assert losses["distributed"] == pytest.approx(losses["plain_loop"], abs=0.002)


def test_own_data_from_two_files_to_a_trained_run(run, tmp_path):
    output = run("own_data", str(tmp_path))
    # 12 of 336 hours of one sensor in four.
    assert "0.89% missing" in output
    (error,) = column(output, r"test MAE ([\d.]+) vehicles / h over \d+ windows")
    assert 0 < error < 40
    assert (tmp_path / "data" / "ring_road.yaml").is_file()
