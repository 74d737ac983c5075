"""State is looked at when a gradient comes, also if it came without for some steps."""

import pytest

from tests.torch_adapter.beside import close, ours, torch


def two():
    """Parameters of which only the second has state and no gradient in the last step."""
    a, b = torch.ones(4, requires_grad=True), torch.ones(64, requires_grad=True)
    opt = ours.Adam([a, b], lr=0.1)
    a.grad, b.grad = torch.ones_like(a), torch.ones_like(b)
    opt.step()
    b.grad = None
    return a, b, opt


def test_a_parameter_that_grew_meanwhile():
    _, b, opt = two()
    b.data = torch.ones(65536)
    opt.step()
    b.grad = torch.ones_like(b)
    with pytest.raises(ValueError, match="has shape"):
        opt.step()
    assert (b == 1).all()


def test_state_of_another_shape_that_was_put_there():
    _, b, opt = two()
    opt.state[b]["exp_avg"] = torch.zeros(4)
    opt.step()
    b.grad = torch.ones_like(b)
    with pytest.raises(ValueError, match="has shape"):
        opt.step()


def test_a_model_that_became_double_while_a_part_was_frozen():
    found = []
    for library in (ours, torch.optim):
        a, b = torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)
        opt = library.Adam([a, b], lr=0.1)
        for frozen, dtype in [(False, None), (True, torch.float64), (False, None)]:
            if dtype is not None:
                a.data, b.data = a.data.to(dtype), b.data.to(dtype)
                for state in opt.state.values():  # torch's own optimizers do not convert it
                    for key in ("exp_avg", "exp_avg_sq") if library is torch.optim else ():
                        state[key] = state[key].to(dtype)
                a.grad = b.grad = None
            a.grad = torch.full_like(a, 0.5)
            b.grad = None if frozen else torch.full_like(b, 0.25)
            opt.step()
        found += [[a, b]]
    close(*found)
    assert b.dtype == torch.float64
