"""The Numba CUDA kernels without a GPU: in Numba's simulator, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
OF_ALL_BACKENDS = (  # test files that the simulator is fast enough for
    "backends/test_relocation.py",
    "test_optimizer_atomic.py",
    "test_plans_aside.py",
    "test_stale_formulas.py",
    "whole/test_gradients_let_go.py",
    "whole/test_large_max_value.py",
    "whole/test_norm_strided.py",
)


def in_the_simulator(tmp_path, *arguments):
    """Run pytest with these arguments where Numba simulates a GPU; all must pass."""
    done = subprocess.run(
        [*(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"), *map(str, arguments)],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "GPUOPT_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


def test_in_the_simulator(tmp_path):
    in_the_simulator(tmp_path, *sorted(Path(__file__).parent.glob("numba_cuda_simulated*.py")))


def test_tests_of_all_backends_in_the_simulator(tmp_path):
    in_the_simulator(tmp_path, "-k", "numba-cuda", *(TESTS / name for name in OF_ALL_BACKENDS))
