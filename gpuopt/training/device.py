"""Where `gpuopt train` computes: the array module and the optimizer's backend."""

import importlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt import backends
from gpuopt.errors import InputError
from gpuopt.memory import Budget, cpu_budget, gpu_budget
from gpuopt.prefetch import prefetch


@dataclass(frozen=True)
class Device:
    """A device: its name, how arrays get there, and how to wait until its work is done.

    move: one array, copied. feed: mini-batches, each in time for its step; on the CPU as they are.
    budget: what memory it has left.
    """

    name: str
    move: Callable[[np.ndarray], Any]
    feed: Callable[[Iterable[Any]], Iterable[Any]]
    wait: Callable[[], None]
    budget: Callable[[], Budget] = cpu_budget


def cpu() -> Device:
    return Device("cpu", np.array, lambda batches: batches, lambda: None)


def cuda(index: int) -> Device:
    """GPU number `index` through CuPy; it becomes CuPy's current device."""
    cupy = importlib.import_module("cupy")
    count = cupy.cuda.runtime.getDeviceCount()
    if index >= count:
        raise InputError(f"--device cuda:{index}: there are {count} GPUs, from cuda:0 on")
    cupy.cuda.Device(index).use()
    name = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
    return Device(
        f"cuda:{index} ({name})",
        cupy.array,
        lambda batches: prefetch(batches, index),
        cupy.cuda.get_current_stream().synchronize,
        lambda: gpu_budget(cupy),
    )


def choose(device: str, backend: str | None) -> Device:
    """The device for `--device` and `--backend`.

    "auto" takes the GPU if there is one and the backend, where one is named, is a GPU's.
    """
    found = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", device)
    if not found:
        raise InputError(f"--device {device}: must be auto, cpu, cuda or cuda:<number>")
    if backend is not None:
        if backend not in backends.CLASSES:
            known = ", ".join(backends.CLASSES)
            raise InputError(f"--backend {backend}: there is no such backend; choose of {known}")
        reason = backends.unavailable(backend)
        if reason:
            raise InputError(f"--backend {backend}: {reason}")
        on_gpu = backend in backends.GPU
        without_cupy = no_gpu() if on_gpu else None
        if without_cupy:
            raise InputError(
                f"--backend {backend}: the network computes with CuPy on a GPU: {without_cupy}"
            )
        if device != "auto" and on_gpu != device.startswith("cuda"):
            fitting = ", ".join(backends.GPU if device.startswith("cuda") else backends.CPU)
            raise InputError(f"--backend {backend} does not run on {device}; there is {fitting}")
        if device == "auto":
            return cuda(0) if on_gpu else cpu()
    reason = no_gpu() if device != "cpu" else None
    if device == "cpu" or (device == "auto" and reason):
        return cpu()
    if reason:
        raise InputError(f"--device {device}: {reason}; use --device cpu")
    return cuda(int(found[1] or 0))


def no_gpu() -> str | None:
    """Why nothing can be trained on a GPU here, or None. Arrays there are CuPy's."""
    return backends.unavailable("cupy")
