"""What GPU, driver, clocks, versions and commit results were measured with."""

import datetime
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import cupy

ROOT = Path(__file__).parent.parent
PACKAGES = ("gpuopt", "numpy", "numba", "numba-cuda", "torch")
QUERY = (
    "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.limit,"
    "power.draw,temperature.gpu,utilization.gpu,memory.total"
)


def machine() -> dict[str, Any]:
    runtime = cupy.cuda.runtime
    about = runtime.getDeviceProperties(runtime.getDevice())
    cpu = Path("/proc/cpuinfo")
    models = [x for x in cpu.read_text().splitlines() if "model name" in x] if cpu.exists() else []
    return {
        "gpu": about["name"].decode(),
        "compute_capability": f"{about['major']}.{about['minor']}",
        "multiprocessors": about["multiProcessorCount"],
        "l2_bytes": about.get("l2CacheSize"),
        "memory_bytes": about["totalGlobalMem"],
        "cuda_driver": runtime.driverGetVersion(),
        "cuda_runtime": runtime.runtimeGetVersion(),
        "clocks": clocks(),
        "processor": models[0].split(":")[1].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {"cupy": cupy.__version__, **{name: version(name) for name in PACKAGES}},
        "commit": run("git", "rev-parse", "--short", "HEAD") or "unknown",
        "changed": bool(run("git", "status", "-s")),
        "sources": sources(),
        "date": datetime.date.today().isoformat(),
    }


def clocks() -> dict[str, str]:
    """What nvidia-smi says at this moment."""
    values = run("nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader")
    line = values.splitlines()[0] if values else ""
    return dict(zip(QUERY.split(","), map(str.strip, line.split(",")), strict=False))


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def sources() -> str:
    """A hash of the library's own text, as a commit may be unknown or changed."""
    digest = hashlib.sha256()
    for folder in ("gpuopt", "kernels"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".cuh") and not path.is_symlink():
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]
