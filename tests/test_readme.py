"""README's Python runs as it stands, from top to bottom."""

import re
from pathlib import Path

import numpy as np

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_code_in_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 6
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["opt"].step_count == 1
    assert names["scaler"].scale == 65536.0
    assert np.isfinite(names["params"]["W"]).all()
    assert names["params"]["b"].any() is np.False_


def test_readme_names_the_two_commands():
    commands = '```\npip install ".[cli]" && gpuopt train\npip install ".[test]" && pytest\n```'
    assert commands in README


def test_the_diffs_are_what_the_examples_say():
    examples = Path(__file__).parent.parent / "examples"
    lines = {x.strip() for page in examples.glob("*.py") for x in page.read_text().splitlines()}
    diffs = re.findall(r"```diff\n(.*?)```", README, re.DOTALL)
    assert len(diffs) == 5
    for added in re.findall(r"^\+(.*)$", "".join(diffs), re.MULTILINE):
        assert added.strip() in lines
