"""What is said of a run under a guard: how far the prediction was off, and to which side."""

import numpy as np
import pytest

from gpuopt import memory
from gpuopt.memory.report import Verified


@pytest.mark.parametrize(
    ("predicted", "measured", "error", "words"),
    [
        (1200, 1000, 0.2, "predicted 1.2 KiB, measured 1000 B (+20.0%)."),
        (800, 1000, -0.2, "predicted 800 B, measured 1000 B (-20.0%)."),
        (1000, 1000, 0.0, "predicted 1000 B, measured 1000 B (+0.0%)."),
        (1000, None, None, "predicted 1000 B, and no memory was left to measure its peak."),
        (1000, 0, None, "predicted 1000 B, measured 0 B."),
    ],
)
def test_the_error_is_positive_where_too_much_was_predicted(predicted, measured, error, words):
    run = Verified(64, True, predicted, measured)
    assert run.error == (None if error is None else pytest.approx(error))
    assert str(run) == f"Verified: a batch of 64 came through under the guard; {words}"


def test_a_run_that_failed_says_why():
    run = Verified(64, False, 1000, None, "Unable to allocate")
    assert run.error is None
    assert str(run) == "Verified: a batch of 64 did not come through: Unable to allocate."


def test_a_step_that_takes_more_than_its_trace_shows_has_a_negative_error():
    """Bytes of Python's own are measured, and seen for small batches only, as a line."""

    def step(x):
        return b"x" * (10 * max(0, len(x) - 300) ** 2), np.ones(1000 * len(x), np.uint8)

    report = memory.fit(step, np.ones((1024, 4), "f4"), verify=[512], budget="64MiB", batch_size=64)
    (run,) = report.verified
    assert run.measured is not None, str(run)
    assert run.predicted < run.measured
    assert run.error < 0
    assert f"({run.error:+.1%})" in str(run)
