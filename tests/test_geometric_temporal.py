"""PyTorch Geometric Temporal imports and runs without torch-sparse, and warns of nothing."""

import importlib.util
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import torch
from stprune.backbones.geometric_temporal import import_geometric_temporal
package = import_geometric_temporal()
assert package is import_geometric_temporal()
assert "torch_sparse" not in sys.modules
layer = package.nn.recurrent.GConvGRU(2, 4, 2)
state = layer(torch.ones(3, 2), torch.tensor([[0, 1], [1, 2]]), torch.tensor([1.0, 0.5]))
print(tuple(state.shape))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("torch_sparse") is not None, reason="torch-sparse is installed here"
)
def test_imports_and_runs_without_torch_sparse_or_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(3, 4)"
