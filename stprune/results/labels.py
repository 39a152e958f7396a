"""What components are called where people read of them: tables, figures, the report."""

from __future__ import annotations

from collections.abc import Iterable

# Names whose spelling is not their id's; any other id is shown with spaces and a capital.
LABELS = {
    "agcrn": "AGCRN",
    "astgcn": "ASTGCN",
    "craig": "CRAIG",
    "dcrnn": "DCRNN",
    "dlinear": "DLinear",
    "el2n": "EL2N",
    "epsilon_greedy": "Epsilon-greedy",
    "full": "Full training",
    "full_fewer_epochs": "Full (fewer epochs)",
    "glister": "GLISTER",
    "gradmatch": "GradMatch",
    "grand": "GraNd",
    "gwnet": "Graph WaveNet",
    "infobatch": "InfoBatch",
    "k_center": "k-center",
    "lstm": "LSTM",
    "mtgnn": "MTGNN",
    "opencity": "OpenCity",
    "random_dynamic": "Random (dynamic)",
    "random_static": "Random (static)",
    "repb": "RePB",
    "rs2": "RS2",
    "seta": "SeTa",
    "st_prune": "ST-Prune",
    "staeformer": "STAEformer",
    "stgcn": "STGCN",
    "stid": "STID",
    "stnorm": "ST-Norm",
    "sttn": "STTN",
    "ucb": "UCB",
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
    kinds = set(verdicts)
    whose = (
        "Some times"
        if len({kind if isinstance(kind, str) else "" for kind in kinds}) > 1
        else "Times"
    )
    notes = []
    for verdict, (mark, words) in TIMINGS.items():
        if words and verdict in kinds:
            notes.append(f"{whose}{f' (marked {mark})' if mark and not drawn else ''} {words}.")
    if any(not isinstance(kind, str) for kind in kinds):
        instead = "gradient steps are drawn in their place" if drawn else "they are dashes"
        notes.append(f"{whose} are not known, since no timing was run: {instead}.")
    return notes


def label(name: str) -> str:
    """The readable name of a pruner or backbone, also where an entry adds words to it."""
    if name in LABELS:
        return LABELS[name]
    start = max((known for known in LABELS if name.startswith(f"{known}_")), key=len, default="")
    if start:
        return LABELS[start] + name.removeprefix(start).replace("_", " ")
    plain = name.replace("_", " ")
    return plain[:1].upper() + plain[1:]
