import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuopt.memory.units import parse_bytes, size


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 2**20, "1.5 GiB"),
        (2**20 - 1, "1.0 MiB"),  # not 1024.0 KiB
        (2**30 - 52_429 * 1024, "972.8 MiB"),
        (5 * 2**50, "5120.0 TiB"),
        (-(3 * 2**29), "-1.5 GiB"),
    ],
)
def test_sizes_in_words(number, words):
    assert size(number) == words


@given(st.integers(1, 2**60))
def test_words_are_the_number_to_one_decimal(number):
    read = parse_bytes(size(number))
    unit = 2 ** min(40, 10 * ((number.bit_length() - 1) // 10))
    assert abs(read - number) <= 0.05 * unit + 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("16GiB", 16 * 2**30),
        ("500MB", 500 * 10**6),
        (" 1.5 gib ", 3 * 2**29),
        ("2kB", 2000),
        ("3 KiB", 3072),
        ("2TB", 2 * 10**12),
        ("1TiB", 2**40),
        ("7MiB", 7 * 2**20),
        ("7 b", 7),
        ("2e9", 2 * 10**9),
        ("123456", 123_456),
        (4096, 4096),
        (2e9, 2 * 10**9),
        (np.int64(2**40), 2**40),
    ],
)
def test_texts_and_numbers(given, expected):
    read = parse_bytes(given)
    assert read == expected
    assert type(read) is int


@pytest.mark.parametrize(
    "given", ["", "GiB", "16G", "1.2.3MB", "-1GiB", "1e-3", "nan", "inf", "12 parsecs", "0x10"]
)
def test_other_texts_are_refused_with_an_example(given):
    with pytest.raises(ValueError, match=r"^budget must be bytes such as 16GiB or 500MB, got '"):
        parse_bytes(given, "budget")


@pytest.mark.parametrize("given", [0, -1, 0.5, "0", "0.2 B", float("inf"), "1e999"])
def test_no_bytes_at_all_are_refused(given):
    with pytest.raises(ValueError, match=r"^budget must be"):
        parse_bytes(given, "budget")


@pytest.mark.parametrize("given", [None, True, [1], b"1GiB"])
def test_no_numbers_are_refused(given):
    with pytest.raises(TypeError, match=r"^budget must be a number"):
        parse_bytes(given, "budget")
