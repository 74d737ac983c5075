"""Every example runs as its page says, and the loss that it prints falls."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.optional import optional

EXAMPLES = Path(__file__).parent.parent / "examples"
RUNS = {  # steps or epochs: small, and what must be left of the loss; which library it is about
    "numpy_loop": (60, 0.5, "numpy"),
    "pytorch_loop": (60, 0.5, "torch"),
    "thinc_model": (3, 0.5, "thinc"),
    "fsdp2": (30, 0.5, "torch"),
    "custom_rule": (600, 0.1, "numpy"),
}
SECONDS = 240


@pytest.mark.parametrize("name", RUNS)
def test_the_loss_falls(name: str) -> None:
    size, left, library = RUNS[name]
    optional(library)
    said = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", str(size)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert said.returncode == 0, said.stderr
    losses = [float(x) for x in re.findall(r"loss (\S+)", said.stdout)]
    assert len(losses) >= 4, said.stdout
    assert losses[-1] < left * losses[0], said.stdout
    if name == "fsdp2":
        assert len(re.findall(r"held 81 of 162 elements", said.stdout)) == 2


def test_all_are_tried_and_each_is_a_page() -> None:
    pages = {path.stem: path.read_text() for path in EXAMPLES.glob("*.py")}
    assert pages.keys() == RUNS.keys()
    for name, text in pages.items():
        assert text.startswith('"""'), name
        assert f"python examples/{name}.py [" in text
        assert len(text.splitlines()) <= 60, name
