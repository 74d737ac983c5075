"""PyTorch networks to judge, and what two steps of them really take."""

import gc

from tests.optional import optional

torch = optional("torch")
nn = torch.nn


def mlp():
    return nn.Sequential(nn.Linear(200, 300), nn.ReLU(), nn.Linear(300, 10)), (200,)


def conv():
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
    last = nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)
    return nn.Sequential(*layers, *last), (3, 12, 12)


def transformer():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(32 * 10, 10)), (10, 32)


NETWORKS = {"mlp": mlp, "conv": conv, "transformer": transformer}


class Training:
    """A network with an optimizer, and 64 examples."""

    def __init__(self, name, rule=torch.optim.AdamW, device="cpu", **options):
        torch.manual_seed(0)
        net, shape = NETWORKS[name]()
        self.net = net.to(device)
        self.optimizer = rule(self.net.parameters(), lr=0.01, weight_decay=0.1, **options)
        self.X = torch.randn(64, *shape, device=device)
        self.Y = torch.randint(0, 10, (64,), device=device)

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def two_steps(self, batch_size):
        index = torch.arange(batch_size) % 64
        for _ in range(2):
            batch = self.X[index], self.Y[index]
            loss = self.step(*batch)
        return loss

    def profiled_peak(self, batch_size):
        """The peak of two steps in the totals that PyTorch's profiler gives with each event."""
        gc.collect()
        index = torch.arange(batch_size) % 64
        with torch.autograd.profiler.profile(profile_memory=True) as profile:
            for _ in range(2):
                batch = self.X[index], self.Y[index]
                loss = self.step(*batch)
        del loss
        waiting, found = [*profile.kineto_results.experimental_event_tree()], []
        while waiting:
            event = waiting.pop()
            waiting += event.children
            if event.name == "[memory]":
                about = event.extra_fields
                found.append((event.start_time_ns, about.total_allocated, about.alloc_size))
        found.sort()
        before = found[0][1] - found[0][2]
        return max(total for _, total, _ in found) - before
