"""Reading the headers of many NumPy arrays in compiled code, where Python takes 0.8 us an array.

`follow` looks at a tuple of gradients: are they None, or still arrays of the same shapes, strides
and dtypes, and where is their memory now? `unchanged`: do arrays lie as and where they did?
Both read CPython's tuple and NumPy's array objects in place.
`layout_is_known` tries that on real arrays; where it fails, callers take Python's slow way.
"""

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic

TUPLE_ITEMS = tuple.__basicsize__  # where a tuple's items begin
TYPE, DATA, NDIM, SHAPE, STRIDES, DTYPE, FLAGS = 8, 16, 24, 32, 40, 56, 64  # of PyArrayObject


@intrinsic
def words_at(typingctx, address):
    """The memory at an address as a pointer to int64."""
    kind = types.CPointer(types.int64)

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(kind))

    return kind(types.int64), codegen


@njit(cache=True)
def word(address):
    return carray(words_at(address), (1,))[0]


@njit(cache=True)
def matches(array, looks, begin):
    """Whether the object at `array` has the type, dtype, axes, shape and strides in `looks`."""
    if word(array + TYPE) != looks[begin] or word(array + DTYPE) != looks[begin + 1]:
        return False
    ndim = looks[begin + 2]
    if word(array + NDIM) & 0xFFFFFFFF != ndim:
        return False
    shape, strides = word(array + SHAPE), word(array + STRIDES)
    for k in range(ndim):
        if word(shape + 8 * k) != looks[begin + 3 + k]:
            return False
        if word(strides + 8 * k) != looks[begin + 3 + ndim + k]:
            return False
    return True


@njit(cache=True)
def touches(low, high, ranges):
    """Whether the bytes from `low` to `high` reach into one of the sorted `ranges`."""
    first, last = 0, len(ranges)
    while first < last:
        middle = (first + last) // 2
        if ranges[middle, 1] <= low:
            first = middle + 1
        else:
            last = middle
    return low < high and first < len(ranges) and ranges[first, 0] < high


@njit(cache=True)
def fits(address, reach, written):
    """Whether a gradient may lie there: it has memory, is aligned, and is in nothing that the step
    writes."""
    low, high, alignment = reach[1], reach[2], reach[3]
    if address == 0 and low < high:
        return False
    return address % alignment == 0 and not touches(address + low, address + high, written)


@njit(cache=True)
def relocate(addresses, reaches, written, tensors):
    """Write gradients' addresses to column 1 of `tensors`; False, and nothing written, if one does
    not fit where it has moved to.

    For tensor k, reaches[k] holds the position of its gradient in `addresses`, the first and
    one-past-last byte that it touches (relative to its address), and its alignment in bytes.
    Tensors without a gradient in this step (their row, the last column but one, is negative) are
    left out.
    """
    moved = False
    row = tensors.shape[1] - 2
    for k in range(len(reaches)):
        address = addresses[reaches[k, 0]]
        if address != tensors[k, 1] and tensors[k, row] >= 0:
            moved = True
            if not fits(address, reaches[k], written):
                return False
    for k in range(len(reaches) if moved else 0):
        if tensors[k, row] >= 0:
            tensors[k, 1] = addresses[reaches[k, 0]]
    return True


@njit(cache=True)
def follow(grads, none, active, begins, flags, looks, reaches, written, tensors):
    """Take a step's gradients, which are NumPy arrays or None: write their addresses to column 1 of
    `tensors`, and to `active` (bool) which tensors have one.

    grads is the address of a tuple, none that of None. For tensor k, begins[k] is where in `looks`
    it says what the gradient must look like; `flags` are those that all must have; reaches[k] as
    in `relocate`.

    Returns 0, and nothing is written, if a gradient is another kind of array than before or does
    not fit where it lies; 1 if those tensors have a gradient that have a row (as in `relocate`);
    2 if others have.
    """
    moved, changed, noted = False, False, True
    row = tensors.shape[1] - 2
    for k in range(len(reaches)):
        array = word(grads + TUPLE_ITEMS + 8 * reaches[k, 0])
        given = array != none
        changed |= given != (tensors[k, row] >= 0)
        noted &= given == active[k]
        if not given:
            continue
        if not matches(array, looks, begins[k]) or word(array + FLAGS) & flags != flags:
            return 0
        address = word(array + DATA)
        if address != tensors[k, 1]:
            moved = True
            if not fits(address, reaches[k], written):
                return 0
    for k in range(0 if noted and not moved else len(reaches)):
        array = word(grads + TUPLE_ITEMS + 8 * reaches[k, 0])
        active[k] = array != none
        if active[k]:
            tensors[k, 1] = word(array + DATA)
    return 2 if changed else 1


def expectation(shape, strides, dtype):
    """What `follow` expects of a gradient; the dtype object must stay alive."""
    return [id(np.ndarray), id(dtype), len(shape), *shape, *strides]


@njit(cache=True)
def unchanged(items, objects, words):
    """Whether the tuple at address `items` holds these objects (their addresses), and at every
    address words[:, 0] still stands words[:, 1]. The first difference ends it: a later address may
    be read only if an earlier word still holds."""
    for k in range(len(objects)):
        if word(items + TUPLE_ITEMS + 8 * k) != objects[k]:
            return False
    for k in range(len(words)):  # noqa: SIM110  Numba compiles no generator in a call of all
        if word(words[k, 0]) != words[k, 1]:
            return False
    return True


def header_words(array):
    """(address, word) of all that an array's header says of where it lies, how, and whether it may
    be written to: for `unchanged`."""
    header = id(array)
    lengths = [word(header + SHAPE) + 8 * k for k in range(array.ndim)]
    steps = [word(header + STRIDES) + 8 * k for k in range(array.ndim)]
    heads = [
        header + at for at in (DATA, NDIM, SHAPE, DTYPE, FLAGS)
    ]  # strides lie behind the shape
    return [(at, word(at)) for at in (*heads, *lengths, *steps)]


def looks_like(array):
    return np.array(expectation(array.shape, array.strides, array.dtype))


def layout_is_known():
    """Whether tuples and arrays lie in memory as this file believes: tried on three arrays."""
    arrays = (np.arange(6.0).reshape(2, 3)[:, ::2], np.float32([1, 2]), np.zeros((3, 0, 2), "f4"))
    arrays[1].flags.writeable = False
    for array in arrays:
        near = (np.zeros((7, 9)), array[..., :1], array.astype("c8"), array[np.newaxis])
        if not matches(id(array), looks_like(array), 0):
            return False
        if any(matches(id(array), looks_like(x), 0) for x in near):
            return False
        if word(id(array) + DATA) != array.ctypes.data:
            return False
        if word(id(array) + FLAGS) & 0xFFFFFFFF != array.flags.num:
            return False
    return [word(id(arrays) + TUPLE_ITEMS + 8 * k) for k in range(3)] == list(map(id, arrays))
