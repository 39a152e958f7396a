"""Talking to Weights & Biases: a key that never shows, and failures in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from stprune.base.errors import StpruneError
from stprune.tracking.told import run_settings

# Seconds to wait for any one answer; W&B's own retries would go on for hours.
PATIENCE = 30
LATER = (
    "or write files to send later with `stprune wandb sync --offline`; the records are as before"
)


class WandbError(StpruneError):
    """W&B, or what it holds, is not as it should be."""


class NoAccountError(WandbError):
    """W&B cannot be asked at all: no key, a wrong one, or no network."""

    exit_code: ClassVar[int] = 2


@contextmanager
def signed_in() -> Iterator[Any]:
    """W&B's public API while the block lasts.

    Without a key nothing is asked on the terminal.

    Yields:
        A ``wandb.Api``.

    Raises:
        NoAccountError: If there is no key, W&B refuses it or does not answer.
        WandbError: For whatever goes wrong later, in one line without the key.
    """
    import wandb

    problems = _problems()
    wandb.setup(run_settings(x_graphql_retry_max=3, x_graphql_retry_wait_min_seconds=0.5))
    try:
        yield _api(problems)
    except StpruneError:
        raise
    except problems as error:
        raise WandbError(f"Weights & Biases: {without_key(error)}") from None
    finally:
        wandb.teardown()


def _api(problems: tuple[type[Exception], ...]) -> Any:
    import wandb

    try:
        if not wandb.login(prompt=False, verify=True):
            raise NoAccountError(
                "there is no key of Weights & Biases: run `wandb login`, set WANDB_API_KEY,"
                f" {LATER}"
            )
        return wandb.Api(timeout=PATIENCE)
    except problems as error:
        raise NoAccountError(
            f"Weights & Biases does not let us in: {without_key(error)}; check key and network,"
            f" {LATER}"
        ) from None


def _problems() -> tuple[type[Exception], ...]:
    from wandb.errors import Error

    # What `wandb.Api` raises where it forgets to turn it into an `Error`; there is no public name.
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    return Error, WandbApiFailedError, OSError


def without_key(error: BaseException) -> str:
    """What ``error`` says, on one line, without the key."""
    import wandb

    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    for key in (os.environ.get("WANDB_API_KEY"), wandb.setup().settings.api_key):
        said = said.replace(key, "(key)") if key else said
    return said
