"""A column of numbers from a CSV file."""

import csv
import math
from pathlib import Path

import numpy as np

from gpuopt.errors import InputError


def read_column(path: Path, column: str | None) -> tuple[str, np.ndarray]:
    """The name and the numbers (float64) of one column.

    Cells are separated by commas. The first line is a header if no cell in it is a number.
    column: a name of the header's, or a number from 1; None where only one column has numbers.
    InputError, with file, line and column, for what is missing or is no finite number.
    """
    lines = read_lines(path)
    first, cells = lines[0]
    header = all(number(cell) is None for cell in cells)
    names = [cell * header or f"{k}" for k, cell in enumerate(cells, 1)]
    rows = lines[header:]
    if not rows:
        raise InputError(f"{path} has a header and nothing below it; expected a column of numbers")
    for line, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{path}, line {line}: {len(row)} cells, but line {first} has {len(names)}; "
                "cells are separated by commas"
            )
    k = choose(path, column, names, rows)
    values = np.empty(len(rows))
    for j, (line, row) in enumerate(rows):
        value = number(row[k])
        if value is None or not math.isfinite(value):
            what = f"{row[k]!r} is no finite number" if row[k] else "the number is missing"
            raise InputError(
                f"{path}, line {line}, column {names[k]}: {what}; correct it or remove the line"
            )
        values[j] = value
    return names[k] if header else f"column {names[k]}", values


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and stripped cells of the lines that are not blank."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            try:
                lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
            except csv.Error as error:
                raise InputError(f"{path}, line {reader.line_num}: no CSV ({error})") from None
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give the path of a CSV file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise InputError(f"{path} cannot be read: {reason}") from None
    lines = [(line, row) for line, row in lines if any(row)]
    if not lines:
        raise InputError(f"{path} is empty; expected a column of numbers")
    return lines


def choose(path: Path, column: str | None, names: list[str], rows: list) -> int:
    """The place of the column called or numbered `column`, or of the only one with numbers."""
    if column is None:
        found = [k for k in range(len(names)) if any(number(row[k]) is not None for _, row in rows)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise InputError(f"{path} has no column of numbers")
        there = ", ".join(names[k] for k in found)
        raise InputError(f"{path} has several columns of numbers; give --column, one of {there}")
    if names.count(column) == 1:
        return names.index(column)
    if column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    raise InputError(
        f"--column {column}: {path} has no such column, or two; there is {', '.join(names)}"
    )


def number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
