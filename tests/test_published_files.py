"""Files of published weights load; what does not fit is named in one line."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from published_pairs import SMALL, build, forecasts

from stprune.backbones.reference import from_published, load_published, to_published
from stprune.base.errors import CheckpointError, UnknownNameError
from stprune.published_forms import published_form


def test_a_weight_that_is_missing_too_many_or_misshapen_is_named() -> None:
    form, ours, _ = build("gwnet", SMALL["gwnet"])
    state = form.state_dict()
    lacking = {key: value for key, value in state.items() if key != "skip_convs.3.weight"}
    message = r"^published gwnet weights lack `skip_convs.3.weight`, expected .* \(6, 4, 1, 1\)$"
    with pytest.raises(CheckpointError, match=message):
        from_published("gwnet", ours, lacking)
    message = r"hold `nodevec1` with shape \(7, 2\), expected \(6, 2\); build the model"
    with pytest.raises(CheckpointError, match=message):
        from_published("gwnet", ours, state | {"nodevec1": torch.zeros(7, 2)})
    message = r"^published gwnet weights hold `module.nodevec1`, which has no place .*$"
    with pytest.raises(CheckpointError, match=message):
        from_published("gwnet", ours, state | {"module.nodevec1": torch.zeros(6, 2)})
    with pytest.raises(CheckpointError, match=r"^our gwnet weights lack `source_embedding`"):
        to_published("gwnet", ours, {})


def test_names_and_models_that_do_not_belong_together() -> None:
    form, ours, _ = build("stid", SMALL["stid"])
    with pytest.raises(UnknownNameError, match="unknown backbone with a published layout `lstm`"):
        from_published("lstm", ours, form.state_dict())
    with pytest.raises(CheckpointError, match="need a model of class Stgcn, got a Stid"):
        to_published("stgcn", ours)
    with pytest.raises(UnknownNameError, match="unknown published form `lstm`"):
        published_form("lstm", ours.task, ours.options)


def test_a_checkpoint_file_loads_in_the_dtype_of_the_model(tmp_path: Path) -> None:
    form, ours, batch = build("stgcn", SMALL["stgcn"])
    path = tmp_path / "final_model_s2018.pt"
    torch.save({key: value.float() for key, value in form.state_dict().items()}, path)
    load_published(path, "stgcn", ours)
    theirs, mine = forecasts(form.float().double().eval(), ours.eval(), batch)
    assert mine.dtype == torch.float64
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


def test_weights_of_staeformers_authors_see_the_weekday_as_a_number_of_days(tmp_path: Path) -> None:
    form, ours, batch = build("staeformer", SMALL["staeformer"])
    path = tmp_path / "weights.pt"
    torch.save(form.state_dict(), path)
    load_published(path, "staeformer", ours, weekday_in_days=True)
    in_days = torch.tensor([1.0, 1.0, 7.0], dtype=torch.float64)
    form.get_submodule("input_proj").register_forward_pre_hook(lambda _, args: args[0] * in_days)
    theirs, mine = forecasts(form.eval(), ours.eval(), batch)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)
    form, ours, _ = build("stid", SMALL["stid"])
    torch.save(form.state_dict(), path)
    with pytest.raises(CheckpointError, match=r"^published stid weights expect weekday / 7"):
        load_published(path, "stid", ours, weekday_in_days=True)


class Stranger:
    """What a file must not be able to make us run."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('ran code of the file')",)


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    _, ours, _ = build("stid", SMALL["stid"])
    before = copy.deepcopy(ours.state_dict())
    path = tmp_path / "weights.pt"
    with pytest.raises(CheckpointError, match="there is no file of weights"):
        load_published(path, "stid", ours)
    path.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_published(path, "stid", ours)
    path.write_bytes(pickle.dumps(Stranger()))
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_published(path, "stid", ours)
    torch.save([torch.zeros(2)], path)
    with pytest.raises(CheckpointError, match="holds a list, not a state_dict"):
        load_published(path, "stid", ours)
    torch.save({"epoch": 3}, path)
    with pytest.raises(CheckpointError, match="holds a int at `epoch` where"):
        load_published(path, "stid", ours)
    torch.save({"node_emb": torch.zeros(6, 3)}, path)
    with pytest.raises(CheckpointError, match="lack `time_series_emb_layer"):
        load_published(path, "stid", ours)
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())
