"""EL2N: keep the windows with the largest error norm early in training.

Paper: Paul, Ganguli, Dziugaite, "Deep learning on a data diet: finding important examples
early in training". Venue: NeurIPS 2021. Official code: github.com/mansheej/data_diet.
Where we differ: the error vector is that of the forecast (all horizon steps and nodes, real
units); it is a masked root mean square. Training the scoring models is charged to the run.
"""

import torch
from torch import Tensor

from stprune.pruning.base import Probe, PruningContext, Selection
from stprune.pruning.static import ScoringOptions, StaticPruner, keep_highest, scoring_seed


def error_norm(errors: Tensor, mask: Tensor) -> Tensor:
    """(B,) masked root mean square of errors (B, H, N), which are 0 where masked."""
    return (errors.square().sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)).sqrt()


class EL2N(StaticPruner):
    """Keeps the K windows with the largest mean error norm; ties go to the earlier window."""

    Options = ScoringOptions
    draws = False
    options: ScoringOptions

    def __init__(self, context: PruningContext, options: ScoringOptions) -> None:
        super().__init__(context, options)
        self.window_state["scores"] = torch.zeros(context.windows, device=context.device)

    def choose(self, probe: Probe) -> Selection:
        """Train the scoring models and add up their error norms."""
        scores = self.window_state["scores"]
        for repeat in range(self.options.scoring_seeds):
            model = scoring_seed(self.context.seed, repeat)
            for indices, errors, mask in probe.train(self.options.scoring_epochs, model):
                scores[indices] += error_norm(errors, mask)
        return keep_highest(scores.cpu().numpy(), self.size)
