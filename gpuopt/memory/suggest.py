"""The course notes' advice on the size of a mini-batch."""

from collections.abc import Callable

from gpuopt import checks

SMALL_SET = 2000  # examples: up to here, batch gradient descent
TYPICAL = (1024, 512, 256, 128, 64)


def suggest_batch_size(m: int, fits: Callable[[int], bool] = lambda batch_size: True) -> int:
    """A mini-batch size for a training set of `m` examples: all of them up to 2000, else a power of
    two from 64 to 1024 (the largest that fits), as deeplearning.ai's course advises.

    fits: whether a size fits in memory, such as the `fits` of what `gpuopt.memory.fit` returns.
    Where none of these does, the largest smaller power of two that does. Several powers of two are
    worth a try: the one that learns fastest is the best. Raises ValueError if not even 1 fits.
    """
    m = checks.whole("m", m, 1)
    if m <= SMALL_SET and fits(m):
        return m
    for size in (*TYPICAL, 32, 16, 8, 4, 2, 1):
        if size <= m and fits(size):
            return size
    raise ValueError("no mini-batch fits in memory, not even of 1 example; a smaller model may")
