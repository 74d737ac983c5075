"""Numba's threads: when others than the caller's are asked to work, and whether they are awake."""

import functools
import os
import sys
import threading
from collections.abc import Callable
from time import perf_counter

import numba

from gpuopt.backends import forks

LEAST = 32_768  # elements for which another thread is asked, if it is awake; docs/decisions.md
WAKING = 262_144  # elements of a step for which threads that sleep are woken
ONE_AT_A_TIME = threading.RLock()  # again by one thread: a signal handler may step, or fork
SPINS = "2000"  # of a thread before it sleeps
AWAKE = 45e-6  # seconds that it is awake then
LONG_AWAKE = 2e-3  # the same, where they spin for longer, or are woken soon
SOON = 60e-6  # seconds after such a pause, in which they have done nothing


class Threads:
    """When the threads have worked last, for whichever launch, and how long they are awake then."""

    def __init__(self) -> None:
        self.worked, self.awake = 0.0, 0.0

    def have_worked(self) -> None:
        self.worked = perf_counter()

    def are_awake(self) -> bool:
        return perf_counter() - self.worked < self.awake

    def learn(self, nothing: Callable[[], object]) -> None:
        """Find out, once, how long they are awake: by how soon they have done `nothing`, which
        takes all of them, a while after they had."""
        if not self.awake:
            times = [time_after(LONG_AWAKE, nothing) for _ in range(3)]
            self.awake = LONG_AWAKE if min(times) < SOON else AWAKE


def pause(seconds: float) -> None:
    """Wait without sleep, which would take the caller's own thread longer to wake from."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def time_after(seconds: float, run: Callable[[], object]) -> float:
    """Seconds that `run` takes so long after it has run."""
    run()
    pause(seconds)
    start = perf_counter()
    run()
    return perf_counter() - start


THREADS = Threads()
if hasattr(os, "register_at_fork"):  # in a child no other thread is left that could release it
    os.register_at_fork(
        before=ONE_AT_A_TIME.acquire,
        after_in_parent=ONE_AT_A_TIME.release,
        after_in_child=ONE_AT_A_TIME.release,
    )


@functools.cache
def start_threads() -> bool:
    """Start Numba's threads, once, and have them sleep soon when there is nothing to do.

    GNU OpenMP's threads spin for milliseconds after a sweep, on the cores that the next matrix
    product wants: training some 40 times slower was measured. It reads how long when it is loaded;
    what the user has set stands. Once another library has loaded it, this changes nothing: with
    PyTorch, the threads are PyTorch's. Numba also sets how many there are: PyTorch gets its number
    back.

    True if two Python threads may use them at once; Numba's own, "workqueue", end the process then.
    """
    chosen = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if not chosen:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    torch = sys.modules.get("torch")
    torchs = torch.get_num_threads() if torch is not None else 0
    try:
        numba.get_num_threads()
    finally:
        if not chosen:
            del os.environ["GOMP_SPINCOUNT"]
        if forks.alone:
            numba.set_num_threads(1)
        if torch is not None:
            torch.set_num_threads(torchs)
    return numba.threading_layer() != "workqueue"  # pyright: ignore
