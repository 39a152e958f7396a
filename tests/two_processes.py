"""The command line in two processes that find each other, as two devices of a run do.

Fabric starts the second process by itself; here both are started, so that several commands share
the time that their imports take, and one of the processes can be killed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

PROCESSES = 2
# Every command in turn; the first that fails ends it.
PROGRAM = """
import json, sys
from stprune.__main__ import main
for words in json.loads(sys.argv[1]):
    code = main(words)
    if code:
        sys.exit(code)
"""


def start_both(commands: Sequence[Sequence[str]]) -> list[subprocess.Popen[str]]:
    """Start the processes; each does all the commands, words after ``stprune``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-c", PROGRAM, json.dumps([list(command) for command in commands])]
    together = {"WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            words,
            env={**os.environ, **together, "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(PROCESSES)
    ]


def end_of(process: subprocess.Popen[str], seconds: float = 300.0) -> tuple[int, str]:
    """Exit code and standard error of a process, once it has ended."""
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said
