"""Two threads and one optimizer: one of them is told; different optimizers go on side by side."""

import threading

import numpy as np
import pytest

import gpuopt


class Slow:
    """A schedule that lets others come in between, inside a step."""

    def __init__(self):
        self.entered, self.leave = threading.Event(), threading.Event()

    def __call__(self, step):
        self.entered.set()
        assert self.leave.wait(60)
        return 0.5


@pytest.fixture
def stepping():
    """An optimizer in the middle of a step by another thread; `leave` lets that finish."""
    slow, p = Slow(), np.ones(3)
    opt = gpuopt.SGD({"w": p}, lr=slow, average=0.9, backend="numpy")
    thread = threading.Thread(target=lambda: opt.step({"w": np.ones(3)}))
    thread.start()
    assert slow.entered.wait(60)
    yield opt, p
    slow.leave.set()
    thread.join()
    assert p.tolist() == [0.5] * 3
    assert opt.step_count == 1


def test_whatever_changes_an_optimizer_waits_for_nobody(stepping):
    opt, p = stepping

    def look():
        with opt.averages():
            pass

    actions = (
        lambda: opt.step({"w": np.ones(3)}),
        lambda: opt.load_state_dict({}),
        lambda: opt.load("nowhere"),
        lambda: opt.rebind({"w": np.zeros(3)}),
        look,
    )
    for action in actions:
        with pytest.raises(RuntimeError, match="another thread is stepping this optimizer"):
            action()
    assert p.tolist() == [1.0] * 3


def test_a_step_inside_a_step_is_refused():
    p = np.ones(3)

    def schedule(step):
        if step > 1:
            opt.step(np.ones(3))
        return 0.5

    opt = gpuopt.SGD(p, lr=schedule, backend="numpy")
    opt.step(np.ones(3))
    with pytest.raises(RuntimeError, match="inside a step"):
        opt.step(np.ones(3))
    assert p.tolist() == [0.5] * 3
    assert opt.step_count == 1


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_every_step_that_did_not_raise_was_taken_and_counted(name):
    n, rounds = 200_000, 40
    p = np.zeros(n, "f4")
    opt = gpuopt.SGD(p, lr=1.0, backend=name)
    opt.step(np.zeros(n, "f4"))
    taken, refused = [], []

    def work():
        for _ in range(rounds):
            try:
                opt.step(np.full(n, -1, "f4"))
                taken.append(1)
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) + len(refused) == 3 * rounds
    assert opt.step_count == 1 + len(taken)
    assert np.all(p == len(taken))


def test_different_optimizers_step_side_by_side():
    params = [np.zeros(100_000, "f4") for _ in range(3)]
    grad = np.full(100_000, -1, "f4")
    opts = [gpuopt.SGD(p, lr=1.0, backend="numba") for p in params]

    def work(opt):
        for _ in range(50):
            opt.step(grad)

    threads = [threading.Thread(target=work, args=(opt,)) for opt in opts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.all(p == 50) for p in params)
