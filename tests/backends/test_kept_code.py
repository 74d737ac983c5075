"""Compiled code between processes: loaded if it is whole and nobody else's, else compiled anew."""

import errno
import os
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpuopt.backends import cache
from gpuopt.backends.cache import import_source
from gpuopt.lowering.python import whole_text
from tests.optional import optional

optional("numba")

TEXT = """
from numba import njit

@njit(cache=True)
def double(x):
    return 2 * x
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache; another one for temporary files stands ready."""
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir(mode=0o700)
    cache.warn_once.cache_clear()
    return tmp_path / "cache"


def loaded():
    """Whether a module that is imported anew gets its code from a file; it works anyway."""
    double = import_source("Doubling", TEXT).double
    assert double(4) == 8
    return sum(double.stats.cache_hits.values()) == 1


def code(folder):
    (file,) = folder.glob("*.nbc")
    return file


def names(folder):
    return sorted(x.suffix for x in folder.iterdir())


def test_code_is_loaded_and_not_compiled(folder):
    assert [loaded(), loaded()] == [False, True]
    assert names(folder) == [".nbc", ".py"]
    assert all(x.stat().st_mode & 0o777 == 0o600 for x in folder.iterdir())


def flip(content, at):
    return content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]


DAMAGE = {
    "empty": lambda x: b"",
    "cut off": lambda x: x[:-1],
    "cut off at its beginning": lambda x: x[1:],
    "only its digest": lambda x: x[:32],
    "a bit of its digest": lambda x: flip(x, 5),
    "a bit of its pickle": lambda x: flip(x, 40),
    "a bit of its machine code": lambda x: flip(x, len(x) // 2),
    "no bytes of ours": lambda x: b"\xff\xfe" * 2000,
    "a pickle that is none of ours": lambda x: b"cos\nabort\n(tR.",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_code_is_compiled_anew_and_replaced(folder, damage):
    loaded()
    whole = code(folder).read_bytes()
    code(folder).write_bytes(damage(whole))
    assert [loaded(), loaded()] == [False, True]
    assert names(folder) == [".nbc", ".py"]


def test_code_under_anothers_name_is_not_loaded(folder):
    loaded()
    other = import_source("Doubling", TEXT.replace("2", "3"))
    assert other.double(4) == 12
    first, second = folder.glob("*.nbc")
    kept = first.read_bytes(), second.read_bytes()
    first.write_bytes(kept[1]), second.write_bytes(kept[0])
    assert not loaded()


def test_code_that_another_numba_wrote_is_not_loaded(folder, monkeypatch):
    from gpuopt.backends import kept_code

    loaded()
    monkeypatch.setattr(kept_code, "VERSIONS", ("0.1",))
    assert not loaded()


@pytest.mark.parametrize("what", ["folder", "fifo", "link"])
def test_what_is_no_file_is_not_read(folder, tmp_path, what):
    loaded()
    file = code(folder)
    file.rename(tmp_path / "whole")
    {
        "folder": file.mkdir,
        "fifo": lambda: os.mkfifo(file),
        "link": lambda: file.symlink_to(tmp_path / "whole"),
    }[what]()
    assert not loaded()
    assert loaded() == (what != "folder")  # another user's folder cannot be replaced by a file


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"def double(x): return 7\n"])
def test_the_text_that_is_written_beside_the_code_is_never_run(folder, content):
    loaded()
    (file,) = folder.glob("*.py")
    file.write_bytes(content)
    assert loaded()
    assert file.read_text() == TEXT


@contextmanager
def one_warning(reason):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
    assert [w.filename for w in seen] == [__file__]
    assert reason in str(seen[0].message)
    assert len(str(seen[0].message)) < 500


def test_a_file_that_others_may_write_to_is_not_loaded(folder):
    loaded()
    code(folder).chmod(0o620)
    with one_warning("(mode 620)"):
        assert not loaded()
        assert loaded()  # its place was taken by one of our own
    assert code(folder).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("place", ["cache", "above"])
def test_a_folder_that_others_may_write_to_is_not_used(tmp_path, folder, monkeypatch, place):
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(folder / "inner"))
    loaded()
    (folder / "inner" if place == "cache" else folder).chmod(0o777)
    before = {x.name: x.read_bytes() for x in (folder / "inner").iterdir()}
    with one_warning("(mode 777)"):
        assert [loaded(), loaded()] == [False, True]
    assert before == {x.name: x.read_bytes() for x in (folder / "inner").iterdir()}
    (private,) = (tmp_path / "temporary").iterdir()
    assert private.stat().st_mode & 0o777 == 0o700


