"""Files that several writers replace at once, and what killed ones left beside them."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from gpuopt import replacing as module
from gpuopt.replacing import prefix, replacing

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "state"
    path.write_text("old")
    return path


def replace(path):
    with replacing(path) as new:
        new.write_text("new")


# A process that waits inside `with replacing`, and one that saves again from a signal handler.
WAITING = """
import sys
from gpuopt.replacing import replacing
with replacing(sys.argv[1]) as new:
    new.write_text("half")
    print("inside", flush=True)
    sys.stdin.read()
    new.write_text("whole")
"""
SIGNALLED = """
import os, signal, sys
from gpuopt.replacing import replacing

def save(text, during=lambda: None):
    with replacing(sys.argv[1]) as new:
        new.write_text(text)
        during()

signal.signal(signal.SIGTERM, lambda *_: save("of the handler"))
save("of the program", lambda: os.kill(os.getpid(), signal.SIGTERM))
"""


@contextmanager
def waiting(path):
    """A process that is inside; killed in the end."""
    command = [sys.executable, "-c", WAITING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"inside\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_signal_handler_may_save_what_is_being_saved(path):
    command = [sys.executable, "-c", SIGNALLED, str(path)]
    subprocess.run(command, check=True, timeout=60)
    assert path.read_text() == "of the program"
    assert list(path.parent.iterdir()) == [path]


def test_what_killed_processes_left_is_removed_and_what_is_being_written_stays(path, monkeypatch):
    monkeypatch.setattr(module, "LEFTOVER_AGE", 0)
    with waiting(path) as living:
        with waiting(path) as killed:
            killed.kill()
            killed.wait()
            assert len(list(path.parent.iterdir())) == 3
        replace(path)
        assert path.read_text() == "new"
        (left,) = (x for x in path.parent.iterdir() if x.is_dir())
        assert (left / "new").read_text() == "half"
        living.communicate()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("inside", [[], ["lock"], ["new"], ["lock", "new"]])
def test_only_old_folders_of_this_file_are_leftovers(inside, path):
    young, old = (path.parent / f"{prefix(path)}abcd123{x}.tmp" for x in "45")
    others = [
        path.parent / f"{prefix(path.with_name('other'))}abcd1234.tmp",
        path.parent / f"{prefix(path)}mine.tmp",
        path.parent / ".state.tmp",
    ]
    for folder in (young, old, *others):
        folder.mkdir()
        for name in inside:
            (folder / name).write_text("")
        then = time.time() - module.LEFTOVER_AGE + (30 if folder == young else -1)
        os.utime(folder, (then, then))
    replace(path)
    assert {x for x in path.parent.iterdir() if x.is_dir()} == {young, *others}
    assert path.read_text() == "new"


def test_without_locks_files_are_replaced_and_leftovers_stay(path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    monkeypatch.setattr(module, "LEFTOVER_AGE", 0)
    leftover = path.parent / f"{prefix(path)}abcd1234.tmp"
    leftover.mkdir()
    replace(path)
    assert path.read_text() == "new"
    assert {x.name for x in path.parent.iterdir()} == {"state", leftover.name}
