// CUDA's words for a C++ compiler, so that the source made for a GPU runs on the CPU in tests.
//
// A launch calls the kernel once for every thread of every block, one after another: right for
// kernels whose threads do not talk to each other, and those are all that a sweep is.

#include <cmath>
#include <cstring>
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

// GPUs fault on a 128-bit access to an address that is no multiple of 16; most processors do not.
// The compiler's alignment check (-fsanitize=alignment) calls this function in its stead.
static long long misaligned = 0;
extern "C" void __ubsan_handle_type_mismatch_v1(void *, void *) { ++misaligned; }

namespace shim {

template <class... Args, std::size_t... k>
void call(void (*kernel)(Args...), void **args, std::index_sequence<k...>)
{
    kernel(*static_cast<Args *>(args[k])...);
}

// `args` holds the address of each argument, as cuLaunchKernel takes them. Returns the number of
// accesses to a misaligned address.
template <class... Args>
long long launch(void (*kernel)(Args...), unsigned grid, unsigned block, void **args)
{
    misaligned = 0;
    gridDim.x = grid;
    blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x)
            call(kernel, args, std::index_sequence_for<Args...>{});
    return misaligned;
}

}  // namespace shim
