"""What pruned training on several data sets costs on one it has not seen, against total time."""

from paper_figures import tab_foundation
from stprune.paper import content, draw
from stprune.records.store import REFERENCE
from stprune.results.labels import label, timing_notes
from stprune.results.summary import Results

TITLE = "Error on unseen data against total time"
applies = tab_foundation.applies
SCORES = {"zero_shot_mae": "Zero-shot", "linear_probe_mae": "Linear probe"}


def build(results: Results) -> draw.Drawing:
    """One row per data set entry, backbone and held-out data set: zero-shot, then linear probe."""
    frame = tab_foundation.held_out_scores(results)
    parts = dict(list(frame.groupby(tab_foundation.PLACE)))
    rows = [
        content.with_unit(f"{held_out}, {label(str(backbone))}\nMAE", part["held_out_unit"])
        for (_, backbone, held_out), part in parts.items()
    ]
    scores = [score for score in SCORES if frame[score].notna().any()]
    shown = draw.looks(frame["pruner"])
    x, name, unit = content.time_axis(frame)
    figure, grid = draw.panels(
        rows,
        [SCORES[score] for score in scores],
        2.5,
        xlabel=f"{name} ({unit})",
        legend=draw.entries(shown),
    )
    for part, panels in zip(parts.values(), grid, strict=True):
        for axes, score in zip(panels, scores, strict=True):
            draw.reference(axes, part[part["pruner"] == REFERENCE], score)
            draw.lines(axes, part, x, score, shown)
            axes.margins(x=0.05, y=0.10)
            axes.set_xlim(left=0)
    held_out, seen = (", ".join(frame[name].unique()) for name in ("held_out", "dataset"))
    caption = (
        f"Test MAE on {held_out}, which models trained on {seen} have not seen: mean and one"
        f" standard deviation over {content.seed_count(results.aggregate)}. Each line joins a"
        " pruner's prune ratios."
    )
    caption = " ".join([caption, *timing_notes(frame["timing"], drawn=True)])
    return draw.Drawing(figure, caption)
