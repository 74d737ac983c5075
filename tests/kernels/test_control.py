"""The control kernel, run on the CPU behind the shim: norm, decision, loss scale and scalars."""

import math

import numpy as np
import pytest

from gpuopt import rules
from gpuopt.options import clip_coefficient
from gpuopt.rules.whole import WholeStep
from tests.parity.cases import fullest, name

WHOLE = [
    WholeStep(fullest(cls), scaled=True, limited=True, skippable=True, average=0.9)
    for cls in rules.ALL
]
PLAIN = rules.SGD()


@pytest.mark.parametrize("rule", WHOLE, ids=lambda whole: name(whole.rule))
def test_scalars_are_those_of_the_host(rule, control):
    """In float64, for step counts past 2^24 and 2^31, more rows than threads."""
    times = [0, 1, 2, 9, 1e4, 2**24, 2**24 + 1, 2**31, *range(300)]
    rates = 10 ** np.random.default_rng(0).uniform(-6, 0, len(times))
    partials = [(9.0, 0), (16.0, 0)]
    first = np.array(times)
    carried = list(rule.carried.values())
    times = [[t, *carried] for t in times] if carried else times
    table, after, result = control(rule, partials, times, rates, max_norm=1, max_value=2, scale=4)
    np.testing.assert_array_equal(after[:, 0] if carried else after, first + 1)
    norm = 5 / 4
    factor = clip_coefficient(norm, 1.0) / 4
    np.testing.assert_allclose(result, [norm, 0, factor], rtol=1e-15)
    for row, t, lr in zip(table, first, rates, strict=True):
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", [0.0, 0.5, 1.0, 2.0, -1.0, math.inf, math.nan])
def test_a_number_in_memory_skips_the_step_unless_it_is_0(number, dtype, control):
    found = np.array([number, 0 if number else 3], dtype)  # only the first is read
    at = {"found_at": found.ctypes.data, "found_is_double": dtype == np.float64}
    rule, skipped = WholeStep(PLAIN, skippable=True), number != 0
    table, times, result = control(rule, (), [4, 7], [0.1, 0.2], scale=8.0, **at)
    assert times.tolist() == ([4, 7] if skipped else [5, 8])
    assert table[:, -1].tolist() == [skipped, skipped]
    assert result.tolist() == [0, 0, 0.125]


def test_a_number_of_0_does_not_make_what_is_found_skip(control):
    found, rule = np.zeros(1, np.float32), WholeStep(PLAIN, skippable=True)
    _, times, _ = control(rule, [(1.0, 1)], [4], found_at=found.ctypes.data)
    assert times.tolist() == [5]
    _, times, _ = control(rule, [(1.0, 1)], [4], found_at=found.ctypes.data, skip=True)
    assert times.tolist() == [4]


@pytest.mark.parametrize("skip", [False, True])
def test_what_a_rule_carries_is_kept_in_float64_beside_the_count(skip, control):
    rule = WholeStep(rules.NAdam(betas=(0.8, 0.99), momentum_decay=0.5), skippable=True)
    rows = [(3, 0.1), (0, 1.0), (7, 1e-30)]
    rates = [0.1, 0.2, 0.3]
    table, after, _ = control(rule, [(1.0, 1)], rows, rates, skip=skip, real=np.float32)
    column = [*rule.scalars(0.1, 1)].index("mu_product")
    for row, times, (t, before), lr in zip(table, after, rows, rates, strict=True):
        expected = rule.scalars(lr, t + 1, mu_product=before)
        product = expected["mu_product"]
        np.testing.assert_allclose(times, [t, before] if skip else [t + 1, product], rtol=1e-15)
        assert row[column] == np.float32(product)
        np.testing.assert_allclose(row[:-1], [*expected.values()][:-1], rtol=1e-7)


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


@pytest.mark.parametrize("partials", [[(4.0, 0)], [(4.0, 1)]], ids=["grows", "backs off"])
def test_every_row_has_the_loss_scale_of_before_its_change(partials, control):
    """More rows than threads; the scale changes when all threads have read it."""
    rule, rows = WholeStep(PLAIN, scaled=True), 300
    scaler = np.array([8, 2], np.float32)
    table, _, result = control(rule, partials, [0] * rows, [0.1] * rows, scaler=scaler)
    column = [*rule.scalars(0.1, 1)].index("step_factor")
    assert table[:, column].tolist() == [1 / 8] * rows
    assert result.tolist() == [2 / 8, partials[0][1], 1 / 8]
    assert scaler.tolist() == ([4, 0] if partials[0][1] else [16, 0])
