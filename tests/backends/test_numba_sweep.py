"""The Numba sweep: vectorised, compiled once, and the same bits whatever the threads and order."""

import json
import os
import re
import subprocess
import sys
import textwrap
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from gpuopt.backends import numba as backend_module
from tests.optional import optional

numba = optional("numba")


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    """Everything is compiled anew: what comes from the cache cannot be inspected."""
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path))
    backend_module.compiled.cache_clear()
    yield
    backend_module.compiled.cache_clear()


def sweep_for(rule, dtype):
    p = np.ones(64, dtype)
    opt = gpuopt.Optimizer(p, rule, lr=0.1, backend="numba")
    opt.step(np.ones(64, dtype))
    (sweep,) = opt._stepper.plan.sweeps
    return sweep.launch.sweep


@dataclass(frozen=True)
class Literal(gpuopt.Rule):
    """A bare literal in the formula."""

    def scalars(self, lr, t):
        return {"lr": lr}

    def update(self, p, g, s):
        return 0.5 * p - s.lr * g / (np.sqrt(np.abs(g)) + 0.25)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="looks for x86 instructions")
@pytest.mark.parametrize(
    ("rule", "dtype", "root"),
    [
        (rules.Adam(), "f4", "sqrtps"),
        (rules.Adam(), "f8", "sqrtpd"),
        (rules.Adam(amsgrad=True), "f4", "sqrtps"),
        (rules.RMSprop(centered=True, momentum=0.9), "f4", "sqrtps"),
        (Literal(), "f4", "sqrtps"),
    ],
    ids=lambda x: str(x)[:40],
)
@pytest.mark.usefixtures("fresh_cache")
def test_it_is_vectorised_and_no_part_is_compiled_twice(rule, dtype, root):
    sweep = sweep_for(rule, dtype)
    for part in ("sweep_chunks", "sweep_strided", "offset", "last_stride"):
        assert len(sweep.py_func.__globals__[part].signatures) == 1, part
    (assembly,) = sweep.inspect_asm().values()
    assert re.search(rf"v?{root}\s.*%[xyz]mm", assembly), "no packed square root"
    if dtype == "f4":
        assert not re.search(r"sqrt[sp]d\s|cvtss2sd|cvtps2pd", assembly), (
            "float64 in a float32 loop"
        )


def make(order=(0, 1, 2, 3), rule=None):
    rng = np.random.default_rng(4)
    whole = [rng.normal(size=n).astype("f4") for n in (5, 40001, 257, 9001)]
    grads = [rng.normal(size=p.size).astype("f4") for p in whole]
    opt = gpuopt.Optimizer(
        [whole[k] for k in order], rule or rules.Adam(weight_decay=0.1), lr=0.1, backend="numba"
    )
    return opt, whole, [grads[k] for k in order]


def test_the_same_bits_for_any_threads_and_order():
    results = []
    before = numba.get_num_threads()
    try:
        for threads in sorted({1, min(2, numba.config.NUMBA_NUM_THREADS)}):
            numba.set_num_threads(threads)
            for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)):
                opt, params, grads = make(order)
                for _ in range(5):
                    opt.step(grads)
                results.append([p.tobytes() for p in params])
    finally:
        numba.set_num_threads(before)
    assert all(r == results[0] for r in results)


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("rule", [rules.Adam(weight_decay=0.1), rules.RMSprop(centered=True)])
def test_the_same_bits_wherever_an_element_lies(name, rule):
    """In the body or the tail of a vector loop, aligned or not, at the end of a chunk or alone."""
    rng = np.random.default_rng(6)
    numbers = rng.normal(size=(2, 100)).astype("f4")
    whole = np.tile(numbers[0], 91)
    pieces = [numbers[0][a:b].copy() for a, b in ((0, 1), (1, 8), (8, 25), (25, 58), (58, 100))]
    shifted = np.concatenate([[9, 9, 9], numbers[0]]).astype("f4")[3:]
    params = [whole, *pieces, shifted]
    grads = [np.tile(numbers[1], 91), *(np.split(numbers[1], (1, 8, 25, 58))), numbers[1]]
    opt = gpuopt.Optimizer(params, rule, lr=0.1, backend=name)
    for _ in range(5):
        opt.step(grads)
    for row in (*whole.reshape(91, 100), np.concatenate(pieces), shifted):
        assert row.tobytes() == whole[:100].tobytes()


