// What a step decides before its sweep, in one block: the gradients' norm, how they are clipped,
// whether the step is skipped, the loss scale that follows, step counts, and every row of scalars.
// The host need not know any of it, so it need not wait, and a captured graph can be replayed.
//
// The part between the two `formula` marks is plain gradient descent's; gpuopt.lowering.control
// prints what another rule's `scalars` does.
//
//     partials   double (count, 2)           a chunk's sum of squares; 1 if not all are finite, else 0
//     table      real (rows, SCALARS)        written: the scalars of the step
//     times      double (rows, 1 + CARRIED)  step counts, counted on unless the step is skipped, and
//                                            after each the numbers that the rule carries
//     knobs      double (rows, KNOBS)        the learning rate and the rule's own numbers
//     scaler     address of float (2,)       loss scale and steps since it changed, or 0
//     scale_at   address of a loss scale     float, or double if scale_is_double; 0: it is `scale`
//     found_at   address of a number         likewise; the step is skipped if it is not 0; 0: none
//     result     double (3,)                 written if `last`: norm, found, factor

#include "math.cuh"
#include "memory.cuh"

// --- formula ---
using real = float;
constexpr int THREADS = 256, SCALARS = 1, KNOBS = 1, CARRIED = 0;

__device__ void scalars(const double *knobs, double *carried, double t, double factor,
                        double limit, double skip, real *row)
{
    using number = double;
    const number lr = knobs[0];
    row[0] = real(lr);
}
// --- end of formula ---

// A sum and what rounding took from it: in effect a number of 106 bits. So the double nearest to a
// sum of positive numbers comes out the same in any order, but for one case in some 10^10.
struct Sum {
    double high, low, found;

    __device__ void add(const Sum &other)
    {
        const double total = high + other.high;
        const double part = total - high;
        low += (high - (total - part)) + (other.high - part) + other.low;
        high = total;
        found = found != 0 || other.found != 0;
    }

    // Infinities make the lost part NaN, and say all that is to be said themselves.
    __device__ double value() const { return high - high == 0 ? high + low : high; }
};

__device__ Sum sum_up(const double *partials, int64 count)
{
    __shared__ Sum sums[THREADS];
    Sum sum = {0, 0, 0};
    for (int64 c = threadIdx.x; c < count; c += THREADS)
        sum.add({partials[2 * c], 0, partials[2 * c + 1]});
    sums[threadIdx.x] = sum;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x].add(sums[threadIdx.x + half]);
    }
    __syncthreads();
    return sums[0];
}

// As torch.nn.utils.clip_grad_norm_: at most 1, NaN for a norm that is NaN.
__device__ double clip_coefficient(double norm, double max_norm)
{
    const double coefficient = max_norm / (norm + 1e-6);
    return max_norm == op::infinity() || coefficient > 1 ? 1 : coefficient;
}

__device__ double number_at(int64 address, int64 is_double)
{
    return is_double ? *reinterpret_cast<const double *>(address)
                     : *reinterpret_cast<const float *>(address);
}

constexpr float SMALLEST = 1.17549435e-38f;  // a scale of 0 would make every gradient NaN

// As torch.amp.GradScaler.
__device__ void update_scale(float *scaler, bool found, float growth, float backoff, float interval)
{
    if (found) {
        const float lower = scaler[0] * backoff;
        if (lower >= SMALLEST) scaler[0] = lower;
        scaler[1] = 0;
    } else if (++scaler[1] >= interval) {
        const float grown = scaler[0] * growth;
        if (grown < op::infinity()) scaler[0] = grown;
        scaler[1] = 0;
    }
}

// ---- entry ----

extern "C" __global__ void __launch_bounds__(THREADS)
    control(const double *partials, int64 count, real *table, double *times, const double *knobs,
            int64 rows, double max_norm, double max_value, double scale, int64 scale_at,
            int64 scale_is_double, int64 found_at, int64 found_is_double, int64 skip_nonfinite,
            int64 scaler_at, double growth, double backoff, double interval, int64 last,
            double *result)
{
    const Sum sum = sum_up(partials, count);
    float *scaler = reinterpret_cast<float *>(scaler_at);
    if (scaler)
        scale = scaler[0];
    else if (scale_at)
        scale = number_at(scale_at, scale_is_double);
    const double norm = ::sqrt(sum.value()) / scale;
    const double factor = clip_coefficient(norm, max_norm) / scale;
    const bool told = found_at && number_at(found_at, found_is_double) != 0;
    const bool skip = told || (sum.found != 0 && skip_nonfinite);
    for (int64 row = threadIdx.x; row < rows; row += THREADS) {
        double *count = times + (1 + CARRIED) * row;
        const double t = count[0] + 1;
        if (!skip) count[0] = t;
        scalars(knobs + KNOBS * row, count + 1, t, factor, max_value, skip, table + SCALARS * row);
    }
    __syncthreads();  // every thread has read the scale
    if (threadIdx.x == 0 && last) {
        result[0] = norm;
        result[1] = sum.found;
        result[2] = factor;
        if (scaler) update_scale(scaler, sum.found != 0, growth, backoff, interval);
    }
}
