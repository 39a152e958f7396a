"""PyTorch Geometric Temporal without its compiled dependencies.

The package declares torch-sparse and torch-scatter, which many machines would have to compile.
Version 0.56 uses them in one place: a module imports ``SparseTensor`` to ask whether an object
is one. It is installed without dependencies, and that name is lent to it while it is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from types import ModuleType


class _NoSparseTensor:
    """Stands for ``torch_sparse.SparseTensor`` where torch-sparse is not installed.

    Nothing is ever an instance of it, which is the truth on such a machine.
    """


def import_geometric_temporal() -> ModuleType:
    """Import ``torch_geometric_temporal``, with or without torch-sparse.

    Raises:
        ImportError: If the package itself is not installed.
    """
    name = "torch_geometric_temporal"
    if name in sys.modules:
        return sys.modules[name]
    lend = importlib.util.find_spec("torch_sparse") is None
    try:
        with warnings.catch_warnings():
            # Deprecations inside other people's packages are not ours to act on.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            if lend:
                # PyTorch Geometric looks for torch-sparse itself and must not find the stand-in.
                importlib.import_module("torch_geometric.typing")
                stand_in = ModuleType("torch_sparse")
                stand_in.SparseTensor = _NoSparseTensor  # type: ignore[attr-defined]
                sys.modules["torch_sparse"] = stand_in
            return importlib.import_module(name)
    finally:
        if lend:
            sys.modules.pop("torch_sparse", None)
