"""One of several processes that train one small network; prints what it got as a line of JSON.

    python distributed_worker.py RANK PROCESSES FILE      (FILE: where they meet)

Every process takes its share of the examples, so that together they do what `alone` does.
"""

import functools
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from gpuopt.torch import AdamW

GIVEN: dict[str, Any] = {"lr": 0.05, "weight_decay": 0.1}
NORM = 0.05  # to which gradients are clipped; theirs are larger
STEPS = 6
Rank = tuple[int, int]  # this process, and how many there are


def network() -> nn.Module:
    """Over 4 processes no axis is shared out evenly, and the last has nothing of the last layer."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def trained(model: nn.Module, opt: Any, rank: Rank, steps: int, clip: bool = False) -> list[float]:
    """The loss of all examples before each step."""
    make, losses = torch.Generator().manual_seed(1), []
    X, Y = (torch.randn(16, n, dtype=torch.float64, generator=make) for n in (5, 3))
    X, Y = (a.chunk(rank[1])[rank[0]] for a in (X, Y))
    for _ in range(steps):
        opt.zero_grad()
        loss = ((model(X) - Y) ** 2).mean()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), NORM)
        opt.step()
        whole = loss.detach().clone()
        if rank[1] > 1:
            dist.all_reduce(whole)
        losses.append(whole.item() / rank[1])
    return losses


def whole(t: Any) -> Any:
    """A tensor, put together if it is distributed, as lists."""
    return (t.full_tensor() if isinstance(t, DTensor) else t).tolist()


def result(losses: list[float], model: nn.Module, state: Any) -> dict[str, Any]:
    """state: by the number of the parameter, or {} where this process does not know it."""
    state = {str(k): {key: whole(x) for key, x in s.items()} for k, s in state.items()}
    return {"losses": losses, "params": [whole(p) for p in model.parameters()], "state": state}


def alone(make: Callable[..., Any], clip: bool = False) -> dict[str, Any]:
    """What one process gets from all examples."""
    model = network()
    opt = make(model.parameters(), **GIVEN)
    losses = trained(model, opt, (0, 1), STEPS, clip)
    return result(losses, model, opt.state_dict()["state"])


def replicated(rank: Rank, views: bool) -> dict[str, Any]:
    model = DistributedDataParallel(network(), gradient_as_bucket_view=views)
    opt = AdamW(model.parameters(), **GIVEN)
    return result(trained(model, opt, rank, STEPS), model, opt.state_dict()["state"])


def zero_redundancy(rank: Rank, views: bool) -> dict[str, Any]:
    """Half of the steps, then a new optimizer goes on from the first one's checkpoint."""
    from torch.distributed.optim import ZeroRedundancyOptimizer  # which warns of its own age

    model = DistributedDataParallel(network(), gradient_as_bucket_view=views)
    losses, saved = [], [None]
    for _ in range(2):
        opt = ZeroRedundancyOptimizer(
            model.parameters(), AdamW, parameters_as_bucket_view=views, **GIVEN
        )
        if saved[0] is not None:
            opt.load_state_dict(saved[0])
        losses += trained(model, opt, rank, STEPS // 2)
        opt.consolidate_state_dict(to=0)
        saved = [opt.state_dict() if rank[0] == 0 else None]
        dist.broadcast_object_list(saved)
    return result(losses, model, saved[0]["state"])  # pyright: ignore


def sharded(rank: Rank, clip: bool = False) -> dict[str, Any]:
    model, opt = sharded_model(rank, AdamW)
    losses = trained(model, opt, rank, STEPS, clip)
    for p in model.parameters():
        for key in ("exp_avg", "exp_avg_sq"):
            assert opt.state[p][key].placements == p.placements  # pyright: ignore
            assert opt.state[p][key].to_local().shape == p.to_local().shape  # pyright: ignore
    sizes = [p.to_local().numel() for p in model.parameters()]  # pyright: ignore
    return {**result(losses, model, opt.state_dict()["state"]), "sizes": sizes}


def interchanged(rank: Rank, makes: tuple[Any, Any], full: bool) -> dict[str, Any]:
    """Half of the steps with the first optimizer, and the others with the second."""
    model, opt = sharded_model(rank, makes[0])
    losses = trained(model, opt, rank, STEPS // 2)
    options = StateDictOptions(full_state_dict=full)
    saved = get_optimizer_state_dict(model, opt, options=options)
    opt = makes[1](model.parameters(), **GIVEN)
    opt.zero_grad()  # with gradients, torch does not prepare the state that it loads into
    set_optimizer_state_dict(model, opt, saved, options=options)
    losses += trained(model, opt, rank, STEPS // 2)
    return result(losses, model, opt.state_dict()["state"])


def sharded_model(rank: Rank, make: Any, **more: Any) -> tuple[nn.Module, Any]:
    model = network()
    mesh = init_device_mesh("cpu", (rank[1],))
    for layer in (model[0], model[2], model):  # pyright: ignore
        fully_shard(layer, mesh=mesh)
    return model, make(model.parameters(), **GIVEN, **more)


def refused(rank: Rank) -> dict[str, Any]:
    """What a step with max_norm says, and whether it left everything as it was."""
    model, opt = sharded_model(rank, AdamW, max_norm=NORM)
    before = [whole(p) for p in model.parameters()]
    try:
        trained(model, opt, rank, 1)
    except ValueError as error:
        same = not opt.state and before == [whole(p) for p in model.parameters()]
        return {"message": str(error), "same": same}
    return {"message": None}


THEIRS = torch.optim.AdamW
CASES: dict[str, Callable[[Rank], dict[str, Any]]] = {
    "replicated": functools.partial(replicated, views=False),
    "replicated, views": functools.partial(replicated, views=True),
    "zero redundancy": functools.partial(zero_redundancy, views=False),
    "zero redundancy, views": functools.partial(zero_redundancy, views=True),
    "sharded": sharded,
    "from torch, shards": functools.partial(interchanged, makes=(THEIRS, AdamW), full=False),
    "to torch, shards": functools.partial(interchanged, makes=(AdamW, THEIRS), full=False),
    "from torch, whole": functools.partial(interchanged, makes=(THEIRS, AdamW), full=True),
    "to torch, whole": functools.partial(interchanged, makes=(AdamW, THEIRS), full=True),
    "sharded, clipped": functools.partial(sharded, clip=True),
    "refused": refused,
}


def main(rank: int, processes: int, file: str) -> None:
    dist.init_process_group(
        "gloo",
        init_method=f"file://{file}",
        rank=rank,
        world_size=processes,
        timeout=timedelta(seconds=60),
    )
    threads = torch.get_num_threads()
    results: dict[str, Any] = {name: case((rank, processes)) for name, case in CASES.items()}
    print(json.dumps({**results, "threads": [threads, torch.get_num_threads()]}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
