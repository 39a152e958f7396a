"""`make faults`: disturb hundreds of processes, and exit 1 if anything is not as without."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from faults.grids import Grids
from faults.project import Project
from faults.server import import_everything
from faults.single_commands import SingleCommands
from faults.tally import Tally

# Of a hundred deaths, so many at each stage; the other faults are counted beside them.
SHARES = {"training": 50, "preparation": 16, "collection": 20, "block": 6, "snakemake": 8}
STAGES = (*SHARES, "others")


def campaign(folder: Path, kills: int, seed: int, stages: Sequence[str]) -> Tally:
    """Try at least ``kills`` deaths below ``folder``, and a tenth as many of each other fault.

    Fewer if ``stages`` are not all.
    """
    import_everything()
    chance, tally = random.Random(seed), Tally()  # noqa: S311 - moments, no secrets
    project = Project.made(folder)
    single = SingleCommands(project, chance, tally)
    for stage, trial in (
        ("training", single.kill_training),
        ("preparation", single.kill_preparation),
        ("collection", single.kill_collection),
    ):
        wanted = _share(kills, stage) if stage in stages else 0
        _try(trial, tally, stage, wanted)
    for stage, trial in (
        ("SIGTERM, SIGINT", single.tell_to_end),
        ("damaged checkpoint", single.damage_checkpoint),
        ("full disk", single.fill_disk),
    ):
        _try(trial, tally, stage, max(1, kills // 10) if "others" in stages else 0)
    grids = [stage for stage in ("block", "snakemake") if stage in stages]
    experiments = Grids(project, chance, tally) if grids else None
    for stage in grids:
        assert experiments is not None
        experiments.kill(stage, _share(kills, stage))
    return tally


def _try(trial: Callable[[], None], tally: Tally, stage: str, wanted: int) -> None:
    """Repeat a trial until so many faults have struck: some come too late, or fit on the disk."""
    while tally.tried[stage] < wanted:
        trial()


def _share(kills: int, stage: str) -> int:
    return max(1, round(kills * SHARES[stage] / 100))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="deaths to try (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the counts there")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="only these")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there, and leave it there")
    parsed = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stprune-faults-") as scratch:
        folder = parsed.keep or Path(scratch)
        tally = campaign(folder, parsed.kills, parsed.seed, parsed.stages)
    seconds = round(time.monotonic() - start)
    sys.stdout.write(f"{tally.text()}{seconds} s, seed {parsed.seed}\n")
    if parsed.json is not None:
        parsed.json.write_text(json.dumps({**tally.values(), "seconds": seconds}, indent=2) + "\n")
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
