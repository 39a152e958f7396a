"""Where a result comes from: source files, versions, machine, git commit."""

import ast
import hashlib
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stprune.backbones.base import BACKBONES
from stprune.base.layout import DataLayout
from stprune.config.grid import RunSpec
from stprune.data.canonical import joint_checksum, read_canonical
from stprune.data.card import FORMATS
from stprune.data.tasks.base import TASKS
from stprune.pruning.base import PRUNERS
from stprune.records.timing import settings_digest

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDED_PACKAGES = ("torch", "lightning-fabric", "numpy", "pandas", "torch-geometric", "stprune")


def run_sources(backbone: str, pruner: str, task: str = "forecast") -> list[Path]:
    """Sources of a run: those of `run.py`, and of its own backbone, pruner and task alone."""
    start = REPOSITORY / "stprune" / "training" / "run.py"
    components = BACKBONES.path(backbone), PRUNERS.path(pruner), TASKS.path(task)
    return import_closure([start, *components])


def dataset_sources(format_name: str) -> list[Path]:
    """Source files that a canonical data set depends on."""
    start = REPOSITORY / "stprune" / "data" / "prepare.py"
    return import_closure([start, FORMATS.path(format_name)])


def import_closure(start: list[Path]) -> list[Path]:
    """``start`` and every file of the project that they import, directly or not."""
    found, waiting = set[Path](), [path.resolve() for path in start]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _project_imports(path)
    return sorted(found)


@cache
def _project_imports(path: Path) -> list[Path]:
    """Files of the project that ``path`` imports by an import statement."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = (REPOSITORY / (name.replace(".", "/") + ".py") for name in names)
    return [file.resolve() for file in files if file.exists()]


def source_digest(files: Iterable[Path]) -> str:
    """SHA-256 of names and code of ``files``; comments, docstrings and layout do not count."""
    digest = hashlib.sha256()
    for path in sorted(files):
        name = path.resolve().relative_to(REPOSITORY).as_posix()
        digest.update(f"{name}\0{_code_digest(path)}\n".encode())
    return digest.hexdigest()


@cache
def _code_digest(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.Pass()
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def run_identity(spec: RunSpec, data: DataLayout) -> dict[str, str]:
    """What a result depends on, as it is now; a DataError if the data are not prepared."""
    return {
        "configuration": spec.fingerprint,
        "source code": source_digest(run_sources(spec.backbone, spec.pruner, spec.subset.task)),
        "data": run_checksum(spec.cards, data),
    }


def timing_identity(specs: Sequence[RunSpec], data: DataLayout) -> dict[str, Any]:
    """What the timing of a data set and backbone depends on, by its entries; else as above."""
    runs = [run_identity(spec, data) for spec in specs]
    settings = [settings_digest(spec.resolved()) for spec in specs]
    measuring = source_digest(import_closure([REPOSITORY / "stprune" / "training" / "timing.py"]))
    return {
        "configuration": [
            (spec.key.pruner, spec.key.prune_ratio, digest)
            for spec, digest in zip(specs, settings, strict=True)
        ],
        "source code": [measuring, *(run["source code"] for run in runs)],
        "data": runs[0]["data"],
    }


def run_checksum(cards: Iterable[str], layout: DataLayout) -> str:
    """Checksum of the data sets that a run would read now, as its record has it."""
    return joint_checksum([read_canonical(layout.processed(name)).checksum for name in cards])


@cache
def environment() -> dict[str, Any]:
    """Versions, processor and commit of this process's first call or fork; None: not known."""
    versions: dict[str, str | None] = dict.fromkeys(RECORDED_PACKAGES)
    for package in RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "versions": versions,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
    }


def _git(*words: str) -> str | None:
    command = ["git", "-C", str(REPOSITORY), *words]
    with suppress(OSError, subprocess.CalledProcessError):
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()  # noqa: S603 - fixed arguments
    return None


def _processor() -> str:
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if found := re.search(r"^model name\s*:(.*)$", text, re.MULTILINE):
            return found[1].strip()
    return platform.processor() or platform.machine()
