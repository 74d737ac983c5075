"""Interrupts at random moments of something that is done, as Ctrl-C and time limits make them."""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

SHORTEST = 2e-6  # seconds: a timer of 0 is no timer


def ring(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def alarms() -> Iterator[None]:
    """SIGALRM raises KeyboardInterrupt inside."""
    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def duration(action: Callable[[], object]) -> float:
    """Seconds that an action takes, the least of three."""
    times = []
    for _ in range(3):
        start = perf_counter()
        action()
        times.append(perf_counter() - start)
    return min(times)


def interrupted(action: Callable[[], object], seconds: float, rng: random.Random) -> bool:
    """Do something with an alarm at a random moment of the first `seconds`; whether it raised."""
    try:
        signal.setitimer(signal.ITIMER_REAL, SHORTEST + rng.random() * seconds)
        action()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        return True
    return False
