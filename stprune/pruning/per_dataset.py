"""Per-data-set quotas: each data set of a union is pruned by itself, to its own share.

With one selection over the union, a pruner may leave a whole data set out whose errors are small;
here each keeps K_k = max(1, round(r n_k)) of its n_k windows.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stprune.base.schema import NoOptions
from stprune.pruning.base import Probe, Pruner, PruningContext, Selection

Build = Callable[[PruningContext], Pruner]


class PerDatasetPruner(Pruner):
    """One pruner for each data set, with its (N, N) graph, behind the interface of a single one.

    Per-window states of the members are views of the union's, so that archives, checkpoints and the
    exchange between devices see one pruner.
    """

    def __init__(self, context: PruningContext, adjacencies: list[Tensor], build: Build) -> None:
        self.members: list[Pruner] = []
        super().__init__(context, NoOptions())
        sizes = [len(store) for store in context.stores]
        self.firsts = np.cumsum([0, *sizes[:-1]]).tolist()
        for number, (store, adjacency) in enumerate(zip(context.stores, adjacencies, strict=True)):
            # A seed of its own; otherwise data sets of one size would keep the same numbers.
            seed = np.random.SeedSequence([context.seed, number]).generate_state(1)[0]
            own = replace(context, windows=len(store), seed=int(seed), stores=(store,))
            if context.times is not None:
                first = self.firsts[number]
                own = replace(own, times=context.times[first : first + len(store)])
            self.members.append(build(replace(own, adjacency=adjacency)))
        self.member = 0
        self._share_state()

    @property
    def epochs(self) -> int:
        """E', the same for all."""
        return self._epochs

    @epochs.setter
    def epochs(self, epochs: int) -> None:
        self._epochs = epochs
        for pruner in self.members:
            pruner.epochs = epochs

    def planned_epochs(self) -> int:
        """Those of the members, whose schedules are the same."""
        return self.members[0].planned_epochs()

    def epoch_windows(self, epoch: int, epochs: int) -> int:
        """Windows of all members together."""
        return sum(pruner.epoch_windows(epoch, epochs) for pruner in self.members)

    def prepare(self, probe: Probe) -> None:
        """Let each prepare for its own windows."""
        for pruner in self.members:
            pruner.prepare(probe)

    def enter(self, member: int) -> None:
        """Batches of this data set follow."""
        self.member = member

    def select(self, epoch: int) -> Selection:
        """The selections of all, numbered as in the union."""
        chosen = [pruner.select(epoch) for pruner in self.members]
        indices = [part.indices + first for part, first in zip(chosen, self.firsts, strict=True)]
        return Selection(np.concatenate(indices), np.concatenate([s.weights for s in chosen]))

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Pass a batch on to the pruner of its data set."""
        self.members[self.member].observe(indices - self.firsts[self.member], errors, mask)

    def state_dict(self) -> dict[str, Any]:
        """The states of all."""
        return {"members": [pruner.state_dict() for pruner in self.members]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        for pruner, values in zip(self.members, state["members"], strict=True):
            pruner.load_state_dict(values)
        self.epochs = self.members[0].epochs
        self._share_state()

    def _share_state(self) -> None:
        """Join the members' per-window tensors, and make each member's a view of its rows."""
        for name in self.members[0].window_state:
            parts = [pruner.window_state[name] for pruner in self.members]
            joined = torch.cat(parts)
            self.window_state[name] = joined
            rows = joined.split([len(part) for part in parts])
            for pruner, own in zip(self.members, rows, strict=True):
                pruner.window_state[name] = own
