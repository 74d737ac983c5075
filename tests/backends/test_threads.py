"""The threads of the CPU sweep: who works, and that they do not spin for long."""

import os
import subprocess
import sys

import numpy as np
import pytest

import gpuopt
from gpuopt.backends import numba as backend

STEP = """
import os, sys
import numpy as np
import gpuopt
p = np.ones(10)
gpuopt.Adam(p, backend="numba").step(p * 2)
assert os.environ.get("GOMP_SPINCOUNT") == (sys.argv[1] if sys.argv[1:] else None)
import numba
print(numba.threading_layer())
"""


def openmp_settings(spins: str | None = None) -> str:
    """What GNU OpenMP says of its settings when a step has loaded it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", **({"GOMP_SPINCOUNT": spins} if spins else {})}
    run = subprocess.run(
        [sys.executable, "-c", STEP, *([spins] if spins else [])],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    if "GOMP_SPINCOUNT" not in run.stderr:
        pytest.skip(f"Numba's threads are not GNU OpenMP's: {run.stdout}")
    return run.stderr


def test_threads_sleep_soon_and_the_environment_is_as_it_was():
    assert f"GOMP_SPINCOUNT = '{backend.SPINS}'" in openmp_settings()


def test_what_the_user_has_set_stands():
    assert "GOMP_SPINCOUNT = '12345'" in openmp_settings("12345")


@pytest.mark.parametrize(
    ("size", "alone"), [(2 * backend.LEAST - 1, True), (2 * backend.LEAST, False)]
)
def test_small_models_wake_no_other_thread(size, alone, monkeypatch):
    monkeypatch.setattr(backend.config, "NUMBA_NUM_THREADS", 4)
    p = np.ones(size, np.float32)
    opt = gpuopt.SGD(p, lr=0.5)
    opt.step(p * 2)
    assert opt._plan is not None
    launch = opt._plan.sweeps[0].launch
    assert (len(launch.bounds) == 2) is alone
    np.testing.assert_array_equal(p, 0)
