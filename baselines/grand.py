"""GraNd: keep the windows with the largest gradient norm early in training.

Paper: Paul, Ganguli, Dziugaite, "Deep learning on a data diet: finding important examples
early in training". Venue: NeurIPS 2021. Official code: github.com/mansheej/data_diet.
Where we differ: regression reading, the loss is the masked MAE of a window; the gradient is that
of the last linear layer's weights, as in DeepCore (Guo et al. 2022), not of all weights;
training the scoring models is charged to the run.
"""

import numpy as np

from stprune.pruning.base import Probe, Selection
from stprune.pruning.static import ScoringOptions, StaticPruner, keep_highest, scoring_seed


class GraNd(StaticPruner):
    """Keeps the K windows with the largest mean norm; ties go to the earlier window."""

    Options = ScoringOptions
    draws = False
    options: ScoringOptions

    def choose(self, probe: Probe) -> Selection:
        """Add up the norms of the scoring models, in which whole gradients are never stored."""
        norms = np.zeros(self.context.windows)
        for repeat in range(self.options.scoring_seeds):
            seed = scoring_seed(self.context.seed, repeat)
            gradients = probe.gradients(self.options.scoring_epochs, seed, None)
            for indices, values in gradients.training:
                norms[indices.cpu().numpy()] += values.norm(dim=1).cpu().numpy()
        return keep_highest(norms, self.size)
