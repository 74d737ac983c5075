"""What the Numba CUDA kernels need of a compiler: the `cuda` module, and memory by address.

Three can stand behind it: numba-cuda, numba-cuda-mlir, and Numba's simulator, which runs kernels as
plain Python, in threads, over the host's memory. `device` marks a function that kernels call. The
text of this file is printed into every kernel that imports from it.

    pointer(address, dtype)     the elements at an address: `p[i]`, `p[i] = x`
    pack(p, i)                  `width` elements, from p[i] on, as a tuple; aligned for them
    put_pack(p, i, values)      store such a tuple
"""

import importlib.util
import math

import numpy as np

PACK = 16  # bytes that one instruction moves at most
GLOBAL = 1  # the address space of a GPU's memory in LLVM


def simulated():
    """Whether kernels run in Numba's simulator (NUMBA_ENABLE_CUDASIM=1)."""
    if importlib.util.find_spec("numba") is None:
        return False
    from numba.core import config

    return bool(config.ENABLE_CUDASIM)


def width(dtype):
    """Elements in a pack; 16-bit floats are calculated with in float32."""
    return PACK * 8 // max(dtype.bitwidth, 32)


if simulated():
    import ctypes

    from numba import cuda, float32, float64, int64, types, uint64

    exp, floor, log, sqrt = np.exp, np.floor, np.log, np.sqrt  # of float32 in float32, unlike math

    def device(function):
        """The function itself: its globals are those of the kernel that calls it."""
        return function

    class pointer:
        """The elements at an address, as NumPy scalars."""

        def __init__(self, address, dtype):
            self.address, self.kind, self.dtype = int(address), dtype, np.dtype(dtype.name)

        def at(self, i, count=1):
            size = self.dtype.itemsize
            place = self.address + int(i) * size
            memory = (ctypes.c_char * (count * size)).from_address(place)
            return np.frombuffer(memory, self.dtype)

        def __getitem__(self, i):
            return self.at(i)[0]

        def __setitem__(self, i, value):
            self.at(i)[0] = value

    def packed(p, i):
        count, size = width(p.kind), p.dtype.itemsize
        assert (p.address + int(i) * size) % (count * size) == 0, "a GPU would fault"
        return p.at(i, count)

    def pack(p, i):
        return tuple(packed(p, i).copy())

    def put_pack(p, i, values):
        packed(p, i)[:] = values

