"""The norm kernel, run on the CPU behind the shim: sums of squares, found infinities, same bits."""

import numpy as np
import pytest

from gpuopt.backends.memory import Memory
from gpuopt.backends.tables import chunks_of, tables
from gpuopt.kernels.launch import BLOCK, SHORTEST
from gpuopt.lowering.cuda import norm_module

REALS = [np.float32, np.float64]
TOLERANCE = {np.float32: 3e-7, np.float64: 1e-14}
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 1023, 1024, 1025, 2 * 4 * BLOCK + 1]
SIZES += [SHORTEST - 1, SHORTEST, SHORTEST + 1, 3 * SHORTEST + 1]


@pytest.fixture
def norm(cupy_stand_in, both_orders):
    """The kernel's partial results for gradients, each chunk (sum of squares, found)."""

    def run(grads, params=None, grid=3, length=SHORTEST, states=2):
        params = grads if params is None else params
        memories = [
            [Memory(a.ctypes.data, a.shape, a.strides, a.dtype, 0) for a in (p, g, *[p] * states)]
            for p, g in zip(params, grads, strict=True)
        ]
        found = tables(memories, [0] * len(grads))
        chunks = chunks_of(found.sizes, length)
        code = norm_module(np.empty(0, grads[0].dtype).real.dtype.name, BLOCK)
        module = cupy_stand_in.RawModule(code=code, options=("--std=c++17",))
        partials = np.full((len(chunks) + 1, 2), -5.0)
        given = [cupy_stand_in.asarray(x) for x in (found.tensors, chunks, found.layouts)]
        count, columns = np.int64(len(chunks)), np.int64(found.tensors.shape[1])
        args = (*given[:2], count, given[2], columns, cupy_stand_in.ndarray(partials))
        module.get_function("square_sums")((grid,), (BLOCK,), args)
        assert (partials[-1] == -5).all(), "a write past the end"
        return partials[:-1]

    return run


