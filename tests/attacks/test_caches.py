"""Random damage to what is kept of compiled code: it never runs, and never stops a step."""

import random

import pytest

from gpuopt.backends.cache import import_source
from tests.optional import optional

optional("numba")

FEW, MANY = 15, 2000

TEXT = """
from numba import njit

@njit(cache=True)
def wanted(x):
    return 3 * x + 1
"""


def damaged(content, other, rng):
    """The bytes of a file after something has happened to them."""
    at = rng.randrange(len(content))
    end = min(len(content), at + rng.choice([1, 4, 64, 4096]))
    return rng.choice(
        [
            content[:at],
            content[at:],
            content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :],
            content[:at] + rng.randbytes(end - at) + content[end:],
            content[:at] + bytes(end - at) + content[end:],
            rng.randbytes(rng.choice([0, 1, 31, 32, 33, len(content)])),
            content + rng.randbytes(3),
            other,
        ]
    )


@pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_a_damaged_file_is_as_good_as_none(tries, tmp_path, monkeypatch):
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path / "cache"))

    def run(text):
        wanted = import_source("Wanted", text).wanted
        return wanted(2), sum(wanted.stats.cache_hits.values())

    assert run(TEXT.replace("3", "4")) == (9, 0)
    (other,) = (tmp_path / "cache").glob("*.nbc")
    assert run(TEXT) == (7, 0)
    (file,) = set((tmp_path / "cache").glob("*.nbc")) - {other}
    rng = random.Random(7)
    for k in range(tries):
        whole = file.read_bytes()
        changed = damaged(whole, other.read_bytes(), rng)
        file.write_bytes(changed)
        assert run(TEXT) == (7, int(changed == whole)), f"try {k}"
    assert run(TEXT) == (7, 1)
    assert not list((tmp_path / "cache").glob("*.tmp"))
