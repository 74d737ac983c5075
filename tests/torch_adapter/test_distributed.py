"""Two and four processes, each with its share of the examples, do what one does with all."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.optional import optional

torch = optional("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this PyTorch has no gloo", allow_module_level=True)

from tests.torch_adapter import distributed_worker as worker  # noqa: E402

SECONDS = 240  # a few dozen are needed: a process that waits for another for ever has failed
COUNTS = (2, 4)
SIZES = {  # of the shards of [7, 5], [7], [3, 7] and [3], in each process
    2: [[20, 4, 14, 2], [15, 3, 7, 1]],
    4: [[10, 2, 7, 1], [10, 2, 7, 1], [10, 2, 7, 1], [5, 1, 0, 0]],
}
Outcomes = list[dict[str, Any]]  # by process


@pytest.fixture(scope="module", params=COUNTS)
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What each process printed."""
    meeting = tmp_path_factory.mktemp("processes") / "meeting"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    here = Path(worker.__file__)
    processes = [
        subprocess.Popen(
            [sys.executable, here, str(rank), str(request.param), meeting],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(request.param)
    ]
    try:
        said = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert not any(process.returncode for process in processes), "".join(e for _, e in said)
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.fixture(scope="module")
def one() -> dict[bool, Any]:
    """What torch.optim's AdamW gets in one process: without and with clipping."""
    return {clip: worker.alone(worker.THEIRS, clip) for clip in (False, True)}


def assert_alike(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", [name for name in worker.CASES if name != "refused"])
def test_processes_do_together_what_one_does(outcomes: Outcomes, one: Any, case: str) -> None:
    expected = one[case.endswith("clipped")]
    for outcome in outcomes:
        found = outcome[case]
        assert_alike(found["losses"], expected["losses"])
        for mine, theirs in zip(found["params"], expected["params"], strict=True):
            assert_alike(mine, theirs)
        assert found["state"].keys() == expected["state"].keys()
        for k, state in expected["state"].items():
            assert found["state"][k].keys() == state.keys() == {"step", "exp_avg", "exp_avg_sq"}
            for key, value in state.items():
                assert_alike(found["state"][k][key], value)


def test_one_process_by_gpuopt_is_one_by_torch(one: Any) -> None:
    found = worker.alone(worker.AdamW)
    assert_alike(found["losses"], one[False]["losses"])
    assert found["losses"][-1] < 0.8 * found["losses"][0]
    assert abs(one[True]["losses"][-1] - found["losses"][-1]) > 1e-3  # clipping is noticed


def test_shards_are_uneven_and_some_are_empty(outcomes: Outcomes) -> None:
    sizes = [outcome["sharded"]["sizes"] for outcome in outcomes]
    assert sizes == SIZES[len(outcomes)]


def test_clipping_in_the_step_is_refused_and_nothing_changes(outcomes: Outcomes) -> None:
    for outcome in outcomes:
        assert "call torch.nn.utils.clip_grad_norm_ before step" in outcome["refused"]["message"]
        assert outcome["refused"]["same"]


def test_a_step_leaves_torchs_number_of_threads_alone(outcomes: Outcomes) -> None:
    """One for each process, as torchrun sets it: Numba's own start would give each all cores."""
    assert [outcome["threads"] for outcome in outcomes] == [[1, 1]] * len(outcomes)
