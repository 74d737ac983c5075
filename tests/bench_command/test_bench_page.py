"""docs/speed.md and its charts, made from bench/results."""

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def page(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    page = importlib.import_module("bench.page")
    monkeypatch.setattr(page, "CHARTS", tmp_path)
    return page


def test_a_chart_that_was_not_measured_is_not_left_as_it_was(page, monkeypatch):
    found = page.load()
    del found["bench"]["loss"]
    monkeypatch.setattr(page, "load", lambda: found)
    with pytest.raises(
        SystemExit, match=r"no loss\.png: no loss was measured; measure with gpuopt"
    ):
        page.draw()


def test_all_charts_are_drawn(page, tmp_path):
    page.draw()
    assert {path.stem for path in tmp_path.glob("*.png")} == page.CAPTIONS.keys()
