"""A device that is claimed: tensors say that they lie elsewhere, and are computed on the CPU.

`meta` is claimed, whose gradients autograd computes without asking for a driver. Every operation is
seen, so that a test can count what a GPU would have to do, and where the host would wait for it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import optimizer
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

from stprune.training.devices import fabric_on

CLAIMED = torch.device("meta")
# Operations whose result, or its size, the host has to read.
READING = {
    "_local_scalar_dense", "_unique2", "allclose", "bincount", "equal", "histc", "is_nonzero",
    "masked_select", "multinomial", "nonzero", "repeat_interleave", "unique_consecutive",
    "unique_dim",
}  # fmt: skip
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
# Memory and names of tensors, for which no kernel starts.
FREE = {"_unsafe_view", "detach", "empty", "empty_like", "empty_strided", "lift_fresh", "new_empty"}


class Claimed(Tensor):
    """A tensor on the claimed device, whose values are those of ``inner``."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> Self:
        made: Self = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=CLAIMED,
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"{function} was called where nobody watches")

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self.detach().clone()


class Watch(TorchDispatchMode):
    """Computes what is asked of the claimed device, and notes what a real one would do.

    Attributes:
        place: Where the program is, as a test sets it.
        kernels: Operations that start at least one kernel, by place.
        waits: Names of operations for which the host waits, by place.
        mixed: Names of operations on tensors of two devices.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place = "outside"
        self.kernels, self.waits = Counter[str](), dict[str, list[str]]()
        self.mixed: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        options = options or {}
        tensors: list[Tensor] = []
        _mapped((arguments, options), tensors.append)
        name, device = function.__name__.split(".")[0], options.get("device")
        claimed = any(isinstance(tensor, Claimed) for tensor in tensors)
        there = claimed if device is None else torch.device(device) == CLAIMED
        if claimed or there:
            self._note(function, name, tensors, there, bool(options.get("non_blocking")))
        if device is not None:
            options = options | {"device": torch.device("cpu")}
        inner = _mapped((arguments, options), lambda t: t.inner if isinstance(t, Claimed) else t)
        result = function(*inner[0], **inner[1])
        if not there:
            return result
        result = _mapped(result, Claimed)
        return return_and_correct_aliasing(function, arguments, options, result)

    def _note(
        self, function: Any, name: str, tensors: list[Tensor], there: bool, later: bool
    ) -> None:
        places = {isinstance(tensor, Claimed) for tensor in tensors}
        waits = name in READING or not there
        if name in ("_to_copy", "copy_"):
            # Of two devices; the host does not wait for a copy to the device that may come later.
            waits = (places | {there}) == {True, False} and not (there and later)
        elif any(tensor.ndim and not isinstance(tensor, Claimed) for tensor in tensors):
            self.mixed.append(str(function))
        if name in INDEXING and any(tensor.dtype == torch.bool for tensor in tensors[1:]):
            waits = True  # it looks for what is True first
        if waits:
            self.waits.setdefault(self.place, []).append(name)
        if not function.is_view and name not in FREE:
            self.kernels[self.place] += 1

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Note what is done inside under ``place``."""
        before, self.place = self.place, place
        yield
        self.place = before


def _mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """``value`` with every tensor changed; torch's own way takes longer than the operations."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([_mapped(part, change) for part in value])
    if isinstance(value, dict):
        return {key: _mapped(part, change) for key, part in value.items()}
    return value


@contextmanager
def claimed_device() -> Iterator[Watch]:
    """Let what runs inside work with :data:`CLAIMED`."""
    lifting = torch._C._only_lift_cpu_tensors()
    swapping = torch.__future__.get_swap_module_params_on_conversion()
    inference, fusing = torch.inference_mode, optimizer._get_fused_kernels_supported_devices
    optimizer._get_fused_kernels_supported_devices = lambda: [CLAIMED.type]
    # Wrappers of tensors have no views in inference mode.
    torch.inference_mode = torch.no_grad
    torch._C._set_only_lift_cpu_tensors(True)  # so that torch.tensor is seen to copy
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with Watch() as watch:
            yield watch
    finally:
        torch.inference_mode = inference
        optimizer._get_fused_kernels_supported_devices = fusing
        torch._C._set_only_lift_cpu_tensors(lifting)
        torch.__future__.set_swap_module_params_on_conversion(swapping)


def claimed_fabric() -> Any:
    """Fabric on the claimed device."""
    fabric: Any = fabric_on()
    fabric._accelerator.setup_device = lambda device: None
    fabric.strategy._root_device = CLAIMED
    return fabric