def test_a_link_to_a_folder_of_others_is_not_used(tmp_path, folder):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(0o777)
    folder.symlink_to(tmp_path / "theirs")
    with one_warning(f"others may write to {(tmp_path / 'theirs').resolve()}"):
        assert [loaded(), loaded()] == [False, True]
    assert not list((tmp_path / "theirs").iterdir())


def test_where_no_folder_is_our_own_nothing_is_kept(tmp_path, folder):
    loaded()
    folder.chmod(0o777)
    squatted = cache.temporary_dir()
    squatted.mkdir()
    squatted.chmod(0o777)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert [loaded(), loaded()] == [False, False]
    assert len(seen) == 2  # one for each folder
    assert not list(squatted.iterdir())


def test_folders_are_made_for_this_user_alone(folder, monkeypatch):
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(folder / "deep" / "er"))
    before = os.umask(0)
    try:
        assert [loaded(), loaded()] == [False, True]
    finally:
        os.umask(before)
    for made in (folder, folder / "deep", folder / "deep" / "er"):
        assert made.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def read_only(folder, monkeypatch):
    """Have the cache lie on a file system that cannot be written to, from a call on."""
    mkstemp, access = tempfile.mkstemp, os.access

    def begin():
        monkeypatch.setattr(os, "access", lambda x, mode: Path(x) != folder and access(x, mode))
        monkeypatch.setattr(tempfile, "mkstemp", refuse)

    def refuse(*args, dir, **options):
        if Path(dir) == folder:
            raise OSError(errno.EROFS, "Read-only file system", str(dir))
        return mkstemp(*args, dir=dir, **options)

    return begin


def test_a_full_cache_that_cannot_be_written_to_is_used(folder, read_only):
    loaded()
    before = names(folder)
    read_only()
    assert loaded()
    code(folder).write_bytes(b"")
    assert not loaded()
    assert names(folder) == before


def test_an_empty_one_is_not(folder, tmp_path, read_only):
    folder.mkdir(mode=0o700)
    read_only()
    assert [loaded(), loaded()] == [False, True]
    assert not list(folder.iterdir())


def test_a_user_without_home_gets_a_temporary_folder(folder, tmp_path, monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GPUOPT_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert [loaded(), loaded()] == [False, True]
    assert names(cache.temporary_dir()) == [".nbc", ".py"]


def test_without_any_folder_each_process_compiles(folder, monkeypatch):
    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setenv("GPUOPT_CACHE_DIR", "/dev/null/no/folder")
    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert [loaded(), loaded()] == [False, False]


@pytest.mark.parametrize("room", [0, 2000])
def test_a_full_disk_leaves_nothing_half_written(folder, room):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    folder.mkdir(mode=0o700)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        first = loaded()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not first
    assert names(folder) == ([".py"] if room else [])
    assert [loaded(), loaded()] == [False, True]


def test_what_a_killed_process_left_is_removed(folder):
    folder.mkdir(mode=0o700)
    for name, age in (("gpuopt_old.tmp", 2 * cache.LEFTOVER_AGE), ("gpuopt_new.tmp", 0)):
        (folder / name).write_text("")
        written = (folder / name).stat().st_mtime - age
        os.utime(folder / name, (written, written))
    loaded()
    assert [x.name for x in folder.glob("*.tmp")] == ["gpuopt_new.tmp"]


def test_printed_kernels_import_nothing_of_gpuopt():
    """What they import would not be in the hash, and Numba would look for its code by itself."""
    for kernel in ("words_numba", "headers_numba", "tensors_numba", "sweep_numba", "norm_numba"):
        assert "gpuopt.kernels" not in whole_text(kernel)


START = f"""
import sys
from gpuopt.backends.cache import import_source
import numba
print("ready", flush=True)
sys.stdin.readline()
double = import_source("Doubling", {TEXT!r}).double
assert double(4) == 8
print(sum(double.stats.cache_hits.values()))
"""


def test_processes_that_start_on_one_empty_cache_at_once(folder):
    def start():
        return subprocess.Popen(
            [sys.executable, "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    together = [start() for _ in range(3)]
    assert [x.stdout.readline() for x in together] == ["ready\n"] * 3
    for process in together:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in together:
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
    assert not list(folder.glob("*.tmp"))
    hits, errors = start().communicate("\n")
    assert (hits, errors) == ("ready\n1\n", "")
