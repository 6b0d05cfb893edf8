// exp, tanh, erf and the MLP activations on vectors (S: simd_avx2.h or simd_avx512.h). The same
// operations for every lane, so that a value's bits do not depend on its place in the vector.
#pragma once

#include "engine/backend/backend.h"

namespace dejavu {
namespace {

// Cephes' expf: x = n ln 2 + r, a polynomial in r, relative error 2e-7. Zero below -87.3;
// NaN stays NaN (the vector min and max return their second operand then).
template <class S>
typename S::V exp_of(typename S::V x) {
  using V = typename S::V;
  const V floor = S::set1(-87.3F);
  const V in = S::min(S::set1(88.3F), S::max(floor, x));
  const V n = S::round(S::mul(in, S::set1(1.44269504F)));
  V r = S::fma(n, S::set1(-0.693359375F), in);
  r = S::fma(n, S::set1(2.12194440e-4F), r);
  V p = S::set1(1.9875691500e-4F);
  p = S::fma(p, r, S::set1(1.3981999507e-3F));
  p = S::fma(p, r, S::set1(8.3334519073e-3F));
  p = S::fma(p, r, S::set1(4.1665795894e-2F));
  p = S::fma(p, r, S::set1(1.6666665459e-1F));
  p = S::fma(p, r, S::set1(5.0000001201e-1F));
  p = S::fma(p, S::mul(r, r), S::add(r, S::set1(1.0F)));
  return S::select_greater(floor, x, S::zero(), S::scale_by_power(p, n));
}

template <class S>
typename S::V tanh_of(typename S::V x) {  // 1 - 2 / (e^2x + 1); absolute error 1e-7
  const auto e = exp_of<S>(S::add(x, x));
  return S::sub(S::set1(1.0F), S::div(S::set1(2.0F), S::add(e, S::set1(1.0F))));
}

// Abramowitz and Stegun 7.1.26: absolute error 1.5e-7.
template <class S>
typename S::V erf_of(typename S::V x) {
  using V = typename S::V;
  const V minus = S::sub(S::zero(), x);
  const V magnitude = S::max(x, minus);
  const V t = S::div(S::set1(1.0F), S::fma(S::set1(0.3275911F), magnitude, S::set1(1.0F)));
  V p = S::set1(1.061405429F);
  p = S::fma(p, t, S::set1(-1.453152027F));
  p = S::fma(p, t, S::set1(1.421413741F));
  p = S::fma(p, t, S::set1(-0.284496736F));
  p = S::fma(p, t, S::set1(0.254829592F));
  const V tail = S::mul(S::mul(p, t), exp_of<S>(S::mul(magnitude, S::sub(S::zero(), magnitude))));
  const V value = S::sub(S::set1(1.0F), tail);
  return S::select_greater(S::zero(), x, S::sub(S::zero(), value), value);
}

template <class S>
typename S::V activate(Activation kind, typename S::V x, float threshold) {
  using V = typename S::V;
  const V zero = S::zero();
  switch (kind) {
    case Activation::kRelu:
      return S::select_greater(zero, x, zero, x);
    case Activation::kRelu2:
      return S::select_greater(zero, x, zero, S::mul(x, x));
    case Activation::kSilu:
      return S::div(x, S::add(S::set1(1.0F), exp_of<S>(S::sub(zero, x))));
    case Activation::kGelu: {
      const V share = S::add(S::set1(1.0F), erf_of<S>(S::mul(x, S::set1(0.707106781F))));
      return S::mul(S::mul(S::set1(0.5F), x), share);
    }
    case Activation::kGeluTanh: {
      const V cube = S::mul(S::mul(x, x), S::mul(x, S::set1(0.044715F)));
      const V inner = S::mul(S::set1(0.797884561F), S::add(x, cube));
      return S::mul(S::mul(S::set1(0.5F), x), S::add(S::set1(1.0F), tanh_of<S>(inner)));
    }
    case Activation::kFatRelu:
      return S::select_greater(x, S::set1(threshold), x, zero);
  }
  return zero;
}

}  // namespace
}  // namespace dejavu
