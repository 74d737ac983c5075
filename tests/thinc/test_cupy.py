"""On CuPy arrays, through the stand-in: the same numbers, and how many launches they take."""

from typing import Any

import numpy as np
import pytest
import thinc.api as thincs

import gpuopt.thinc as ours
from tests.thinc.beside import KEY, ROUNDING, arrays
from tests.without_gpu import cupy_stand_in as stand_in

DEFAULT, NO_CLIP = {}, {"grad_clip": 0.0}
IN_GRADIENT: dict[str, Any] = {"L2": 0.1, "L2_is_weight_decay": False}


@pytest.mark.parametrize(
    ("given", "launches"),
    [
        (DEFAULT, 3),  # norm, control and sweep
        ({"L2": 0.1}, 3),
        (NO_CLIP, 1),
        ({**NO_CLIP, "use_averages": False}, 1),
        (IN_GRADIENT, 4),  # the norm is that of the gradient and L2 together
        ({**IN_GRADIENT, **NO_CLIP}, 1),
    ],
)
@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_calls(cupy_stand_in: Any, name: str, given: Any, launches: int) -> None:
    opt, theirs = getattr(ours, name)(0.1, **given), getattr(thincs, name)(0.1, **given)
    w, *grads = arrays(1, count=6)
    on_gpu, g_on_gpu = stand_in.ndarray(w.copy()), stand_in.ndarray(w.copy())
    for g in grads:
        g_on_gpu.host[...] = g
        stand_in.events.clear()
        found = opt(KEY, on_gpu, g_on_gpu, lr_scale=0.5)
        kinds = [event.kind for event in stand_in.events]
        theirs(KEY, w, g, lr_scale=0.5)
        assert found[0] is on_gpu
        assert found[1] is g_on_gpu
        np.testing.assert_allclose(on_gpu.get(), w, **ROUNDING)
        assert not g_on_gpu.get().any()
    assert kinds.count("launch") == launches
    assert "compile" not in kinds
    assert "allocate" not in kinds
    assert "wait" not in kinds
    np.testing.assert_allclose(
        opt.averages[KEY].get() if opt.averages else 0,
        theirs.averages[KEY] if theirs.averages else 0,
        **ROUNDING,
    )


def test_weights_that_move_keep_their_state(cupy_stand_in: Any) -> None:
    opt, theirs = ours.Adam(0.1), thincs.Adam(0.1)
    w, *grads = arrays(2, count=5)
    for g in grads:
        on_gpu = stand_in.ndarray(w.copy())
        opt(KEY, on_gpu, stand_in.ndarray(g.copy()))
        theirs(KEY, w, g)
        np.testing.assert_allclose(on_gpu.get(), w, **ROUNDING)
