"""Numbers of bytes, for people and from them."""

import re
from typing import Any

from gpuopt import checks

BINARY = ("KiB", "MiB", "GiB", "TiB")
UNITS = {"b": 1} | {
    unit: factor
    for k, letter in enumerate("kmgt", start=1)
    for unit, factor in ((f"{letter}b", 1000**k), (f"{letter}ib", 1024**k))
}


def size(number: int) -> str:
    """A number of bytes in words, such as 1.5 GiB; below 1 KiB exactly."""
    words, value = f"{number} B", float(number)
    for unit in BINARY:
        if abs(value) < 1023.95:  # what is more is shown as 1024.0
            break
        value /= 1024
        words = f"{value:.1f} {unit}"
    return words


def parse_bytes(value: Any, name: str = "memory") -> int:
    """A number of bytes, at least 1, from a number or a text such as "16GiB", "500 MB" or "2e9".

    KiB, MiB, GiB, TiB are powers of 1024 and kB, MB, GB, TB powers of 1000, in any case of letters.
    Raises TypeError or ValueError with the `name` of the value.
    """
    factor = 1
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([0-9.]+(?:e\+?[0-9]+)?)\s*([a-z]*)\s*", value.lower())
        number, unit = found.groups() if found else ("", "")
        try:
            factor, value = UNITS[unit or "b"], float(number)
        except (KeyError, ValueError):
            raise ValueError(
                f"{name} must be bytes such as 16GiB or 500MB, got {value!r}"
            ) from None
    number = int(checks.positive(name, value) * factor)
    return checks.whole(name, number, 1)
