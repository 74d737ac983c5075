"""Probing leaves parameters, state, counts and random numbers bit for bit as they were."""

import random
import subprocess
import sys

import numpy as np
import pytest

import gpuopt
from gpuopt import memory
from tests.memory.networks import Network

NAMED = np.random.default_rng(5)  # a global, which the step below names


def everything(net, rngs):
    """What a step may change, as values that compare."""
    opt = net.optimizer
    state = {key: {n: a.tobytes() for n, a in s.items()} for key, s in opt.state.items()}
    return {
        "params": [p.tobytes() for p in net.params],
        "state": state,
        "steps": (opt.step_count, dict(opt.param_steps)),
        "groups": [dict(group) for group in opt.param_groups],
        "generators": [str(rng.bit_generator.state) for rng in rngs],
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),
    }


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_everything_is_as_before(backend, isolate, steps):
    net = Network(
        (8, 6, 3),
        lambda p: gpuopt.Adam(
            p, lr=gpuopt.schedules.exponential(0.1, 0.9), average=0.9, backend=backend
        ),
    )
    closed = np.random.default_rng(1)

    def step(X, Y):
        noise = closed.random(X.shape) + NAMED.random(X.shape) + np.random.random(X.shape)
        net.step((X + noise * random.random()).astype(np.float32), Y)

    for _ in range(steps):
        step(net.X, net.Y)
    before = everything(net, [closed, NAMED])
    memory.fit(step, net.X, net.Y, axis=1, most=64, isolate=isolate, verify=isolate)
    assert everything(net, [closed, NAMED]) == before
    step(net.X, net.Y)
    assert everything(net, [closed, NAMED]) != before


@pytest.mark.parametrize("isolate", [True, False])
def test_a_step_that_raises_is_told_and_changes_nothing(isolate):
    net = Network((8, 6, 3), lambda p: gpuopt.Momentum(p, lr=0.1, backend="numpy"))
    net.step(net.X, net.Y)

    def step(X, Y):
        net.step(X, Y)
        raise LookupError("my own bug")

    before = everything(net, [])
    with pytest.raises(LookupError, match="my own bug"):
        memory.fit(step, net.X, net.Y, axis=1, isolate=isolate)
    assert everything(net, []) == before


def test_arrays_that_are_named_are_put_back():
    W = np.ones((4, 3))

    def step(X):
        W[:] -= 0.1 * X.mean(axis=0)

    memory.fit(step, np.ones((64, 3)), preserve=[W], isolate=False)
    np.testing.assert_array_equal(W, np.ones((4, 3)))


def test_in_a_copy_of_the_process_whatever_a_step_changes_stays():
    weights, seen = {"W": np.ones((4, 3))}, []

    def step(X):
        weights["W"] = weights["W"] - X.mean(axis=0)
        seen.append(len(X))

    memory.fit(step, np.ones((64, 3)))
    np.testing.assert_array_equal(weights["W"], np.ones((4, 3)))
    assert seen == []


def test_what_a_step_prints_is_dropped(capfd):
    memory.fit(lambda X: print("noise"), np.ones((64, 3)))
    assert capfd.readouterr().out == ""


def test_a_copy_ends_when_its_parent_is_killed():
    script = (
        "import os, time\n"
        "from gpuopt.memory.isolated import isolated\n"
        "def run():\n"
        "    os.write(1, b'%d\\n' % os.getpid()), time.sleep(10), os.write(1, b'alive')\n"
        "isolated(run)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) != parent.pid
        parent.kill()
        assert parent.stdout.read() == b""  # the pipe closes once the child has ended


def test_a_copy_is_made_without_a_word_where_a_library_warns_of_forks():
    """As JAX does, once it is imported."""
    script = (
        "import os, warnings\n"
        "from gpuopt.memory.isolated import isolated\n"
        "os.register_at_fork(before=lambda: warnings.warn('fork', RuntimeWarning))\n"
        "print(isolated(lambda: 'done'))\n"
    )
    command = [sys.executable, "-W", "always", "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("done\n", "")
