"""What a benchmark is doing, on stderr: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gpuopt.bench.run import Advance


@contextmanager
def progress(clock: Callable[[], float] = time.perf_counter) -> Iterator[Advance]:
    """A callback for `run`. The bar is drawn only when it is called: a thread that redraws it would
    take its time from what is measured."""
    if not sys.stderr.isatty():
        yield Lines(clock)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.fields[left]:>12}"),
        BarColumn(24),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=1.0, left="")
        guess = Guess(clock)

        def advance(what: str, done: float, seconds: float) -> None:
            left = guess.left(done, seconds)
            bar.update(task, completed=done, description=what, left=left, refresh=True)

        yield advance


class Guess:
    """How long it will still take: as guessed beforehand, corrected by how it went so far."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.begin: float | None = None

    def left(self, done: float, seconds: float) -> str:
        """done: the share of all that is done; seconds: what all was guessed to take, 0 for nobody
        knows."""
        if not seconds:
            return ""
        if self.begin is None:
            self.begin = self.clock()
        over = self.clock() - self.begin
        guessed = (1 - done) * seconds
        so_far = over * (1 - done) / done if done else guessed
        return words(done * so_far + (1 - done) * guessed)


class Lines:
    """One line when another row begins."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.guess, self.last = Guess(clock), ""

    def __call__(self, what: str, done: float, seconds: float) -> None:
        row = what.partition(" | ")[0]
        if row == self.last:
            return
        self.last = row
        left = self.guess.left(done, seconds)
        print(f"{row}{f' ({left})' * bool(left)}", file=sys.stderr, flush=True)


def words(seconds: float) -> str:
    """About how long, such as "3 min left"."""
    if seconds < 90:
        return f"{max(5 * round(seconds / 5), 1)} s left"
    return f"{round(seconds / 60)} min left"
