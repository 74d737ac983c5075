"""The CuPy backend's own work: one launch, what is uploaded when, where it runs, what it takes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpuopt


@pytest.fixture
def device(cupy_stand_in):
    """NumPy arrays as arrays on the "device", over the same memory."""
    return cupy_stand_in.ndarray


def ones(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


def kinds(cupy: Any) -> list[str]:
    """What happened since the last call."""
    happened = [event.kind for event in cupy.events]
    cupy.events.clear()
    return happened


@pytest.mark.parametrize(
    "sizes",
    [(0, 5, 3000, 1), (5, 0, 7), (5, 7, 0), (0, 0, 9, 0, 0), tuple(range(60))],
    ids=["first", "middle", "last", "around", "many"],
)
def test_one_launch_for_all_tensors_empty_ones_too(sizes, cupy_stand_in, device):
    params = [ones(n) for n in sizes]
    opt = gpuopt.SGD([device(p) for p in params], lr=0.1, backend="cupy")
    for n in (1, 2):
        opt.step([device(ones(k)) for k in sizes])
        assert kinds(cupy_stand_in).count("launch") == 1, f"step {n}"
    for p in params:
        np.testing.assert_allclose(p, 0.8, rtol=1e-6)


def test_nothing_but_empty_tensors_is_no_launch(cupy_stand_in, device):
    opt = gpuopt.Adam([device(ones(0)), device(ones(3, 0))], backend="cupy")
    opt.step([device(ones(0)), device(ones(3, 0))])
    assert "launch" not in kinds(cupy_stand_in)
    assert opt.step_count == 1


def test_one_launch_for_each_dtype(cupy_stand_in, device):
    dtypes = (np.float32, np.float64, np.float32, np.complex64)
    opt = gpuopt.SGD([device(ones(5, dtype=d)) for d in dtypes], lr=0.1, backend="cupy")
    opt.step([device(ones(5, dtype=d)) for d in dtypes])
    assert kinds(cupy_stand_in).count("launch") == 3


def test_step_two_compiles_nothing_allocates_nothing_and_uploads_only_scalars(
    cupy_stand_in, device
):
    opt = gpuopt.Adam([device(ones(100)), device(ones(4, 5))], backend="cupy")
    grads = [device(ones(100)), device(ones(4, 5))]
    opt.step(grads)
    assert {"compile", "allocate"} <= set(kinds(cupy_stand_in))
    opt.lr = 0.5
    opt.param_groups[0]["betas"] = (0.8, 0.99)
    opt.step(grads)
    scalars = len(opt.rule.scalars(1, 1)) * np.float32().nbytes
    assert [event[:2] for event in cupy_stand_in.events] == [("upload", scalars), ("launch", 2)]


def test_addresses_of_new_gradients_are_uploaded_once(cupy_stand_in, device):
    p, g = ones(50), device(ones(50))
    opt = gpuopt.SGD(device(p), lr=0.1, backend="cupy")
    opt.step(g)
    kinds(cupy_stand_in)
    new = device(2 * ones(50))
    opt.step(new)
    assert kinds(cupy_stand_in) == ["upload", "upload", "launch"]
    opt.step(new)
    assert kinds(cupy_stand_in) == ["upload", "launch"]
    np.testing.assert_allclose(p, 1 - 0.1 - 0.2 - 0.2, rtol=1e-6)


def test_the_same_formula_is_compiled_once(cupy_stand_in, device):
    """Its sweep, and beside it what works out its scalars on a GPU."""
    for n in (5, 600):
        opt = gpuopt.RMSprop(device(ones(n)), alpha=1 / n, backend="cupy")
        opt.step(device(ones(n)))
    assert kinds(cupy_stand_in).count("compile") == 2


def test_everything_runs_on_the_callers_stream(cupy_stand_in, device):
    opt = gpuopt.Adam(device(ones(50)), backend="cupy")
    for stream in (7, 8):
        with cupy_stand_in.cuda.Stream(stream):
            opt.step(device(ones(50)))
        assert {event.stream for event in cupy_stand_in.events} == {stream}
        cupy_stand_in.events.clear()


def test_everything_runs_on_the_parameters_device(cupy_stand_in, device):
    opt = gpuopt.Adam([device(ones(50), 0), device(ones(60), 1)], backend="cupy")
    opt.step([device(ones(50), 0), device(ones(60), 1)])
    opt.load_state_dict(opt.state_dict())
    assert opt.state["1"]["m"].device.id == 1
    launches = [event.device for event in cupy_stand_in.events if event.kind == "launch"]
    assert launches == [0, 1]
    with pytest.raises(ValueError, match="device 0, but the parameter has 1"):
        opt.step([device(ones(50), 0), device(ones(60), 0)])


def test_arrays_on_a_device_are_given_to_cupy(device):
    assert gpuopt.SGD(device(ones(5))).backend == "cupy"


def test_state_lies_in_the_parameters_order(device):
    for p in (ones(6, 4).T, ones(3, 4, 5).transpose(1, 2, 0), ones(8, 9)[::2, ::-3]):
        opt = gpuopt.Adam(device(p), backend="cupy")
        opt.step(device(np.ones_like(p, subok=False)))
        mould = np.zeros_like(p, order="K", subok=False)
        assert opt.state["0"]["m"].strides == mould.strides


class Tensor:
    """What a CUDA tensor of another library shows of itself: DLPack."""

    def __init__(self, array: np.ndarray, place: tuple[int, int] = (2, 0)) -> None:
        self.array, self.place = array, place
        self.shape, self.dtype = array.shape, array.dtype

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place

    def __dlpack__(self, stream: int) -> np.ndarray:
        return self.array


class Trained(Tensor):
    """A tensor that asks for gradients: DLPack refuses it until it is detached."""

    def __dlpack__(self, stream: int) -> np.ndarray:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")

    def detach(self) -> Tensor:
        return Tensor(self.array)


def interface(array: np.ndarray, read_only: bool = False) -> Any:
    about = dict(array.__array_interface__, data=(array.ctypes.data, read_only))
    return SimpleNamespace(
        __cuda_array_interface__=about, shape=array.shape, dtype=array.dtype, owner=array
    )


@pytest.mark.parametrize("kind", [Tensor, Trained, interface])
def test_arrays_of_other_libraries_are_updated_in_place(kind, cupy_stand_in):
    p = ones(50)
    gpuopt.SGD(kind(p), lr=0.1, backend="cupy").step(kind(ones(50)))
    np.testing.assert_allclose(p, 0.9, rtol=1e-6)


@pytest.mark.parametrize(
    "given", [ones(3), Tensor(ones(3), (1, 0)), [1.0]], ids=["NumPy", "tensor", "list"]
)
def test_arrays_in_cpu_memory_are_refused(given, device):
    said = r"params\[0\] (must lie in GPU memory|is a list of numbers)"
    with pytest.raises(TypeError, match=said):
        gpuopt.SGD([given], backend="cupy")
    opt = gpuopt.SGD([device(ones(3))], backend="cupy")
    with pytest.raises(TypeError, match=r"gradient .* must lie in GPU memory"):
        opt.step([given])


def test_wrong_arrays_are_named(device):
    with pytest.raises(TypeError, match=r"params\[0\] has dtype int32; the cupy backend takes"):
        gpuopt.SGD([device(np.ones(3, np.int32))], backend="cupy")
    with pytest.raises(ValueError, match=r"params\[0\] is read-only"):
        gpuopt.SGD([interface(ones(3), read_only=True)], backend="cupy")
    raw = np.zeros(17, np.uint8)[1:].view(np.float32)
    with pytest.raises(ValueError, match=r"params\[0\] lies at an address .* item size"):
        gpuopt.SGD([device(raw)], backend="cupy")


def test_resuming_is_bit_exact(device, tmp_path):
    p, q = ones(100), ones(100)
    first = gpuopt.Adam(device(p), backend="cupy")
    for k in range(4):
        first.step(device(ones(100) * (k + 1)))
        if k == 1:
            q[:] = p
            first.save(tmp_path / "state")
    second = gpuopt.Adam(device(q), backend="cupy")
    second.load(tmp_path / "state")
    for k in (2, 3):
        second.step(device(ones(100) * (k + 1)))
    assert p.tobytes() == q.tobytes()
