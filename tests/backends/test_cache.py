"""Printed source on disk, named by its content."""

import os
import sys
from pathlib import Path

import pytest

from gpuopt.backends.cache import cache_dir, import_source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


def test_other_text_is_another_module(folder):
    one, two = import_source("Rule", "x = 1\n"), import_source("Rule", "x = 2\n")
    assert (one.x, two.x) == (1, 2)
    assert one.__name__ != two.__name__
    assert len(list(folder.glob("*.py"))) == 2
    assert sys.modules[one.__name__] is one


def test_a_file_is_written_once_and_mended_if_it_was_damaged(folder):
    path = Path(import_source("Rule", "y = 1\n").__file__)
    os.utime(path, (1, 1))
    assert import_source("Rule", "y = 1\n").y == 1
    assert path.stat().st_mtime == 1
    path.write_text("y = 666\n")
    assert import_source("Rule", "y = 1\n").y == 1
    assert not list(folder.glob("*.tmp"))


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path / "file"))
    module = import_source("Rule", "z = 3\n")
    assert module.z == 3
    assert str(tmp_path) not in module.__file__


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("GPUOPT_CACHE_DIR")
    if sys.platform != "win32":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_dir() == tmp_path / "gpuopt"
