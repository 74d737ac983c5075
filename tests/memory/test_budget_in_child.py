"""A budget under an rlimit is what NumPy can have."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from gpuopt.memory.budget import cpu_budget

name, in_use = sys.argv[1:]
limit, status = getattr(resource, name), Path("/proc/self/status").read_text()
used = 1024 * int(status.partition(in_use + ":")[2].split()[0])
resource.setrlimit(limit, (used + 2**28, resource.getrlimit(limit)[1]))

budget = cpu_budget()
assert budget.limits[0].name == name, budget
assert abs(budget.bytes - 2**28) < 2**24, budget
array = np.zeros(int(0.9 * budget.bytes), np.uint8)
assert abs(cpu_budget().bytes - 0.1 * 2**28) < 2**24, cpu_budget()
del array
try:
    np.empty(int(1.1 * budget.bytes), np.uint8)
except MemoryError:
    print("as it should be")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's rlimits")
@pytest.mark.parametrize(("name", "in_use"), [("RLIMIT_DATA", "VmData"), ("RLIMIT_AS", "VmSize")])
def test_what_numpy_can_have(name, in_use):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, in_use], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ("as it should be\n", "", 0)
