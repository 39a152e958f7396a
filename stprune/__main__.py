"""The command line: ``stprune``, or ``python -m stprune``."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import typer

from stprune.base.errors import StpruneError
from stprune.base.text import PlainFormatter, plain_line
from stprune.cli import app

# As a shell reports a process that a signal ended.
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived, which a batch system sends before it kills."""


def _terminate(number: int, frame: Any) -> None:
    raise Terminated


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of the process.

    Returns 0; 1 for a user's mistake, one line on standard error (2 for a wrong command or option,
    or if an account elsewhere is missing); 130 if interrupted, 143 if ended by SIGTERM.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Chatty libraries would bury our own lines.
    for library in ("filelock", "lightning_fabric", "matplotlib", "wandb"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    words = sys.argv[1:] if arguments is None else list(arguments)
    if threading.current_thread() is threading.main_thread():
        # Unwind the stack as Ctrl-C does, so that nothing half-written stays.
        signal.signal(signal.SIGTERM, _terminate)
    try:
        command = typer.main.get_command(app)
        with command.make_context("stprune", words) as context:
            command.invoke(context)
        sys.stdout.flush()
    except StpruneError as error:
        sys.stderr.write(f"stprune: error: {error}\n")
        return error.exit_code
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as mistake:
        message = " ".join(mistake.format_message().split())
        sys.stderr.write(f"stprune: error: {plain_line(message)} (--help lists what there is)\n")
        return mistake.exit_code
    except KeyboardInterrupt as error:
        sys.stderr.write("stprune: interrupted; the same command continues where it stopped\n")
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    except BrokenPipeError:
        # The reader of our output, such as `head`, has left. Python flushes the rest at exit: into
        # nothing, so that it does not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
