"""An optimizer on the stand-in for CuPy whose step is captured in a graph, and one on the CPU."""

import numpy as np

import gpuopt

SIZES = (300, 5)


class Twin:
    """The same steps twice: `step` on the stand-in or `replay` of a captured one, and NumPy's."""

    def __init__(self, cupy, average=None, decay=0.1):
        self.cupy, self.stream = cupy, cupy.cuda.Stream(7)
        self.params, self.expected = ([np.ones(n, np.float32) for n in SIZES] for _ in range(2))
        self.grads = [np.ones(n, np.float32) for n in SIZES]
        self.given = [cupy.ndarray(g) for g in self.grads]
        rule = gpuopt.rules.AdamW(weight_decay=decay)
        mine = [cupy.ndarray(p) for p in self.params]
        self.opt = gpuopt.Optimizer(mine, rule, lr=0.1, average=average, backend="cupy")
        self.host = gpuopt.Optimizer(self.expected, rule, lr=0.1, average=average, backend="numpy")
        self.graph = None

    def draw(self, seed, bad=False):
        """New gradients in the arrays that a graph reads."""
        rng = np.random.default_rng(seed)
        for g in self.grads:
            g[...] = 1 + rng.random(g.shape)
        if bad:
            self.grads[-1][-1] = np.inf

    def step(self, **options):
        """A step that is not captured."""
        host = [g.copy() for g in self.grads]
        with self.stream:
            self.opt.step(self.given, **options)
        self.host.step(host, **options)

    def capture(self, **options):
        with self.stream:
            self.stream.begin_capture()
            try:
                self.opt.step(self.given, **options)
            except RuntimeError:
                assert self.stream.end_capture().calls == []
                raise
            self.graph = self.stream.end_capture()
        return self.graph

    def replay(self, graph=None, **options):
        host = [g.copy() for g in self.grads]
        (graph or self.graph).launch(self.stream)
        self.host.step(host, **options)

    def set(self, name, value):
        for opt in (self.opt, self.host):
            opt.param_groups[0][name] = value

    def compare(self):
        for p, q in zip(self.params, self.expected, strict=True):
            np.testing.assert_allclose(p, q, rtol=2e-6)
        assert self.opt.step_count == self.host.step_count
        assert self.opt.param_steps == self.host.param_steps
        if self.host.average is not None:
            averages = zip(self.opt.averaged_params(), self.host.averaged_params(), strict=True)
            for a, b in averages:
                np.testing.assert_allclose(a.get(), b, rtol=2e-6)
