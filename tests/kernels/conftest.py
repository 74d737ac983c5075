"""Fixtures for kernels on the CPU behind the shim: the order of threads, and `control` alone."""

import math

import numpy as np
import pytest

from gpuopt import rules
from gpuopt.kernels.launch import BLOCK
from gpuopt.lowering.control import module
from gpuopt.lowering.scalars import trace_scalars
from gpuopt.rules.knobs import knob_values
from tests.without_gpu import cupy_stand_in as stand_in

PLAIN = rules.SGD()


@pytest.fixture(params=["forwards", "backwards"])
def both_orders(request, cupy_stand_in, monkeypatch):
    """Blocks and threads run from the first one, and then from the last: on a GPU both may be."""
    monkeypatch.setattr(stand_in.current, "backwards", request.param == "backwards")


@pytest.fixture
def control(cupy_stand_in, both_orders):
    """Run the kernel once; what it writes: table, times, result (norm, found, factor).

    A time is a step count, or the count and the numbers that the rule carries."""

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
        found_at=0,
        found_is_double=0,
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
        times = np.reshape(times, (len(rates), 1 + len(program.carried)))
        times = np.vstack([times, np.full(times.shape[1], -5)]).astype(np.float64)
        result = np.full(3, -5.0)
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
                *map(np.int64, (scale_at, scale_is_double, found_at, found_is_double, skip)),
                np.int64(0 if scaler is None else scaler.ctypes.data),
                *[np.float64(x) for x in growth],
                np.int64(last),
                array(result),
            ),
        )
        assert (table[-1] == -5).all(), "a write past the end"
        assert (times[-1] == -5).all(), "a write past the end"
        return table[:-1], times[:-1] if program.carried else times[:-1, 0], result

    return run
