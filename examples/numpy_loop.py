"""A small network trained by hand, in NumPy or CuPy: gpuopt takes the step.

    python examples/numpy_loop.py [STEPS]

Forward pass, backward pass and data are plain array code; `opt.step` updates the arrays of
`params` in place, in one pass over memory (on a GPU: in one launch for all of them).
"""

import sys

import numpy

import gpuopt


def array_library():
    """CuPy where it can use a GPU, else NumPy: the code below is the same for both."""
    try:
        import cupy

        cupy.zeros(1)
        return cupy
    except Exception:
        return numpy


def main(steps: int = 300) -> None:
    xp = array_library()
    rng = numpy.random.default_rng(0)
    X = rng.standard_normal((1024, 2)).astype(numpy.float32)
    Y = (X[:, :1] * X[:, 1:] > 0).astype(numpy.float32)  # are the two of one sign?

    params = {
        "W1": gpuopt.initializers.he((2, 32), rng, in_axis=0, out_axis=1),
        "b1": numpy.zeros(32, numpy.float32),
        "W2": gpuopt.initializers.he((32, 1), rng, in_axis=0, out_axis=1),
        "b2": numpy.zeros(1, numpy.float32),
    }
    X, Y, params = xp.asarray(X), xp.asarray(Y), {k: xp.asarray(p) for k, p in params.items()}
    opt = gpuopt.AdamW(params, lr=1e-2, weight_decay=1e-3)

    print(f"{xp.__name__}, {len(X)} points, one hidden layer of 32")
    for step in range(steps + 1):
        hidden = xp.maximum(X @ params["W1"] + params["b1"], 0)
        guess = 1 / (1 + xp.exp(-(hidden @ params["W2"] + params["b2"])))
        if step % max(1, steps // 6) == 0:
            right = float((xp.abs(guess - Y) < 0.5).mean())
            loss = float(-xp.log(xp.where(Y > 0, guess, 1 - guess) + 1e-7).mean())
            print(f"step {step:4d}   loss {loss:.4f}   right {right:6.1%}")

        d_out = (guess - Y) / len(X)
        d_hidden = (d_out @ params["W2"].T) * (hidden > 0)
        grads = {"W2": hidden.T @ d_out, "b2": d_out.sum(axis=0)}
        grads |= {"W1": X.T @ d_hidden, "b1": d_hidden.sum(axis=0)}
        opt.step(grads)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