def test_a_second_step_compiles_launches_and_plans_nothing_new(monkeypatch):
    calls = []
    real = backend_module.NumbaBackend.launch
    monkeypatch.setattr(
        backend_module.NumbaBackend, "launch", lambda *a: calls.append(a) or real(*a)
    )
    opt, _, grads = make()
    opt.step(grads)
    sweep = opt._stepper.plan.sweeps[0].launch.sweep
    compiled = len(sweep.signatures), len(calls)
    assert compiled == (1, 1)
    for name, value in (("lr", 0.5), ("betas", (0.5, 0.6)), ("eps", 1e-3), ("weight_decay", 0.0)):
        opt.param_groups[0][name] = value
        opt.step([g.copy() for g in grads])
    opt.lr = lambda step: 1 / step
    opt.step(grads)
    assert (len(sweep.signatures), len(calls)) == compiled
    opt.param_groups[0]["maximize"] = True
    opt.step(grads)
    assert len(calls) == 2


def test_a_second_step_allocates_nothing():
    params = [np.ones(1_000_000, "f4") for _ in range(10)]
    grads = [np.ones(1_000_000, "f4") for _ in range(10)]
    opt = gpuopt.SGD(params, lr=0.1, backend="numba")
    opt.step(grads)
    opt.step(grads)
    tracemalloc.start()
    opt.step(grads)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 1024


SCRIPT = """
import json, sys
import numpy as np, gpuopt
p = np.ones(10, "f4")
opt = gpuopt.Adam(p, lr=0.1, backend="numba")
opt.step(np.ones(10, "f4"))
stats = opt._stepper.plan.sweeps[0].launch.sweep.stats
hits, misses = sum(stats.cache_hits.values()), sum(stats.cache_misses.values())
json.dump([hits, misses, float(p[0])], sys.stdout)
"""


def test_machine_code_is_kept_between_processes(tmp_path):
    def run():
        env = {**os.environ, "GPUOPT_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT)],
            env=env,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        return json.loads(done.stdout)

    first, second = run(), run()
    assert first[:2] == [0, 1], "the first process compiles"
    assert second[:2] == [1, 0], "the second loads what the first compiled"
    assert first[2] == second[2]


def test_an_edited_formula_never_runs_old_code():
    def version(factor):
        @dataclass(frozen=True)
        class Edited(gpuopt.Rule):
            def scalars(self, lr, t):
                return {"lr": lr}

            def update(self, p, g, s):
                return p - factor * s.lr * g

        return Edited()

    for factor in (1, 2, 1, 3):
        p = np.zeros(3)
        gpuopt.Optimizer(p, version(factor), lr=1, backend="numba").step(np.ones(3))
        np.testing.assert_array_equal(p, -factor)


def test_slow_and_fast_ways_of_following_gradients_agree(monkeypatch):
    def run():
        opt, params, grads = make()
        for k in range(4):
            opt.step([g * (k + 1) for g in grads])
        opt.step([None, *grads[1:]])
        return [p.tobytes() for p in params]

    fast = run()
    monkeypatch.setattr(backend_module, "headers_are_readable", lambda: False)
    assert run() == fast


def test_gradients_are_not_kept_alive():
    """A step holds on to no gradient: they are as large as the model."""
    import weakref

    for name in ("numpy", "numba"):
        p, g = np.ones(100, "f4"), np.ones(100, "f4")
        gone = weakref.ref(g)
        opt = gpuopt.SGD(p, lr=1, backend=name)
        opt.step(g)
        del g
        assert gone() is None, name
        g = np.ones(100, "f4")
        gone = weakref.ref(g)
        opt.step(g)
        del g
        assert gone() is None, name
        np.testing.assert_array_equal(p, -1)
