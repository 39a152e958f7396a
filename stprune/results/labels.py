"""What components are called where people read of them: tables, figures, the report."""

from collections.abc import Iterable

ACRONYMS = ["agcrn", "astgcn", "craig", "dcrnn", "el2n", "glister", "lstm", "rs2", "stgcn"]
ACRONYMS += ["stid", "sttn", "ucb"]
# Names whose spelling is not their id's; any other id is shown with spaces and a capital.
LABELS = {
    **{name: name.upper() for name in ACRONYMS},
    "dlinear": "DLinear",
    "epsilon_greedy": "Epsilon-greedy",
    "full": "Full training",
    "full_fewer_epochs": "Full (fewer epochs)",
    "gradmatch": "GradMatch",
    "grand": "GraNd",
    "gwnet": "Graph WaveNet",
    "infobatch": "InfoBatch",
    "k_center": "k-center",
    "opencity": "OpenCity",
    "random_dynamic": "Random (dynamic)",
    "random_static": "Random (static)",
    "repb": "RePB",
    "seta": "SeTa",
    "st_prune": "ST-Prune",
    "staeformer": "STAEformer",
    "stnorm": "ST-Norm",
}

# What is set after a time, and what is said of it, by the verdict of its timing.
TIMINGS = {
    "steady": ("", ""),
    "within runs": ("", "were taken within the runs"),
    "noisy": ("~", "are noisy: mind their intervals"),
    "disturbed": ("!", "were disturbed by other work on the machine and are not to be quoted"),
}


def timing_mark(verdict: object) -> str:
    """What is set after a time of this verdict, such as ``!`` for ``disturbed``."""
    return TIMINGS[verdict][0] if isinstance(verdict, str) else ""


def timing_notes(verdicts: Iterable[object], drawn: bool = False) -> list[str]:
    """What is to be said of times of these verdicts (null: not timed), a sentence each.

    Where times are not ``drawn`` they stand in a table, with their marks.
    """
    kinds = {kind if isinstance(kind, str) else None for kind in verdicts}
    whose = "Some times" if len(kinds) > 1 else "Times"
    notes = [
        f"{whose}{f' (marked {mark})' if mark and not drawn else ''} {words}."
        for verdict, (mark, words) in TIMINGS.items()
        if words and verdict in kinds
    ]
    if None in kinds:
        instead = "gradient steps are drawn in their place" if drawn else "they are dashes"
        notes.append(f"{whose} are not known, since no timing was run: {instead}.")
    return notes


def label(name: str) -> str:
    """The readable name of a pruner or backbone, also where an entry adds words to it."""
    starts = (known for known in LABELS if f"{name}_".startswith(f"{known}_"))
    start = max(starts, key=len, default=name[:1])
    rest = name.removeprefix(start).replace("_", " ")
    return LABELS.get(start, start.upper()) + rest
