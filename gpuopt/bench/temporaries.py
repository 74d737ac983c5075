"""What a step allocates beyond what it keeps, of those whose allocations can be seen: NumPy's by
tracemalloc, and on a GPU those from CuPy's memory pool by a hook."""

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

from gpuopt.bench.candidates import Candidate
from gpuopt.bench.clock_gpu import library
from gpuopt.bench.problem import Problem

ON_CPU = ("gpuopt numba", "gpuopt numpy", "gpuopt.thinc", "naive NumPy")
ON_GPU = ("gpuopt cupy", "gpuopt.thinc", "naive CuPy")

Step = Callable[[], Any]


def temporaries(problem: Problem, made: Sequence[Candidate]) -> dict[str, int]:
    """By candidate: bytes that a step takes at most beyond what there was before."""
    seen, most = (ON_GPU, from_the_pool) if problem.on_gpu else (ON_CPU, of_numpy)
    return {c.name: most(c.step) for c in made if c.name in seen}


def of_numpy(step: Step) -> int:
    """The least of some steps: other threads allocate as well."""
    step()  # for what only the first one allocates
    tracemalloc.start()
    try:
        return min(peak(step) for _ in range(3))
    finally:
        tracemalloc.stop()


def peak(step: Step) -> int:
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    step()
    _, most = tracemalloc.get_traced_memory()
    return max(0, most - before)


def from_the_pool(step: Step) -> int:
    class Watch(library().cuda.MemoryHook):
        name = "gpuopt bench"
        taken = most = 0

        def malloc_postprocess(self, **about: int) -> None:
            self.taken += about["mem_size"]
            self.most = max(self.most, self.taken)

        def free_postprocess(self, **about: int) -> None:
            self.taken -= about["mem_size"]

    step()
    with Watch() as watch:
        step()
    return watch.most
