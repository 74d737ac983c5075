"""The toolkit under numpy.seterr(all="raise"), which people set while they hunt a NaN."""

import numpy as np
import pytest

import gpuopt
from gpuopt import initializers, schedules


@pytest.fixture(autouse=True)
def raising():
    with np.errstate(all="raise"):
        yield


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("corrected", [True, False])
def test_an_average_decays_through_the_subnormal_numbers_to_zero(dtype, corrected):
    average = gpuopt.Average(0.5, corrected)
    least = float(np.finfo(dtype).smallest_subnormal)
    for k in range(1, 1100):
        average.update(np.dtype(dtype).type(1e-3 if k == 1 else 0))
        with np.errstate(all="ignore"):
            right = np.dtype(dtype).type(1e-3) * 0.5**k / (1 - 0.5**k if corrected else 1)
        assert float(average.value) == pytest.approx(float(right), rel=2e-3, abs=least)
    assert average.value == 0


def test_an_average_takes_in_what_is_next_to_nothing_and_what_is_not_finite():
    average = gpuopt.Average(0.9)
    for x in ([5e-324, 0.0, 1.0], [-5e-324, np.inf, np.inf], [5e-324, -np.inf, 1.0]):
        average.update(np.array(x))
    assert average.count == 3
    assert abs(average.value[0]) <= 5e-324
    assert np.isnan(average.value[1])
    assert average.value[2] == np.inf


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_ewma_of_what_decays(dtype):
    x = np.zeros(3000, dtype)
    x[:5] = 1e-3
    found = gpuopt.ewma(x, 0.5)
    assert found[-1] == 0
    assert found[4] == pytest.approx(1e-3)
    averages = [gpuopt.Average(0.5)]
    for value in x[:200]:
        averages[0].update(value)
    assert found[199] == pytest.approx(float(averages[0].value), rel=1e-6, abs=1e-44)
    assert np.isnan(gpuopt.ewma([np.inf, -np.inf, 1.0], 0.5)[1:]).all()


@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_a_normalizer_of_numbers_that_are_next_to_their_mean(dtype):
    X = np.array([[1, 0], [-1, 1e-4], [0, -1e-4], [0, 0]], dtype)
    normalize = gpuopt.normalizer(X)
    tiny = (np.arange(8).reshape(4, 2) * np.finfo(dtype).smallest_subnormal).astype(dtype)
    assert np.abs(normalize(tiny)).max() < 2
    back = normalize.inverse(normalize(X)).astype(float)
    np.testing.assert_allclose(back, X.astype(float), rtol=1e-2, atol=1e-3)
    assert gpuopt.normalizer(np.array([[1e-170], [2e-160], [0.0]])).std[0] > 0


@pytest.mark.parametrize("directions", [None, 3])
def test_gradients_that_are_next_to_nothing_are_checked(directions):
    W = np.array([1e-170, 2e-170, 1.0])
    a = np.array([1e-200, 3e-200, 2e-200])

    def cost(w):
        return float(sum(x * y for x, y in zip(w.tolist(), a.tolist(), strict=True)))

    found = gpuopt.check_gradients(cost, W, a, directions=directions, rng=0)
    assert found.worst[0].numeric == pytest.approx(found.worst[0].analytic, abs=1e-190)
    assert not gpuopt.check_gradients(cost, W, a + 1, directions=directions, rng=0)


def test_initial_weights_in_a_narrow_type():
    assert initializers.he((300, 300), 0, np.float16).dtype == np.float16


def test_schedules_that_have_come_to_nothing():
    assert schedules.exponential(1e-3, 0.5)(10**6) == 0
    assert schedules.inverse_time(1e-3, 1.0)(10**300) < 1e-300
    assert schedules.cosine(1e-3, steps=10)(11) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("isolate", [True, False])
def test_a_memory_fit(isolate):
    W = np.ones((64, 128), "f4")

    def step(x):
        return (x @ W).sum()

    given = np.ones((256, 64), "f4")
    report = gpuopt.memory.fit(step, given, budget="16MiB", isolate=isolate)
    assert report.verdict == "fits"
    assert str(report)
