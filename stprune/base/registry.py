"""Finds components by folder: the file stem is the id, and one file holds one component.

Listing ids and finding their files imports nothing; only `load` imports a component.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar, cast

from stprune.base.errors import UnknownNameError

Component = TypeVar("Component")


@dataclass(frozen=True)
class Registry(Generic[Component]):
    """All components of one kind."""

    kind: str  # in messages, such as "pruner"
    packages: tuple[str, ...]  # all their modules are components, but those called `base`
    contract: str  # `module:Class` that each component derives from
    prefix: str = ""  # only modules whose name starts so; the id is the rest of the name
    modules: tuple[str, ...] = ()  # full names of components outside `packages`

    def ids(self) -> list[str]:
        """Ids of all components, sorted; nothing is imported but the (empty) packages."""
        return sorted(self._modules())

    def path(self, name: str) -> Path:
        """The source file of component ``name``."""
        package, _, stem = self._module_name(name).rpartition(".")
        return Path(importlib.import_module(package).__path__[0]) / f"{stem}.py"

    def module(self, name: str, where: str = "") -> ModuleType:
        """The imported module of component ``name``."""
        return importlib.import_module(self._module_name(name, where))

    def load(self, name: str, where: str = "") -> type[Component]:
        """The one class of component ``name``, or an UnknownNameError: there is none, ``where``."""
        home, _, class_name = self.contract.partition(":")
        contract = getattr(importlib.import_module(home), class_name)
        module = self.module(name, where)
        classes = [
            member
            for _, member in inspect.getmembers(module, inspect.isclass)
            if issubclass(member, contract) and member.__module__ == module.__name__
        ]
        if len(classes) != 1:
            wanted = f"one {self.kind} class (a subclass of {self.contract}), not {len(classes)}"
            raise TypeError(f"{module.__name__} must define {wanted}")
        return cast(type[Component], classes[0])

    def _module_name(self, name: str, where: str = "") -> str:
        if name not in (modules := self._modules()):
            raise UnknownNameError(self.kind, name, modules, where)
        return modules[name]

    def _modules(self) -> dict[str, str]:
        """Full module name by id."""
        modules = {module.rpartition(".")[2]: module for module in self.modules}
        for package in self.packages:
            for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
                if info.ispkg or info.name == "base" or not info.name.startswith(self.prefix):
                    continue
                name, module = info.name.removeprefix(self.prefix), f"{package}.{info.name}"
                if modules.setdefault(name, module) != module:
                    both = f"{modules[name]}, {module}"
                    raise TypeError(f"two {self.kind}s are called {name}: {both}")
        return modules
