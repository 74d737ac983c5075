"""What a table of ratios does not say: copies to and from the host, the size from which a GPU wins,
where the host's time goes, and how CuPy's pool rounds."""

import cProfile
import io
import pstats
import time
from typing import Any

import cupy
import numpy as np

import gpuopt
from bench import gpu_peers as peers
from bench.gpu_small import Small
from gpuopt.bench import cases
from gpuopt.bench.clock import summary
from gpuopt.bench.clock_gpu import EACH, interleave, summaries, wait
from gpuopt.bench.crossover import wins_from
from gpuopt.bench.place_gpu import pinned
from gpuopt.bench.spin import spin


def pinned_copy(values: np.ndarray) -> np.ndarray:
    copy = pinned(values.size, values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def copies(rounds: int) -> dict[str, Any]:
    """Adam over GPT-2 small with gradients on the device, and with gradients that are brought from
    page-locked memory before every step, and parameters taken back after it."""
    shapes = cases.gpt2_small()
    params, grads = peers.arrays(shapes, 0), tuple(peers.arrays(shapes, 1))
    hosts = [pinned_copy(cupy.asnumpy(g)) for g in grads]
    backs = [pinned_copy(cupy.asnumpy(p)) for p in params]
    opt = gpuopt.Adam(params, backend="cupy")

    def step() -> None:
        opt.step(grads)

    def bring() -> None:
        for g, host in zip(grads, hosts, strict=True):
            g.data.copy_from_host_async(host.ctypes.data, host.nbytes)
        opt.step(grads)

    def bring_and_take() -> None:
        bring()
        for p, back in zip(params, backs, strict=True):
            p.data.copy_to_host_async(back.ctypes.data, back.nbytes)

    step()
    candidates = {
        "gradients on the device": step,
        "gradients from the host": bring,
        "gradients from the host, parameters back": bring_and_take,
    }
    found = interleave(candidates, max(rounds // 4, 2), each=2)
    return {"events": summaries(found, "events"), "wall": summaries(found, "wall")}


def crossover(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Wall time of an Adam step by size, in a loop: on the CPU's best backend, and on the GPU with
    arrays that stay there, and with gradients and parameters copied over at every step."""
    rows = []
    for size in sizes:
        host, g_host = np.full(size, 1, np.float32), pinned_copy(np.full(size, 0.5, np.float32))
        p, g = cupy.asarray(host), cupy.asarray(g_host)
        on_cpu, on_gpu = gpuopt.Adam(host), gpuopt.Adam(p, backend="cupy")
        back = pinned_copy(host)

        def with_copies(p=p, g=g, g_host=g_host, back=back, on_gpu=on_gpu) -> None:
            g.data.copy_from_host_async(g_host.ctypes.data, g_host.nbytes)
            on_gpu.step(g)
            p.data.copy_to_host_async(back.ctypes.data, back.nbytes)

        rows.append(
            {
                "elements": size,
                "cpu_backend": on_cpu.backend,
                "cpu": looped(lambda opt=on_cpu, g=g_host: opt.step(g)),
                "gpu": looped(lambda opt=on_gpu, g=g: opt.step(g)),
                "gpu, with copies": looped(with_copies),
            }
        )
        print(" ", rows[-1], flush=True)
    ways = ("cpu", "gpu", "gpu, with copies")
    times = {way: {row["elements"]: row[way]["median"] for row in rows} for way in ways}
    wins = {way: wins_from(sorted(sizes), times[way], times["cpu"]) for way in ways[1:]}
    return {"rows": rows, "wins_from": wins}


def looped(run: Any, each: int = EACH) -> dict[str, float]:
    """Seconds a step in loops of several, each waited for at its end."""
    run()
    run()
    wait()
    seconds, end = [], time.perf_counter() + 0.25
    while len(seconds) < 5 or (time.perf_counter() < end and len(seconds) < 50):
        begin = time.perf_counter()
        for _ in range(each):
            run()
        wait()
        seconds.append((time.perf_counter() - begin) / each)
    return summary(seconds)


def host_profile(steps: int = 1000) -> dict[str, str]:
    """Where the host's time of a step goes, function by function, for 500 tensors of 256."""
    both, found = Small(), {}
    for name, run in (("same", both.same), ("new", both.new), ("whole", both.whole)):
        run()
        wait()
        profile = cProfile.Profile()
        profile.enable()
        for _ in range(steps):
            run()
        profile.disable()
        wait()
        text = io.StringIO()
        pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(22)
        found[name] = text.getvalue()
    return found


def prefetching() -> dict[str, float]:
    """Seconds for 20 batches of 16 MiB with 2 ms of computing each: copies alone, computing alone,
    one after the other, and with gpuopt.prefetch."""
    batches = [np.full(2**22, k, np.float32) for k in range(20)]

    def copy_all() -> None:
        for batch in batches:
            cupy.asarray(batch)

    def one_after_another() -> None:
        for batch in batches:
            moved = cupy.asarray(batch)
            spin(0.002)
            wait()
            del moved

    def ahead() -> None:
        for _ in gpuopt.prefetch(batches):
            spin(0.002)

    found = {"computing alone": 0.002 * len(batches)}
    for run in (copy_all, one_after_another, ahead):
        found[run.__name__] = looped(run, 1)["median"]
    return found


POOL_SIZES = (1, 511, 512, 513, 4096, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20 + 5, 2**25 + 1)


def pool() -> dict[str, Any]:
    """How CuPy's memory pool rounds: what it uses and holds after each allocation, and again after
    a smaller one has taken the place of one that was freed."""
    memory = cupy.get_default_memory_pool()
    memory.free_all_blocks()
    first = (memory.used_bytes(), memory.total_bytes())
    kept, rows = [], []
    for size in POOL_SIZES:
        kept.append(cupy.empty(size, np.uint8))
        rows.append({"asked": size, "used": memory.used_bytes(), "total": memory.total_bytes()})
    del kept[-1]
    freed = {"used": memory.used_bytes(), "total": memory.total_bytes()}
    kept.append(cupy.empty(2**24 + 1, np.uint8))
    split = {"used": memory.used_bytes(), "total": memory.total_bytes()}
    split["free_blocks"] = memory.n_free_blocks()
    del kept
    return {
        "before": first,
        "one_after_another": rows,
        "last_freed": freed,
        "2^24 + 1 in its place": split,
        "limit": memory.get_limit(),
        "mem_info": cupy.cuda.runtime.memGetInfo(),
    }
