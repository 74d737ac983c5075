"""The course's advice: up to 2000 examples all of them, else a power of two from 64 to 1024."""

import pytest

from gpuopt.memory import suggest_batch_size


@pytest.mark.parametrize(("m", "expected"), [(1, 1), (1500, 1500), (2000, 2000), (2001, 1024)])
def test_where_everything_fits(m, expected):
    assert suggest_batch_size(m) == expected


@pytest.mark.parametrize("most", [64, 100, 128, 256, 700, 1024, 5000])
def test_the_largest_power_of_two_that_fits(most):
    size = suggest_batch_size(50_000, lambda batch_size: batch_size <= most)
    assert size == max(s for s in (64, 128, 256, 512, 1024) if s <= most)


def test_a_small_set_that_does_not_fit_at_once_and_sizes_below_64():
    assert suggest_batch_size(1500, lambda batch_size: batch_size <= 600) == 512
    assert suggest_batch_size(10_000, lambda batch_size: batch_size <= 9) == 8
    with pytest.raises(ValueError, match="not even of 1 example"):
        suggest_batch_size(10_000, lambda batch_size: False)


def test_m_must_be_a_number_of_examples():
    with pytest.raises(ValueError, match="m must be at least 1"):
        suggest_batch_size(0)
    with pytest.raises(TypeError, match="m must be a whole number"):
        suggest_batch_size(1.5)
