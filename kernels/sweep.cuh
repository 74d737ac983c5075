// The GPU sweep: one pass over the chunks of all tensors of a signature, in one launch.
//
// A sweep visits elements and knows nothing of optimizers. The part between the two `formula` marks
// is plain gradient descent, so that this file compiles by itself; `gpuopt.lowering.cuda` prints
// every other rule in its place, and puts the included files in: CuPy's cache of compiled kernels
// is keyed by the text that it is given, and would not see that an included file has changed.
//
// tensors, chunks and layouts are as in layout.cuh; table is real (rows, SCALARS), for a step.

#include "math.cuh"
#include "dtypes.cuh"
#include "memory.cuh"
#include "layout.cuh"

// --- formula ---
using real = float;
constexpr int THREADS = 256, FLIGHT = 2;
constexpr int ARRAYS = 2, SCALARS = 1;

struct Formula {
    real s_lr;

    explicit __device__ Formula(const real *row)
        : s_lr(row[0])
    {
    }

    __device__ void operator()(real &p, real g) const
    {
        const real t0 = s_lr * g;
        const real t1 = p - t0;
        p = t1;
    }
};

struct Arrays {
    float *p;
    const float *g;

    explicit __device__ Arrays(const int64 *row)
        : p(reinterpret_cast<float *>(row[0])),
          g(reinterpret_cast<const float *>(row[1]))
    {
    }

    template <int N> __device__ bool all_aligned(int64 start) const
    {
        return aligned<N>(p + start) &&
               aligned<N>(g + start);
    }
};

template <int N> struct Lanes {
    Pack<real, N> p, g;

    template <class Place> __device__ void load(const Arrays &arrays, const Place &place)
    {
        p.load(arrays.p + place(0));
        g.load(arrays.g + place(1));
    }

    __device__ void update(const Formula &formula)
    {
#pragma unroll
        for (int lane = 0; lane < N; ++lane)
            formula(p.x[lane], g.x[lane]);
    }

    template <class Place> __device__ void store(const Arrays &arrays, const Place &place) const
    {
        p.store(arrays.p + place(0));
    }
};
// --- end of formula ---

// ---- kernel ----

constexpr int WIDTH = 16 / sizeof(real);  // elements in a 128-bit access

// Elements start to end of dense arrays, N at a time: a thread loads FLIGHT packs of each before it
// stores the first. end - start is a multiple of N, and every array is aligned for N at start.
template <int N>
__device__ void sweep_dense(const Arrays &arrays, const Formula &formula, int64 start, int64 end)
{
    const int64 stride = int64(blockDim.x) * N;
    int64 i = start + int64(threadIdx.x) * N;
    for (; i + (FLIGHT - 1) * stride < end; i += FLIGHT * stride) {
        Lanes<N> lanes[FLIGHT];
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) lanes[k].load(arrays, Dense{i + k * stride});
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            lanes[k].update(formula);
            lanes[k].store(arrays, Dense{i + k * stride});
        }
    }
    for (; i < end; i += stride) {
        Lanes<N> lanes;
        lanes.load(arrays, Dense{i});
        lanes.update(formula);
        lanes.store(arrays, Dense{i});
    }
}

__device__ void sweep_strided(const Arrays &arrays, const Formula &formula, const int64 *layout,
                              int64 start, int64 end)
{
    for (int64 i = start + threadIdx.x; i < end; i += blockDim.x) {
        const Strided<0, ARRAYS> place(layout, i);
        Lanes<1> lanes;
        lanes.load(arrays, place);
        lanes.update(formula);
        lanes.store(arrays, place);
    }
}

// ---- entry ----

// Any grid covers all chunks: block b takes chunks b, b + gridDim.x, and so on.
extern "C" __global__ void __launch_bounds__(THREADS)
    sweep(const int64 *tensors, const int64 *chunks, int64 count, const int64 *layouts,
          const real *table)
{
    for (int64 c = blockIdx.x; c < count; c += gridDim.x) {
        const Chunk chunk(tensors, ARRAYS + 2, chunks + 3 * c);
        const Arrays arrays(chunk.row);
        const Formula formula(table + SCALARS * chunk.row[ARRAYS]);
        if (chunk.layout >= 0) {
            sweep_strided(arrays, formula, layouts + chunk.layout, chunk.start, chunk.end);
            continue;
        }
        int64 start = chunk.start;
        if (arrays.all_aligned<WIDTH>(start)) {
            const int64 tail = chunk.end - (chunk.end - start) % WIDTH;
            sweep_dense<WIDTH>(arrays, formula, start, tail);
            start = tail;
        }
        sweep_dense<1>(arrays, formula, start, chunk.end);
    }
}
