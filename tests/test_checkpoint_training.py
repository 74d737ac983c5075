"""Training that goes on from a file has the bits of training that was never stopped."""

import numpy as np
import pytest

import gpuopt
from tests.optional import optional

optional("safetensors.numpy")

EPOCHS, BATCH = 3, 8
DATA = np.random.default_rng(0)
X, Y = DATA.normal(size=(3, 30)), DATA.normal(size=(1, 30))  # four batches an epoch


class Training:
    """A linear model with dropout, trained with everything that has a state of its own."""

    def __init__(self, backend, seed):
        rng = np.random.default_rng(seed)
        self.W, self.b = rng.normal(size=(1, 3)), rng.normal(size=(1, 1))
        self.asarray, self.dropout = backend.asarray, np.random.default_rng(seed + 1)
        self.batches = gpuopt.minibatches(X, Y, BATCH, axis=1, rng=seed)
        groups = [
            {"params": {"W": self.asarray(self.W)}, "weight_decay": 0.1},
            {"params": {"b": self.asarray(self.b)}, "lr": 0.05},
        ]
        self.opt = gpuopt.AdamW(
            groups, lr=lambda step: 0.1 / step, average=0.9, backend=backend.name
        )

    def step(self, x, y):
        x = x * (self.dropout.random(x.shape) < 0.8)
        error = (self.W @ x + self.b - y) / x.shape[1]
        grads = [{"W": error @ x.T}, {"b": error.sum(1, keepdims=True)}]
        self.opt.step([{k: self.asarray(g) for k, g in group.items()} for group in grads])

    def train(self, first_epoch=0, until=None):
        """Steps until there were as many; returns the epoch."""
        for epoch in range(first_epoch, EPOCHS):
            for x, y in self.batches:
                self.step(x, y)
                if self.opt.step_count == until:
                    return epoch
        return EPOCHS

    def save(self, path, epoch):
        extra = {"epoch": epoch, "batches": self.batches.state_dict()}
        self.opt.save(path, params=True, rngs={"dropout": self.dropout}, extra=extra)

    def load(self, path):
        extra = self.opt.load(path, rngs={"dropout": self.dropout})
        self.batches.load_state_dict(extra["batches"])
        return extra["epoch"]

    def bits(self, backend):
        averages = [next(iter(group.values())) for group in self.opt.averaged_params()]
        everything = [self.W, self.b, *(backend.to_numpy(a) for a in averages)]
        for buffers in self.opt.state.values():
            everything += [backend.to_numpy(a) for a in buffers.values()]
        return [np.ascontiguousarray(a).tobytes() for a in everything], self.opt.step_count


@pytest.mark.parametrize("stop", [1, 4, 6, 11])
def test_resumed_training_has_the_bits_of_training_that_was_never_stopped(backend, stop, tmp_path):
    never_stopped = Training(backend, seed=1)
    never_stopped.train()
    stopped, resumed = Training(backend, seed=1), Training(backend, seed=7)
    stopped.save(tmp_path / "state", stopped.train(until=stop))
    resumed.train(until=2)  # whatever it has done is forgotten
    resumed.train(resumed.load(tmp_path / "state"))
    assert resumed.opt.step_count == 12
    assert resumed.bits(backend) == never_stopped.bits(backend)
    assert resumed.dropout.random() == never_stopped.dropout.random()
