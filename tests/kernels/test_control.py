"""The control kernel, run on the CPU behind the shim: norm, decision, loss scale and scalars."""

import math

import numpy as np
import pytest

from gpuopt import rules
from gpuopt.kernels.launch import BLOCK
from gpuopt.lowering.control import module
from gpuopt.lowering.scalars import trace_scalars
from gpuopt.options import clip_coefficient
from gpuopt.rules.knobs import knob_values
from gpuopt.rules.whole import WholeStep
from tests.parity.cases import fullest, name

WHOLE = [
    WholeStep(fullest(cls), scaled=True, limited=True, skippable=True, average=0.9)
    for cls in rules.ALL
]
PLAIN = rules.SGD()


@pytest.fixture
def control(cupy_stand_in):
    """Run the kernel once; what it writes: table, times, result (norm, found, factor)."""

    def run(
        rule=PLAIN,
        partials=(),
        times=(0,),
        rates=(0.1,),
        max_norm=math.inf,
        max_value=math.inf,
        scale=1.0,
        scale_at=0,
        scale_is_double=0,
        skip=False,
        scaler=None,
        growth=(2.0, 0.5, 3.0),
        last=True,
        real=np.float64,
    ):
        program = trace_scalars(rule)
        code = module(program, np.dtype(real).name, BLOCK)
        kernel = cupy_stand_in.RawModule(code=code, options=("--std=c++17",)).get_function(
            "control"
        )
        partials = np.array(partials, np.float64).reshape(-1, 2)
        knobs = np.array([[lr, *knob_values(rule)] for lr in rates], np.float64)
        table = np.full((len(rates) + 1, len(program.results)), -5, real)
        times, result = np.array([*times, -5], np.float64), np.full(3, -5.0)
        array = cupy_stand_in.ndarray
        floats = [np.float64(x) for x in (max_norm, max_value, scale)]
        kernel(
            (1,),
            (BLOCK,),
            (
                array(partials),
                np.int64(len(partials)),
                array(table),
                array(times),
                array(knobs),
                np.int64(len(rates)),
                *floats,
                *[np.int64(x) for x in (scale_at, scale_is_double, skip)],
                np.int64(0 if scaler is None else scaler.ctypes.data),
                *[np.float64(x) for x in growth],
                np.int64(last),
                array(result),
            ),
        )
        assert (table[-1] == -5).all(), "a write past the end"
        assert times[-1] == -5, "a write past the end"
        return table[:-1], times[:-1], result

    return run


@pytest.mark.parametrize("rule", WHOLE, ids=lambda whole: name(whole.rule))
def test_scalars_are_those_of_the_host(rule, control):
    """In float64, for step counts past 2^24 and 2^31, more rows than threads."""
    times = [0, 1, 2, 9, 1e4, 2**24, 2**24 + 1, 2**31, *range(300)]
    rates = 10 ** np.random.default_rng(0).uniform(-6, 0, len(times))
    partials = [(9.0, 0), (16.0, 0)]
    table, after, result = control(rule, partials, times, rates, max_norm=1, max_value=2, scale=4)
    np.testing.assert_array_equal(after, np.array(times) + 1)
    norm = 5 / 4
    factor = clip_coefficient(norm, 1.0) / 4
    np.testing.assert_allclose(result, [norm, 0, factor], rtol=1e-15)
    for row, t, lr in zip(table, times, rates, strict=True):
        expected = rule.scalars(lr, int(t) + 1, factor=factor, limit=2.0, skip=0.0)
        np.testing.assert_allclose(row, list(expected.values()), rtol=4e-16 * (1 + 1e-2 * t))


def test_a_float32_table_is_rounded_once(control):
    rule = WholeStep(rules.AdamW(betas=(0.9, 0.99999)), scaled=True)
    table, _, _ = control(rule, times=[6], rates=[0.003], scale=3.0, real=np.float32)
    expected = rule.scalars(0.003, 7, factor=1 / 3).values()
    np.testing.assert_array_max_ulp(table[0], np.array([*expected], np.float32), 0)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 5000])
def test_the_sum_is_exact_in_any_order(count, control):
    rng = np.random.default_rng(count)
    values = 10 ** rng.uniform(-30, 3, count)
    expected = math.sqrt(math.fsum(values))
    for _ in range(5):
        rng.shuffle(values)
        _, _, result = control(partials=np.column_stack([values, np.zeros(count)]))
        assert result[0] == expected
        assert result[1] == 0


def test_sums_that_are_infinite_or_nan(control):
    big = np.finfo(np.float64).max
    for sums, expected in (
        ([big, big], math.inf),
        ([math.inf, 1], math.inf),
        ([1, math.nan], math.nan),
        ([math.inf, math.nan], math.nan),
        ([big, big, *[1.0] * 300], math.inf),
    ):
        _, _, result = control(partials=[(x, 0) for x in sums], max_norm=1.0)
        np.testing.assert_array_equal(result[:2], [expected, 0])
        np.testing.assert_array_equal(result[2], 0.0 if expected == math.inf else math.nan)


@pytest.mark.parametrize("place", [0, 3, 255, 256, 999])
def test_one_found_anywhere_skips_if_asked(place, control):
    partials = np.zeros((1000, 2))
    partials[place] = math.inf, 1
    rule = WholeStep(PLAIN, skippable=True)
    for skip in (True, False):
        table, times, result = control(rule, partials, [4, 7], [0.1, 0.2], skip=skip)
        assert times.tolist() == ([4, 7] if skip else [5, 8])
        assert table[:, -1].tolist() == [skip, skip]
        assert result[1] == 1


def test_clipping_is_torchs(control):
    for norm, max_norm in ((5, 5.1), (5, 5), (5, 2), (5, 0), (0, 1), (0, 0), (1e150, 1), (3, 1e-9)):
        _, _, result = control(partials=[(float(norm) ** 2, 0)], max_norm=max_norm)
        expected = min(1.0, max_norm / (norm + 1e-6))
        assert result[2] == pytest.approx(expected, rel=1e-15)
    assert control(partials=[(25.0, 0)], max_norm=math.inf)[2].tolist() == [5, 0, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_scale_in_memory(dtype, control):
    scale = np.array([1 / 3, 77], dtype)  # only the first is read
    at, double = scale.ctypes.data, dtype == np.float64
    _, _, result = control(partials=[(4.0, 0)], scale=5, scale_at=at, scale_is_double=double)
    assert result.tolist() == [2 / float(scale[0]), 0, 1 / float(scale[0])]
    assert scale[1] == 77


def test_the_loss_scale_is_updated_once_by_the_last_launch(control):
    scaler, found, fine = np.array([8, 2], np.float32), [(1.0, 1)], [(4.0, 0)]
    _, _, untouched = control(partials=fine, scaler=scaler, last=False)
    assert scaler.tolist() == [8, 2]
    assert untouched.tolist() == [-5, -5, -5]
    for partials, after in (
        (fine, [16, 0]),  # the third in a row
        (fine, [16, 1]),
        (found, [8, 0]),
        (fine, [8, 1]),
        (fine, [8, 2]),
        (fine, [16, 0]),
    ):
        before = scaler[0]
        _, _, result = control(partials=partials, scaler=scaler, skip=True)
        assert scaler.tolist() == after
        assert result[2] == 1 / before  # this step still used the old one
    scaler[:] = 2.0**127, 2
    control(partials=fine, scaler=scaler)
    assert scaler.tolist() == [2.0**127, 0]
