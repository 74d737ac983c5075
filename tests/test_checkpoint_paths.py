"""What a path may lead to: files are loaded, anything else is refused at once."""

import os
import signal
import socket
import tempfile
from pathlib import Path

import numpy as np
import pytest

import gpuopt
from gpuopt import files
from tests.checkpoints import NUMPY, everything, make
from tests.optional import optional

optional("safetensors.numpy")
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@pytest.fixture
def folder():
    """A folder with a short name, as sockets need."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def alarm():
    """Ends a test that waits for a pipe's other end."""

    def ring(*_):
        raise TimeoutError("still waiting")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(folder):
    os.mkfifo(folder / "it")
    return folder / "it"


def listening(folder):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "it"))
    server.close()
    return folder / "it"


def link_to_a_pipe(folder):
    (folder / "link").symlink_to(pipe(folder))
    return folder / "link"


@posix
@pytest.mark.parametrize("load", [gpuopt.Optimizer.load, lambda opt, path: files.extra_in(path)])
@pytest.mark.parametrize(
    ("make_path", "what"),
    [
        (pipe, "is a named pipe"),
        (link_to_a_pipe, "is a named pipe"),
        (listening, "is a socket"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: Path("/dev/null"), "is a device"),
        (lambda folder: Path("/dev/zero"), "is a device"),
    ],
)
def test_what_is_no_file_is_refused_at_once(load, make_path, what, folder, alarm):
    path = make_path(folder)
    opt, p = make(NUMPY)
    before = everything(opt, p, NUMPY, {})
    with pytest.raises(
        OSError, match=rf"^{path} {what}; give the name of a file that .*save wrote$"
    ):
        load(opt, path)
    assert everything(opt, p, NUMPY, {}) == before


@posix
def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(folder, alarm, monkeypatch):
    path = folder / "it"
    opt, p = make(NUMPY)
    opt.save(path)
    before = everything(opt, p, NUMPY, {})
    real = os.open

    def opened(name, flags, *args, **options):
        os.remove(name)
        os.mkfifo(name)
        return real(name, flags, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        with pytest.raises(OSError, match="is a named pipe"):
            opt.load(path)
    assert everything(opt, p, NUMPY, {}) == before


@posix
def test_links_paths_of_any_kind_and_names_of_any_length(folder):
    opt, _ = make(NUMPY)
    for name in ("it", "x" * 255, "ü" * 127, "a b\nc"):
        path = folder / name
        opt.save(path, extra=name)
        (folder / "link").symlink_to(path)
        for given in (path, str(path), os.fsencode(path), folder / "link"):
            assert opt.load(given) == name
        opt.save(os.fsencode(path), extra=1)
        assert opt.load(folder / "link") == 1
        (folder / "link").unlink()
        path.unlink()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("path", ["no such file", "x" * 10_000, "a/" * 3_000])
def test_an_error_of_the_system_is_short_and_names_the_file(path, folder):
    opt, _ = make(NUMPY)
    for call in (opt.load, files.extra_in):
        with pytest.raises(OSError, match=r"\[Errno \d+\] .*: '") as caught:
            call(folder / path)
        assert len(str(caught.value)) < 500
    with pytest.raises(FileNotFoundError, match="'no such file'"):
        opt.load("no such file")
    if len(path) > 100:
        with pytest.raises(OSError, match=r"cannot be written: .*: '") as caught:
            opt.save(folder / path)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("path", [3, None, True, 0.5])
def test_a_path_is_text_or_a_path(path):
    opt = gpuopt.SGD(np.ones(3), lr=1, backend="numpy")
    for call in (opt.load, opt.save, files.extra_in):
        with pytest.raises(TypeError, match=r"expected str, bytes or os\.PathLike object, not"):
            call(path)


def test_a_name_with_a_null_byte_is_refused():
    opt = gpuopt.SGD(np.ones(3), lr=1, backend="numpy")
    with pytest.raises(ValueError, match="null"):
        opt.load("a\0b")
    with pytest.raises(ValueError, match="null"):
        opt.save("a\0b")
