"""A step that is interrupted at any moment is taken whole and counted, or not at all.

The long lane is `pytest -m long tests/attacks/test_interrupts.py`.
"""

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpuopt
from tests.attacks.interrupting import Interrupter, alarms, duration, interrupted

FEW, MANY = 60, 5000
FILES = str(Path(gpuopt.__file__).parent)
STEPS = 12  # of the trajectory that interrupted steps must stay on
# Python, NumPy and JAX have code of their own in which an interrupt can only be told, not raised.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
TRIES = pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
SHAPES = [((300,), "f4"), ((7, 5), "f8"), ((40_000,), "f4"), ((), "f4")]


def start() -> list[Any]:
    rng = np.random.default_rng(0)
    return [np.asarray(rng.standard_normal(shape) + 1).astype(t) for shape, t in SHAPES]


def grads_of(step: int) -> list[Any]:
    """Gradients of a step; some are None now and then."""
    rng = np.random.default_rng(step + 1)
    grads = [np.asarray(rng.standard_normal(shape)).astype(t) for shape, t in SHAPES]
    return [None if step and (step + k) % 4 == 0 else g for k, g in enumerate(grads)]


def bytes_of(opt: Any, params: list[Any]) -> tuple[Any, ...]:
    """Everything that a step changes, but for step counts."""
    state = {k: {name: a.tobytes() for name, a in s.items()} for k, s in opt.state.items()}
    return [p.tobytes() for p in params], state, opt.param_steps, opt.step_count


CASES = {
    "Adam": (gpuopt.rules.Adam(), {}),
    "NAdam, clipped, zeroed": (gpuopt.rules.NAdam(), {"max_norm": 1.0, "zero_grads": True}),
}


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("case", CASES)
@TRIES
def test_an_interrupted_step_is_whole(tries, case, backend):
    rule, options = CASES[case]
    average = options.get("average")
    asked = {name: value for name, value in options.items() if name != "average"}

    def make():
        params = start()
        return gpuopt.Optimizer(params, rule, lr=0.01, average=average, backend=backend), params

    opt, params = make()
    whole = [bytes_of(opt, params)]
    for step in range(STEPS):
        opt.step(grads_of(step), **asked)
        whole.append(bytes_of(opt, params))
    opt, params = make()
    seconds = duration(lambda: opt.step(grads_of(0), **asked))
    opt, params = make()
    rng, caught = random.Random(case), 0
    with alarms():
        for _ in range(tries):
            if opt.step_count == STEPS:
                opt, params = make()
            before, grads = opt.step_count, grads_of(opt.step_count)
            action = lambda opt=opt, grads=grads: opt.step(grads, **asked)  # noqa: E731
            caught += interrupted(action, 2 * seconds, rng)
            now = bytes_of(opt, params)
            assert opt.step_count in (before, before + 1)
            count, expected = opt.step_count, whole[opt.step_count]
            assert now[0] == expected[0], f"parameters after {count} steps"
            assert now[2:] == expected[2:]
            if now[1] != expected[1]:  # state that was made for a step which was not taken
                assert count == 0
    assert caught > tries // 10


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("every", [401, pytest.param(1, marks=pytest.mark.long)])
def test_an_interrupt_at_every_place_of_a_step(case, backend, first, every):
    """`first`: steps that were taken before. (One place of `every`.)"""
    rule, asked = CASES[case]

    def make():
        params = start()
        opt = gpuopt.Optimizer(params, rule, lr=0.01, backend=backend)
        for step in range(first):
            opt.step(grads_of(step), **asked)
        return opt, params

    opt, params = make()
    whole = {first: bytes_of(opt, params)}
    for step in range(first, first + 3):
        opt.step(grads_of(step), **asked)
        whole[step + 1] = bytes_of(opt, params)
    tries = 0
    for at in itertools.count(random.Random(case).randrange(every), every):
        opt, params = make()
        grads = grads_of(first)
        interrupter = Interrupter(at, FILES)
        if not interrupter.run(lambda opt=opt, grads=grads: opt.step(grads, **asked)):
            break
        tries += 1
        count = opt.step_count
        assert count in (first, first + 1)
        assert bytes_of(opt, params)[0] == whole[count][0], f"{interrupter.where}, {count} steps"
        for step in range(count, first + 3):  # and it goes on rightly
            opt.step(grads_of(step), **asked)
        assert bytes_of(opt, params) == whole[first + 3], interrupter.where
    assert tries >= 200 // every


@TRIES
def test_interrupted_averages_leave_the_parameters_own_values(tries):
    params = start()[:3]
    opt = gpuopt.Adam(params, lr=0.1, average=0.5, backend="numpy")
    for _ in range(3):
        opt.step([g.astype(p.dtype) for g, p in zip(start(), params, strict=False)])
    own = [p.tobytes() for p in params]
    averaged = [a.tobytes() for a in opt.averaged_params()]
    assert own != averaged

    def look():
        with opt.averages():
            assert [p.tobytes() for p in params] == averaged

    seconds, rng, caught = duration(look), random.Random(1), 0
    with alarms():
        for _ in range(tries):
            caught += interrupted(look, seconds, rng)
            assert [p.tobytes() for p in params] == own
    assert caught > tries // 10


@TRIES
def test_interrupted_bindings_are_whole(tries):
    first, second = start()[:3], [p + 1 for p in start()[:3]]
    opt = gpuopt.SGD(first, lr=0.1, momentum=0.9, backend="numpy")
    opt.step([np.ones_like(p) for p in first])
    turns = [first, second]
    seconds, rng, caught = duration(lambda: opt.rebind(second)), random.Random(2), 0
    with alarms():
        for k in range(tries):
            bound = opt.params
            other = turns[bound[0] is first]
            caught += interrupted(lambda other=other: opt.rebind(other), 2 * seconds, rng)
            assert [*map(id, opt.params)] in ([*map(id, bound)], [*map(id, other)])
            if k % 10 == 0:
                before = [[p.copy() for p in ps] for ps in turns]
                opt.step([np.ones_like(p) for p in first])
                moved = turns.index(next(ps for ps in turns if ps[0] is opt.params[0]))
                for which, (old, new) in enumerate(zip(before, turns, strict=True)):
                    for a, b in zip(old, new, strict=True):
                        assert np.all(a != b) == (which == moved)
    assert caught > tries // 10
