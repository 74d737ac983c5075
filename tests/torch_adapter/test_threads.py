"""As many threads as torch.get_num_threads() says, and the same bits with any number."""

import pytest

from tests.optional import optional

torch = optional("torch")
config = optional("numba").config
optim = optional("gpuopt.torch")

SIZE = 200_000  # elements: more than one thread gets work


@pytest.fixture
def keep_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def stepped(counts):
    """A parameter after a step with each of these numbers of threads, and the plan's numbers."""
    rng = torch.Generator().manual_seed(2)
    p = torch.randn(SIZE, generator=rng)
    opt = optim.AdamW([p], lr=0.01, weight_decay=0.1)
    planned = []
    for count in counts:
        torch.set_num_threads(count)
        p.grad = torch.randn(SIZE, generator=rng)
        opt.step()
        planned.append(opt._binding.bounds[0].backend.threads)
    assert opt.state[p]["step"] == len(counts)
    return p, planned


@pytest.mark.usefixtures("keep_threads")
def test_the_plan_follows_and_no_bit_differs():
    most = config.NUMBA_NUM_THREADS
    alone, ones = stepped([1, 1, 1, 1])
    assert ones == [1, 1, 1, 1]
    other, planned = stepped([1, 2, 2, 1])
    assert planned == [1, min(2, most), min(2, most), 1]
    assert torch.equal(alone, other)
