"""Children forked at random, which step with plans of their parent's and with new ones."""

import os
import subprocess
import sys

import pytest

from tests.optional import optional

optional("numba")

FEW, MANY = 10, 1000

SCRIPT = """
import os, random, signal, sys
import numpy as np
import gpuopt
rng = random.Random(3)
plans = []
for size in (10, 70_000, 300_000, 1_000_000):
    p, g = np.zeros(size, "f4"), np.ones(size, "f4")
    plans.append((p, g, gpuopt.SGD(p, lr=1.0, backend="numba")))
taken = [0] * len(plans)

def step(k):
    p, g, opt = plans[k]
    opt.step(g, max_norm=rng.choice([None, 1e9]))
    taken[k] += 1
    assert (p == -taken[k]).all()

def child():
    for _ in range(3):
        step(rng.randrange(len(plans)))
    size = rng.randrange(1, 600_000)
    p = np.zeros(size, "f4")
    gpuopt.SGD(p, lr=1.0, backend="numba").step(np.ones(size, "f4"))
    assert (p == -1).all()

for k in range(int(sys.argv[1])):
    step(rng.randrange(len(plans)))
    rng.random()
    forked = os.fork()
    if forked == 0:
        signal.alarm(60)
        code = 1
        try:
            child()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(forked, 0)[1] == 0, k
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
@pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_children_step_rightly(tries):
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tries)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
