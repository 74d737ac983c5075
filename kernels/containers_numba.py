"""Whether lists and dicts hold what they held, read in CPython's objects in place.

A list points to its items. A dict carries a number that every change of it replaces (PEP 509);
`gpuopt.torch.containers` tries, before it asks, whether this Python still does so.
"""

from numba import njit

from gpuopt.kernels.headers_numba import word

LENGTH, ITEMS = 16, 24  # of a list, behind its reference count and its type
VERSION = 24  # of a dict, behind its length


@njit(cache=True)
def hold_items(lists, lengths, items):
    """Whether each list (its address) has as many items as in `lengths`, and just the objects whose
    addresses are in `items`, list after list."""
    k = 0
    for n in range(len(lists)):
        if word(lists[n] + LENGTH) != lengths[n]:
            return False
        first = word(lists[n] + ITEMS)
        for j in range(lengths[n]):
            if word(first + 8 * j) != items[k]:
                return False
            k += 1
    return True


@njit(cache=True)
def versions(dicts, found):
    """Write the present version of each dict (its address) to `found`."""
    for n in range(len(dicts)):
        found[n] = word(dicts[n] + VERSION)


@njit(cache=True)
def have_versions(dicts, expected):
    same = True
    for n in range(len(dicts)):
        same &= word(dicts[n] + VERSION) == expected[n]
    return same
