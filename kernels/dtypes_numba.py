"""Sixteen-bit floats: their bits as float32, and float32 as their bits.

Both directions are exact or rounded to nearest, ties to even; infinities, denormals and the sign of
zero stay, whether float32's own denormals are kept or flushed, and NaN stays NaN, with its sign but
any payload. Integer arithmetic does it on every processor; where there are instructions for float16
(x86 with F16C), those do. The part between the marks is printed into the Numba CUDA kernels, too,
with `device`, `as_bits` and `as_float` from bits_numba_cuda.py in place of these.

float16 has 5 bits of exponent (float32: 8) and 10 of mantissa (23), bfloat16 has 8 and 7. 0.5 has
its last place at 2^-24, as float16's denormals do: adding it to a small number rounds to them, and
subtracting it from such a sum is exact.
"""

# pyright: reportCallIssue=false, reportAssignmentType=false
import functools

import llvmlite.binding as llvm
from llvmlite import ir
from numba import (  # pyright: ignore[reportAttributeAccessIssue]
    float32,
    njit,
    types,
    uint16,
    uint32,
)
from numba.extending import intrinsic

# Inlined by LLVM and not by Numba: these keep their own arithmetic where the caller's is contracted
# or reordered.
device = njit(forceinline=True, error_model="numpy")


@intrinsic
def as_bits(typingctx, x):
    """The bits of a float32 as uint32."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.uint32))

    return types.uint32(types.float32), codegen


@intrinsic
def as_float(typingctx, bits):
    """The float32 that has these bits, a uint32."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.uint32), codegen


# --- conversions ---


@device
def widen_float16(bits):
    magnitude = uint32(bits & 0x7FFF)
    if magnitude < 0x0400:  # denormal
        value = as_bits(as_float(magnitude | 0x3F000000) - float32(0.5))
    elif magnitude < 0x7C00:
        value = (magnitude << 13) + 0x38000000  # a bias of 127 in place of 15
    else:  # infinity or NaN
        value = (magnitude << 13) | 0x7F800000
    return as_float(value | (uint32(bits & 0x8000) << 16))


@device
def narrow_float16(x):
    bits = as_bits(x)
    magnitude = uint32(bits & 0x7FFFFFFF)
    # Not |x| + 0.5, in which a compiler could see a product that it fuses into the sum.
    small = as_bits(as_float(min(magnitude, uint32(0x38800000))) + float32(0.5))
    if magnitude < 0x38800000:  # 2^-14
        value = uint32(small - 0x3F000000)
    elif magnitude < 0x47800000:  # 2^16; what rounds up to it becomes infinity by itself
        value = uint32(magnitude - 0x37FFF001 + ((magnitude >> 13) & 1)) >> 13
    else:
        value = uint32(0x7E00 if magnitude > 0x7F800000 else 0x7C00)
    return uint16(value | (uint32(bits >> 16) & 0x8000))


@device
def widen_bfloat16(bits):
    return as_float(uint32(bits) << 16)


@device
def narrow_bfloat16(x):
    bits = as_bits(x)
    rounded = uint32(bits + 0x7FFF + ((bits >> 16) & 1))
    return uint16(uint32(bits | 0x00400000 if x != x else rounded) >> 16)


# --- end of conversions ---


@functools.cache
def converts_float16(triple, processor, features):
    """Whether LLVM has x86's instructions there: F16C's, or AVX512-FP16's. Without, it would call a
    library that may be missing. No table says which processors have them, so LLVM is asked for a
    function's code.
    """
    target = llvm.Target.from_triple(triple).create_target_machine(processor, features)
    function = """
        define i16 @narrow(float %x) {
            %half = fptrunc float %x to half
            %bits = bitcast half %half to i16
            ret i16 %bits
        }
    """
    code = target.emit_assembly(llvm.parse_assembly(function))
    return "vcvtps2ph" in code or "vcvtss2sh" in code


def chosen(result, argument, instruction, integers):
    """A conversion in one instruction where there is one, else `integers`.

    Chosen when it is compiled, by what Numba keys its cache with: a shared one never mixes them.
    """

    @intrinsic
    def convert(typingctx, x):
        def codegen(context, builder, signature, args):
            if converts_float16(*context.codegen().magic_tuple()):
                return instruction(builder, args[0])
            return context.compile_internal(builder, integers.py_func, signature, args)

        return result(argument), codegen

    return convert


def extended(builder, bits):
    """vcvtph2ps"""
    return builder.fpext(builder.bitcast(bits, ir.HalfType()), ir.FloatType())


def truncated(builder, x):
    """vcvtps2ph"""
    return builder.bitcast(builder.fptrunc(x, ir.HalfType()), ir.IntType(16))


widen_float16 = chosen(types.float32, types.uint16, extended, widen_float16)
narrow_float16 = chosen(types.uint16, types.float32, truncated, narrow_float16)
