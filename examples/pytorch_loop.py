"""A PyTorch training loop as it always was: only the import of the optimizer is another.

    python examples/pytorch_loop.py [STEPS]

Learning-rate schedulers, clipping, checkpoints and GradScaler go on working. On a CPU the step uses
as many threads as torch does; on a GPU it runs on torch's current stream.
"""

import sys

import torch
from torch import nn

import gpuopt.torch as optim  # before: from torch import optim


def main(steps: int = 300) -> None:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    X = torch.randn(1024, 2, device=device)
    Y = (X.prod(dim=1) > 0).long()  # are the two of one sign?

    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2)).to(device)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 1e-3}, {"params": others, "weight_decay": 0}]
    optimizer = optim.AdamW(groups, lr=2e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps + 1)

    print(f"PyTorch on {device}, {len(X)} points, one hidden layer of 32")
    for step in range(steps + 1):
        optimizer.zero_grad()
        guess = model(X)
        loss = nn.functional.cross_entropy(guess, Y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if step % max(1, steps // 6) == 0:
            right = (guess.argmax(dim=1) == Y).float().mean().item()
            lr = scheduler.get_last_lr()[0]
            print(f"step {step:4d}   lr {lr:.4f}   loss {loss.item():.4f}   right {right:6.1%}")
        optimizer.step()
        scheduler.step()

    # The state is torch's: torch.optim.AdamW would go on from here as well.
    torch.optim.AdamW(groups, lr=2e-2).load_state_dict(optimizer.state_dict())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
