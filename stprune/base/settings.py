"""The parts of a configuration that say how runs are trained, where, and who is told of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stprune.base.schema import StrictModel

BudgetKind = Literal["epochs", "total_windows", "steps", "total_time"]
Tracking = Literal["offline", "online", "disabled"]


class TrainingSettings(StrictModel):
    """How every run is trained."""

    history: int = Field(12, ge=1, description="Input steps T.")
    horizon: int = Field(12, ge=1, description="Forecast steps H.")
    epochs: int = Field(100, ge=1, description="Epochs of full training.")
    budget: BudgetKind = Field(
        "epochs",
        description="What a pruned run may spend as much of as full training: its epochs, the"
        " windows it visits, its gradient steps, or its total time, scoring and validation"
        " included. Under the last three it trains for more epochs, on a schedule of that length.",
    )
    batch_size: int = Field(
        64, ge=1, description="Largest batch; an epoch is split evenly into ceil(K / this)."
    )
    evaluation_batch_size: int = Field(256, ge=1, description="Windows per evaluation batch.")
    validate_every: int = Field(1, ge=1, description="Validate every so many epochs, and last.")
    patience: int | None = Field(
        None, ge=1, description="Stop after so many validations without a better one; null: never."
    )


class ComputeSettings(StrictModel):
    """Where and with how much of the machine a run is trained."""

    accelerator: Literal["cpu", "cuda", "mps", "auto"] = Field("cpu", description="Device kind.")
    devices: int = Field(1, ge=1, description="Devices (processes, on a CPU) for one run.")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true", description="Lightning Fabric precision."
    )
    compile: bool = Field(
        False,
        description="Let torch.compile generate code for the network. It takes a C++ compiler;"
        " the time that it takes counts as that of the first epochs.",
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="Windows of a batch that are in memory at a time; their gradients add up, so"
        " only rounding and the draws of dropout differ. null: on a CPU what the backbone advises,"
        " else all.",
    )
    threads: int = Field(1, ge=1, description="Threads of a run: torch, OpenMP and BLAS.")
    runs_per_job: int | None = Field(
        None,
        ge=1,
        description="Runs that one job of the workflow trains, one after another: a number joins"
        " seeds, or cuts a seed's runs, up to it. null: all runs of a data set, backbone and seed.",
    )
    own_cores: bool = Field(
        True, description="Claim cores that no other run uses and pin the run to them."
    )


class TrackingSettings(StrictModel):
    """Weights & Biases; the local records are the truth."""

    mode: Tracking = Field("offline", description="`offline` files, `online`, or `disabled`.")
    project: str = Field("stprune", description="Project of the dashboard.")
    entity: str | None = Field(None, description="Team or user; null for the account's default.")
