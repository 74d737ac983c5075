// What formulas call: NumPy's functions, with NumPy's answers for NaN, and the numbers that C++ has
// no literal for.

namespace op {
inline __device__ double infinity() { return __longlong_as_double(0x7ff0000000000000LL); }
inline __device__ double nan() { return __longlong_as_double(0x7ff8000000000000LL); }
template <class Real> __device__ Real sqrt(Real a) { return ::sqrt(a); }
template <class Real> __device__ Real abs(Real a) { return ::fabs(a); }
template <class Real> __device__ Real sign(Real a)
{
    return a > Real(0) ? Real(1) : a < Real(0) ? Real(-1) : a == Real(0) ? Real(0) : a;
}
template <class Real> __device__ Real maximum(Real a, Real b)
{
    return a >= b || a != a ? a : b;
}
template <class Real> __device__ Real minimum(Real a, Real b)
{
    return a <= b || a != a ? a : b;
}
}  // namespace op
