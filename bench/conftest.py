"""Collects the rows of a run, prints them, and writes them to the file given by --results."""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.table import aim, measured

ROWS: list[dict[str, Any]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", type=Path, help="write the rows of this run to a JSON file")


@pytest.fixture
def record():
    """Adds one row to the results."""
    return ROWS.append


def machine() -> dict[str, Any]:
    model = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
    packages = ("gpuopt", "numpy", "numba", "torch")
    return {
        "processor": model[0].split(":")[1].strip() if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "-s") else ""),
        "date": datetime.date.today().isoformat(),
    }


def _git(*args: str) -> str:
    here = Path(__file__).parent
    return subprocess.run(["git", *args], capture_output=True, text=True, cwd=here).stdout.strip()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for row in ROWS:
        terminalreporter.write_line(f"{row['case']}: {measured(row)}, aim {aim(row)}")
    path = config.getoption("--results")
    if path and ROWS:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), "rows": ROWS}, indent=1) + "\n")
