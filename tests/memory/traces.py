"""Made-up sequences of allocations: pairs of a name and a size in bytes, or None to free it."""

import numpy as np

Trace = list[tuple[int, int | None]]


def random_trace(rng: np.random.Generator, smallest: int, largest: int = 2**24) -> Trace:
    """300 events with sizes of all magnitudes; more come than go."""
    trace: Trace = []
    live: list[int] = []
    for name in range(300):
        if live and rng.random() > 0.55:
            trace.append((live.pop(rng.integers(len(live))), None))
        else:
            trace.append((name, int(smallest * (largest / smallest) ** rng.random())))
            live.append(name)
    return trace


def mlp_trace(rng: np.random.Generator, steps: int = 3) -> Trace:
    """Training steps of a fully connected network with Adam in float32.

    Old gradients and activations live on until a step has new ones; the first step makes the state.
    """
    widths = [int(width) for width in rng.integers(1, 2000, rng.integers(3, 8))]
    layers = list(zip(widths[1:], widths, strict=False))
    m = int(rng.integers(1, 4000))  # rows of a mini-batch
    trace: Trace = []
    old: list[int] = []

    def new(rows: int, columns: int, itemsize: int = 4) -> int:
        trace.append((len(trace), rows * columns * itemsize))
        return trace[-1][0]

    def drop(*names: int) -> None:
        trace.extend((name, None) for name in names)

    def parameters() -> None:
        for n, n_below in layers:
            new(n, n_below), new(n, 1)

    parameters()
    for step in range(steps):
        kept = [new(widths[0], m)]
        for n, _ in layers:
            product = new(n, m)
            kept.append(new(n, m))
            drop(product)
            kept.append(new(n, m))
        dz = new(widths[-1], m)
        for n, n_below in reversed(layers):
            unscaled = new(n, n_below)
            kept += [new(n, n_below), new(n, 1)]
            da, mask = new(n_below, m), new(n_below, m, itemsize=1)
            dz_below = new(n_below, m)
            drop(unscaled, mask, da, dz)
            dz = dz_below
        drop(dz, *old)
        old = kept
        if step == 0:
            parameters(), parameters()
    drop(*old)
    return trace
