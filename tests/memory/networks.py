"""Networks to judge: a step on NumPy arrays with an optimizer, and what it really takes."""

import gc
import tracemalloc

import numpy as np

from gpuopt.blas import one_blas_thread
from gpuopt.training.network import cost_and_gradients, initialise


class Network:
    """A multilayer perceptron with an optimizer, and data in columns."""

    def __init__(self, sizes, make, dtype=np.float32, count=64):
        rng = np.random.default_rng(0)
        self.params = initialise(sizes, rng, dtype)
        self.optimizer = make(self.params)
        self.X = rng.standard_normal((sizes[0], count)).astype(dtype)
        self.Y = rng.integers(0, sizes[-1], (1, count))

    def step(self, X, Y):
        _, grads = cost_and_gradients(self.params, X, Y)
        self.optimizer.step(grads)

    def traced_peak(self, batch_size):
        """The peak of two steps by tracemalloc, in a loop as users write it."""
        index = np.arange(batch_size) % self.X.shape[1]
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            with one_blas_thread():
                for _ in range(2):
                    batch = self.X[:, index], self.Y[:, index]
                    self.step(*batch)
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
