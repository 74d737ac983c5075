"""Files whose contents are not those that were saved: the checksum tells."""

import json
import os

import pytest

from gpuopt import tensor_file
from tests.checkpoints import NUMPY, everything, make, parts, put, run, write
from tests.optional import optional

optional("safetensors.numpy")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


@pytest.mark.parametrize("end", ["truncated", "of another"])
def test_a_file_that_changes_while_it_is_read(end, path, monkeypatch):
    """The header is of one state and the data of another, of the same shapes."""
    opt, p = make(NUMPY)
    run(opt, p, NUMPY, 0, 3)
    opt.save(path, params=True)
    first = path.read_bytes()
    run(opt, p, NUMPY, 3, 4)
    opt.save(path, params=True)
    second = path.read_bytes()
    path.write_bytes(first)
    fresh, q = make(NUMPY)
    before = everything(fresh, q, NUMPY, {})

    def then_changed(file, size, real=tensor_file.read_header):
        header = real(file, size)
        with open(path, "r+b") as other:
            if end == "of another":
                other.write(second)
            else:
                other.truncate(len(first) - 50)
        return header

    monkeypatch.setattr(tensor_file, "read_header", then_changed)
    words = "damaged, or was written to" if end == "of another" else "cut off while it was read"
    with pytest.raises(ValueError, match=f"state.safetensors: .*{words}"):
        fresh.load(path)
    assert everything(fresh, q, NUMPY, {}) == before


def test_a_file_without_a_checksum_that_is_overwritten_while_it_is_read(path, monkeypatch):
    """Those of older versions have none: the time of the change tells."""
    opt, p = make(NUMPY)
    run(opt, p, NUMPY, 0, 3)
    opt.save(path)
    write(path, *parts(path))
    opt.load(path)
    os.utime(path, (0, 0))
    before = everything(opt, p, NUMPY, {})

    def then_changed(file, size, real=tensor_file.read_header):
        header = real(file, size)
        with open(path, "r+b") as other:
            other.write(path.read_bytes()[:-1] + b"x")
        return header

    monkeypatch.setattr(tensor_file, "read_header", then_changed)
    with pytest.raises(ValueError, match=r"was written to while it was read; load it again"):
        opt.load(path)
    assert everything(opt, p, NUMPY, {}) == before


def swapped_names(header):
    header["b/m"], header["b/v"] = header["b/v"], header["b/m"]


def other_name(header):
    header["c/m"] = header.pop("b/m")


def other_shape(header):
    header["w/m"]["shape"].reverse()


def other_dtype(header):
    header["w/m"]["dtype"] = "I32"


def other_lr(header):
    about = header["__metadata__"]
    about["gpuopt"] = about["gpuopt"].replace('"lr": 0.1', '"lr": 0.3')


def other_extra(header):
    about = header["__metadata__"]
    about["gpuopt"] = about["gpuopt"].replace('"extra": null', '"extra": 7')


def no_checksum(header):
    del header["__metadata__"]["checksum"]


@pytest.mark.parametrize(
    "edit",
    [swapped_names, other_name, other_shape, other_dtype, other_lr, other_extra, no_checksum],
)
def test_an_edited_header_is_noticed(edit, path):
    opt, p = make(NUMPY)
    run(opt, p, NUMPY, 0, 3)
    opt.save(path)
    header, _, data = parts(path)
    before = json.dumps(header)
    put(path, header, data)
    opt.load(path)  # another order of keys and other spaces change nothing
    edit(header)
    assert json.dumps(header) != before
    put(path, header, data)
    now = everything(opt, p, NUMPY, {})
    with pytest.raises(ValueError, match=r"the file is damaged.*checksum.*load another copy"):
        opt.load(path)
    assert everything(opt, p, NUMPY, {}) == now
