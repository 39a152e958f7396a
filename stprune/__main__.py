"""The command line: ``stprune``, or ``python -m stprune``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from stprune.command_line import build_parser
from stprune.errors import StpruneError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words after the program's name; those of the process by default.

    Returns:
        0; 1 for a user's mistake, which is one line on standard error; 130 if interrupted.
    """
    parsed = build_parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    # Chatty libraries would bury our own lines.
    for library in ("filelock", "lightning_fabric", "matplotlib"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # It tells of each retry at length; what became of a download is told by us.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        parsed.command(parsed)
        sys.stdout.flush()
    except StpruneError as error:
        sys.stderr.write(f"stprune: error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stprune: interrupted; the same command continues where it stopped\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output, such as `head`, has seen enough. What Python would still flush
        # at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
