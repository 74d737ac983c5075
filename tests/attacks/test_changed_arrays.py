"""Random changes of the user's arrays and containers between steps: a step goes on rightly, or it
raises ValueError and has changed nothing.

The long lane is `pytest -m long tests/attacks/test_changed_arrays.py`.
"""

import warnings

import numpy as np
import pytest

import gpuopt

FEW, MANY = 40, 5000
SIZES = [1, 5, 64, 300]
LR, BETA = 0.1, 0.9


class Model:
    """Parameters by name, an optimizer over them, and what they should be, in float64."""

    def __init__(self, rng, backend):
        self.rng = rng
        self.params = {}
        for k in range(rng.integers(1, 6)):
            shape = (int(rng.choice(SIZES)),) if rng.integers(2) else (3, int(rng.choice(SIZES)))
            self.params[f"p{k}"] = rng.standard_normal(shape).astype(np.float32)
        self.held = dict(self.params)  # the arrays that the optimizer steps
        self.shapes = {name: p.shape for name, p in self.params.items()}
        self.opt = gpuopt.SGD(self.params, lr=LR, momentum=BETA, backend=backend)
        self.expected = {name: p.astype(np.float64) for name, p in self.params.items()}
        self.velocity = dict.fromkeys(self.params)
        self.steps = 0

    def some(self):
        return str(self.rng.choice(list(self.params)))

    # changes that a step goes on after

    def write_in_place(self):
        name = self.some()
        if self.params[name] is self.held[name] and self.params[name].flags.writeable:
            self.params[name][...] = 0.5
            self.expected[name][...] = 0.5

    def put_back(self):
        """Everything as it was given: the right objects, shapes, flags."""
        for name, p in self.held.items():
            self.params[name] = p
            p.flags.writeable = True
            if p.size == np.prod(self.shapes[name]):
                p.shape = self.shapes[name]

    def rebind(self):
        """To copies of what the optimizer steps, in the present containers or in others."""
        for name, p in self.expected.items():
            self.params[name] = p.astype(np.float32)
        self.held = dict(self.params)
        self.opt.rebind(self.params)

    # changes that a step must notice, unless they are put back

    def replace(self):
        name = self.some()
        self.params[name] = self.params[name].copy()

    def reshape(self):
        p = self.held[self.some()]
        p.shape = (p.size,) if p.ndim > 1 else (1, p.size)

    def make_read_only(self):
        self.held[self.some()].flags.writeable = False

    def spoiled(self):
        """Whether an array is not what was given."""
        return any(
            self.params[name] is not p or p.shape != self.shapes[name] or not p.flags.writeable
            for name, p in self.held.items()
        )

    def step(self):
        grads = {
            name: None
            if self.rng.integers(3) == 0
            else self.rng.standard_normal(shape).astype(np.float32)
            for name, shape in self.shapes.items()
        }
        if not self.spoiled():
            self.opt.step(grads)
            self.steps += 1
            self.reference(grads)
        else:
            before = {name: p.tobytes() for name, p in self.held.items()}
            state = str(self.opt.state)
            with pytest.raises(ValueError, match=r"params\['p\d'\].*rebind"):
                self.opt.step(grads)
            assert {name: p.tobytes() for name, p in self.held.items()} == before
            assert str(self.opt.state) == state
        assert self.opt.step_count == self.steps

    def reference(self, grads):
        for name, g in grads.items():
            if g is not None:
                v = self.velocity[name]
                v = g.astype(np.float64) if v is None else BETA * v + g
                self.velocity[name] = v
                self.expected[name] = self.expected[name] - LR * v

    def check(self):
        for name, p in self.held.items():
            expected = self.expected[name].reshape(p.shape)
            np.testing.assert_allclose(p, expected, rtol=1e-4, atol=1e-4)


CHANGES = [
    Model.write_in_place,
    Model.put_back,
    Model.rebind,
    Model.replace,
    Model.reshape,
    Model.make_read_only,
]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_a_step_is_right_or_refused(tries, backend):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting the shape")  # NumPy 2.5 advises against it
        for seed in range(tries):
            model = Model(np.random.default_rng(seed), backend)
            for _ in range(12):
                if model.rng.integers(2):
                    CHANGES[model.rng.integers(len(CHANGES))](model)
                model.step()
                model.check()
