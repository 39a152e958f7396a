"""A process that has imported everything and forks commands for a test process, which has threads.

python -m faults.server
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from faults.victim import End, Fault, run

ROOT = Path(__file__).resolve().parents[2]
SEARCHED = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


class Server:
    """The process, seen from outside."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "faults.server"],
            env={**os.environ, **SEARCHED, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, words: Sequence[str], folder: Path, fault: Fault | None = None) -> End:
        """See :func:`faults.victim.run`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([words, str(folder), fault or Fault()]) + "\n")
        self.process.stdin.flush()
        return End(**json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def import_everything() -> None:
    """All that a command will import, so that a forked process starts at once."""
    import stprune.__main__
    import stprune.data.formats.wide_csv
    import stprune.data.prepare
    import stprune.paper.figures
    import stprune.paper.tables
    import stprune.tracking.run
    import stprune.workflow.progress
    import stprune.workflow.train  # noqa: F401
    from faults.project import PRUNERS as USED
    from stprune.backbones.base import BACKBONES
    from stprune.data.tasks.base import TASKS
    from stprune.pruning.base import PRUNERS

    # Python imports it late, which a process without rights could not.
    "".encode("unicode_escape")
    BACKBONES.load("stid")
    TASKS.load("forecast")
    for pruner in USED:
        PRUNERS.load(pruner)


def main() -> None:
    """Answer requests, a line each, until there are no more."""
    import_everything()
    for line in sys.stdin:
        words, folder, fault = json.loads(line)
        end = run(words, Path(folder), Fault(*fault))
        sys.stdout.write(json.dumps(dataclasses.asdict(end)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
