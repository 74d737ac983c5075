"""Unzip a wheel, look at what is in it, and compile its kernels: Numba's run, CUDA's by NVRTC.

python ci/check_wheel.py dist/gpuopt-*.whl
"""

import os
import subprocess
import sys
import tempfile
import zipfile

SCRIPT = """
import sys
from pathlib import Path

import numpy as np

import gpuopt
import gpuopt.kernels
from gpuopt import rules
from gpuopt.lowering import cuda, trace

folder = Path(sys.argv[1])
for module in (gpuopt, gpuopt.kernels):
    assert folder in Path(module.__file__).parents, f"{module.__name__} is not from the wheel"

p = np.ones(5000, np.float32)
opt = gpuopt.Adam(p)
opt.step(p * 2)
assert opt.backend == "numba", opt.backend
np.testing.assert_allclose(p, 0.999, rtol=1e-6)

from cuda.bindings import nvrtc

program = trace.trace(rules.Adam())
source = cuda.module(program, "float32", ("float32",) * 4, 256, "sweep").encode()
error, handle = nvrtc.nvrtcCreateProgram(source, b"sweep.cu", 0, [], [])
assert error == 0, error
(error,) = nvrtc.nvrtcCompileProgram(handle, 2, [b"--std=c++17", b"-arch=sm_90"])
assert error == 0, error
error, size = nvrtc.nvrtcGetCUBINSize(handle)
assert error == 0 and size > 1000, (error, size)
print(f"kernels compiled from the wheel: Numba ran, NVRTC made {size} bytes for sm_90")
"""


def main(wheel: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            archive.extractall(folder)
        tops = {name.split("/")[0] for name in names}
        unexpected = {top for top in tops if top != "gpuopt" and not top.endswith(".dist-info")}
        assert not unexpected, f"the wheel would install {unexpected} beside gpuopt"
        assert "gpuopt/kernels/sweep.cuh" in names, "the wheel lacks kernels/sweep.cuh"
        environment = {
            **os.environ,
            "PYTHONPATH": folder,
            "GPUOPT_CACHE_DIR": os.path.join(folder, "cache"),
        }
        command = [sys.executable, "-c", SCRIPT, folder]
        subprocess.run(command, check=True, env=environment, cwd=folder)


if __name__ == "__main__":
    main(sys.argv[1])
