"""Real models trained by gpuopt.torch and by torch.optim lose the same, to rounding."""

import numpy as np
import pytest

from tests.optional import optional

torch = optional("torch")
optim = optional("gpuopt.torch")
nn = torch.nn

STEPS = 100


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # so that PyTorch adds in the same order in every run
    yield
    torch.set_num_threads(before)


def convolutional():
    # Smooth throughout: at ReLU's corner a rounding decides whether an element has a gradient.
    # Convolutions before a BatchNorm need no bias: its gradient is nothing but rounding.
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.SiLU(),
        nn.Conv2d(6, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 4),
    ).to(memory_format=torch.channels_last)


class Transformer(nn.Module):
    """Words to a class, through two layers of attention."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, "gelu", batch_first=True)
        self.words = nn.Embedding(20, 16)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last = nn.Linear(16, 4)

    def forward(self, x):
        return self.last(self.layers(self.words(x)).mean(1))


MODELS = {
    "convolutional": (convolutional, lambda rng: torch.randn(16, 1, 11, 11, generator=rng)),
    "transformer": (Transformer, lambda rng: torch.randint(20, (16, 12), generator=rng)),
}


def losses(library, name, model, options):
    """The loss before each step."""
    build, draw = MODELS[model]
    torch.manual_seed(6)
    net = build()
    rng = torch.Generator().manual_seed(7)
    batches = [(draw(rng), torch.randint(4, (16,), generator=rng)) for _ in range(5)]
    opt = getattr(library, name)(net.parameters(), **options)
    seen = []
    for t in range(STEPS):
        x, y = batches[t % len(batches)]
        opt.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        seen.append(loss.item())
    return np.array(seen)


@pytest.mark.parametrize(
    ("name", "model", "options"),
    [
        ("AdamW", "convolutional", {"lr": 1e-3, "weight_decay": 0.1}),
        ("RMSprop", "convolutional", {"lr": 1e-3, "weight_decay": 0.01}),
        ("AdamW", "transformer", {"lr": 3e-3, "weight_decay": 0.1}),
    ],
)
def test_a_hundred_losses(name, model, options):
    found = losses(optim, name, model, options)
    expected = losses(torch.optim, name, model, options)
    assert expected[-5:].mean() < 0.8 * expected[:5].mean()  # it does learn
    # A step rounds parameters by some eps of theirs, and these small rates do not make it grow:
    # nudging all parameters by four eps at the start changes the losses by as few.
    tolerance = STEPS * float(np.finfo(np.float32).eps)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=0)
