"""Which form of float16's conversions is compiled for which processor, also from a shared cache."""

import json
import os
import subprocess
import sys

import llvmlite.binding as llvm
import pytest

PLAIN, F16C = "x86-64-v2", "x86-64-v3"  # as LLVM names them
LINUX = "x86_64-unknown-linux-gnu"
pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="forms of x86")

NARROW = """
import json, sys
import numpy as np
from gpuopt.backends.cache import import_source
from gpuopt.lowering.python import conversions
text = conversions(["float16"])[0] + '''
@njit(cache=True)
def narrow(x, bits):
    for i in range(len(x)):
        bits[i] = narrow_float16(x[i])
'''
x = np.array(json.loads(sys.argv[1]), np.uint32).view(np.float32)
narrow, bits = import_source("narrow", text).narrow, np.empty(len(x), np.uint16)
narrow(x, bits)
print(json.dumps([bits.tolist(), sum(narrow.stats.cache_hits.values())]))
"""


def narrowed(bits, processor, folder):
    """float32 as float16, the bits of both, by a new process; how many functions a cache had."""
    chosen = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "", "GPUOPT_CACHE_DIR": folder}
    done = subprocess.run(
        [sys.executable, "-c", NARROW, json.dumps(bits)],
        env=os.environ | chosen,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def has(*features):
    found = llvm.get_host_cpu_features()
    return all(found.get(x) for x in features)


@pytest.mark.skipif(not has("avx2", "bmi2", "f16c", "fma"), reason="an older processor")
def test_processors_that_share_a_cache_run_their_own_form(tmp_path):
    """A payload of NaN tells the forms apart: an instruction keeps it, the integers do not."""
    bits = [0x7FC02000, 0xFFC02000, 0x33000000, 0x33000001, 0x477FF000, 0xBF801000]
    rest = [0x0000, 0x0001, 0x7C00, 0xBC00]
    first, plain, again = (narrowed(bits, x, str(tmp_path)) for x in (F16C, PLAIN, F16C))
    assert first == [[0x7E01, 0xFE01, *rest], 0]
    assert plain == [[0x7E00, 0xFE00, *rest], 0]
    assert again == [first[0], 1]


@pytest.mark.parametrize(
    ("processor", "features", "expected"),
    [
        (PLAIN, "", False),
        (PLAIN, "+f16c", True),
        (F16C, "", True),
        (F16C, "-f16c", False),
        ("ivybridge", "", True),
        ("sapphirerapids", "", True),  # AVX512-FP16 has instructions of its own
    ],
)
def test_llvm_is_asked_what_a_processor_has(processor, features, expected):
    from gpuopt.kernels.dtypes_numba import converts_float16

    assert converts_float16(LINUX, processor, features) is expected
