"""Interrupts at random moments of something that is done, as Ctrl-C and time limits make them."""

import dis
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

SHORTEST = 2e-6  # seconds: a timer of 0 is no timer
# After these CPython looks for signals.
STOPS = ("CALL", "RESUME", "JUMP_BACKWARD", "JUMP_ABSOLUTE")


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


class Interrupter:
    """Raises KeyboardInterrupt at the n-th place, in files of a folder, at which CPython looks for
    signals."""

    def __init__(self, at, files):
        self.left, self.files, self.where = at, files, None
        self.before = {}

    def trace(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(self.files):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.before[frame] = "RESUME"
        return self.local

    def local(self, frame, event, argument):
        if event == "return":
            self.before.pop(frame, None)
        if event == "opcode":
            last = self.before.get(frame, "")
            self.before[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            if last.startswith(STOPS):
                self.left -= 1
                if self.left < 0 and self.where is None:
                    name = Path(frame.f_code.co_filename).name
                    self.where = f"{name}:{frame.f_lineno}"
                    raise KeyboardInterrupt
        return self.local

    def run(self, work):
        """Whether the place was come to."""
        sys.settrace(self.trace)
        try:
            work()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
            self.before.clear()
        return self.where is not None
