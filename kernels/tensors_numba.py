"""Reading where many torch tensors lie in compiled code; Python takes 0.1 us for each question.

`follow` reads CPython's tuple and PyTorch's objects in place: a tensor's object points to its
implementation, which holds shape and strides (up to five axes of each), and points to its storage
and to its version counter. The offsets between the two marks are found by `gpuopt.torch.layout` on
tensors made for it.
"""

from numba import carray, njit

from gpuopt.kernels.headers_numba import TUPLE_ITEMS, TYPE, word, words_at

# --- formula ---
IMPL, STORAGE, DATA, NBYTES, SIZES, VERSION, COUNT = 16, 16, 16, 48, 56, 40, 16
# --- end of formula ---

INLINE = 5  # axes whose lengths and strides lie in the implementation itself
OFFSET = 1 + 2 * INLINE  # words from the number of axes to the offset into the storage
DTYPE_AND_DEVICE, KIND = OFFSET + 2, OFFSET + 3  # after the number of elements
WORDS = KIND + 1
MOST = WORDS + 5  # of one tensor: also its class, implementation, storage, its data and its size
LOW = 0xFFFFFFFF  # the upper half of a word with dtype and device, or with a version, is not used


@njit(cache=True)
def is_set(k, axes):
    """Whether word k of what tells how a tensor lies belongs to one with this many axes."""
    return k == 0 or k >= OFFSET or (k - 1) % INLINE < axes


@njit(cache=True)
def look(tensor, words):
    """Copy what tells how a tensor lies; slots of axes that it has not are 0."""
    lies = word(tensor + IMPL) + SIZES
    for k in range(WORDS):
        words[k] = word(lies + 8 * k) if is_set(k, word(lies)) else 0
    words[DTYPE_AND_DEVICE] &= LOW


@njit(cache=True)
def places(tensors, found):
    """Write the address of every word that tells how tensors (their addresses) lie, and where, each
    after the one that says where it is. Return how many; -1 if a tensor has no memory."""
    count = 0
    for tensor in tensors:
        impl, lies = word(tensor + IMPL), word(tensor + IMPL) + SIZES
        storage = word(impl + STORAGE)
        if storage == 0:
            return -1
        for at in (
            tensor + TYPE,
            tensor + IMPL,
            impl + STORAGE,
            storage + DATA,
            storage + NBYTES,
        ):
            found[count] = at
            count += 1
        for k in range(WORDS):
            if is_set(k, word(lies)):
                found[count] = lies + 8 * k
                count += 1
    return count


@njit(cache=True)
def follow(tensors, types, looks, sizes, extents, addresses):
    """Write the address of every tensor to `addresses`; False if one is another kind of object,
    lies otherwise than `looks` has it, or reaches beyond the memory of its storage.

    `tensors` is the address of a tuple. `types` are the addresses of the tensors' classes, `sizes`
    the bytes of an element, and `extents` the bytes from a tensor's first to the end of its last
    element, 0 for an empty one."""
    for k in range(len(types)):
        tensor = word(tensors + TUPLE_ITEMS + 8 * k)
        if word(tensor + TYPE) != types[k]:
            return False
        impl = word(tensor + IMPL)
        lies, axes = impl + SIZES, looks[k, 0]
        if word(lies) != axes or axes > INLINE:
            return False
        for axis in range(1, axes + 1):
            if word(lies + 8 * axis) != looks[k, axis]:
                return False
            if word(lies + 8 * (axis + INLINE)) != looks[k, axis + INLINE]:
                return False
        if word(lies + 8 * DTYPE_AND_DEVICE) & LOW != looks[k, DTYPE_AND_DEVICE]:
            return False
        if word(lies + 8 * KIND) != looks[k, KIND]:
            return False
        storage = word(impl + STORAGE)
        if storage == 0:
            return False
        begin, data = word(lies + 8 * OFFSET) * sizes[k], word(storage + DATA)
        if extents[k] > 0 and (data == 0 or begin + extents[k] > word(storage + NBYTES)):
            return False
        addresses[k] = data + begin
    return True


@njit(cache=True)
def bump(tensors):
    """Raise the version of every tensor (their addresses) by one, as PyTorch does when it writes to
    a tensor. One that was made in inference mode has no version."""
    for tensor in tensors:
        counter = word(word(tensor + IMPL) + VERSION)
        if counter != 0:
            version = carray(words_at(counter + COUNT), (1,))
            version[0] = (version[0] & ~LOW) | ((version[0] + 1) & LOW)
