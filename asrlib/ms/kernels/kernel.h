// How MindSpore calls a kernel (ops.Custom, "aot"): params holds the inputs, then the outputs, float32 in C order unless stated otherwise; shapes as params.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#define KERNEL(name) \
  extern "C" int name(int, void** params, [[maybe_unused]] int* ndims, int64_t** shapes, const char**, void*, void*)

inline int64_t size(int ndims, const int64_t* shape) {
  int64_t total = 1;
  for (int i = 0; i < ndims; i++) total *= shape[i];
  return total;
}

// e^x for x <= 0, within 1e-7 relative; no libm call, so that the loops around it are vectorised.
inline float exp_negative(float x) {
  x = std::max(x, -87.0f);
  const float n = std::floor(x * 1.44269504f + 0.5f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

inline float sigmoid_of(float x) {
  const float e = exp_negative(-std::fabs(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

inline float tanh_of(float x) {
  const float e = exp_negative(-2.0f * std::fabs(x)), s = x * x;
  const float large = std::copysign((1.0f - e) / (1.0f + e), x);
  const float small = x * (1.0f + s * (-1.0f / 3 + s * (2.0f / 15 + s * (-17.0f / 315))));  // where the quotient would cancel
  return std::fabs(x) < 0.2f ? small : large;
}
