// Sixteen-bit floats as they are stored, converted to and from float by integer arithmetic: the same
// on every GPU, and on a host. kernels/dtypes_numba.py has the same steps in Python.
//
// Both ways are exact or rounded to nearest, ties to even; infinities, denormals and the sign of
// zero stay, and NaN stays NaN.

// 5 bits of exponent (float: 8) and 10 of mantissa (23).
struct float16 {
    unsigned short bits;

    float16() = default;

    explicit __device__ float16(float x)
    {
        const unsigned all = __float_as_uint(x), sign = all & 0x80000000u, magnitude = all ^ sign;
        // 0.5 has its last place at 2^-24, where that of denormals is: the sum is rounded to it.
        const unsigned small = magnitude < 0x38800000u ? magnitude : 0x38800000u;
        const unsigned denormal = __float_as_uint(__fadd_rn(__uint_as_float(small), 0.5f)) - 0x3f000000u;
        // Another bias of the exponent, and rounding; from 65520 on that ends at infinity.
        const unsigned normal = (magnitude - 0x37fff001u + (magnitude >> 13 & 1u)) >> 13;
        const unsigned special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
        const unsigned value = magnitude < 0x38800000u   ? denormal  // 2^-14
                           : magnitude < 0x47800000u ? normal    // 2^16
                                                     : special;
        bits = static_cast<unsigned short>(value | sign >> 16);
    }

    explicit __device__ operator float() const
    {
        const unsigned magnitude = bits & 0x7fffu, shifted = magnitude << 13;
        const float denormal = __fadd_rn(__uint_as_float(magnitude | 0x3f000000u), -0.5f);
        const unsigned value = magnitude < 0x0400u   ? __float_as_uint(denormal)
                           : magnitude < 0x7c00u ? shifted + 0x38000000u
                                                 : shifted | 0x7f800000u;
        return __uint_as_float(value | (bits & 0x8000u) << 16);
    }
};

// The upper half of a float.
struct bfloat16 {
    unsigned short bits;

    bfloat16() = default;

    explicit __device__ bfloat16(float x)
    {
        const unsigned all = __float_as_uint(x), high = all >> 16;
        const bool is_nan = (all & 0x7fffffffu) > 0x7f800000u;
        bits = static_cast<unsigned short>(is_nan ? high | 0x0040u
                                                  : (all + 0x7fffu + (high & 1u)) >> 16);
    }

    explicit __device__ operator float() const { return __uint_as_float(unsigned(bits) << 16); }
};
