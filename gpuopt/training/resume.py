"""`gpuopt train --checkpoint`: a run that can be stopped at any moment and goes on bit for bit."""

import dataclasses
import signal
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpuopt import files
from gpuopt.errors import InputError, input_errors, shortened
from gpuopt.training.data import Data
from gpuopt.training.run import History, Result, Run
from gpuopt.training.settings import Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """A signal came, and everything is saved."""

    def __init__(self, number: int, run: Run, path: Path) -> None:
        name, steps = signal.Signals(number).name, len(run.history.losses)
        super().__init__(
            f"stopped by {name} after step {steps} of {run.name}; saved in {path}. The same "
            "command with --resume goes on"
        )
        self.exit_code = 128 + number


class Checkpoint:
    """A file that is written every few steps, when a signal comes, and after each optimizer.

    path: None writes nothing. about: what must be the same where a run goes on. finished: the
    optimizers that are done.
    """

    def __init__(self, path: Path | None, every: int, about: dict[str, Any]) -> None:
        if every < 1:
            raise InputError(f"--save-every {every}: must be at least 1")
        self.path, self.every, self.about = path, every, about
        self.finished: dict[str, Result] = {}
        self.run: dict[str, Any] | None = None  # where the unfinished one was
        self.signal: int | None = None

    def read(self, path: Path) -> None:
        """Go on from a file. InputError if it is of another run."""
        with input_errors(ValueError, OSError):
            saved = files.extra_in(path)
        if not is_saved_run(saved):
            raise InputError(f"--checkpoint {path} was not written by gpuopt train")
        for name, mine in self.about.items():
            if saved["about"].get(name) != mine:
                theirs = shortened(repr(saved["about"].get(name)), 150)
                raise InputError(
                    f"--checkpoint {path} is of a run with {name} {theirs}, and this one has "
                    f"{shortened(repr(mine), 150)}; give the same options and data, or another file"
                )
        with same_version(path):
            self.finished = {name: Result(**found) for name, found in saved["finished"].items()}
        self.run = saved["run"]

    def restore(self, run: Run) -> None:
        """Bring a new run to where the saved one was, if it is that optimizer's."""
        if self.run is None or self.run["name"] != run.name:
            return
        with same_version(self.path):
            history = History(**self.run["history"])
        with input_errors(ValueError, OSError):
            run.optimizer.load(self.path)
            run.batches.load_state_dict(self.run["batches"])
        run.history, run.loss_before = history, self.run["loss_before"]

    def after_step(self, run: Run) -> None:
        """Save if it is time; raises Stopped if a signal came."""
        steps = len(run.history.losses)
        if self.path is None or (self.signal is None and steps % self.every):
            return
        used = (steps - 1) % len(run.batches) + 1  # of this epoch's mini-batches
        self.save(
            run,
            {
                "name": run.name,
                "batches": run.batches.state_dict(done=used),
                "history": vars(run.history),
                "loss_before": run.loss_before,
            },
        )
        if self.signal is not None:
            raise Stopped(self.signal, run, self.path)

    def finish(self, run: Run, result: Result) -> None:
        """Save that an optimizer is done."""
        self.finished[run.name] = result
        self.save(run, None)

    def save(self, run: Run, where: dict[str, Any] | None) -> None:
        if self.path is None:
            return
        finished = {name: vars(result) for name, result in self.finished.items()}
        extra = {"about": self.about, "finished": finished, "run": where}
        with input_errors(OSError, ImportError):
            run.optimizer.save(self.path, params=True, extra=extra)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, SIGTERM and SIGINT (Ctrl-C) stop the run after the step, and save; a second one
        acts as it does outside."""
        if self.path is None:
            yield
            return

        def note(number: int, _: Any) -> None:
            self.signal = number
            signal.signal(number, before[signal.Signals(number)])

        before = {number: signal.signal(number, note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def same_version(path: Path | None) -> Iterator[None]:
    """Inside, classes are made of the fields with which they were saved."""
    try:
        yield
    except TypeError:
        raise InputError(
            f"--checkpoint {path} was written by another version of gpuopt; go on with that, "
            "or give another file"
        ) from None


def is_saved_run(extra: Any) -> bool:
    """Whether this is of the form that `Checkpoint.save` writes."""
    if not isinstance(extra, dict) or extra.keys() != {"about", "finished", "run"}:
        return False
    about, finished, run = extra["about"], extra["finished"], extra["run"]
    if not isinstance(about, dict) or not isinstance(finished, dict):
        return False
    parts = {"name", "batches", "history", "loss_before"}
    return run is None or (isinstance(run, dict) and run.keys() == parts)


def open_checkpoint(
    path: Path | None, resume: bool, every: int, about: dict[str, Any]
) -> Checkpoint:
    """The checkpoint for `--checkpoint`, read if the run is to go on and the file is there."""
    if path is None and resume:
        raise InputError("--resume needs --checkpoint FILE, the file to go on from")
    checkpoint = Checkpoint(path, every, about)
    if path is not None and path.exists():
        if not resume:
            raise InputError(
                f"--checkpoint {path} exists already; give --resume to go on from it, or another "
                "name"
            )
        checkpoint.read(path)
    return checkpoint


def identity(
    names: Sequence[str], data: Data, settings: Settings, device: str, backend: str | None
) -> dict[str, Any]:
    """What must be the same for a run to go on bit for bit, in JSON's types."""
    arrays = (data.X, data.Y, data.X_test, data.Y_test)
    return {
        "optimizers": list(names),
        **{
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(settings).items()
        },
        "data": f"{data.name}, checksum {sum(zlib.crc32(a.tobytes()) for a in arrays):x}",
        "device": device,
        "backend": backend,
    }
