"""`make gpu-check`: its short form on the processor, and all of it where there is a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from stprune.training.engine import Engine
from workflow import gpu_check

pytestmark = pytest.mark.usefixtures("one_thread")


def test_on_a_processor_every_check_is_made_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(gpu_check.CHECKS, "side_by_side", lambda *_: "its processes take long")
    file = tmp_path / "found.json"
    assert gpu_check.main(["--device", "cpu", "--short", "--json", str(file)]) == 0
    checks = json.loads(file.read_text(encoding="utf-8"))["checks"]
    assert list(checks) == list(gpu_check.CHECKS)
    skipped = {name for name, check in checks.items() if check["verdict"] == "skip"}
    assert skipped == {"attention", "energy", "memory"}
    assert len(capsys.readouterr().out.splitlines()) == len(checks)


def test_a_run_that_is_not_itself_again_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    state = Engine.state_dict

    def without_generator(engine: Engine) -> dict[str, object]:
        other = torch.Generator().manual_seed(5).get_state()
        return state(engine) | {"torch_rng": other[None]}

    monkeypatch.setattr(Engine, "state_dict", without_generator)
    assert gpu_check.main(["--device", "cpu", "--short", "--only", "resuming"]) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_on_a_gpu() -> None:
    assert gpu_check.main([]) == 0
