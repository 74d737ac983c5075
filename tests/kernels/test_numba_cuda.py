"""The Numba CUDA kernels without a GPU: in Numba's simulator, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path


def test_in_the_simulator(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *map(str, sorted(Path(__file__).parent.glob("numba_cuda_simulated*.py"))),
        ],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "GPUOPT_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
