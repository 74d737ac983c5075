"""Changes that are made whole, whatever interrupts them.

A signal handler (Ctrl-C's, a time limit's) runs between two instructions of Python in the main
thread, and may raise there. What has begun to write must not stop there.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

MOST = 8  # interrupts of one change that are held back
SIGNALS = sorted(signal.valid_signals())


def finish(change: Callable[[], None]) -> None:
    """Make a change; an exception that interrupts it is raised when the change is whole.

    Called again, `change` must go on where it was stopped: what it has done it does not do twice.
    An error of its own, which comes again at every try, is raised after `MOST` of them. It costs
    nothing unless something is raised.
    """
    interrupt: BaseException | None = None
    for _ in range(MOST):
        try:
            change()
            break
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


@contextmanager
def signals_wait() -> Iterator[None]:
    """Handlers of signals that arrive inside are called at the end.

    For changes that cannot go on where they were stopped, such as launches on a GPU. It takes some
    microseconds.
    """
    if threading.current_thread() is not threading.main_thread():  # no handler runs here
        yield
        return
    handlers = {n: signal.getsignal(n) for n in SIGNALS}
    handlers = {n: handler for n, handler in handlers.items() if callable(handler)}
    arrived: list[tuple[int, Any]] = []
    replaced: list[int] = []
    try:
        for number in handlers:
            replaced.append(number)
            signal.signal(number, lambda *signal_and_frame: arrived.append(signal_and_frame))
        yield
    finally:
        for number in replaced:
            signal.signal(number, handlers[number])
        for number, frame in arrived:
            handlers[number](number, frame)
