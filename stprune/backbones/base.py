"""The contract of every backbone: scaled history in, scaled forecast out.

A backbone is one file ``stprune/backbones/<id>.py`` with one subclass of :class:`Backbone`.
Its header names the paper, the venue, the official code and where we differ.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from stprune.base.errors import DeclinedError
from stprune.base.registry import Registry
from stprune.base.schema import NoOptions, StrictModel

if TYPE_CHECKING:
    from stprune.data.windows import WindowStore


@dataclass(frozen=True)
class ForecastTask:
    """What a backbone is built for: H steps ahead of one of C channels, from T steps of N nodes.

    ``channels`` are the measured ones, without the calendar; ``time_of_day`` lies in [0,
    ``steps_per_day``); ``adjacency`` is (N, N) float32, the weight of the edge from row to column,
    0 for none.
    """

    nodes: int
    history: int
    horizon: int
    channels: int
    target_channel: int
    steps_per_day: int
    adjacency: Tensor


class OptimiserSettings(StrictModel):
    """How a backbone is optimised unless the configuration says otherwise."""

    optimiser: Literal["adam", "adamw", "sgd", "muon"] = Field(
        "adam", description="By name; `muon`: Muon for matrices, AdamW for the rest."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Initial (largest) learning rate.")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty (decoupled for adamw and muon).")
    momentum: float | None = Field(None, ge=0, lt=1, description="sgd (null: 0.9), muon (0.95).")
    muon_scale: Literal["adamw", "original"] = Field(
        "adamw", description="Size of muon's steps: AdamW's (Liu et al. 2025), or Jordan's (2024)."
    )
    muon_excludes: tuple[str, ...] = Field(
        (), description="Matrices that muon leaves to AdamW, by patterns such as `*embedding*`."
    )
    clip_norm: float = Field(0.0, ge=0, description="Largest gradient norm; 0 leaves it alone.")
    schedule: Literal["cuts", "cosine"] = Field(
        "cuts",
        description="`cuts`: constant but for `milestones` or `step_epochs`, in epochs of full"
        " training; `cosine`: down to `final_rate` over what the run itself will visit.",
    )
    milestones: tuple[int, ...] = Field((), description="Epochs after which the rate is cut.")
    step_epochs: int = Field(0, ge=0, description="Epochs from cut to cut; 0: no cuts.")
    gamma: float = Field(1.0, gt=0, description="Factor of each cut.")
    schedule_unit: Literal["steps", "epochs"] = Field(
        "steps", description="Cosine: change the rate at each gradient step, or once an epoch."
    )
    warmup: float = Field(0.0, ge=0, lt=1, description="Cosine: share of the run that rises.")
    final_rate: float = Field(0.0, ge=0, le=1, description="Cosine: share left at the end.")

    @model_validator(mode="after")
    def _one_optimiser_and_schedule(self) -> Self:
        """Refuse what would silently do nothing."""
        muon, cosine = self.optimiser == "muon", self.schedule == "cosine"
        if self.momentum is not None and not muon and self.optimiser != "sgd":
            raise ValueError(f"momentum is for sgd and muon; {self.optimiser} has its own")
        if not muon and (self.muon_scale != "adamw" or self.muon_excludes):
            raise ValueError(f"muon_scale and muon_excludes are for muon, not {self.optimiser}")
        if self.milestones and self.step_epochs:
            raise ValueError("the rate is cut at milestones or every step_epochs, not both")
        if list(self.milestones) != sorted({m for m in self.milestones if m > 0}):
            raise ValueError(f"milestones rise, from 1, not {list(self.milestones)}")
        if cosine and (self.milestones or self.step_epochs):
            raise ValueError("schedule cosine has no cuts; set milestones [] and step_epochs 0")
        if not cosine and (self.warmup or self.final_rate):
            raise ValueError("warmup and final_rate are for schedule cosine, not cuts")
        return self


class Backbone(nn.Module, ABC):
    """A forecasting model, whose layers are built from ``(task, options)``.

    Raises:
        DeclinedError: If it cannot do the task.
        DataError: If it uses the graph, and that has negative weights.

    Attributes:
        Options: Schema of the backbone's own options, with the published sizes as defaults.
        optimisation: Published optimiser settings.
        trains: False for a forecaster that learns nothing by gradients; :meth:`fit` is all of it.
        transferable: True if no weight depends on the number of nodes, so that the model can
            forecast on other graphs; see :meth:`use_graph`.
        legacy_options: Options that `protocol: legacy` sets where the configuration does not.
        ignores: Inputs that no forecast depends on, by the model's definition: ``history`` (all
            steps), ``past`` (all steps but the last), ``other channels`` than the target, and
            ``calendar``. The contract tests check that it is exactly these.
    """

    Options: ClassVar[type[StrictModel]] = NoOptions
    optimisation: ClassVar[OptimiserSettings] = OptimiserSettings()
    trains: ClassVar[bool] = True
    transferable: ClassVar[bool] = False
    legacy_options: ClassVar[dict[str, Any]] = {}
    ignores: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, task: ForecastTask, options: Any) -> None:
        super().__init__()
        self.task = task
        self.options = options
        self.graph_form: nn.Module | None = None
        self._known_graphs: dict[str, nn.Module | None] = {}

    @abstractmethod
    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """Forecast the target, (B, H, N), from standardised inputs (B, T, N, C), both float.

        Slot of the day and weekday (Monday = 0) of each input step are (B, T) int64.
        """

    def fit(self, store: "WindowStore") -> None:
        """Estimate from the training windows what is not learnt by gradients, before all epochs.

        What is estimated belongs into persistent buffers. By default nothing is.
        """

    def derive_graph(self, adjacency: Tensor) -> nn.Module | None:
        """What a transferable backbone needs of a graph (N, N), in buffers; by default nothing.

        Its ``__init__`` sets ``graph_form`` to that of the task; :meth:`use_graph` replaces it.
        """
        return None

    def use_graph(self, name: str, adjacency: Tensor) -> None:
        """Forecast on another graph, (N, N) float32, from now on; N may differ from the task's.

        What is derived from it is kept under ``name``. A DeclinedError if not transferable.
        """
        if not self.transferable:
            backbone = type(self).__module__.rpartition(".")[2]
            why = f"its weights belong to {self.task.nodes} nodes, which are not those of `{name}`"
            raise DeclinedError(f"{backbone}: {why}; take a backbone that is transferable")
        if name not in self._known_graphs:
            self._known_graphs[name] = self.derive_graph(adjacency)
        form = self._known_graphs[name]
        self.graph_form = form if form is None else form.to(next(self.parameters()))

    @classmethod
    def from_public_weights(cls, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state of the public code by the names and shapes of ours, where they are known."""
        raise DeclinedError(f"{cls.__name__} cannot read weights of public code")

    def micro_batch(self) -> int | None:
        """Windows of a batch that train fastest together on a CPU; None, the default, for all."""
        return None

    def calendar_inputs(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """Inputs with two channels appended: fraction of the day, and weekday / 7.

        That is (B, T, N, C + 2), as in LargeST; with an option `calendar: false`, the inputs.
        """
        if not getattr(self.options, "calendar", True):
            return inputs
        day = time_of_day.to(inputs.dtype) / self.task.steps_per_day
        calendar = torch.stack([day, day_of_week.to(inputs.dtype) / 7], dim=-1)
        return torch.cat([inputs, calendar[:, :, None].expand(*inputs.shape[:3], 2)], dim=-1)


def fitting_windows(values: int) -> int:
    """Windows in a micro-batch whose largest frequent tensor has ``values`` numbers a window.

    About 10 MB: measured with STAEformer (5 to 20 MB did about as well) and STGCN (8 to 33 MB).
    """
    return max(1, 10_000_000 // (4 * values))


def uniform(bound: float, *shape: int) -> nn.Parameter:
    """A parameter that starts uniformly within ``bound`` of 0."""
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def parameter_count(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


BACKBONES: Registry[Backbone] = Registry(
    kind="backbone", packages=("stprune.backbones",), contract="stprune.backbones.base:Backbone"
)
