"""Which entries of an experiment differ from a pruner's own entry in one option only."""

from __future__ import annotations

from typing import Any, NamedTuple

from stprune.base.layout import RunKey
from stprune.results.summary import KEYS, Results


class Variant(NamedTuple):
    """An entry that changes one option of a pruner.

    Args:
        pruner: Id of the pruner, which is also the name of the entry that it is compared with.
        option: Name of the option.
        entry: Name of the changed entry.
        value: Its value of the option.
        usual: The value of the entry ``pruner``.
    """

    pruner: str
    option: str
    entry: str
    value: Any
    usual: Any


def variants(results: Results) -> list[Variant]:
    """Every entry that differs in one option from the entry named as its pruner.

    Args:
        results: The experiment; options are those of the records, defaults included.

    Returns:
        Sorted by pruner, option and name of the entry.
    """
    found = {name: _pruner_of(results, name) for name in results.summary["pruner"].unique()}
    return sorted(
        variant
        for entry, (pruner, options) in found.items()
        if pruner in found and entry != pruner
        for variant in _one_change(pruner, entry, options, found[pruner][1])
    )


def _pruner_of(results: Results, entry: str) -> tuple[str, dict[str, Any]]:
    """Id and options of an entry, by the record of one of its runs."""
    first = results.summary.loc[results.summary["pruner"] == entry, KEYS].iloc[0]
    recorded = results.records[RunKey(*first)].config.get("pruner", {})
    return recorded.get("id", entry), recorded.get("options", {})


def _one_change(
    pruner: str, entry: str, options: dict[str, Any], usual: dict[str, Any]
) -> list[Variant]:
    names = [name for name in usual if name in options and options[name] != usual[name]]
    if len(names) != 1 or set(options) != set(usual):
        return []
    (option,) = names
    return [Variant(pruner, option, entry, options[option], usual[option])]
