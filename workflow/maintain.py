"""What is generated: pins of the environment, schemas and config/README.md.

``lock`` writes requirements.lock and environment.yml from this environment (``tests``:
requirements-test.lock), ``check`` names differences, ``reference`` writes what the models say.
"""

import argparse
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-no-deps.lock", "requirements-test.lock")
STEMS = {"lock": "requirements", "tests": "requirements-test"}
NOT_PINNED = {"pip", "stprune"}


def installed() -> dict[str, str]:
    """Version of every installed package by its normal name, sorted."""
    # Not all of sys.path: setuptools, once imported, puts the copies that it carries there too.
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    packages = distributions(path=sorted(folders))
    # A local label such as +cpu names one build; the pin is for all of them.
    found = {canonicalize_name(p.metadata["Name"]): p.version.partition("+")[0] for p in packages}
    return {name: found[name] for name in sorted(found.keys() - NOT_PINNED)}


def pins(lines: list[str]) -> dict[str, str]:
    """Versions that lines such as ``numpy==2.0`` pin."""
    pairs = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version.strip() for name, _, version in pairs}


def pinned(file: str) -> dict[str, str]:
    """Versions that a lock file pins."""
    return pins((ROOT / file).read_text(encoding="utf-8").splitlines())


def differences() -> list[str]:
    """How this environment and the locks differ; empty if they do not."""
    here = installed()
    wanted = {name: version for file in LOCKS for name, version in pinned(file).items()}
    return [
        f"{name}: the lock says {wanted.get(name, 'nothing')},"
        f" this environment has {here.get(name, 'nothing')}"
        for name in sorted({*here, *wanted})
        if here.get(name) != wanted.get(name)
    ]


def write_lock(stem: str) -> None:
    """Write the lock ``stem``, and environment.yml from that of the runtime."""
    before = {} if stem == "requirements" else pinned(LOCKS[0])
    lines = [f"{name}=={pin}" for name, pin in installed().items() if name not in before]
    header = f"# Complete: installed with --no-deps. Made by `make lock` from {stem}.in.\n"
    (ROOT / f"{stem}.lock").write_text(header + "\n".join(lines) + "\n")
    if stem == "requirements":
        environment = ROOT / "environment.yml"
        head, pip, _ = environment.read_text().partition("  - pip:\n")
        listed = "".join(f"      - {line}\n" for line in lines)
        environment.write_text(head + pip + listed)


def pages() -> dict[Path, str]:
    """Path and text of everything that is generated from models."""
    from stprune.config.experiment import ExperimentConfig
    from stprune.data.card import DatasetCard
    from stprune.records.run import RunRecord

    models: dict[str, Any] = {"config": ExperimentConfig, "dataset": DatasetCard, "run": RunRecord}
    header = "# Written by `make reference`; editors can complete and check with it.\n"
    found = {ROOT / "config" / "README.md": _configuration_page()}
    for name, model in models.items():
        text = yaml.safe_dump(model.model_json_schema(), sort_keys=False, width=100)
        found[ROOT / "workflow" / "schemas" / f"{name}.schema.yaml"] = header + text
    return found


def _configuration_page() -> str:
    """Below an introduction: every key of a configuration, every option of every component."""
    from stprune.backbones.base import BACKBONES, OptimiserSettings
    from stprune.base import settings
    from stprune.config.experiment import ExperimentConfig
    from stprune.data.tasks.base import TASKS
    from stprune.pruning.base import PRUNERS

    sections: dict[str, Any] = {
        "Top level": ExperimentConfig,
        "`datasets.<name>`": settings.DatasetEntry,
        "`datasets.<name>.union[]`, `datasets.<name>.zero_shot[]`": settings.MemberEntry,
        "`datasets.<name>.linear_probe`": settings.LinearProbe,
        "`backbones.<name>`": settings.BackboneEntry,
        "`pruners.<name>`": settings.PrunerEntry,
    }
    for name, field in ExperimentConfig.model_fields.items():
        value = field.get_default(call_default_factory=True)
        sections |= {f"`{name}`": type(value)} if hasattr(value, "model_dump") else {}
    sections["`backbones.<name>.optimisation`"] = OptimiserSettings
    introduction = (ROOT / "config" / "README.md").read_text("utf-8").partition("\n## ")[0]
    parts = [introduction, *(_table(f"## {title}", model) for title, model in sections.items())]
    for title, registry in (("Tasks", TASKS), ("Pruners", PRUNERS), ("Backbones", BACKBONES)):
        parts.append(f"# {title}' options\n")
        for name in registry.ids():
            summary = (registry.module(name).__doc__ or "").strip().splitlines()[0]
            parts.append(_table(f"## `{name}`\n\n{summary}", registry.load(name).Options))
    return "\n".join(parts)


def _table(title: str, model: Any) -> str:
    if not model.model_fields:
        return f"{title}\n\nNo options.\n"
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = "null" if value is None else f"`{value}`"
        if field.is_required():
            default = "required"
        elif hasattr(value, "model_dump"):
            default = "see below"
        kind = _kind(properties[name]).replace("|", "\\|")
        rows.append(f"| `{name}` | {kind} | {default} | {field.description or ''} |")
    return title + "\n\n" + "\n".join(rows) + "\n"


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " | ".join(_kind(part) for part in schema["anyOf"])
    if "$ref" in schema or "allOf" in schema:
        return "section"
    return "list" if schema.get("type") == "array" else str(schema.get("type", "any"))


def main() -> int:
    """Do what the word on the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("check", "reference", *STEMS))
    task = parser.parse_args().task
    if task == "check":
        found = differences()
        sys.stdout.writelines(f"{line}\n" for line in found)
        return 1 if found else 0
    if task == "reference":
        for path, text in pages().items():
            path.write_text(text, encoding="utf-8")
    else:
        write_lock(STEMS[task])
    return 0


if __name__ == "__main__":
    sys.exit(main())
