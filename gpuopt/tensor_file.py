"""Safetensors files, read into memory and checked.

The safetensors package maps a file, so whoever overwrites or truncates that meanwhile ends the
process by SIGBUS; its other reader, of bytes, copies every tensor once more. Here a file is read
once, into one block of memory, and the tensors are views of it: the peak is the file's size.

The format (https://github.com/huggingface/safetensors): 8 bytes, the length of the header; the
header, JSON that maps each name to dtype, shape and place, and "__metadata__" to texts; the bytes
of the tensors, one after another without gaps.
"""

import json
import math
import os
import stat
from collections import Counter
from io import FileIO
from typing import Any, NamedTuple

import numpy as np

from gpuopt.backends.bfloat16 import bfloat16
from gpuopt.errors import listed, shortened

LENGTH = 8  # bytes of the length of the header
LONGEST_HEADER = 100_000_000  # bytes, as in the safetensors package
DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
}  # fmt: skip
MOST_AXES = 64  # as in NumPy
NO_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Contents(NamedTuple):
    """metadata: texts by name. tensors: views of one block of memory. steady: whether the file had
    the same size and time of change before and after it was read."""

    metadata: dict[str, str]
    tensors: dict[str, np.ndarray]
    steady: bool


class Place(NamedTuple):
    """Where a tensor lies: bytes `start` to `stop` of those after the header."""

    start: int
    stop: int
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


def read_file(path: str) -> Contents:
    """Read a file. OSError for what cannot be read or is no file, such as a pipe, for which it
    never waits; ValueError for what is no safetensors file."""
    require_file(os.stat(path), path)  # before it is opened, which some devices would notice
    with open(path, "rb", buffering=0, opener=open_at_once) as file:
        before = os.fstat(file.fileno())
        require_file(before, path)  # another one may have come in its place
        header = read_header(file, before.st_size)
        metadata, places = described(header, before.st_size - LENGTH - len(header))
        data = np.empty(places[-1].stop if places else 0, np.uint8)
        read_into(file, data)
        after = os.fstat(file.fileno())
    tensors = {x.name: data[x.start : x.stop].view(x.dtype).reshape(x.shape) for x in places}
    unchanged = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return Contents(metadata, tensors, unchanged)


def open_at_once(path: str, flags: int) -> int:
    """A descriptor, without waiting for a pipe's other end, nor taking a terminal."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def require_file(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = next((name for is_it, name in NO_FILES if is_it(status.st_mode)), "no file")
        raise OSError(
            f"{shortened(path, 100)} is {what}; give the name of a file that Optimizer.save wrote"
        )


def read_header(file: FileIO, size: int) -> bytes:
    """The header of a file of `size` bytes."""
    if size < LENGTH:
        raise no_safetensors(f"it has {size} bytes")
    length = np.empty(1, "<u8")
    read_into(file, length.view(np.uint8))
    count = int(length[0])
    most = min(size - LENGTH, LONGEST_HEADER)
    if count > most:
        raise no_safetensors(f"its header would have {count:,} bytes, where {most:,} are possible")
    header = np.empty(count, np.uint8)
    read_into(file, header)
    return header.tobytes()


def read_into(file: FileIO, block: np.ndarray) -> None:
    """Fill a block of bytes from the file. ValueError if that ends too soon."""
    rest = block.data
    while len(rest):
        count = file.readinto(rest)
        if not count:
            raise ValueError("it was cut off while it was read")
        rest = rest[count:]


def described(header: bytes, size: int) -> tuple[dict[str, str], list[Place]]:
    """The metadata in a header, and the places of the tensors, which fill `size` bytes."""
    try:
        entries = json.loads(header.decode(), object_pairs_hook=without_twins)
    except (ValueError, RecursionError) as error:
        raise no_safetensors(f"its header is damaged: {error}") from None
    if not isinstance(entries, dict):
        raise no_safetensors("its header is no mapping")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise no_safetensors("its metadata are no mapping of texts")
    places = sorted(place(name, entry) for name, entry in entries.items())
    end = 0
    for x in places:
        if x.start != end:
            raise no_safetensors(f"tensor {x.name!r} begins at byte {x.start}, expected {end}")
        end = x.stop
    if end != size:
        raise no_safetensors(f"its tensors have {end:,} bytes, and {size:,} are there")
    return metadata, places


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON. ValueError for a name that comes twice, of which json keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twins = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        raise ValueError(f"names come twice: {listed(twins)}")
    return found


def place(name: str, entry: Any) -> Place:
    """What a header says of a tensor, checked."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise no_safetensors(f"tensor {name!r} lacks one of dtype, shape, data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not are_sizes(shape) or not are_sizes(offsets) or len(offsets) != 2:
        raise no_safetensors(
            f"tensor {name!r} has shape {shape!r} and data_offsets {offsets!r}, expected whole "
            "numbers >= 0"
        )
    if len(shape) > MOST_AXES:
        raise no_safetensors(f"tensor {name!r} has {len(shape)} axes")
    kind = dtype_of(name, dtype)
    start, stop = offsets
    if stop - start != math.prod(shape) * kind.itemsize:
        raise no_safetensors(
            f"tensor {name!r} has shape {shape} and dtype {dtype}, and {stop - start} bytes"
        )
    return Place(start, stop, name, kind, tuple(shape))


def dtype_of(name: str, dtype: Any) -> np.dtype:
    """A tensor's dtype in NumPy. ValueError for one that NumPy lacks."""
    if dtype == "BF16":
        try:
            return bfloat16()
        except TypeError as error:
            raise ValueError(f"tensor {name!r} has dtype BF16; {error}") from None
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(
            f"tensor {name!r} has dtype {dtype!r}, which NumPy lacks; gpuopt writes F16, BF16, "
            "F32 and F64"
        )
    return np.dtype(DTYPES[dtype])


def are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(x) is int and 0 <= x < 2**63 for x in values)


def no_safetensors(why: str) -> ValueError:
    return ValueError(f"this is no safetensors file, or a damaged one: {why}")
