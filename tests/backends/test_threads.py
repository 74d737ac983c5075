"""The threads of the CPU sweep: who works, and that they do not spin for long."""

import os
import subprocess
import sys

import numpy as np
import pytest

import gpuopt
from gpuopt.backends import numba as backend
from gpuopt.backends import threads

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
    assert f"GOMP_SPINCOUNT = '{threads.SPINS}'" in openmp_settings()


def test_what_the_user_has_set_stands():
    assert "GOMP_SPINCOUNT = '12345'" in openmp_settings("12345")


@pytest.mark.parametrize(
    ("size", "alone"), [(2 * threads.LEAST - 1, True), (2 * threads.LEAST, False)]
)
def test_small_models_ask_no_other_thread(size, alone, monkeypatch):
    monkeypatch.setattr(backend.config, "NUMBA_NUM_THREADS", 4)
    p = np.ones(size, np.float32)
    opt = gpuopt.SGD(p, lr=0.5)
    opt.step(p * 2)
    assert opt._stepper.plan is not None
    launch = opt._stepper.plan.sweeps[0].launch
    assert (len(launch.bounds) == 2) is alone
    np.testing.assert_array_equal(p, 0)


@pytest.mark.parametrize("norm", [None, 1e9])
@pytest.mark.parametrize(
    ("size", "idle", "alone"),
    [
        (threads.WAKING - 1, 1.0, True),
        (threads.WAKING - 1, threads.AWAKE / 2, False),
        (threads.WAKING, 1.0, False),
    ],
)
def test_threads_that_sleep_are_woken_for_much_only(size, idle, alone, norm, monkeypatch):
    monkeypatch.setattr(backend.config, "NUMBA_NUM_THREADS", 2)
    monkeypatch.setattr(threads.THREADS, "awake", threads.AWAKE)
    monkeypatch.setattr(threads, "perf_counter", lambda: threads.THREADS.worked + idle)
    shares = []
    shared = backend.NumbaLaunch.shared

    def watched(launch, bounds):
        shares.append(len(shared(launch, bounds)) - 1 == 1)
        return shared(launch, bounds)

    monkeypatch.setattr(backend.NumbaLaunch, "shared", watched)
    p = np.ones(size, np.float32)
    gpuopt.SGD(p, lr=0.5).step(p * 2, max_norm=norm)
    assert shares == [alone] * (1 if norm is None else 2)
    np.testing.assert_array_equal(p, 0)


@pytest.mark.parametrize(
    ("pauses", "awake"),
    [
        ([150, 90, 120], threads.AWAKE),  # microseconds until they have done nothing
        ([150, 22, 9], threads.LONG_AWAKE),
    ],
)
def test_how_long_threads_are_awake_is_found_out_once(pauses, awake, monkeypatch):
    clock, last = [7.0], [7.0]
    late = iter(pauses)

    def perf_counter():
        clock[0] += 1e-9
        return clock[0]

    def nothing():
        if clock[0] - last[0] >= threads.LONG_AWAKE:
            clock[0] += next(late) * 1e-6
        last[0] = clock[0]

    monkeypatch.setattr(threads, "perf_counter", perf_counter)
    monkeypatch.setattr(threads, "pause", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    found = threads.Threads()
    found.learn(nothing)
    assert found.awake == awake
    found.learn(nothing)  # asks no more: `late` has no more to tell
    found.have_worked()
    assert found.are_awake()
    clock[0] += awake
    assert not found.are_awake()


COMPILED = """
import numpy as np
import gpuopt
from numba.core import event
p, g = np.ones(10), np.ones(10)
opt = gpuopt.Adam(p, backend="numba")
opt.step(g)
with event.install_recorder("numba:compile") as compiled:
    opt.step(g)
    opt.step(g.copy())
assert not compiled.buffer, compiled.buffer
with event.install_recorder("numba:compile") as compiled:
    gpuopt.SGD(p, lr=1.0, backend="numba").step(g)
print(len(compiled.buffer) > 0)
"""


def test_step_two_compiles_nothing_in_a_new_process(tmp_path):
    environment = {**os.environ, "GPUOPT_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "True\n", "the recorder saw no compilation where there is one"


SIMPLE = """
import numpy as np
import gpuopt
p = np.ones(3)
opt = gpuopt.SGD(p, lr=0.5)
opt.step(p.copy())
print(opt.backend, *p)
"""


@pytest.mark.parametrize(
    ("setting", "value", "runs"),
    [
        ("GPUOPT_CACHE_DIR", "/dev/null/no/folder", "numba 0.5 0.5 0.5"),
        ("NUMBA_DISABLE_JIT", "1", "numpy 0.5 0.5 0.5"),
        ("NUMBA_THREADING_LAYER", "workqueue", "numba 0.5 0.5 0.5"),
    ],
)
def test_odd_settings_are_lived_with(setting, value, runs):
    environment = {**os.environ, setting: value}
    run = subprocess.run(
        [sys.executable, "-c", SIMPLE], capture_output=True, text=True, env=environment
    )
    assert run.stdout.strip() == runs, run.stderr
    assert ("NUMBA_DISABLE_JIT is set" in run.stderr) == (setting == "NUMBA_DISABLE_JIT")


TWO_THREADS = """
import threading
import numpy as np
import gpuopt
def work():
    p = np.zeros(300_000)
    opt = gpuopt.SGD(p, lr=1.0)
    for _ in range(200):
        opt.step(np.ones(300_000))
    assert (p == -200).all()
    done.append(True)
done = []
threads = [threading.Thread(target=work) for _ in range(2)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(done))
"""


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_two_threads_may_step_at_once(layer):
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    run = subprocess.run(
        [sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, env=environment
    )
    if "No threading layer could be loaded" in run.stderr:
        pytest.skip(f"Numba has no {layer} here")
    assert run.stdout == "2\n", run.stderr


def test_a_compile_that_fails_changes_nothing(monkeypatch):
    params = [np.ones(3, np.float32), np.ones(3, np.float64)]
    compile_ = backend.NumbaLaunch.compile

    def only_float32(launch):
        if launch.real == np.float64:
            raise MemoryError("no memory to compile with")
        compile_(launch)

    monkeypatch.setattr(backend.NumbaLaunch, "compile", only_float32)
    opt = gpuopt.Momentum(params, lr=0.5)
    with pytest.raises(MemoryError):
        opt.step([p.copy() for p in params])
    assert all((p == 1).all() for p in params)
    assert opt.param_steps == {"0": 0, "1": 0}


def test_a_misaligned_gradient_is_refused_at_every_step():
    p, raw = np.ones(4, np.float32), np.zeros(17, np.uint8)
    crooked = raw[1:].view(np.float32)
    opt = gpuopt.SGD(p, lr=0.5)
    opt.step(np.ones(4, np.float32))
    with pytest.raises(ValueError, match="multiple of its item size"):
        opt.step(crooked)
    assert opt.step_count == 1
