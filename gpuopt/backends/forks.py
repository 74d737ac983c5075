"""After a fork. OpenMP's threads stay behind in the parent: a child that asks them to work ends
(Numba sees to that) or waits for ever (PyTorch does), so it goes on with one thread.

PyTorch and Numba may share one OpenMP, so what either has started matters to both.
"""

import os
import sys

alone = False  # in a child: whether PyTorch may have started OpenMP's threads before the fork


def one_thread() -> None:
    """Have Numba and PyTorch, if they are loaded, work with one thread in a forked child."""
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if parallel is not None and getattr(parallel, "_is_initialized", False):
        import numba

        parallel._is_initialized = False  # pyright: ignore
        parallel._launch_threads()  # pyright: ignore
        numba.set_num_threads(1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # last: starting Numba's sets OpenMP's number, which is PyTorch's


def after_in_child() -> None:
    """PyTorch is left as it is where gpuopt has nothing to do with it."""
    global alone
    alone = "torch" in sys.modules
    if numba_uses_openmp() or "gpuopt.torch" in sys.modules:
        one_thread()


def numba_uses_openmp() -> bool:
    """Numba's other kinds of threads bear a fork."""
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    started = getattr(parallel, "_is_initialized", False)
    return started and getattr(parallel, "_threading_layer", None) == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_in_child)