def numbers(n, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(n).astype(dtype)


def exact(*grads):
    with np.errstate(over="ignore"):
        return sum(float((np.abs(g).astype(np.float64) ** 2).sum()) for g in grads)


@pytest.mark.parametrize("dtype", REALS)
def test_sums_of_squares_of_all_sizes_chunk_by_chunk(dtype, norm):
    grads = [numbers(n, dtype, n) for n in SIZES]
    expected = [exact(g[k : k + SHORTEST]) for g in grads for k in range(0, len(g), SHORTEST)]
    partials = norm(grads)
    np.testing.assert_allclose(partials[:, 0], expected, rtol=TOLERANCE[dtype])
    assert (partials[:, 1] == 0).all()


@pytest.mark.parametrize("dtype", REALS)
def test_many_small_terms_are_not_lost(dtype, norm):
    g = np.full(20 * SHORTEST + 3, 0.1, dtype)
    total = norm([g], length=32768)[:, 0].sum()
    np.testing.assert_allclose(total, exact(g), rtol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("n", [1, 4, 9, 1023, 1024, 3 * SHORTEST + 1])
def test_bits_do_not_depend_on_grid_alignment_or_layout(n, dtype, norm):
    g = numbers(n, dtype)
    expected = norm([g]).tobytes()
    for grid in (1, 2, 4, 50):
        assert norm([g], grid=grid).tobytes() == expected
    for shift in (1, 2, 3):
        moved = np.empty(n + 4, dtype)[shift : shift + n]
        moved[...] = g
        assert norm([moved]).tobytes() == expected
    spread = np.full((n, 3), np.nan, dtype)[:, 1]
    spread[...] = g
    assert norm([spread]).tobytes() == expected


LAYOUTS = {
    "transposed": (lambda a: a.T, (37, 70)),
    "permuted": (lambda a: a.transpose(2, 0, 1), (5, 7, 64)),
    "every second": (lambda a: a[::2], (301,)),
    "a block": (lambda a: a[3:20, 5:60], (30, 70)),
    "backwards": (lambda a: a[:, ::-2], (33, 64)),
    "0-d": (lambda a: a[2, ...], (5,)),
}


@pytest.mark.parametrize("dtype", [*REALS, np.complex64, np.complex128])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_read_their_own_elements_only(layout, dtype, norm):
    view_of, shape = LAYOUTS[layout]
    whole, inside = np.full(shape, np.nan, dtype), np.zeros(shape, bool)
    view_of(inside)[...] = True
    whole[inside] = numbers(inside.sum(), dtype)
    if np.dtype(dtype).kind == "c":
        whole[inside] += 1j * numbers(inside.sum(), dtype, 1)
    g = view_of(whole)
    tolerance = TOLERANCE[np.empty(0, dtype).real.dtype.type]
    for p in (g, np.empty(g.shape, dtype)):  # a parameter that lies like it, and one that does not
        partials = norm([g], [p])
        np.testing.assert_allclose(partials[:, 0].sum(), exact(g), rtol=tolerance)
        assert (partials[:, 1] == 0).all()


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("n", [1, 5, 1024, 1030, SHORTEST])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_element_is_found_wherever_it_is(bad, n, dtype, norm):
    places = {0, n // 2, n - 1}
    grads = [numbers(n, dtype) for _ in range(1 + len(places))]
    for g, place in zip(grads[1:], places, strict=True):
        g[place] = bad
    partials = norm(grads)
    assert partials[:, 1].tolist() == [0] + [1] * len(places)
    assert partials[0, 0] == pytest.approx(exact(grads[0]))
    assert not np.isfinite(partials[1:, 0]).any()


def test_both_infinities_are_found(norm):
    assert norm([np.array([np.inf, -np.inf], np.float32)])[0, 1] == 1


def test_squares_past_float32_are_summed_and_are_not_found(norm):
    huge = np.full(SHORTEST, np.finfo(np.float32).max)
    one = numbers(1001, np.float32)
    one[-1] = 2e38
    many = np.full(SHORTEST, 1e18, np.float32)  # only their sum is too large
    shifted = np.full(1002, 3e38, np.float32)[1:]
    spread = np.full(1002, -3e38, np.float32)[::2]
    grads = [huge, one, many, shifted, spread]
    partials = norm(grads)
    np.testing.assert_allclose(partials[:, 0], [exact(g) for g in grads], rtol=3e-7)
    assert (partials[:, 1] == 0).all()


def test_float64_overflows_honestly_and_finds_nothing(norm):
    partials = norm([np.full(10, 1e200), np.array([1e200, np.nan])])
    assert partials[0].tolist() == [np.inf, 0]
    assert partials[1, 1] == 1


@pytest.mark.parametrize("dtype", REALS)
def test_zeros_and_nothing(dtype, norm):
    assert norm([np.zeros(5000, dtype), np.zeros(0, dtype)]).tolist() == [[0, 0]] * 3
    assert norm([np.zeros(0, dtype)]).shape == (0, 2)


@pytest.mark.parametrize("states", [0, 1, 4])
def test_tables_of_any_number_of_arrays(states, norm):
    a = numbers(900, np.float32).reshape(30, 30)
    partials = norm([a, a.T], [a, a], states=states)
    np.testing.assert_allclose(partials[:, 0], exact(a), rtol=3e-7)


@pytest.mark.parametrize("start", [2**31 - 4, 2**33 + 4, 2**40])
@pytest.mark.parametrize("step", [1, 3])
def test_elements_past_2_to_the_31(step, start, cupy_stand_in):
    """A chunk far into a tensor whose first element would lie far below the memory that is here."""
    g = numbers(1001, np.float32)
    tensors = np.array([[0, g.ctypes.data - 4 * step * start, 0, -1 if step == 1 else 0]])
    layouts, chunks = np.array([1, 2**41, 7, step]), np.array([[0, start, 333]])
    partials = np.zeros((1, 2))
    module = cupy_stand_in.RawModule(code=norm_module("float32", BLOCK), options=("--std=c++17",))
    given = [cupy_stand_in.asarray(x) for x in (tensors, chunks, layouts)]
    columns, out = np.int64(4), cupy_stand_in.ndarray(partials)
    args = (given[0], given[1], np.int64(1), given[2], columns, out)
    module.get_function("square_sums")((2,), (BLOCK,), args)
    np.testing.assert_allclose(partials[0, 0], exact(g[: 333 * step : step]), rtol=3e-7)


def test_a_thread_sums_in_float32_and_a_block_in_float64(norm):
    """2^24 + 1 is no float32. One pass in float32 has taken 2^24 and 1 into one sum or into two."""
    for place, expected in ((4 * BLOCK, 2**24), (4, 2**24 + 1)):
        g = np.zeros(SHORTEST, np.float32)
        g[0], g[place] = 4096, 1
        assert norm([g]).tolist() == [[expected, 0]]
