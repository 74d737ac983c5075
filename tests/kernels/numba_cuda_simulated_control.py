"""The Numba CUDA kernel `control` in Numba's simulator: run by test_numba_cuda.py."""

import math
from typing import Any

import numpy as np
import pytest

from gpuopt import rules
from gpuopt.lowering import numba_cuda as printer
from gpuopt.lowering.scalars import trace_scalars
from gpuopt.rules.knobs import knob_values
from gpuopt.rules.whole import WholeStep
from tests.kernels.numba_cuda_launch import REALS, THREADS, address, kernel

RULE = WholeStep(rules.Adam(betas=(0.9, 0.99)), scaled=True, limited=True, skippable=True)


class Control:
    """A launch of `control` on arrays of its own."""

    def __init__(
        self, partials: Any, rows: int = 20, real: str = "float32", rule: WholeStep = RULE
    ) -> None:
        self.program = trace_scalars(rule)
        self.names = [name for name, _ in self.program.results]
        self.partials = np.array(partials, np.float64).reshape(-1, 2)
        carried = np.tile(list(rule.carried.values()), (rows, 1))
        self.times = np.column_stack([np.arange(rows), carried]).astype(np.float64)
        self.lr = np.linspace(0.1, 1, rows)
        self.knobs = np.empty((rows, len(self.program.knobs)))
        self.knobs[:, 0], self.knobs[:, 1:] = self.lr, knob_values(rule)
        self.table = np.full((rows, len(self.names)), -1, real)
        self.result = np.full(3, -7.0)

    def column(self, name: str) -> np.ndarray:
        return self.table[:, self.names.index(name)]

    def run(self, folder: Any, **options: Any) -> "Control":
        given = {
            "max_norm": math.inf,
            "max_value": math.inf,
            "scale": 1.0,
            "scale_at": 0,
            "scale_is_double": 0,
            "found_at": 0,
            "found_is_double": 0,
            "skip_nonfinite": 0,
            "scaler": 0,
            "growth": 2.0,
            "backoff": 0.5,
            "interval": 2000,
            "last": 1,
        } | options
        launch = kernel(printer.control(self.program, str(self.table.dtype)), "control", folder)
        launch[1, THREADS](
            address(self.partials),
            len(self.partials),
            address(self.table),
            address(self.times),
            address(self.knobs),
            len(self.times),
            *given.values(),
            address(self.result),
        )
        return self


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("cls", rules.ALL)
def test_control_writes_scalars_and_counts(cls: Any, real: str, tmp_path: Any) -> None:
    rule = WholeStep(cls(), scaled=True, limited=True, skippable=True)
    c = Control(np.zeros((0, 2)), real=real, rule=rule).run(tmp_path, max_value=0.5, scale=4.0)
    np.testing.assert_array_equal(c.times[:, 0], np.arange(1, 21))
    for name, values in zip(rule.carried, c.times.T[1:], strict=True):
        expected = [rule.scalars(lr, row + 1.0)[name] for row, lr in enumerate(c.lr)]
        np.testing.assert_allclose(values, expected, rtol=1e-15)
    for row, lr in enumerate(c.lr):
        expected = np.array([*rule.scalars(lr, row + 1.0, 0.25, 0.5, 0.0).values()], real)
        np.testing.assert_allclose(
            c.table[row], expected, rtol=2e-7 if real == "float32" else 1e-14
        )
    np.testing.assert_array_equal(c.result, [0, 0, 0.25])


