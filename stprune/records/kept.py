"""Which windows each epoch kept, compactly: one bit a window and epoch, and score quantiles."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import RecordError
from stprune.base.files import atomic_path, refuse_bomb

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = np.linspace(0.0, 1.0, 11)


class KeptWindows(NamedTuple):
    """A run's archive, unpacked.

    ``kept`` (epochs, n) bool: the epoch visited the window. ``score_quantiles`` (epochs, 11)
    float32: deciles of the scores after the epoch, ascending; NaN for a pruner without scores.
    ``times`` (n,) datetime64[m]: first target step of each window.
    """

    kept: NDArray[np.bool_]
    score_quantiles: NDArray[np.float32]
    times: NDArray[np.datetime64]


class KeptArchive:
    """Collects the windows that each epoch kept; ``times`` as in `KeptWindows`."""

    def __init__(self, times: NDArray[np.datetime64]) -> None:
        self.windows, self.times = len(times), times
        self.bits: list[NDArray[np.uint8]] = []
        self.quantiles: list[NDArray[np.float32]] = []

    def add(self, indices: "Tensor", scores: "Tensor | None") -> None:
        """Add an epoch: the windows it visited, (K,) int64, and the scores after it, (n,)."""
        kept = np.zeros(self.windows, dtype=bool)
        kept[indices.cpu().numpy()] = True
        self.bits.append(np.packbits(kept))
        self.quantiles.append(_quantiles(scores))

    def write(self, path: Path) -> None:
        """Write the archive atomically; equal archives are equal files."""
        with atomic_path(path) as temporary:
            np.savez_compressed(
                temporary,
                bits=np.stack(self.bits),
                score_quantiles=np.stack(self.quantiles),
                times=self.times.astype("datetime64[m]"),
            )

    def state_dict(self) -> dict[str, Any]:
        """All epochs so far, as tensors: a checkpoint holds no NumPy arrays."""
        # Only training has a state, and tables read archives without torch.
        from torch import from_numpy

        return {
            "bits": [from_numpy(bits) for bits in self.bits],
            "quantiles": [from_numpy(levels) for levels in self.quantiles],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.bits = [bits.numpy() for bits in state["bits"]]
        self.quantiles = [levels.numpy() for levels in state["quantiles"]]


def read_kept(path: Path) -> KeptWindows:
    """Read a run's ``kept.npz``; a RecordError if it is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            refuse_bomb(path, sum(member.file_size for member in archive.zip.infolist()))
            times, bits = archive["times"], archive["bits"]
            quantiles = archive["score_quantiles"]
    except FileNotFoundError:
        raise RecordError(f"there is no {path}; the run has not finished") from None
    except Exception as error:  # a damaged zip raises whatever its reader stumbles over
        raise RecordError(f"{path} is damaged ({error}); delete the run to do it again") from None
    types = [str(array.dtype) for array in (times, bits, quantiles)]
    shapes = [(times.size,), (len(quantiles), -(-times.size // 8)), (len(quantiles), len(LEVELS))]
    found = [array.shape for array in (times, bits, quantiles)]
    if (types, found) != (["datetime64[m]", "uint8", "float32"], shapes):
        raise RecordError(f"{path} is damaged (its arrays do not belong together)")
    kept = np.unpackbits(bits, axis=1, count=len(times)).astype(bool)
    return KeptWindows(kept, quantiles, times)


def _quantiles(scores: "Tensor | None") -> NDArray[np.float32]:
    values = np.empty(0) if scores is None else scores.cpu().numpy()
    finite = values[np.isfinite(values)]
    quantiles = np.quantile(finite, LEVELS) if len(finite) else np.full(len(LEVELS), np.nan)
    return quantiles.astype(np.float32)
