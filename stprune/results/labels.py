"""What components are called where people read of them: tables, figures, the report."""

from __future__ import annotations

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


def label(name: str) -> str:
    """The readable name of a pruner or backbone, also where an entry adds words to it."""
    if name in LABELS:
        return LABELS[name]
    start = max((known for known in LABELS if name.startswith(f"{known}_")), key=len, default="")
    if start:
        return LABELS[start] + name.removeprefix(start).replace("_", " ")
    plain = name.replace("_", " ")
    return plain[:1].upper() + plain[1:]
