"""The NVIDIA GPUs that a process may use, by NVML: asking CUDA would start it, and spoil forks."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """Ids of the GPUs and of the parts of divided ones (MIG), in order; none without a driver.

    Only those within ``CUDA_VISIBLE_DEVICES``, which Slurm sets to what it grants.
    """
    import pynvml as nvml

    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    gpus = {}
    for number in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(number)
        gpus[nvml.nvmlDeviceGetUUID(handle)] = list(_parts(nvml, handle))
    return select_visible(gpus, os.environ.get(VISIBLE))


def _parts(nvml: Any, gpu: object) -> Iterator[str]:
    """Ids of the parts of a divided GPU."""
    with suppress(nvml.NVMLError_NotSupported):  # of GPUs that cannot be divided
        if nvml.nvmlDeviceGetMigMode(gpu)[0]:
            for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
                with suppress(nvml.NVMLError_NotFound):  # fewer than there could be
                    part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number)
                    yield nvml.nvmlDeviceGetUUID(part)


def select_visible(gpus: dict[str, list[str]], visible: str | None) -> list[str]:
    """The ids that a value of ``CUDA_VISIBLE_DEVICES`` names, by CUDA's rules.

    ``gpus`` has the parts of each GPU by its id; a divided GPU stands for its parts. The value
    holds numbers (as with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``) or beginnings of ids; the first entry
    that names nothing ends it: https://docs.nvidia.com/cuda/cuda-c-programming-guide/#env-vars
    """
    usable = {name: parts or [name] for name, parts in gpus.items()}
    if visible is None:
        return [name for names in usable.values() for name in names]
    ids = usable | {part: [part] for parts in gpus.values() for part in parts}
    chosen: list[str] = []
    for entry in map(str.strip, visible.split(",")):
        if entry.isdecimal():
            found = list(usable.values())[int(entry) :][:1]
        else:
            found = [names for name, names in ids.items() if entry and name.startswith(entry)]
        if len(found) != 1:
            break
        chosen += found[0]
    return list(dict.fromkeys(chosen))
