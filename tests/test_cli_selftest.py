"""`gpuopt selftest` passes here, and fails where a rule or a backend computes something else."""

import json

import numpy as np
import pytest

from gpuopt import backends, rules, selftest
from gpuopt.backends.numpy import NumpyLaunch
from gpuopt.cli import main


def test_every_rule_passes_on_every_backend(tmp_path, capsys):
    assert main(["selftest", "--json", str(tmp_path / "out.json")]) == 0
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["passed"]
    assert {check["rule"] for check in report["checks"]} >= {cls.__name__ for cls in rules.ALL}
    tested = {check["backend"] for check in report["checks"]}
    for name in backends.CLASSES:
        assert name in tested or f"NOT TESTED: {name}: " in out
    assert f"all {len(report['checks'])} checks passed" in out


def test_flags_are_cases_of_their_own():
    labels = set(selftest.cases(rules.ALL))
    assert {"Adam amsgrad", "SGD nesterov, momentum=0.9", "RMSprop centered"} < labels


@pytest.fixture
def numpy_only(monkeypatch):
    real = backends.unavailable
    monkeypatch.setattr(backends, "unavailable", lambda n: real(n) if n == "numpy" else "broken")


def test_a_backend_that_does_nothing_fails(numpy_only, monkeypatch, capsys):
    monkeypatch.setattr(NumpyLaunch, "run", lambda self, table: None)
    assert main(["selftest"]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "NOT TESTED: numba: broken" in out
    assert "checks failed" in out


def test_a_backend_that_raises_fails_with_the_reason(numpy_only, monkeypatch, capsys):
    def broken(self, table):
        raise RuntimeError("launch failed")

    monkeypatch.setattr(NumpyLaunch, "run", broken)
    assert main(["selftest"]) == 1
    assert "RuntimeError: launch failed" in capsys.readouterr().out


def errors(monkeypatch, wrong):
    """The outcomes for plain Adam where the backend's table of scalars is changed by `wrong`."""
    real = NumpyLaunch.run
    monkeypatch.setattr(NumpyLaunch, "run", lambda self, table: real(self, wrong(self, table)))
    return [o for o in selftest.run(["numpy"], classes=[rules.Adam]) if o.rule == "Adam"]


@pytest.mark.parametrize("name", ["eps", "one_minus_beta1", "one_minus_beta2", "step_size"])
def test_a_scalar_that_is_off_by_a_thousandth_is_seen(name, monkeypatch):
    def wrong(launch, table):
        table = np.array(table)
        table[:, list(launch.work.rule.scalars(1e-3, 1)).index(name)] *= 1.001
        return table

    assert not any(outcome.passed for outcome in errors(monkeypatch, wrong))


def test_a_sweep_that_skips_the_last_element_is_seen(monkeypatch):
    real = NumpyLaunch.sweep

    def short(self, arrays, s):
        real(self, [a.ravel()[:-1] if a.ndim == 1 else a for a in arrays], s)

    monkeypatch.setattr(NumpyLaunch, "sweep", short)
    assert not any(o.passed for o in selftest.run(["numpy"], classes=[rules.SGD]))


def test_writing_into_the_gaps_of_a_strided_parameter_is_seen(monkeypatch):
    real = NumpyLaunch.run

    def wide(self, table):
        real(self, table)
        for p, *_ in self.tensors:
            if p.size < p.base.size:
                p.base[...] = 0

    monkeypatch.setattr(NumpyLaunch, "run", wide)
    reasons = [o.reason for o in selftest.run(["numpy"], classes=[rules.SGD])]
    assert all("outside a strided parameter" in str(reason) for reason in reasons)


def test_no_backend_at_all_is_no_pass(monkeypatch, capsys):
    monkeypatch.setattr(backends, "unavailable", lambda name: "broken")
    assert main(["selftest"]) == 1
