"""The rows for 500 tensors of 256 on a GPU: wall time, launches, and the host's time of a step."""

import time
from collections.abc import Callable
from typing import Any

import torch

import gpuopt
from bench import gpu_peers as peers
from bench.gpu_rows import row
from gpuopt.bench import cases
from gpuopt.bench.clock import summary
from gpuopt.bench.clock_gpu import interleave, summaries, wait

Run = Callable[[], object]


class Small:
    """gpuopt's and torch's steps over the same 500 tensors."""

    def __init__(self) -> None:
        shapes = cases.small_tensors()
        self.params, self.grads = peers.arrays(shapes, 0), tuple(peers.arrays(shapes, 1))
        self.sets = [tuple(peers.arrays(shapes, 1)) for _ in range(2)]
        self.opt = gpuopt.Adam(self.params, backend="cupy")
        self.peers = {
            f"torch {kind}": peers.peer("Adam", kind, shapes) for kind in ("fused", "foreach")
        }
        for _ in range(3):
            self.opt.step(self.grads)
            for peer in self.peers.values():
                peer.step()
        self.difference = max(
            peers.difference(self.params, peer.param_groups[0]["params"])
            for peer in self.peers.values()
        )
        self.turn = 0

    def same(self) -> None:
        self.opt.step(self.grads)

    def new(self) -> None:
        self.turn += 1
        self.opt.step(self.sets[self.turn % 2])

    def whole(self) -> None:
        self.opt.step(self.grads, max_norm=1.0, loss_scale=1024.0, skip_nonfinite=True)


def small(rounds: int) -> list[dict]:
    both = Small()
    candidates: dict[str, Run] = {"gpuopt": both.same}
    candidates |= {name: peer.step for name, peer in both.peers.items()}
    rows = []
    for case, run in (("same gradient arrays", both.same), ("new gradient arrays", both.new)):
        candidates["gpuopt"] = run
        found = interleave(candidates, rounds, each=50)
        times = summaries(found, "wall")
        ours = times["gpuopt"]["median"]
        made = row(f"Adam float32, 500 tensors of 256, {case}", found, ours, "torch fused", 5)
        made |= {"clock": "wall", "times": times, "events": made["times"]}
        made["ratio"] = times["torch fused"]["median"] / ours
        made["largest_difference"] = both.difference
        del made["wall"]
        rows.append(made)
    return rows


def launches() -> list[dict]:
    """Kernels and copies that one step puts on the GPU, as the driver reports them."""
    both = Small()
    counts = {"gpuopt": launched(both.same)}
    counts |= {name: launched(peer.step) for name, peer in both.peers.items()}
    row = {
        "case": "Kernel launches of a step, 500 tensors of 256",
        "against": "launches",
        "ratio": counts["gpuopt"]["kernels"],
        "reach": 1,
        "counts": counts,
        "times": {},
    }
    return [row]


def launched(run: Run) -> dict[str, Any]:
    steps = 4
    run()
    wait()
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(steps):
            run()
        wait()
    cuda = torch.autograd.DeviceType.CUDA
    names = [event.name for event in profile.events() or [] if event.device_type == cuda]
    if not names:
        raise RuntimeError("the profiler reported nothing that ran on the GPU")
    copies = [name for name in names if name.startswith(("Memcpy", "Memset"))]
    kernels = sorted({name for name in names if name not in copies})
    count = (len(names) - len(copies)) / steps
    return {"kernels": count, "copies": len(copies) / steps, "names": kernels}


def host_seconds(run: Run, count: int = 300) -> list[float]:
    """What `step()` takes of the host, with nothing queued before it."""
    seconds = []
    for _ in range(count):
        wait()
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return seconds[count // 10 :]


def host_times() -> list[dict]:
    """Rows for gpuopt by kind of step; torch's times are beside the first."""
    both = Small()
    shown = {"same gradient arrays": both.same, "new gradient arrays": both.new}
    shown["norm, unscaling and skipping"] = both.whole
    rows = []
    for case, run in shown.items():
        run()
        times = {"gpuopt": summary(host_seconds(run))}
        if not rows:
            for name, peer in both.peers.items():
                times[name] = summary(host_seconds(peer.step))
        rows.append(
            {
                "case": f"Host time of a step, 500 tensors of 256, {case}",
                "clock": "host",
                "times": times,
                "against": "at most",
                "ratio": times["gpuopt"]["median"],
                "reach": 15e-6,
            }
        )
    return rows
