"""Write requirements.lock and environment.yml from the packages of this environment."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_PINNED = {"pip", "stprune"}
LOCK_HEADER = "# Complete: installed with --no-deps. Made by `make lock` from requirements.in.\n"
ENVIRONMENT_HEADER = """\
# The same pins as requirements.lock, for conda; made by `make lock`, compared by a test.
#   conda env create -f environment.yml && conda activate stprune
#   pip install --no-deps -r requirements-no-deps.lock -e .
name: stprune
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python =3.11
  - pip
  - pip:
"""


def pins() -> list[str]:
    """``name==version`` of every installed package, sorted."""
    found = {}
    for package in distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        # A local label such as +cpu names one build; the pin is for all of them.
        version = package.version.partition("+")[0]
        if name not in NOT_PINNED:
            found[name] = f"{name}=={version}"
    return [found[name] for name in sorted(found)]


def environment(lines: list[str]) -> str:
    """The text of environment.yml for these pins."""
    return ENVIRONMENT_HEADER + "".join(f"      - {line}\n" for line in lines)


def main() -> None:
    """Write both files."""
    lines = pins()
    (ROOT / "requirements.lock").write_text(LOCK_HEADER + "\n".join(lines) + "\n")
    (ROOT / "environment.yml").write_text(environment(lines))


if __name__ == "__main__":
    main()
