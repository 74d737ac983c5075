"""A Thinc model trained with gpuopt's optimizer.

    python examples/thinc_model.py [EPOCHS]

The model and the loop are Thinc's. The optimizer is made by name, as in a config file of Thinc or
spaCy; `gpuopt.thinc.Adam(0.01, L2=1e-4)` is the same in Python. Each call is one pass over memory,
with L2, clipping and the running average in it.
"""

import sys

import numpy as np
from thinc.api import Config, Relu, Softmax, chain, fix_random_seed, get_array_module, registry

CONFIG = """
[optimizer]
@optimizers = "gpuopt.Adam.v1"
L2 = 1e-4
grad_clip = 1.0
use_averages = true

[optimizer.learn_rate]
@schedules = "warmup_linear.v1"
initial_rate = 0.02
warmup_steps = 20
total_steps = 2000
"""


def main(epochs: int = 20) -> None:
    fix_random_seed(0)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1024, 2)).astype(np.float32)
    Y = np.eye(2, dtype=np.float32)[(X.prod(axis=1) > 0).astype(int)]  # are the two of one sign?

    model = chain(Relu(32), Softmax())
    model.initialize(X, Y)
    X, Y = model.ops.asarray2f(X), model.ops.asarray2f(Y)  # on the GPU, where Thinc has one
    xp = get_array_module(X)
    optimizer = registry.resolve(Config().from_str(CONFIG))["optimizer"]  # "Adam.v1" before

    print(f"Thinc, {len(X)} points, one hidden layer of 32")
    for epoch in range(epochs + 1):
        with model.use_params(optimizer.averages):  # the running averages of the parameters
            guess = model.predict(X)
        if epoch % max(1, epochs // 5) == 0:
            loss = -float(xp.log((guess * Y).sum(axis=1) + 1e-7).mean())
            right = float((guess.argmax(axis=1) == Y.argmax(axis=1)).mean())
            print(f"epoch {epoch:3d}   loss {loss:.4f}   right {right:6.1%}")
        for x, y in model.ops.multibatch(64, X, Y, shuffle=True):
            guess, backprop = model.begin_update(x)
            backprop((guess - y) / len(x))
            model.finish_update(optimizer)
            optimizer.step_schedules()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
