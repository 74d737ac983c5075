"""Words of memory, read in place: are they what they were?"""

from numba import njit

from gpuopt.kernels.headers_numba import word


@njit(cache=True)
def note(words):
    """Write what stands at each address (column 0) beside it (column 1)."""
    for k in range(len(words)):
        words[k, 1] = word(words[k, 0])


@njit(cache=True)
def stand(words):
    """Whether the same stands there still. The first that does not ends it: words before an address
    may be what says that it can be read."""
    for k in range(len(words)):  # noqa: SIM110  Numba compiles no generator in a call of all
        if word(words[k, 0]) != words[k, 1]:
            return False
    return True
