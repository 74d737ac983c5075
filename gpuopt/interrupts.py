"""Changes that are made whole, whatever interrupts them.

A signal handler (Ctrl-C's, a time limit's) runs between two instructions of Python in the main
thread, and may raise there. What has begun to write must not stop there.
"""

import _signal  # pyright: ignore[reportMissingImports]  `signal` wraps it in slow conversions
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

MOST = 8  # interrupts of one change that are held back
NAMES = "INT TERM ALRM HUP QUIT BREAK USR1 USR2 VTALRM PROF XCPU"  # that people write handlers for
SIGNALS = [int(getattr(signal, f"SIG{x}")) for x in NAMES.split() if hasattr(signal, f"SIG{x}")]


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

    For changes that cannot go on where they were stopped, such as launches on a GPU. It takes a few
    microseconds, where `finish` takes none.
    """
    if threading.current_thread() is not threading.main_thread():  # no handler runs here
        yield
        return
    pairs = zip(SIGNALS, map(_signal.getsignal, SIGNALS), strict=True)
    handlers = [pair for pair in pairs if callable(pair[1])]
    arrived: list[tuple[int, Any]] = []
    try:
        for number, _ in handlers:
            _signal.signal(number, lambda *signal_and_frame: arrived.append(signal_and_frame))
        yield
    finally:
        for number, handler in handlers:
            _signal.signal(number, handler)
        for number, frame in arrived:
            dict(handlers)[number](number, frame)
