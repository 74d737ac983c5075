"""One optimizer takes one step at a time: who comes meanwhile is told so at once."""

import signal
import sys
import threading

import pytest

from gpuopt.torch.turn import again, alone
from tests.torch_adapter.beside import close, ours, parameters, same_bits, torch, train

TOLD = "another thread is stepping this optimizer"


@pytest.fixture
def paused(monkeypatch):
    """An optimizer whose next step in another thread waits inside, until `go` is set."""
    params = parameters()
    opt = ours.Adam(params, lr=0.1)
    train(opt, 2)
    inside, go = threading.Event(), threading.Event()
    holds = opt._binding.holds

    def wait():
        monkeypatch.undo()
        inside.set()
        assert go.wait(30)
        return holds()

    monkeypatch.setattr(opt._binding, "holds", wait)
    thread = threading.Thread(target=train, args=(opt, 1))
    thread.start()
    assert inside.wait(30)
    yield params, opt
    go.set()
    thread.join(30)
    assert not thread.is_alive()
    assert float(opt.state[params[0]]["step"]) == 3
    train(opt, 1)
    assert float(opt.state[params[0]]["step"]) == 4


def test_a_step_while_another_is_under_way(paused):
    params, opt = paused
    before = [p.detach().clone() for p in params]
    for _ in range(3):
        with pytest.raises(RuntimeError, match=TOLD):
            opt.step()
    same_bits(params, before)
    assert float(opt.state[params[0]]["step"]) == 2


def test_a_load_while_a_step_is_under_way(paused):
    _, opt = paused
    groups, state = opt.param_groups, opt.state
    with pytest.raises(RuntimeError, match=TOLD):
        opt.load_state_dict(opt.state_dict())
    assert opt.param_groups is groups
    assert opt.state is state


def test_what_is_only_read_may_be_read(paused):
    _, opt = paused
    assert len(opt.state_dict()["state"]) == 4
    assert "lr: 0.1" in repr(opt)


def test_another_optimizer_goes_on_meanwhile(paused):
    other = parameters(5)
    opt = ours.Adam(other, lr=0.1)
    train(opt, 3)
    assert float(opt.state[other[0]]["step"]) == 3


def test_a_closure_may_be_in_the_same_optimizers_step():
    """The step proper begins when the closure has returned."""
    params = parameters()
    opt = ours.SGD(params, lr=0.1)

    def closure():
        train(opt, 1)
        return 3.0

    assert opt.step(closure) == 3.0


def test_a_signal_handler_that_steps(monkeypatch):
    params = parameters()
    opt = ours.Adam(params, lr=0.1)
    train(opt, 2)
    told = []

    def ring(number, frame):
        try:
            opt.step()
        except RuntimeError as error:
            told.append(str(error))

    holds = opt._binding.holds
    monkeypatch.setattr(
        opt._binding, "holds", lambda: signal.raise_signal(signal.SIGALRM) or holds()
    )
    before = signal.signal(signal.SIGALRM, ring)
    try:
        opt.step()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(told) == 1
    assert "signal handler" in told[0]
    assert float(opt.state[params[0]]["step"]) == 3


def test_many_threads_step_one_optimizer():
    """Steps that are taken are whole and counted, and the others have raised."""
    params, twins = parameters(), parameters()
    opt, twin = ours.Adam(params, lr=0.01), torch.optim.Adam(twins, lr=0.01)
    for p, q in zip(params, twins, strict=True):
        p.grad, q.grad = torch.full_like(p, 0.5), torch.full_like(q, 0.5)
    opt.step()
    taken, failed = [], []

    def work():
        for _ in range(200):
            try:
                opt.step()
                taken.append(1)
            except RuntimeError as error:
                failed.append(TOLD in str(error))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert all(failed)
    assert len(taken) + len(failed) == 800
    assert float(opt.state[params[0]]["step"]) == len(taken) + 1
    for _ in range(len(taken) + 1):
        twin.step()
    close(params, twins, rtol=1e-3)


def test_threads_that_step_an_optimizer_each():
    pairs = [(parameters(k), parameters(k)) for k in range(3)]
    opts = [(ours.Adam(a, lr=0.1), ours.Adam(b, lr=0.1)) for a, b in pairs]
    failed = []

    def work(opt):
        try:
            train(opt, 50)
        except RuntimeError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(opt,)) for opt, _ in opts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _, twin in opts:
        train(twin, 50)
    assert failed == []
    for a, b in pairs:
        same_bits(a, b)


def test_the_turn_is_given_back_after_an_error():
    turn = {}
    with pytest.raises(ZeroDivisionError):
        alone(turn, lambda: 1 / 0)
    assert alone(turn, lambda x: x + 1, 2) == 3
    assert turn == {}
    with pytest.raises(RuntimeError, match=TOLD):
        alone(turn, lambda: alone(turn, int))
    assert alone(turn, int) == 0


def test_work_that_is_cut_short_is_done_again_and_then_the_interrupt_raised():
    done = []

    def work(left):
        done.append(len(done))
        if left and len(done) <= left:
            raise KeyboardInterrupt

    again(work, 0)
    assert done == [0]
    done.clear()
    with pytest.raises(KeyboardInterrupt):
        again(work, 2)
    assert done == [0, 1, 2]
