"""What gpuopt finds on this machine: versions, devices, backends. Nothing here raises."""

import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from typing import Any

PACKAGES = ("numpy", "numba", "cupy", "numba-cuda", "torch")
OTHER_NAMES = {  # CuPy's wheels are named for their CUDA version
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x"),
    "numba-cuda": ("numba-cuda-mlir",),
}


def collect() -> dict[str, Any]:
    """All sections by name. One that cannot be read is {"error": why}."""
    sections: dict[str, Any] = {
        "versions": guarded(versions),
        "cpu": guarded(cpu),
        "memory": guarded(memory),
        "gpus": guarded(gpus),
        "backends": guarded(runnable),
    }
    sections["verdict"] = verdict(sections["backends"])
    return sections


def guarded(section: Callable[[], Any]) -> Any:
    try:
        return section()
    except Exception as error:  # whatever is broken is what `gpuopt info` is asked about
        return {"error": reason(error)}


class Missing(Exception):
    """Something that need not be there is not; the message says so by itself."""


def reason(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, Missing):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def versions() -> dict[str, str | None]:
    """Versions of gpuopt, Python and the packages it can use, without importing those; or None."""
    found: dict[str, str | None] = {"gpuopt": version("gpuopt")}
    found["python"] = f"{platform.python_version()} ({sys.executable})"
    return found | {name: version(name) for name in PACKAGES}


def version(package: str) -> str | None:
    """The version of an installed package, with the name it is installed by if that is another."""
    for name in (package, *OTHER_NAMES.get(package, ())):
        try:
            return importlib.metadata.version(name) + (f" ({name})" if name != package else "")
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def cpu() -> dict[str, Any]:
    """Cores that this process may use, and Numba's threads."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = guarded(lambda: importlib.import_module("numba").get_num_threads())
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "numba_threads": threads,
    }


def memory() -> dict[str, int]:
    """Main memory in bytes. Needs psutil."""
    try:
        found = importlib.import_module("psutil").virtual_memory()
    except ModuleNotFoundError:
        raise Missing("psutil is not installed: pip install 'gpuopt[cli]'") from None
    return {"total": found.total, "available": found.available}


def gpus() -> list[dict[str, Any]]:
    """Each GPU that CuPy or Numba sees: its name, compute capability and memory in bytes."""
    backends = importlib.import_module("gpuopt.backends")
    reasons = {name: backends.unavailable(name) for name in backends.GPU}
    if all(reasons.values()):
        raise Missing("; ".join(reasons.values()))
    return cupy_gpus() if reasons["cupy"] is None else numba_gpus()


def cupy_gpus() -> list[dict[str, Any]]:
    runtime = importlib.import_module("cupy").cuda.runtime
    found = []
    for index in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(index)
        found.append(
            {
                "device": f"cuda:{index}",
                "name": properties["name"].decode(),
                "compute_capability": f"{properties['major']}.{properties['minor']}",
                "memory": int(properties["totalGlobalMem"]),
            }
        )
    return found


def numba_gpus() -> list[dict[str, Any]]:
    kernels = importlib.import_module("gpuopt.kernels.device_numba_cuda")
    if kernels.simulated():
        raise Missing("Numba's simulator runs on the CPU in place of one: NUMBA_ENABLE_CUDASIM=1")
    cuda, found = kernels.cuda, []
    for index, gpu in enumerate(cuda.gpus):
        with gpu:
            memory = cuda.current_context().get_memory_info().total
        found.append(
            {
                "device": f"cuda:{index}",
                "name": str(gpu.name),
                "compute_capability": "{}.{}".format(*gpu.compute_capability),
                "memory": int(memory),
            }
        )
    return found


def runnable() -> dict[str, str | None]:
    """Each backend, GPU first, in the order in which they are tried: None, or why it cannot run."""
    backends = importlib.import_module("gpuopt.backends")

    def why_not(name: str) -> str | None:
        try:
            return backends.unavailable(name)
        except Exception as error:
            return reason(error)

    return {name: why_not(name) for name in (*backends.GPU, *backends.CPU)}


def verdict(found: dict[str, str | None]) -> str:
    """One line: where gpuopt runs, and why on nothing better."""
    if "error" in found:
        return f"gpuopt does not run here: {found['error']}"
    on_gpu = [name for name in found if name not in ("numba", "numpy")]
    working = [name for name, why in found.items() if why is None]
    no_gpu = "; ".join(f"{found[name]}" for name in on_gpu if found[name])
    if not working:
        return "gpuopt does not run here: " + "; ".join(f"{n}: {why}" for n, why in found.items())
    if working[0] in on_gpu:
        return f"gpuopt runs on the GPU with {working[0]}" + (
            f", and on the CPU with {working_on_cpu[0]}"
            if (working_on_cpu := [n for n in working if n not in on_gpu])
            else "; no backend runs on the CPU"
        )
    slow = f" ({found['numba']})" if working[0] == "numpy" and found.get("numba") else ""
    return f"gpuopt runs on the CPU with {working[0]}{slow}; no GPU: {no_gpu}"
