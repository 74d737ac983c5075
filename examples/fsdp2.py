"""PyTorch's FSDP2 in two processes, each with half of every parameter, and its half of the step.

    python examples/fsdp2.py [STEPS]

It starts its two processes itself: with nccl where there are two GPUs, else with gloo on the CPU.
The optimizer steps each process' shards where they lie, and keeps state for these alone.
"""

import os
import sys
import tempfile

import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from gpuopt.torch import AdamW  # before: from torch.optim import AdamW

PROCESSES = 2


def train(rank: int, file: str, steps: int) -> None:
    device = "cuda" if torch.cuda.device_count() >= PROCESSES else "cpu"
    if device == "cuda":
        torch.cuda.set_device(rank)
    backend = {"cuda": "nccl", "cpu": "gloo"}[device]
    dist.init_process_group(backend, f"file://{file}", rank=rank, world_size=PROCESSES)

    torch.manual_seed(0)
    X = torch.randn(1024, 2, device=device)
    Y = (X.prod(dim=1) > 0).long()  # are the two of one sign?
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2)).to(device)
    fully_shard(model, mesh=init_device_mesh(device, (PROCESSES,)))
    optimizer = AdamW(model.parameters(), lr=2e-2, weight_decay=1e-3)

    mine = slice(rank, None, PROCESSES)  # of the examples
    for step in range(steps + 1):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X[mine]), Y[mine])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # of all shards together
        optimizer.step()
        dist.all_reduce(loss.detach())
        if rank == 0 and step % max(1, steps // 6) == 0:
            print(f"step {step:4d}   loss {loss.item() / PROCESSES:.4f}", flush=True)

    whole = sum(p.numel() for p in model.parameters())
    held = sum(optimizer.state[p]["exp_avg"].to_local().numel() for p in model.parameters())
    print(f"process {rank} on {device} held {held} of {whole} elements of exp_avg", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(train, (os.path.join(folder, "meeting"), steps), PROCESSES)