@pytest.mark.parametrize(
    ("squares", "options", "norm", "factor"),
    [
        ([9, 16], {}, 5, 1),
        ([9, 16], {"max_norm": 10.0}, 5, 1),
        ([9, 16], {"max_norm": 1.0}, 5, 1 / (5 + 1e-6)),
        ([9, 16], {"max_norm": 1.0, "scale": 10.0}, 0.5, 0.1),
        ([9, 16], {"max_norm": 0.1, "scale": 10.0}, 0.5, 0.01 / (0.5 + 1e-6)),
        ([math.inf], {}, math.inf, 1),
        ([math.inf], {"max_norm": 1.0}, math.inf, 0),
        ([math.nan, 1], {}, math.nan, 1),
        ([math.nan, 1], {"max_norm": 1.0}, math.nan, math.nan),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_control_clips(
    squares: Any, options: Any, norm: float, factor: float, tmp_path: Any
) -> None:
    c = Control([[x, 0.0] for x in squares], rows=1).run(tmp_path, **options)
    np.testing.assert_allclose(c.result, [norm, 0, factor], rtol=1e-15)
    np.testing.assert_allclose(c.column("step_factor")[0], np.float32(factor))


def test_the_order_of_chunks_does_not_show(tmp_path: Any) -> None:
    rng = np.random.default_rng(4)
    squares = np.array([2.0**53] + [1.0] * 299)  # float64 alone rounds each 1 off
    norms = set()
    for _ in range(6):
        c = Control(np.column_stack([rng.permutation(squares), np.zeros(300)]), rows=1)
        norms.add(c.run(tmp_path).result[0])
    assert norms == {math.sqrt(math.fsum(squares))}


def test_control_skips(tmp_path: Any) -> None:
    partials = np.zeros((70, 2))
    partials[69] = math.nan, 1
    c = Control(partials).run(tmp_path, skip_nonfinite=1)
    np.testing.assert_array_equal(c.times[:, 0], np.arange(20))
    assert (c.column("step_skip") == 1).all()
    assert c.result[1] == 1
    c = Control(partials).run(tmp_path, skip_nonfinite=0)
    assert c.times[0, 0] == 1
    assert (c.column("step_skip") == 0).all()


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("number", [0.0, 0.5, 2.0, math.nan])
def test_control_skips_if_it_is_told_to(number: float, dtype: str, tmp_path: Any) -> None:
    found = np.array([number], dtype)
    rule = WholeStep(rules.NAdam(), skippable=True, scaled=True)
    told = {"found_at": address(found), "found_is_double": dtype == "float64", "scale": 4.0}
    c = Control(np.zeros((0, 2)), rule=rule)
    before = c.times.copy()
    c.run(tmp_path, **told)
    assert (c.times == before).all() if number else (c.times != before).all()
    assert (c.column("step_skip") == bool(number)).all()
    assert (c.column("step_factor") == 0.25).all()


@pytest.mark.parametrize("dtype", REALS)
def test_control_reads_the_loss_scale(dtype: str, tmp_path: Any) -> None:
    scale = np.array([8], dtype)
    options = {"scale": 99.0, "scale_at": address(scale), "scale_is_double": dtype == "float64"}
    c = Control([[64, 0]]).run(tmp_path, **options)
    np.testing.assert_array_equal(c.result, [1, 0, 0.125])
    c = Control([[64, 0]]).run(tmp_path, last=0, **options)
    np.testing.assert_array_equal(c.result, [-7] * 3)
    assert (c.column("step_factor") == 0.125).all()


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(
    ("found", "last", "before", "after"),
    [
        (0, 1, (8, 0), (8, 1)),
        (0, 1, (8, 2), (16, 0)),
        (1, 1, (8, 2), (4, 0)),
        (0, 0, (8, 2), (8, 2)),
        (1, 0, (8, 2), (8, 2)),
        (0, 1, (2e38, 2), (2e38, 0)),
    ],
)
def test_control_follows_the_loss_scale(
    found: int, last: int, before: Any, after: Any, tmp_path: Any
) -> None:
    scaler = np.array(before, np.float32)
    c = Control([[64, found]]).run(tmp_path, scaler=address(scaler), interval=3, last=last)
    np.testing.assert_array_equal(scaler, np.array(after, np.float32))
    np.testing.assert_allclose(c.column("step_factor"), 1 / np.float32(before[0]))


def test_a_launch_without_work_changes_nothing(tmp_path: Any) -> None:
    c = Control(np.zeros((0, 2)), rows=0).run(tmp_path, last=0)
    np.testing.assert_array_equal(c.result, [-7] * 3)
