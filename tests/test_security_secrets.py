"""Keys, tokens and passwords are in no record, log, report, configuration or message."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import wandb
import wandb_stand_in
from toy_runs import key_of
from web_site import card_of

from stprune.__main__ import main
from stprune.base.errors import ConfigError, FetchError
from stprune.base.layout import DataLayout
from stprune.base.settings import TrackingSettings
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout
from stprune.data import fetch as module
from stprune.data.fetch import fetch
from stprune.results.summarise import summarise
from stprune.tracking.run import WandbTracking
from stprune.training.run import train

SECRETS = {
    "WANDB_API_KEY": "5ec4e7" + "0a" * 17,
    "KAGGLE_API_TOKEN": "KGAT_5ec4e7token",
    "KAGGLE_KEY": "5ec4e7kagglekey",
    "HTTPS_PROXY": "http://me:5ec4e7proxy@127.0.0.1:9",
    "HTTP_PROXY": "http://me:5ec4e7proxy@127.0.0.1:9",
    "STPRUNE_MIRROR": "http://me:5ec4e7mirror@127.0.0.1:9/files",
}
MARK = "5ec4e7"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("secrets")
def test_a_failing_fetch_says_no_password(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "TRIES", 1)
    layout = DataLayout(tmp_path)
    card = card_of("https://data.example.org/a/series.csv")
    with caplog.at_level(logging.DEBUG), pytest.raises(FetchError) as caught:
        fetch("toy", card, layout, None)
    assert "http://...@127.0.0.1:9/files/data.example.org/a/series.csv" in str(caught.value)
    assert MARK not in str(caught.value)
    # The same through the command line, whose log lines pass its own formatter.
    (tmp_path / "mine.yaml").write_text(str(card.model_dump(mode="json")))
    assert main(["data", "fetch", "mine", "--data-directory", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert "series.csv" in output.err
    assert MARK not in output.err + output.out


def test_a_configuration_with_a_password_is_refused(toy_values: dict[str, Any]) -> None:
    values = toy_values | {"mirror": SECRETS["STPRUNE_MIRROR"]}
    with pytest.raises(ConfigError, match="STPRUNE_MIRROR") as caught:
        parse_config(values, "the configuration")
    assert MARK not in str(caught.value)


@pytest.mark.slow
@pytest.mark.usefixtures("secrets")
def test_a_tracked_run_holds_no_secret(
    toy_config: ExperimentConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = experiment_layout(toy_config)
    key = key_of("st_prune", 0.5)
    settings = TrackingSettings(mode="offline")
    with caplog.at_level(logging.DEBUG), wandb_stand_in.wandb_alone(tmp_path / "home"):
        train(toy_config, key, [WandbTracking(settings, layout.tracking())])
        wandb.teardown()
    summarise([layout.metrics(key)], layout)
    files = [path for path in layout.root.rglob("*") if path.is_file()]
    assert {"metrics.json", "summary.csv"} <= {path.name for path in files}
    assert any(path.suffix == ".wandb" for path in files)
    assert [path for path in files if MARK.encode() in path.read_bytes()] == []
    assert MARK not in caplog.text
