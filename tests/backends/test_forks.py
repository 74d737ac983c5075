"""A child forked after steps on several threads: it steps with one, and does not hang or die."""

import os
import subprocess
import sys

import pytest

from tests.optional import optional

optional("numba")

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="forks beside threads, on Linux"
)

BEGIN = """
import os, signal, sys, traceback
import numpy as np
import gpuopt

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            work()
            import numba
            assert numba.get_num_threads() == 1
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0

def close(array, value):
    np.testing.assert_allclose(np.asarray(array), value, rtol=1e-5)
"""

NUMPY = """
p, g = np.ones(1_000_000, "f4"), np.ones(1_000_000, "f4")
opt = gpuopt.SGD(p, lr=0.25, backend="numba")
opt.step(g, max_norm=1e9)
import numba
assert numba.threading_layer() == "omp"
assert len(opt._stepper.plan.sweeps[0].launch.bounds) > 2, "one thread in the parent, too"
"""

TORCH = """
import torch
torch.set_num_threads(2)
import gpuopt.torch as optim
w = torch.nn.Parameter(torch.ones(1_000_000))
w.grad = torch.ones_like(w)
"""

CASES = {
    "the parent's plan": """
def work():
    opt.step(g)
    close(p, 0.5)
in_child(work)
opt.step(g)
close(p, 0.5)
""",
    "the parent's norm": """
def work():
    opt.step(g, max_norm=500.0)
    close(p, 0.625)
    assert opt.grad_norm == 1000
in_child(work)
""",
    "a plan of its own, and compiling": """
def work():
    q = np.ones(1_500_000)
    new = gpuopt.Momentum(q, lr=0.25, beta=0.5, backend="numba")
    new.step(q * 2, max_norm=1e9)
    close(q, 0.75)
in_child(work)
""",
    "a child's child": """
def work():
    in_child(lambda: opt.step(g))
    opt.step(g)
    close(p, 0.5)
in_child(work)
""",
    "a user's own parallel function": """
@numba.njit(parallel=True)
def total(x):
    found = 0.0
    for k in numba.prange(len(x)):
        found += x[k]
    return found
assert total(g) == 1_000_000
def work():
    assert total(g) == 1_000_000
in_child(work)
""",
}
TORCH_CASES = {
    "the parent's plan": """
opt = optim.SGD([w], lr=0.25)
opt.step()
def work():
    opt.step()
    close(w.detach(), 0.5)
in_child(work)
opt.step()
close(w.detach(), 0.5)
""",
    "a first step": """
opt = optim.Adam([w], lr=0.25)
other = torch.nn.Parameter(torch.ones(10))
other.grad = torch.ones(10)
optim.SGD([other], lr=0.25).step()
def work():
    opt.step()
    close(w.detach(), 0.75)
in_child(work)
""",
    "a first step where nothing of gpuopt has run": """
opt = optim.Adam([w], lr=0.25)
def work():
    opt.step()
    close(w.detach(), 0.75)
in_child(work)
""",
    "PyTorch's own arithmetic": """
opt = optim.SGD([w], lr=0.25)
opt.step()
def work():
    (w * 2).sum().backward()
    opt.step()
    close(w.detach(), 0)
in_child(work)
""",
    "NumPy's arrays, after PyTorch's threads": """
p, g = np.ones(1_000_000, "f4"), np.ones(1_000_000, "f4")
opt = gpuopt.SGD(p, lr=0.25, backend="numba")
def work():
    opt.step(g)
    close(p, 0.75)
in_child(work)
""",
}


def run(script):
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    environment |= {"NUMBA_THREADING_LAYER": "omp"}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script], capture_output=True, text=True, env=environment
    )
    if "No threading layer could be loaded" in done.stderr:
        pytest.skip("Numba has no OpenMP here")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_child_steps_with_one_thread(case):
    run(NUMPY + case)


@pytest.mark.parametrize("case", TORCH_CASES.values(), ids=TORCH_CASES)
def test_a_child_steps_with_one_thread_through_pytorch(case):
    optional("torch")
    run(TORCH + case)


def test_without_threads_in_the_parent_a_child_uses_them():
    run(
        """
p, g = np.ones(1_000_000, "f4"), np.ones(1_000_000, "f4")
opt = gpuopt.SGD(p, lr=0.25, backend="numba")
child = os.fork()
if child == 0:
    opt.step(g)
    import numba
    os._exit(numba.get_num_threads())
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
"""
    )


def test_a_child_steps_though_another_thread_was_stepping():
    """Numba's own threads, "workqueue", are one Python thread's at a time: by a lock."""
    script = """
import threading, time
from gpuopt.backends.threads import ONE_AT_A_TIME
def step():
    p = np.ones(300_000)
    gpuopt.SGD(p, lr=0.25, backend="numba").step(np.ones(300_000))
    close(p, 0.75)
def hold():
    with ONE_AT_A_TIME:
        held.set()
        time.sleep(0.5)
step()
held, thread = threading.Event(), threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    step()
    other = threading.Thread(target=step)
    other.start()
    other.join()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
thread.join()
step()
"""
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BEGIN + script],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
