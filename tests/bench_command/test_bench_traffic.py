"""What a step reads and writes, against the numbers that follow from the papers' formulas."""

from dataclasses import dataclass

import numpy as np
import pytest

from gpuopt import rules
from gpuopt.bench.traffic import Traffic, traffic
from gpuopt.rules.base import Rule
from gpuopt.rules.whole import WholeStep

BUFFERS = {rules.SGD: 0} | dict.fromkeys(
    (rules.Momentum, rules.RMSprop, rules.Adagrad, rules.Lion, rules.ASGD), 1
)


@pytest.mark.parametrize("rule", rules.ALL)
def test_every_array_is_read_once_and_all_but_the_gradient_written(rule):
    buffers = BUFFERS.get(rule, 2)
    expected = Traffic((4,) * (buffers + 2), (4,) * (buffers + 1))
    assert traffic(rule.__name__) == expected
    assert expected.bytes == 12 + 8 * buffers
    assert expected.held == 8 + 4 * buffers


@pytest.mark.parametrize(
    ("rule", "dtype", "bytes"),
    [
        (rules.Adam(amsgrad=True), "float32", 36),
        (rules.RMSprop(centered=True, momentum=0.9), "float32", 36),
        (rules.SGD(momentum=0.9), "float32", 20),
        ("Adam", "float64", 56),
        ("Adam", "bfloat16", 22),
        ("Adam", "float16", 22),
        ("SGD", "bfloat16", 6),
        (WholeStep(rules.AdamW(), scaled=True, average=0.999, zeroed=True), "float32", 40),
    ],
)
def test_bytes_of_an_element(rule, dtype, bytes):
    assert traffic(rule, dtype).bytes == bytes


def test_written_arrays_come_first_and_16_bit_parameters_have_32_bit_state():
    assert traffic("Adam", "bfloat16") == Traffic(reads=(2, 4, 4, 2), writes=(2, 4, 4))
    assert traffic("Momentum").name == "3 reads 2 writes"


@dataclass(frozen=True)
class DecayOnly(Rule):
    """A rule that never looks at its gradient."""

    def scalars(self, lr, t):
        return {"lr": lr}

    def update(self, p, g, s):
        return p - s.lr * p


def test_what_the_formula_never_looks_at_is_not_read():
    assert traffic(DecayOnly()) == Traffic((4,), (4,))


@pytest.mark.parametrize(
    "arrays",
    [
        [np.ones(4, "f4"), np.ones(4, "f8")],
        [np.ones(4, "f4"), np.ones(5, "f4")],
        [np.ones(4, "f4")],
        [np.ones((2, 2), "f4"), np.ones((2, 2), "f4")],
    ],
)
def test_arrays_that_do_not_fit_are_named(arrays):
    with pytest.raises(ValueError, match=r"needs flat arrays .* 4, 4 bytes, got float32 of shape"):
        traffic("SGD").check(arrays)


def test_arrays_that_fit():
    traffic("SGD").check([np.ones(4, "f4"), np.ones(4, "i4")])
