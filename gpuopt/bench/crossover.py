"""The size from which a GPU is faster than the CPU beside it."""

import math
from collections.abc import Sequence
from typing import Any

from gpuopt.bench.results import Row

Times = dict[int, float]  # of gpuopt's best backend, by number of parameters


def crossovers(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For every rule, dtype and GPU that ran one tensor of two sizes as the CPU did: the least size
    "from" which on it wins at every size that both measured, by the wall clock; None for none."""
    found = []
    single = [row for row in rows if row["tensors"] == 1]
    for rule, dtype in dict.fromkeys((row["rule"], row["dtype"]) for row in single):
        here = [row for row in single if (row["rule"], row["dtype"]) == (rule, dtype)]
        on_cpu = walls(row for row in here if row["device"] == "cpu")
        ways = dict.fromkeys((row["device"], row["copies"]) for row in here)
        for device, copies in ways:
            if device == "cpu":
                continue
            on_gpu = walls(r for r in here if (r["device"], r["copies"]) == (device, copies))
            sizes = sorted(on_cpu.keys() & on_gpu.keys())
            if len(sizes) > 1:
                first = wins_from(sizes, on_gpu, on_cpu)
                about = {"rule": rule, "dtype": dtype, "device": device, "copies": copies}
                found.append({**about, "from": first, "sizes": sizes})
    return found


def walls(rows: Any) -> Times:
    """Seconds by the wall clock of gpuopt's fastest backend."""
    found: Times = {}
    for row in rows:
        times = row.get("wall", row["times"])
        own = [t["median"] for name, t in times.items() if name.startswith("gpuopt ")]
        if own:
            size = row["parameters"]
            found[size] = min(found.get(size, math.inf), *own)
    return found


def wins_from(sizes: list[int], one: Times, other: Times) -> int | None:
    """The least size from which on `one` is faster at every size."""
    first = None
    for size in reversed(sizes):
        if one[size] >= other[size]:
            break
        first = size
    return first
