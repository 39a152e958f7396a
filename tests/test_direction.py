"""Imports point one way: no circle between modules, no room that imports a later one."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Each room and the rooms that it may import; every room may import itself.
EARLIER = {
    "base": "",
    "records": "base",
    "data": "base records",
    "backbones": "base records data",
    "pruning": "base records data",
    "baselines": "base records data pruning",
    "loop": "base records data pruning baselines",
    "config": "base records data backbones pruning baselines",
    "training": "base records data backbones pruning baselines config",
    "results": "base records",
    "statistics": "base records results",
    "tracking": "base records results",
    "paper": "base records results statistics",
    "describe": "base records data results statistics paper",
    "paper_figures": "base records results statistics paper describe",
    "workflow": "base records data backbones pruning baselines config training results statistics"
    " tracking paper describe paper_figures",
}


def imports() -> dict[str, set[str]]:
    """Modules of the project and those that they import, wherever the statement stands."""
    folders = ("stprune", "baselines", "paper_figures")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    found = {}
    for module, path in names.items():
        wanted: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                parts = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= parts & set(names) or {node.module}
        found[module] = (wanted & set(names)) - {module}
    return found


IMPORTS = imports()


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "stprune" and len(parts) > 2 else parts[0]


def test_no_circle():
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError, which names the modules


@pytest.mark.parametrize("name", EARLIER)
def test_a_room_imports_only_earlier_ones(name):
    allowed = {name, *EARLIER[name].split()}
    back = {
        (a, b) for a in IMPORTS if room(a) == name for b in IMPORTS[a] if room(b) not in allowed
    }
    assert not back


def test_rooms_that_need_no_torch_do_not_load_it():
    rooms = ("base", "records", "results", "statistics", "paper", "tracking")
    modules = [module for module in IMPORTS if room(module) in rooms]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
