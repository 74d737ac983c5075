// The sum of squares of all gradients of a signature, chunk by chunk, and whether all are finite.
//
// Nothing but the gradients' values decides a bit of the result. Element r of a chunk goes into sum
// r % WIDTH of thread r / WIDTH % THREADS, in ascending order, however the gradient lies; the
// threads' sums are added as one fixed tree; and every chunk has a result of its own, so that any
// grid gives the same. `gpuopt.lowering.cuda` prints the part between the two `formula` marks.
//
// tensors, chunks and layouts are as in layout.cuh; partials is double (chunks, 2): the sum, and 1
// where an element is NaN or infinite, else 0.

#include "dtypes.cuh"
#include "memory.cuh"
#include "layout.cuh"

// --- formula ---
using Storage = float;
using Real = float;
constexpr int THREADS = 256, FLIGHT = 4;
// --- end of formula ---

constexpr int WIDTH = 16 / sizeof(Storage);  // elements in a 128-bit access
constexpr int64 STRIDE = THREADS * WIDTH;

// ---- sums of one thread ----

template <class Sum> struct Squares {
    Sum sum[WIDTH] = {};
    bool finite = true;

    // The sums take turns, so that WIDTH elements one after another go where a pack would.
    __device__ void add_next(Sum x)
    {
        const Sum next = ::fma(x, x, sum[0]);
#pragma unroll
        for (int lane = 1; lane < WIDTH; ++lane) sum[lane - 1] = sum[lane];
        sum[WIDTH - 1] = next;
        finite = finite && isfinite(x);
    }

    __device__ Sum total()
    {
#pragma unroll
        for (int half = WIDTH / 2; half > 0; half /= 2)
            for (int lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
        return sum[0];
    }
};

__device__ Real element(const Storage *at)
{
    Pack<Real, 1> one = {};
    one.load(at);
    return one.x[0];
}

// Elements start to end of a dense gradient that is aligned for N elements at start.
template <int N> __device__ Real squares_dense(const Storage *g, int64 start, int64 end)
{
    Squares<Real> squares;
    const int64 packs = (end - start) / WIDTH, tail = start + packs * WIDTH;
    for (int64 first = start + threadIdx.x * WIDTH; first < tail; first += FLIGHT * STRIDE) {
        Pack<Real, N> pack[FLIGHT][WIDTH / N] = {};
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k)
#pragma unroll
            for (int part = 0; part < WIDTH / N; ++part) {
                const int64 i = first + k * STRIDE + part * N;
                if (i < tail) pack[k][part].load(g + i);
            }
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k)
#pragma unroll
            for (int lane = 0; lane < WIDTH; ++lane)
                squares.add_next(pack[k][lane / N].x[lane % N]);
    }
    if (threadIdx.x == packs % THREADS)
#pragma unroll
        for (int lane = 0; lane < WIDTH; ++lane)
            squares.add_next(tail + lane < end ? element(g + tail + lane) : Real(0));
    return squares.total();
}

// Elements start to end of any gradient; layout is null for a dense one.
template <class Sum>
__device__ Squares<Sum> squares_by_element(const Storage *g, const int64 *layout, int64 start,
                                           int64 end)
{
    Squares<Sum> squares;
    for (int64 first = start + threadIdx.x * WIDTH; first < end; first += STRIDE) {
#pragma unroll 1  // an element's place takes much code
        for (int64 i = first; i < first + WIDTH; ++i) {
            Real x = 0;
            if (i < end) x = element(g + (layout ? Strided<1, 1>(layout, i)(1) : i));
            squares.add_next(x);
        }
    }
    return squares;
}

// ---- sums of a block ----

// The sum over all threads of a block, in each of them.
__device__ double block_sum(double value)
{
    __shared__ double part[THREADS];
    part[threadIdx.x] = value;
    __syncthreads();
#pragma unroll 1  // unrolled, it costs registers and gains nothing
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    const double sum = part[0];
    __syncthreads();  // the next call writes
    return sum;
}

// ---- entry ----

// Any grid covers all chunks, the last ones first: what was read last is still in the L2 cache when
// the sweep that follows begins with chunk 0.
extern "C" __global__ void __launch_bounds__(THREADS)
    square_sums(const int64 *tensors, const int64 *chunks, int64 count, const int64 *layouts,
                int64 columns, double *partials)
{
    for (int64 c = count - 1 - blockIdx.x; c >= 0; c -= gridDim.x) {
        const Chunk chunk(tensors, columns, chunks + 3 * c);
        const int64 start = chunk.start, end = chunk.end;
        const int64 *layout = chunk.layout < 0 ? nullptr : layouts + chunk.layout;
        const Storage *g = reinterpret_cast<const Storage *>(chunk.row[1]);
        const Real own = layout ? squares_by_element<Real>(g, layout, start, end).total()
                         : aligned<WIDTH>(g + start) ? squares_dense<WIDTH>(g, start, end)
                                                     : squares_dense<1>(g, start, end);
        double sum = block_sum(own), found = 0;
        // Squares of finite numbers may be infinite in the type of arithmetic; those of float32
        // fit in float64. All threads see the same sum and come along, or none does.
        if (!isfinite(sum)) {
            Squares<double> exact = squares_by_element<double>(g, layout, start, end);
            sum = block_sum(exact.total());
            found = block_sum(!exact.finite) > 0;
        }
        if (threadIdx.x == 0) {
            double *partial = partials + 2 * c;
            assume_global(partial);
            partial[0] = sum;
            partial[1] = found;
        }
    }
}
