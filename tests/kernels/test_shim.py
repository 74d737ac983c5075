"""The shim itself: threads of a block that wait for each other, on a machine without a GPU."""

import ctypes
import shutil

import numpy as np
import pytest

from tests.without_gpu import host_compiler, missing

SUM = """
extern "C" __global__ void entry(const double *x, double *sums)
{
    __shared__ double part[1024];
    for (unsigned row = blockIdx.x; row < 5; row += gridDim.x) {
        part[threadIdx.x] = x[row * blockDim.x + threadIdx.x];
        __syncthreads();  // all written
        for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
            if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
            __syncthreads();  // all added
        }
        if (threadIdx.x == blockDim.x - 1) sums[row] = part[0];
        __syncthreads();  // all read
    }
}
"""


@pytest.fixture(autouse=True)
def need_compiler():
    if shutil.which("g++") is None:
        missing("the kernels' tests without a GPU need g++")


def launch(source, grid, block, *arrays, backwards=False):
    library = host_compiler.compiled(source, "entry")
    addresses = [ctypes.c_void_p(a.ctypes.data) for a in arrays]
    host_compiler.launch(library, grid, block, addresses, backwards)


def kernel(body):
    return f'extern "C" __global__ void entry(double *x)\n{{\n{body}\n}}\n'


def sums_of(source, grid, block, backwards=False):
    x, sums = np.arange(5.0 * block), np.full(5, -1.0)
    launch(source, grid, block, x, sums, backwards=backwards)
    return sums, x.reshape(5, block).sum(axis=1)


@pytest.mark.parametrize("block", [1, 2, 32, 256, 1024])
@pytest.mark.parametrize("grid", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_block_reduces_over_shared_memory(backwards, grid, block):
    sums, expected = sums_of(SUM, grid, block, backwards)
    assert sums.tolist() == expected.tolist()


@pytest.mark.parametrize("lacking", ["all written", "all added", "all read"])
def test_a_missing_barrier_shows(lacking):
    broken = SUM.replace(f"__syncthreads();  // {lacking}", "")
    assert broken != SUM
    sums, expected = sums_of(broken, 1, 256)
    assert sums.tolist() != expected.tolist()


@pytest.mark.parametrize("writer", ["0", "blockDim.x - 1"])
@pytest.mark.parametrize("stages", [0, 1, 2])
@pytest.mark.parametrize("grid", [1, 2])
def test_one_thread_that_writes_what_others_still_read_shows_in_one_of_two_orders(
    grid, stages, writer
):
    """However many barriers come before: the order of threads changes at each."""
    source = kernel(f"""
        double *of_block = x + 9 * blockIdx.x;
        {"__syncthreads();" * stages}
        of_block[1 + threadIdx.x] = of_block[0];
        __syncthreads();  // all read
        if (threadIdx.x == {writer}) of_block[0] = 7;""")
    for text, right in ((source, 2), (source.replace("__syncthreads();  // all read", ""), 1)):
        found = []
        for backwards in (False, True):
            x = np.zeros((grid, 9))
            launch(text, grid, 8, x, backwards=backwards)
            assert (x[:, 0] == 7).all()
            found.append((x[:, 1:] == 0).all(axis=1))
        assert np.sum(found, axis=0).tolist() == [right] * grid


def test_blocks_and_threads_begin_with_the_first_or_with_the_last():
    source = kernel("x[1 + 3 * blockIdx.x + threadIdx.x] = x[0]++;")
    for backwards in (False, True):
        x = np.zeros(7)
        launch(source, 2, 3, x, backwards=backwards)
        assert x[1:].tolist() == [0, 1, 2, 3, 4, 5][:: -1 if backwards else 1]


def test_shared_memory_begins_as_rubbish_in_every_block():
    source = kernel("""
        __shared__ double old;
        x[blockIdx.x] = old;
        __syncthreads();
        old = 1;""")
    x = np.zeros(3)
    launch(source, 3, 2, x)
    assert np.isnan(x).all()


def test_barriers_without_shared_memory_and_threads_that_know_themselves():
    source = kernel("""
        const unsigned before = threadIdx.x;
        for (int k = 0; k < 3; ++k) {
            x[blockDim.x * blockIdx.x + threadIdx.x] += k + 1;
            __syncthreads();
        }
        if (threadIdx.x != before) x[0] = -1;""")
    x = np.zeros(2 * 300)
    launch(source, 2, 300, x)
    assert (x == 6).all()


DIVERGENT = {
    "an early end": "if (threadIdx.x == 3) return; __syncthreads();",
    "a branch": "if (threadIdx.x % 2) __syncthreads();",
    "two barriers": "if (threadIdx.x % 2) __syncthreads(); else __syncthreads();",
    "a longer loop": "for (unsigned k = 0; k <= threadIdx.x; ++k) __syncthreads();",
    "the last block": "if (blockIdx.x == 2 && threadIdx.x) return; __syncthreads();",
}


@pytest.mark.parametrize("body", DIVERGENT.values(), ids=DIVERGENT)
def test_divergent_barriers_raise(body):
    for _ in range(2):  # and leave nothing behind
        with pytest.raises(host_compiler.DivergentBarrier):
            launch(kernel(body), 3, 8, np.zeros(1))


def test_a_launch_after_a_divergent_one_is_right():
    source = kernel("""
        if (x[0] < 0 && threadIdx.x) return;
        __syncthreads();
        x[threadIdx.x] = 5;""")
    with pytest.raises(host_compiler.DivergentBarrier):
        launch(source, 1, 8, np.full(8, -1.0))
    x = np.zeros(8)
    launch(source, 1, 8, x)
    assert (x == 5).all()


@pytest.mark.parametrize("barrier", ["", "__syncthreads();"])
def test_misaligned_accesses_raise(barrier):
    source = kernel(f"""
        struct alignas(16) Two {{ double a, b; }};
        {barrier}
        Two two = *reinterpret_cast<Two *>(x);
        {barrier}
        *reinterpret_cast<Two *>(x) = Two{{two.b, two.a}};""")
    raw = np.zeros(6)
    start = raw.ctypes.data // 8 % 2
    launch(source, 1, 1, raw[start:])
    with pytest.raises(host_compiler.MisalignedAddress):
        launch(source, 1, 1, raw[start + 1 :])


def test_functions_of_cuda():
    source = kernel("""
        x[0] = ::pow(2.0, 0.5);
        x[1] = sizeof(::exp(1.0f));
        x[2] = ::log(2.0);
        x[3] = fmin(1.0, 2.0);
        x[4] = fmax(1.0, 2.0);
        x[5] = __fma_rn(1.0 + 0x1p-30, 1.0 - 0x1p-30, -1.0);
        x[6] = isfinite(x[7]);
        x[7] = __longlong_as_double(0x7ff0000000000000LL);
        x[8] = isfinite(x[7]);
        dim3 grid;
        x[9] = grid.x;""")
    x = np.zeros(10)
    launch(source, 1, 1, x)
    expected = [2**0.5, 4, np.log(2), 1, 2, -(2.0**-60), 1, np.inf, 0, 1]
    np.testing.assert_array_max_ulp(x, np.array(expected, float), 1)
