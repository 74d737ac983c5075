// CUDA's words for a C++ compiler, so that the source made for a GPU runs on the CPU in tests.
//
// A launch calls the kernel once for every thread of every block, one after another, from the first
// or from the last. Where the source has barriers (SHIM_BARRIERS), the threads of a block take turns
// instead: fibers.h.

#include <csetjmp>
#include <cstring>
#include <math.h>  // with it, not with <cmath>, `::pow` and its like are overloaded for float
#include <utility>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)

#define __builtin_assume(...)

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

static dim3 threadIdx, blockIdx, blockDim, gridDim;

inline double __longlong_as_double(long long bits)
{
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline unsigned __float_as_uint(float value)
{
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits)
{
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }

namespace shim {

enum Outcome { DONE, MISALIGNED, DIVERGENT };  // as host_compiler.py has them
static std::jmp_buf fault;

}  // namespace shim

// GPUs fault on a 128-bit access to an address that is no multiple of 16; processors may not.
// The compiler's alignment check (-fsanitize=alignment) calls this before; it ends the launch.
extern "C" void __ubsan_handle_type_mismatch_v1(void *, void *) { _longjmp(shim::fault, 1); }

#ifdef SHIM_BARRIERS
#include "fibers.h"
#endif

namespace shim {

template <class... Args, std::size_t... k>
void call(void (*kernel)(Args...), void **args, std::index_sequence<k...>)
{
    kernel(*static_cast<Args *>(args[k])...);
}

// Number k of `count` in the order of a launch.
inline unsigned turn(unsigned k, unsigned count, bool backwards)
{
    return backwards ? count - 1 - k : k;
}

// `args` holds the address of each argument, as cuLaunchKernel takes them. `backwards`: blocks and
// threads begin with the last one. DIVERGENT: some threads of a block waited at a barrier that
// others did not reach.
template <class... Args>
Outcome launch(void (*kernel)(Args...), unsigned grid, unsigned block, void **args, bool backwards)
{
    if (_setjmp(fault)) return MISALIGNED;
    gridDim.x = grid;
    blockDim.x = block;
    auto thread = [&] { call(kernel, args, std::index_sequence_for<Args...>{}); };
#ifdef SHIM_BARRIERS
    body = [](void *thread_of_launch) { (*static_cast<decltype(thread) *>(thread_of_launch))(); };
    given = &thread;
    prepare(block);
#endif
    for (unsigned b = 0; b < grid; ++b) {
        blockIdx.x = turn(b, grid, backwards);
#ifdef SHIM_BARRIERS
        if (!run_block(block, (blockIdx.x + backwards) % 2)) return DIVERGENT;
#else
        for (unsigned k = 0; k < block; ++k) {
            threadIdx.x = turn(k, block, backwards);
            thread();
        }
#endif
    }
    return DONE;
}

}  // namespace shim
