"""Write requirements.lock and environment.yml from this environment, or check it against them.

``python -m workflow.lock`` writes, ``python -m workflow.lock --check`` exits 1 with a line for each
difference.
"""

from __future__ import annotations

import argparse
import re
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-no-deps.lock", "requirements-test.lock")
NOT_PINNED = {"pip", "stprune"}
LOCK_HEADER = "# Complete: installed with --no-deps. Made by `make lock` from {source}.\n"
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


def installed() -> dict[str, str]:
    """Version of every installed package by its normal name, sorted."""
    found = {}
    # Not all of sys.path: setuptools, once imported, puts the copies that it carries there too.
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    for package in distributions(path=sorted(folders)):
        name = normal(package.metadata["Name"])
        # A local label such as +cpu names one build; the pin is for all of them.
        version = package.version.partition("+")[0]
        if name not in NOT_PINNED:
            found[name] = version
    return {name: found[name] for name in sorted(found)}


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(file: str) -> dict[str, str]:
    """Versions that a lock file names."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {normal(name): version.strip() for name, _, version in pairs}


def differences() -> list[str]:
    """How this environment and the files differ; empty if they do not."""
    here = installed()
    wanted = {name: version for file in LOCKS for name, version in pinned(file).items()}
    found = []
    for name in sorted({*here, *wanted}):
        if here.get(name) != wanted.get(name):
            locked, has = (versions.get(name, "nothing") for versions in (wanted, here))
            found.append(f"{name}: the lock says {locked}, this environment has {has}")
    if _listed() != pinned(LOCKS[0]):
        found.append(f"environment.yml and {LOCKS[0]} name different packages; run `make lock`")
    return found


def _listed() -> dict[str, str]:
    """Versions that environment.yml names."""
    values = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    lists = [item["pip"] for item in values["dependencies"] if isinstance(item, dict)]
    return {normal(name): version for name, _, version in (p.partition("==") for p in lists[0])}


def environment(lines: list[str]) -> str:
    """The text of environment.yml for these pins."""
    return ENVIRONMENT_HEADER + "".join(f"      - {line}\n" for line in lines)


def main() -> None:
    """Write both files, or check."""
    parser = argparse.ArgumentParser(prog="python -m workflow.lock", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--tests", action="store_true", help="write the lock of the tests")
    chosen = parser.parse_args()
    if chosen.check:
        found = differences()
        sys.stdout.writelines(f"{line}\n" for line in found)
        sys.exit(1 if found else 0)
    before = pinned(LOCKS[0]) if chosen.tests else {}
    lines = [f"{name}=={pin}" for name, pin in installed().items() if name not in before]
    stem = "requirements-test" if chosen.tests else "requirements"
    header = LOCK_HEADER.format(source=f"{stem}.in")
    (ROOT / f"{stem}.lock").write_text(header + "\n".join(lines) + "\n")
    if not chosen.tests:
        (ROOT / "environment.yml").write_text(environment(lines))


if __name__ == "__main__":
    main()
