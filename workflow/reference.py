"""Write the JSON schemas and config/README.md from the models that check configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from stprune.backbones.base import BACKBONES, OptimiserSettings
from stprune.base.schema import StrictModel
from stprune.base.settings import (
    BackboneEntry,
    ComputeSettings,
    DatasetEntry,
    LinearProbe,
    MemberEntry,
    PrunerEntry,
    TrackingSettings,
    TrainingSettings,
)
from stprune.config.experiment import ExperimentConfig
from stprune.data.card import DatasetCard
from stprune.data.tasks.base import TASKS
from stprune.pruning.base import PRUNERS
from stprune.records.run import RunRecord

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS: dict[str, type[StrictModel]] = {
    "config": ExperimentConfig,
    "dataset": DatasetCard,
    "run": RunRecord,
}
SECTIONS: tuple[tuple[str, type[StrictModel]], ...] = (
    ("Top level", ExperimentConfig),
    ("`datasets.<name>`", DatasetEntry),
    ("`datasets.<name>.union[]`, `datasets.<name>.zero_shot[]`", MemberEntry),
    ("`datasets.<name>.linear_probe`", LinearProbe),
    ("`backbones.<name>`", BackboneEntry),
    ("`pruners.<name>`", PrunerEntry),
    ("`training`", TrainingSettings),
    ("`compute`", ComputeSettings),
    ("`tracking`", TrackingSettings),
    ("`backbones.<name>.optimisation`", OptimiserSettings),
)
INTRODUCTION = """\
# Configuration

One file describes one experiment: the product of its data sets, backbones, pruners, prune ratios
and seeds. Each file here is complete on its own. `snakemake` alone runs `demo.yaml`; another is
chosen with `snakemake --configfile config/<file>.yaml`, and single keys are changed with
`--config mirror=DIRECTORY`. `stprune config --config FILE` checks a file and lists its runs.

An entry's name is what stands in paths and tables. It is also the id of the component, unless
the entry says otherwise; so one pruner can take part twice with different options.

This page is written by `make reference` from the schema that checks the files.
"""


def schema_text(model: type[StrictModel]) -> str:
    """The JSON schema of ``model`` as YAML."""
    header = "# Written by `make reference`; editors can complete and check with it.\n"
    return header + yaml.safe_dump(model.model_json_schema(), sort_keys=False, width=100)


def configuration_page() -> str:
    """Every key of a configuration, and every option of every component."""
    parts = [INTRODUCTION]
    parts += [_table(f"## {title}", model) for title, model in SECTIONS]
    for title, registry in (("Tasks", TASKS), ("Pruners", PRUNERS), ("Backbones", BACKBONES)):
        parts.append(f"# {title}' options\n")
        for name in registry.ids():
            component = registry.load(name)
            options: type[StrictModel] = component.Options
            summary = (registry.module(name).__doc__ or "").strip().splitlines()[0]
            if options.model_fields:
                parts.append(_table(f"## `{name}`\n\n{summary}", options))
            else:
                parts.append(f"## `{name}`\n\n{summary}\n\nNo options.\n")
    return "\n".join(parts)


def _table(title: str, model: type[StrictModel]) -> str:
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        default = (
            "required"
            if field.is_required()
            else _default(field.get_default(call_default_factory=True))
        )
        kind = _kind(properties[name]).replace("|", "\\|")
        rows.append(f"| `{name}` | {kind} | {default} | {field.description or ''} |")
    return title + "\n\n" + "\n".join(rows) + "\n"


def _default(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, StrictModel):
        return "see below"
    return f"`{value}`"


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_kind(part) for part in schema["anyOf"])
    if "$ref" in schema or "allOf" in schema:
        return "section"
    if schema.get("type") == "array":
        return "list"
    return str(schema.get("type", "any"))


def pages() -> dict[Path, str]:
    """Path and text of everything that is generated."""
    found = {
        ROOT / "workflow" / "schemas" / f"{name}.schema.yaml": schema_text(model)
        for name, model in SCHEMAS.items()
    }
    found[ROOT / "config" / "README.md"] = configuration_page()
    return found


def main() -> None:
    """Write all pages."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
