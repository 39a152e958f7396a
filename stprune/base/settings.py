"""The entries of a configuration, and the settings of training, compute and tracking."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from stprune.base.schema import StrictModel

BudgetKind = Literal["epochs", "total_windows", "steps", "total_time"]
Tracking = Literal["offline", "online", "disabled"]
ProtocolKind = Literal["paper", "legacy", "strict"]
Options = dict[str, Any]
MOST_RUNS_PER_GPU = 16


class TrainingSettings(StrictModel):
    """How every run is trained."""

    history: int = Field(12, ge=1, description="Input steps T.")
    horizon: int = Field(12, ge=1, description="Forecast steps H.")
    epochs: int = Field(100, ge=1, description="Epochs of full training.")
    budget: BudgetKind = Field(
        "epochs", description="What a run may spend as much of as full training."
    )
    batch_size: int = Field(64, ge=1, description="Largest batch; an epoch is split evenly.")
    evaluation_batch_size: int = Field(256, ge=1, description="Windows per evaluation batch.")
    validate_every: int = Field(1, ge=1, description="Validate every k-th epoch, and the last.")
    patience: int | None = Field(
        None, ge=1, description="Validations without a better; null: no stop."
    )


class ComputeSettings(StrictModel):
    """Where and with how much of the machine a run is trained."""

    accelerator: Literal["cpu", "cuda", "mps", "auto"] = Field(
        "cpu", description="Device kind; `auto`: a GPU where there is one."
    )
    devices: int = Field(1, ge=1, description="Devices (processes, on a CPU) for one run.")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="Lightning Fabric precision."
    )
    matmul: Literal["fp32", "tf32"] = Field(
        "fp32", description="Products and convolutions of float32 on a GPU; tf32 rounds to 10 bits."
    )
    compile: Literal[False, True, "reduce-overhead"] = Field(
        False,
        description="Use torch.compile (needs a C++ compiler); `reduce-overhead`: on a GPU with"
        " CUDA graphs, one for each size of batch.",
    )
    micro_batch: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        None,
        description="Windows of a batch in memory at a time; null: what the backbone advises for a"
        " processor, all on a GPU; `auto`: on a GPU as many as fit, in evaluation too.",
    )
    threads: int = Field(1, ge=1, description="Threads of a run: torch, OpenMP and BLAS.")
    runs_per_job: int | None = Field(
        None, ge=1, description="Runs of one job; null: those of a seed."
    )
    runs_per_gpu: int = Field(
        1, ge=1, le=MOST_RUNS_PER_GPU, description="Runs that share a CUDA device."
    )
    own_cores: bool = Field(
        True, description="Pin the run to cores that no other run uses, if some are free."
    )

    @model_validator(mode="after")
    def _matmul_of_a_gpu(self) -> "ComputeSettings":
        if self.matmul == "tf32" and self.accelerator in ("cpu", "mps"):
            raise ValueError(f"matmul tf32 is for CUDA devices, not {self.accelerator}")
        return self

    @property
    def runs_at_once(self) -> int:
        """Runs of a block that are trained at the same time."""
        return self.runs_per_gpu if self.accelerator == "cuda" else 1


class TimingSettings(StrictModel):
    """What epochs take is measured apart from training: docs/timing.md."""

    rounds: int = Field(
        15, ge=0, description="Rounds of timed epochs, 3 at least and so many at most; 0: none."
    )

    @field_validator("rounds")
    @classmethod
    def _none_or_three(cls, rounds: int) -> int:
        if rounds in (1, 2):
            raise ValueError("an interval takes 3 rounds; use 0 to time nothing")
        return rounds


class TrackingSettings(StrictModel):
    """Weights & Biases; the local records are the truth."""

    mode: Tracking = Field("offline", description="`offline` files, `online`, or `disabled`.")
    project: str = Field("stprune", description="Project of the dashboard.")
    entity: str | None = Field(None, description="Team or user; null for the account's default.")


class Part(StrictModel):
    """Which part of a data set is used."""

    node_stride: int = Field(1, ge=1, description="Take every k-th node.")
    days: int | None = Field(None, ge=1, description="Take the first days only; null for all.")
    window_stride: int = Field(1, ge=1, description="Train on every k-th window.")


class MemberEntry(Part):
    """A data set of a union, or one held out from it; what is not given is the entry's."""

    dataset: str = Field(description="Card in `data/`.")


