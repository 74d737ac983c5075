"""What this machine has for ci/gpu.sh, loudly what it lacks; status 1 if CuPy can use no GPU."""

import importlib
import json
import platform
import subprocess
import sys

PACKAGES = ("numpy", "cupy", "torch", "numba", "numba_cuda", "pytest", "hypothesis", "safetensors")
PACKAGES += ("typer", "rich", "matplotlib", "sklearn", "psutil")
PROGRAMS = ("nvcc --version", "compute-sanitizer --version", "ncu --version", "nvidia-smi -L")


def main() -> int:
    print("Python", platform.python_version(), sys.executable)
    for name in PACKAGES:
        try:
            print(name, getattr(importlib.import_module(name), "__version__", "(no version)"))
        except Exception as error:  # a broken package is as bad as none, and is to be seen
            print(f"MISSING: {name}: {type(error).__name__}: {error}")
    for command in PROGRAMS:
        try:
            done = subprocess.run(command.split(), capture_output=True, text=True, timeout=20)
            lines = (done.stdout or done.stderr).strip().splitlines()
            print(f"{command}:", lines[-1] if lines else f"status {done.returncode}")
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"MISSING: {command}: {error}")
    from gpuopt import backends

    for name in backends.CLASSES:
        print(f"gpuopt's {name}:", backends.unavailable(name) or "runs")
    try:
        from gpuopt.bench.machine import machine

        print(json.dumps(machine(), indent=1))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    reason = backends.unavailable("cupy")
    print(f"NO GPU: {reason}" if reason else "CuPy has a GPU")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
