"""Replacing a file whole: what is left when it fails, and what killed processes left."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpuopt import replacing as module
from gpuopt.replacing import prefix, replacing

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "state"
    path.write_text("old")
    return path


def contents(path):
    return {x.name: x.read_text() for x in path.parent.iterdir()}


def replace(path, text="new"):
    with replacing(path) as new:
        new.write_text(text)


def test_a_file_that_is_new_and_one_that_was_there(path):
    replace(path)
    replace(path.with_name("other"), "another")
    assert contents(path) == {"state": "new", "other": "another"}


@posix
def test_the_file_is_on_the_disk_before_it_is_renamed_and_the_folder_after(path, monkeypatch):
    done = []

    def fsync(descriptor, real=os.fsync):
        real(descriptor)
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        done.append("folder" if is_folder else f"file of {os.fstat(descriptor).st_size} bytes")

    def rename(old, new, real=os.replace):
        done.append("rename")
        real(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    replace(path)
    assert done == ["file of 3 bytes", "rename", "folder"]


def half(path, error):
    with replacing(path) as new:
        new.write_text("half of the n")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_stops_it_leaves_the_old_file(error, path):
    with pytest.raises(error):
        half(path, error)
    assert contents(path) == {"state": "old"}


def test_an_error_of_the_system_names_the_file(path):
    with pytest.raises(PermissionError) as caught:
        half(path, PermissionError(13, "Denied", "something else"))
    assert str(caught.value) == f"[Errno 13] cannot be written: Denied: '{path}'"
    assert contents(path) == {"state": "old"}


def test_the_permissions_stay(path):
    path.chmod(0o640)
    replace(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix
def test_a_link_stays_and_leads_to_the_new_file(path, tmp_path):
    (tmp_path / "folder").mkdir()
    link, dangling = tmp_path / "folder" / "latest", tmp_path / "folder" / "next"
    link.symlink_to("../state")
    dangling.symlink_to("../later")
    replace(link)
    replace(dangling, "later")
    assert path.read_text() == "new"
    assert (tmp_path / "later").read_text() == "later"
    assert link.is_symlink()
    assert dangling.is_symlink()


def test_what_cannot_be_replaced(path, tmp_path):
    with pytest.raises(OSError, match="is no file, so none can take its place"):
        replace(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere; make it first"):
        replace(tmp_path / "nowhere" / "state")
    assert contents(path) == {"state": "old"}


# A process without rights in a folder (root would have them all), and one with a limit to a file.
REFUSED = """
import os, sys
from gpuopt.replacing import replacing
if not os.geteuid():
    os.setuid(65534)
try:
    with replacing(sys.argv[1]) as new:
        new.write_text("new")
except PermissionError as error:
    print(error)
"""
LIMITED = """
import resource, sys
import numpy as np
import gpuopt
opt = gpuopt.SGD(np.zeros(100_000), lr=1, backend="numpy")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1))
try:
    opt.save(sys.argv[1], params=True)
except OSError as error:
    print(error)
"""


def output(script, path):
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert not run.returncode, run.stderr
    return run.stdout


@posix
def test_a_folder_without_the_right_to_write():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own can be entered by nobody else
        path = Path(folder) / "state"
        path.write_text("old")
        path.parent.chmod(0o555)
        message = output(REFUSED, path)
        assert f"cannot be written: Permission denied: '{path}'" in message
        assert contents(path) == {"state": "old"}
        path.parent.chmod(0o755)


@posix
def test_a_disk_that_is_full(path):
    pytest.importorskip("safetensors")
    assert f"{path} cannot be written" in output(LIMITED, path)
    assert contents(path) == {"state": "old"}


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


@posix
def test_a_signal_handler_may_save_what_is_being_saved(path):
    command = [sys.executable, "-c", SIGNALLED, str(path)]
    subprocess.run(command, check=True, timeout=60)
    assert contents(path) == {"state": "of the program"}


@posix
def test_what_killed_processes_left_is_removed_and_what_is_being_written_stays(path, monkeypatch):
    monkeypatch.setattr(module, "LEFTOVER_AGE", 0)
    monkeypatch.setattr(os, "getpid", lambda: 1)  # in containers it says nothing
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
    assert contents(path) == {"state": "whole"}


@posix
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
        age = module.LEFTOVER_AGE + (1 if folder != young else -30)
        os.utime(folder, (time.time() - age,) * 2)
    replace(path)
    assert {x for x in path.parent.iterdir() if x.is_dir()} == {young, *others}
    assert path.read_text() == "new"


@posix
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


def test_of_threads_one_wins(path):
    texts = [str(k) * 10_000 for k in range(8)]
    threads = [threading.Thread(target=replace, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert set(contents(path)) == {"state"}
