"""Collects the rows of a run, prints them, and writes them to the file given by --results."""

from pathlib import Path
from typing import Any

import pytest

from bench.table import aim, measured
from gpuopt.bench.machine import machine
from gpuopt.bench.results import save

ROWS: list[dict[str, Any]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", type=Path, help="write the rows of this run to a JSON file")


@pytest.fixture
def record():
    """Adds one row to the results."""
    return ROWS.append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for row in ROWS:
        terminalreporter.write_line(f"{row['case']}: {measured(row)}, aim {aim(row)}")
    path = config.getoption("--results")
    if path and ROWS:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, {"machine": machine(), "rows": ROWS})
