"""Changes that are made whole, and signals that wait."""

import signal
import threading

import pytest

from gpuopt.interrupts import MOST, finish, signals_wait


def test_an_interrupted_change_is_finished_and_the_interrupt_raised():
    done = []

    def change():
        for k in range(len(done), 5):
            done.append(k)
            if k == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish(change)
    assert done == [0, 1, 2, 3, 4]


def test_an_error_of_the_change_itself_is_raised():
    tries = []

    def change():
        tries.append(1)
        raise ZeroDivisionError("always")

    with pytest.raises(ZeroDivisionError, match="always"):
        finish(change)
    assert len(tries) == MOST


@pytest.fixture
def calls():
    """SIGUSR1 and SIGALRM have handlers, which tell what was called; the second one raises."""
    found = []

    def raising(number, frame):
        found.append(number)
        raise TimeoutError("too late")

    before = {n: signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGALRM)}
    signal.signal(signal.SIGUSR1, lambda number, frame: found.append(number))
    signal.signal(signal.SIGALRM, raising)
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_are_handled_at_the_end(calls):
    ours = signal.getsignal(signal.SIGUSR1)
    with signals_wait():
        signal.raise_signal(signal.SIGUSR1)
        assert calls == []
    assert calls == [signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) is ours


def test_what_a_handler_raises_is_raised_at_the_end(calls):
    def change():
        with signals_wait():
            signal.raise_signal(signal.SIGALRM)
            calls.append("whole")

    with pytest.raises(TimeoutError, match="too late"):
        change()
    assert calls == ["whole", signal.SIGALRM]


def test_an_error_inside_is_raised_and_handlers_come_back(calls):
    with pytest.raises(ZeroDivisionError), signals_wait():
        raise ZeroDivisionError
    signal.raise_signal(signal.SIGUSR1)
    assert calls == [signal.SIGUSR1]


def test_another_thread_has_no_handlers_to_keep_waiting():
    seen = []

    def work():
        with signals_wait():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
