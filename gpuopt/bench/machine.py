"""What results were measured with: processor, GPU, driver, clocks, versions, commit, date."""

import datetime
import hashlib
import importlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import gpuopt
from gpuopt import backends, info

PACKAGE = Path(gpuopt.__file__).parent
ROOT = PACKAGE.parent  # of a checkout
PACKAGES = ("gpuopt", "numpy", "numba", "cupy", "numba-cuda")
PACKAGES += ("torch", "thinc", "optax", "jax", "bitsandbytes", "torchao")
QUERY = (
    "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.limit,"
    "power.draw,temperature.gpu,utilization.gpu,memory.total"
)


def machine() -> dict[str, Any]:
    """For the results. Raises nothing: a GPU that cannot be asked is {"error": why}."""
    about = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: info.version(name) for name in PACKAGES},
        **checkout(),
        "sources": sources(),
        "date": datetime.date.today().isoformat(),
    }
    if backends.unavailable("cupy") is None:
        about |= info.guarded(gpu)
    return about


def processor() -> str:
    """Its name, as the system has it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return models[0] if models else platform.processor()


def gpu() -> dict[str, Any]:
    """CuPy's current device."""
    runtime = importlib.import_module("cupy").cuda.runtime
    about = runtime.getDeviceProperties(runtime.getDevice())
    return {
        "gpu": about["name"].decode(),
        "compute_capability": f"{about['major']}.{about['minor']}",
        "multiprocessors": about["multiProcessorCount"],
        "l2_bytes": about.get("l2CacheSize"),
        "memory_bytes": about["totalGlobalMem"],
        "cuda_driver": runtime.driverGetVersion(),
        "cuda_runtime": runtime.runtimeGetVersion(),
        "clocks": clocks(),
    }


def clocks() -> dict[str, str]:
    """What nvidia-smi says of the first GPU at this moment; empty without it."""
    values = output("nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader")
    first = values.partition("\n")[0].split(",") if values else []
    return dict(zip(QUERY.split(","), map(str.strip, first), strict=False))


def checkout() -> dict[str, str]:
    """The commit that gpuopt lies in, with "+" if files differ from it; nothing when installed."""
    commit = output("git", "rev-parse", "--short", "HEAD") if (ROOT / ".git").exists() else ""
    return {"commit": commit + "+" * bool(output("git", "status", "-s"))} if commit else {}


def output(*command: str) -> str:
    """What a program prints; "" if it cannot."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def sources() -> str:
    """A hash of the library's own text, as a commit may be unknown or changed."""
    files = {}
    for name, folder in (("", PACKAGE), ("kernels", PACKAGE / "kernels")):
        for path in folder.resolve().rglob("*"):
            if path.suffix in (".py", ".cuh"):
                files[(Path(name) / path.relative_to(folder.resolve())).as_posix()] = path
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