class LinearProbe(StrictModel):
    """A second evaluation on held-out data sets, after training the last layer on them."""

    epochs: int = Field(ge=1, description="Epochs; the weights of the best validation count.")


class DatasetEntry(Part):
    """A data set under a name of its own, perhaps only a declared part of it; or a union."""

    dataset: str | None = Field(None, description="Card in `data/`; the entry's name by default.")
    task: str = Field("forecast", description="File of `stprune/data/tasks/`.")
    task_options: Options = Field({}, description="Options of the task; its file documents them.")
    union: list[MemberEntry] = Field([], description="Train one model on all of these.")
    zero_shot: list[MemberEntry] = Field([], description="Test a union's model on these as well.")
    linear_probe: LinearProbe | None = Field(
        None, description="Train the last layer there, test again."
    )
    loss_units: Literal["real", "standardised"] = Field(
        "real", description="Errors of a union in each data set's unit, or divided by its sd."
    )
    evaluation_stride: int = Field(1, ge=1, description="Validate and test on every k-th window.")
    training: Options = Field({}, description="Changes to `training` for this data set.")

    @model_validator(mode="before")
    @classmethod
    def _complete_members(cls, values: Any) -> Any:
        """Let a bare name stand for a member, and give each what it does not say itself."""
        if not isinstance(values, dict):
            return values
        if values.get("task") == "transfer" and values.get("dataset") and not values.get("union"):
            # A model of one data set that is tried on others is that of a union of one.
            values = {**values, "union": [values["dataset"]], "dataset": None}
        own = {key: values[key] for key in Part.model_fields if key in values}
        for key in ("union", "zero_shot"):
            if isinstance(values.get(key), list):
                named = [{"dataset": m} if isinstance(m, str) else m for m in values[key]]
                members = [{**own, **m} if isinstance(m, dict) else m for m in named]
                values = {**values, key: members}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetEntry":
        if self.union and self.dataset:
            raise ValueError("an entry has `dataset` or `union`, not both")
        if not self.union and (self.zero_shot or self.loss_units != "real"):
            raise ValueError("`zero_shot` and `loss_units` belong to a `union`")
        if self.linear_probe and not self.zero_shot:
            raise ValueError("`linear_probe` needs data sets in `zero_shot`")
        distinct([member.dataset for member in (*self.union, *self.zero_shot)])
        return self

    def cards(self, name: str) -> list[str]:
        """Ids of the data sets that a run on this entry, called ``name``, reads."""
        listed = [member.dataset for member in (*self.union, *self.zero_shot)]
        return listed or [self.dataset or name]


class BackboneEntry(StrictModel):
    """A backbone under a name of its own, with options."""

    backbone: str | None = Field(None, description="Its id; the entry's name by default.")
    options: Options = Field({}, description="Options of the backbone; its file documents them.")
    optimisation: Options = Field({}, description="Changes to its published optimiser settings.")


class PrunerEntry(StrictModel):
    """A pruner under a name of its own, with options."""

    pruner: str | None = Field(None, description="Its id; the entry's name by default.")
    options: Options = Field({}, description="Options of the pruner; its file documents them.")
    quota: Literal["union", "per_dataset"] = Field(
        "union", description="Share of a union, or of each set."
    )


def distinct(values: list[Any]) -> list[Any]:
    """``values``, or a ValueError if one of them repeats."""
    if len(set(values)) != len(values):
        raise ValueError(f"values repeat: {values}")
    return values
