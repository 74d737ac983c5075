"""Memory access from addresses, for the Numba kernels: pointers, loads, stores, strided places.

The text of this file is printed into every kernel that imports from it, so that a hash of one text
is a complete key of the cache.
"""

import numpy as np
from numba import njit, types, uint64
from numba.extending import intrinsic


@intrinsic
def pointer(typingctx, address, dtype):
    """An integer address as a pointer to `dtype`."""
    kind = types.CPointer(dtype.dtype)

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(kind))

    return kind(address, dtype), codegen


def promise_no_alias(builder, instruction, slot):
    """Tell LLVM that array `slot` overlaps no other array, which the plan has checked.

    Without it a loop over more than four arrays is not vectorised: LLVM gives up on comparing
    their addresses at run time.
    """
    add = builder.module.add_metadata
    domain = add(["gpuopt"])
    scopes = [add([f"gpuopt array {k}", domain]) for k in range(16)]
    instruction.set_metadata("alias.scope", add([scopes[slot]]))
    instruction.set_metadata("noalias", add([x for k, x in enumerate(scopes) if k != slot]))


@intrinsic(prefer_literal=True)
def load(typingctx, base, i, slot):
    """Element `i` of the array at `base`, which is array number `slot` (a literal) of the sweep."""
    if not isinstance(slot, types.IntegerLiteral):
        return None

    def codegen(context, builder, signature, args):
        value = builder.load(builder.gep(args[0], [args[1]]))
        promise_no_alias(builder, value, slot.literal_value)
        return value

    return base.dtype(base, i, slot), codegen


@intrinsic(prefer_literal=True)
def store(typingctx, base, i, value, slot):
    """Put `value` at element `i` of array number `slot`."""
    if not isinstance(slot, types.IntegerLiteral):
        return None

    def codegen(context, builder, signature, args):
        done = builder.store(args[2], builder.gep(args[0], [args[1]]))
        promise_no_alias(builder, done, slot.literal_value)
        return context.get_dummy_value()

    return types.void(base, i, base.dtype, slot), codegen


@njit
def offset(layouts, at, array, i):
    """Where element `i` (counted along the layout's axes, last fastest) of an array lies."""
    axes = layouts[at]
    strides = at + 1 + axes * (1 + array)
    place = 0
    rest = uint64(i)
    for axis in range(axes - 1, -1, -1):
        length = uint64(layouts[at + 1 + axis])
        place += np.int64(rest % length) * layouts[strides + axis]
        rest //= length
    return place


@njit
def last_stride(layouts, at, array, i):
    axes = layouts[at]
    return layouts[at + 1 + axes * (1 + array) + axes - 1]