elif importlib.util.find_spec("numba_cuda") is not None:
    from llvmlite import ir
    from numba import cuda, float32, float64, int64, types, uint64
    from numba.cuda.extending import intrinsic

    exp, floor, log, sqrt = math.exp, cuda.libdevice.floor, math.log, math.sqrt
    device = cuda.jit(device=True, forceinline=True)

    @intrinsic
    def pointer(typingctx, address, dtype):
        kind = types.CPointer(dtype.dtype)

        def codegen(context, builder, signature, args):
            generic = context.get_value_type(kind)
            element = context.get_data_type(dtype.dtype)
            place = builder.inttoptr(args[0], ir.PointerType(element, GLOBAL))
            return builder.addrspacecast(place, generic)  # LLVM sees where all its uses reach

        return kind(types.int64, dtype), codegen

    def packed(context, builder, p, i, dtype):
        """Where a pack lies, as a pointer to a vector."""
        vector = ir.VectorType(context.get_data_type(dtype), width(dtype))
        return builder.bitcast(builder.gep(p, [i]), ir.PointerType(vector)), vector

    @intrinsic
    def pack(typingctx, p, i):
        kind = types.UniTuple(p.dtype, width(p.dtype))

        def codegen(context, builder, signature, args):
            place, vector = packed(context, builder, *args, p.dtype)
            values = builder.load(place, align=vector.count * p.dtype.bitwidth // 8)
            lanes = [ir.Constant(ir.IntType(32), k) for k in range(vector.count)]
            elements = [builder.extract_element(values, k) for k in lanes]
            return context.make_tuple(builder, kind, elements)

        return kind(p, types.int64), codegen

    @intrinsic
    def put_pack(typingctx, p, i, values):
        def codegen(context, builder, signature, args):
            place, vector = packed(context, builder, *args[:2], p.dtype)
            filled = ir.Constant(vector, ir.Undefined)
            for k in range(vector.count):
                x = builder.extract_value(args[2], k)
                filled = builder.insert_element(filled, x, ir.Constant(ir.IntType(32), k))
            builder.store(filled, place, align=vector.count * p.dtype.bitwidth // 8)
            return context.get_dummy_value()

        kind = types.UniTuple(p.dtype, width(p.dtype))
        return types.void(p, types.int64, kind), codegen

else:
    from numba_cuda_mlir import cuda, types
    from numba_cuda_mlir._mlir import ir
    from numba_cuda_mlir._mlir.dialects import llvm
    from numba_cuda_mlir.extending import intrinsic, refresh_registries
    from numba_cuda_mlir.lowering_utilities import convert
    from numba_cuda_mlir.types import float32, float64, int64, uint64  # noqa: F401

    exp, floor, log, sqrt = math.exp, cuda.libdevice.floor, math.log, math.sqrt
    device = cuda.jit(device=True, inline="always")
    AT_RUN_TIME = -(2**31)  # MLIR's mark of an index that is no constant

    def word(value):
        return convert(value, ir.IntegerType.get_signless(64))

    @intrinsic
    def pointer(typingctx, address, dtype):
        def lower(builder, target, args, kwargs):
            place = llvm.inttoptr(llvm.PointerType.get(GLOBAL), word(builder.load_var(args[0])))
            builder.store_var(target, llvm.addrspacecast(llvm.PointerType.get(), place))

        return types.CPointer(dtype.dtype)(types.int64, dtype), lower

    def packed(builder, p, i, dtype):
        """Where a pack lies, and its type as a vector."""
        element = builder.get_mlir_type(dtype)
        at, generic = word(builder.load_var(i)), llvm.PointerType.get()
        place = llvm.getelementptr(generic, builder.load_var(p), [at], [AT_RUN_TIME], element, None)
        return place, ir.VectorType.get([width(dtype)], element)

    def lane(k):
        return llvm.mlir_constant(ir.IntegerAttr.get(ir.IntegerType.get_signless(32), k))

    @intrinsic
    def pack(typingctx, p, i):
        def lower(builder, target, args, kwargs):
            place, vector = packed(builder, *args, p.dtype)
            values = llvm.load(vector, place, alignment=width(p.dtype) * p.dtype.bitwidth // 8)
            lanes = tuple(llvm.extractelement(values, lane(k)) for k in range(width(p.dtype)))
            builder.store_var(target, lanes)

        return types.UniTuple(p.dtype, width(p.dtype))(p, types.int64), lower

    @intrinsic
    def put_pack(typingctx, p, i, values):
        def lower(builder, target, args, kwargs):
            place, vector = packed(builder, *args[:2], p.dtype)
            filled = llvm.mlir_undef(vector)
            for k, x in enumerate(builder.load_var(args[2])):
                filled = llvm.insertelement(filled, x, lane(k))
            llvm.store(filled, place, alignment=width(p.dtype) * p.dtype.bitwidth // 8)
            builder.store_var(target, None)

        return types.void(p, types.int64, types.UniTuple(p.dtype, width(p.dtype))), lower

    refresh_registries()  # else only the first file's intrinsics are known to the compiler


@device
def finite(a):
    return abs(a) < math.inf


@device
def maximum(a, b):
    """numpy.maximum: NaN if either is."""
    return a if a >= b or a != a else b


@device
def minimum(a, b):
    """numpy.minimum: NaN if either is."""
    return a if a <= b or a != a else b
