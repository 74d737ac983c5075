"""Replacing a file whole: what is left when it fails."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from gpuopt.replacing import replacing

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


def test_of_threads_one_wins(path):
    texts = [str(k) * 10_000 for k in range(8)]
    threads = [threading.Thread(target=replace, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert set(contents(path)) == {"state"}
