"""A whole step written a second time, by hand and in float64, around the rules' own formulas in
tests/parity/formulas.py: unscale, clip by norm, clip by value, the rule, average. Nothing is shared
with gpuopt."""

import math

import numpy as np

from tests.parity.formulas import FORMULAS

# Errors allowed after ten steps, in units in the last place: see tests/parity/test_parity.py. A
# clipped gradient has three more roundings, and the average one for every step.
P_ULPS, STEP_ULPS, STATE_ULPS, AVERAGE_ULPS = 12.5, 250, 120, 20


class Reference:
    """Parameters, state, averages and step counts. `largest` holds the largest |p|, |step| and
    |state| on the way: what rounding errors are measured by."""

    def __init__(self, params, rule, lr, average=None):
        self.rule, self.lr, self.average = rule, lr, average
        self.params = [p.astype(np.float64) for p in params]
        self.states = [{} for _ in params]
        self.sums = [np.zeros(p.shape) for p in params]
        self.times = [0] * len(params)
        self.largest = [{"p": np.abs(p), "step": np.zeros(p.shape)} for p in self.params]
        self.norm = math.nan

    def step(
        self, grads, max_norm=None, max_value=None, loss_scale=1.0, skip_nonfinite=False, **rest
    ):
        scaled = {k: g.astype(np.float64) for k, g in enumerate(grads) if g is not None}
        given = {k: g / loss_scale for k, g in scaled.items()}
        self.norm = math.sqrt(math.fsum(float(np.sum(g**2)) for g in given.values()))
        if skip_nonfinite and not all(np.isfinite(g).all() for g in given.values()):
            return
        for k, g in given.items():
            if max_norm is not None:
                g = g * min(1.0, max_norm / (self.norm + 1e-6))
            if max_value is not None:
                g = np.clip(g, -max_value, max_value)
            self.advance(k, g)

    def advance(self, k, g):
        self.times[k] += 1
        formula = FORMULAS[type(self.rule).__name__]
        new = formula(self.params[k], g, self.states[k], self.times[k], self.lr, self.rule)
        step, largest = np.abs(new - self.params[k]), self.largest[k]
        for name, values in {"p": new, "step": step, **self.states[k]}.items():
            largest[name] = np.maximum(largest.get(name, 0), np.abs(values))
        self.params[k] = new
        if self.average is not None:
            self.sums[k] = self.average * self.sums[k] + (1 - self.average) * new

    def averages(self):
        """The weighted averages of p, weights adding up to 1; p itself before the first step."""
        return [
            total / (1 - self.average**t) if t else p
            for total, t, p in zip(self.sums, self.times, self.params, strict=True)
        ]

    def compare(self, opt, params, to_numpy, dtype):
        """Every element of p, state and average; and the step counts."""
        assert list(opt.param_steps.values()) == self.times
        assert opt.step_count == max(self.times)
        eps = np.finfo(dtype).eps
        averages = self.averages() if self.average is not None else [None] * len(params)
        found_states = opt.state.values()
        for k, (mine, found) in enumerate(zip(params, found_states, strict=True)):
            largest = self.largest[k]
            allowed = eps * (P_ULPS * largest["p"] + STEP_ULPS * largest["step"])
            near(mine, self.params[k], allowed, f"p {k}")
            if self.average is not None and self.times[k]:
                more = allowed + eps * AVERAGE_ULPS * largest["p"]
                near(to_numpy(found["average"]), averages[k], more, f"average of {k}")
            assert set(found) - {"average"} == set(self.states[k])
            for name, values in self.states[k].items():
                allowed = eps * STATE_ULPS * largest[name]
                near(to_numpy(found[name]), values, allowed, f"{name} of {k}")


def near(found, expected, allowed, what):
    error = np.abs(found.astype(np.float64) - expected)
    assert np.all(error <= allowed), f"{what}, of {expected.size}: {np.max(error / allowed)}"
