"""A load changes everything or nothing, whatever stops it and wherever."""

import numpy as np
import pytest

import gpuopt
from gpuopt.backends.numpy import NumpyBackend
from tests.checkpoints import NUMPY, everything, make, parts, run, write
from tests.optional import optional
from tests.without_gpu.cupy_stand_in import ndarray


class OnDisk:
    """An array that is read when it is used, as of h5py; reading it fails."""

    def __init__(self, like):
        self.shape, self.dtype = like.shape, like.dtype

    def __array__(self, dtype=None, copy=None):
        raise OSError("the disk is gone")


@pytest.mark.parametrize("where", ["params", "state"])
def test_an_array_that_cannot_be_read_changes_nothing(where):
    opt, p = make(NUMPY)
    run(opt, p, NUMPY, 0, 4)
    saved = opt.state_dict()
    saved["params"] = {**p, "u": p["u"][::2], "w": p["w"].T}
    if where == "params":
        saved["params"]["z"] = OnDisk(p["z"])
    else:
        saved["state"]["z"]["v"] = OnDisk(saved["state"]["z"]["v"])
    fresh, q = make(NUMPY)
    run(fresh, q, NUMPY, 5, 7)
    before = everything(fresh, q, NUMPY, {})
    with pytest.raises(OSError, match="the disk is gone"):
        fresh.load_state_dict(saved)
    assert everything(fresh, q, NUMPY, {}) == before


def test_no_memory_on_a_gpu_changes_nothing(cupy_stand_in, tmp_path, monkeypatch):
    """Each copy to the device in turn finds none, those of parameters as well as of state."""
    optional("safetensors.numpy")
    params = [np.full(3, k, "f4") for k in range(3)]
    opt = gpuopt.Momentum([ndarray(p) for p in params], lr=1, backend="cupy")
    opt.step([ndarray(p + 1) for p in params])
    opt.save(tmp_path / "state", params=True)
    opt.step([ndarray(p + 1) for p in params])
    before = [p.copy() for p in params]
    real, left = cupy_stand_in.asarray, 0

    def asarray(values):
        nonlocal left
        if isinstance(values, np.ndarray):
            left -= 1
            if left == 0:
                raise MemoryError("no memory on the device")
        return real(values)

    monkeypatch.setattr(cupy_stand_in, "asarray", asarray)
    for at in range(1, 7):
        left = at
        with pytest.raises(MemoryError):
            opt.load(tmp_path / "state")
        np.testing.assert_array_equal(params, before)
        assert opt.step_count == 2
    left = 0
    opt.load(tmp_path / "state")
    assert opt.step_count == 1
    assert (params[0] != before[0]).any()


COPIES = 10  # of buffers, which come before the first of five parameters is changed


@pytest.mark.parametrize("at", range(COPIES + 5))
@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupt_between_two_parameters_is_raised_when_all_are_loaded(
    at, times, tmp_path, monkeypatch
):
    """Ctrl-C may be pressed again while the load that it interrupted is finished."""
    optional("safetensors.numpy")
    opt, p = make(NUMPY)
    run(opt, p, NUMPY, 0, 4)
    rngs = {"data": np.random.default_rng(1)}
    opt.save(tmp_path / "state", params=True, rngs=rngs)
    saved = everything(opt, p, NUMPY, rngs)
    fresh, q = make(NUMPY)
    run(fresh, q, NUMPY, 5, 6)
    rngs = {"data": np.random.default_rng(2)}
    before = everything(fresh, q, NUMPY, rngs)
    calls = 0

    def assign(self, view, values, real=NumpyBackend.assign):
        nonlocal calls
        calls += 1
        if calls - 1 in range(at, at + times):
            raise KeyboardInterrupt
        real(self, view, values)

    monkeypatch.setattr(NumpyBackend, "assign", assign)
    with pytest.raises(KeyboardInterrupt):
        fresh.load(tmp_path / "state", rngs=rngs)
    assert everything(fresh, q, NUMPY, rngs) == (saved if at >= COPIES else before)


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox])
@pytest.mark.parametrize("at", [-1, 625, 10**6])
def test_a_generator_is_not_set_to_a_place_outside_its_buffer(kind, at, tmp_path):
    """NumPy takes any number, and would then read memory that is not the generator's."""
    optional("safetensors.numpy")
    opt = gpuopt.SGD(np.ones(3), lr=1, backend="numpy")
    rngs = {"data": np.random.Generator(kind(1))}
    opt.save(tmp_path / "state", rngs=rngs)
    header, about, data = parts(tmp_path / "state")
    state = about["rngs"]["data"]
    if "buffer_pos" in state:
        state["buffer_pos"] = at
    else:
        state["state"]["pos"] = at
    write(tmp_path / "state", header, about, data)
    before = repr(rngs["data"].bit_generator.state)
    with pytest.raises(ValueError, match=rf"'data' is no state of .*pos is {at}, of \d+$"):
        opt.load(tmp_path / "state", rngs=rngs)
    assert repr(rngs["data"].bit_generator.state) == before
