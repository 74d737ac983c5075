"""Limits of main memory that Linux tells of in /proc: what is available, and this process's own."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpuopt.memory.units import size

RESOURCES = {  # how /proc/self/limits calls each, and what is held against it in /proc/self/status
    "RLIMIT_AS": ("Max address space", "VmSize"),
    "RLIMIT_DATA": ("Max data size", "VmData"),
}

STRICT = "commit limit (vm.overcommit_memory = 2)"


@dataclass(frozen=True)
class Limit:
    """Memory that ends at `total` bytes, of which `used` cannot be had any more."""

    name: str
    total: int
    used: int

    @property
    def free(self) -> int:
        return max(0, self.total - self.used)

    def __str__(self) -> str:
        used = f" of {size(self.total)} less {size(self.used)} in use" if self.used else ""
        return f"{self.name}{used}"


def available(root: Path) -> Iterator[Limit]:
    """Main memory without what others use; page cache counts as free and swap not at all.

    Asks psutil where there is no /proc. Raises RuntimeError where neither knows.
    """
    found = numbers(root / "proc/meminfo")
    if {"MemTotal", "MemAvailable"} <= found.keys():
        total, free = found["MemTotal"], found["MemAvailable"]
    else:
        try:
            memory = importlib.import_module("psutil").virtual_memory()
        except ModuleNotFoundError:
            raise RuntimeError(
                "cannot tell how much memory is free: /proc/meminfo does not say it, and psutil is "
                "not installed; pip install psutil, or give a budget such as 16GiB"
            ) from None
        total, free = memory.total, memory.available
    yield Limit("available memory", total, total - free)
    if text(root / "proc/sys/vm/overcommit_memory").strip() == "2" and "CommitLimit" in found:
        yield Limit(STRICT, found["CommitLimit"], found.get("Committed_AS", 0))


def resources(root: Path) -> Iterator[Limit | str]:
    """The limits of this process (`ulimit`); a name alone is a limit that cannot be read."""
    limits, used = text(root / "proc/self/limits"), numbers(root / "proc/self/status")
    if not (limits or used):
        return  # no Linux
    for name, (title, held) in RESOURCES.items():
        found = re.search(rf"^{title} +(\d+|unlimited)", limits, re.MULTILINE)
        if not found or (found[1] != "unlimited" and held not in used):
            yield name
        elif found[1] != "unlimited":
            yield Limit(name, int(found[1]), used[held])


def numbers(path: Path) -> dict[str, int]:
    """Names and bytes from lines such as `VmSize:    8192 kB`."""
    return {
        name: int(number) * 1024
        for name, number in re.findall(r"^(\w+):\s*(\d+) kB$", text(path), re.MULTILINE)
    }


def text(path: Path) -> str:
    """What is in a file; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
