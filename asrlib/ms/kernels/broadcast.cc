// Operators that broadcast one operand or permute axes. MindSpore's own keep an index table for each, of 8 or 16 bytes per number, as long as
// their graph lives.

#include "kernel.h"

namespace {

constexpr int64_t kBlock = 64, kRows = 32;  // columns at a time; rows whose float32 sums are added up in double precision

// out[i] = the sum over the rows of term(index of row and column i)
template <class Term>
void sum_columns(int64_t rows, int64_t columns, float* out, Term term) {
#pragma omp parallel for if (rows * columns > 16384)
  for (int64_t first = 0; first < columns; first += kBlock) {
    const int64_t width = std::min(kBlock, columns - first);
    double total[kBlock] = {0};
    for (int64_t begin = 0; begin < rows; begin += kRows) {
      float part[kBlock] = {0};
      for (int64_t r = begin; r < std::min(rows, begin + kRows); r++)
#pragma omp simd
        for (int64_t i = 0; i < width; i++) part[i] += term(r * columns + first + i);
      for (int64_t i = 0; i < width; i++) total[i] += part[i];
    }
    for (int64_t i = 0; i < width; i++) out[first + i] = static_cast<float>(total[i]);
  }
}

}  // namespace

// x (..., D), bias (D,) -> x + bias
KERNEL(BiasAdd) {
  const float* x = static_cast<float*>(params[0]);
  const float* bias = static_cast<float*>(params[1]);
  float* y = static_cast<float*>(params[2]);
  const int64_t d = shapes[1][0], rows = size(ndims[0], shapes[0]) / d;
#pragma omp parallel for if (rows * d > 16384)
  for (int64_t r = 0; r < rows; r++)
#pragma omp simd
    for (int64_t i = 0; i < d; i++) y[r * d + i] = x[r * d + i] + bias[i];
  return 0;
}

// dy (..., D), bias (D,) -> the bias's gradient (D,): the sum of dy's rows
KERNEL(BiasAddGrad) {
  const float* dy = static_cast<float*>(params[0]);
  const int64_t d = shapes[1][0], rows = size(ndims[0], shapes[0]) / d;
  sum_columns(rows, d, static_cast<float*>(params[2]), [&](int64_t at) { return dy[at]; });
  return 0;
}

// x (..., D), factors (D,) -> every column of x times its factor
KERNEL(ColumnScale) {
  const float* x = static_cast<float*>(params[0]);
  const float* factors = static_cast<float*>(params[1]);
  float* y = static_cast<float*>(params[2]);
  const int64_t d = shapes[1][0], rows = size(ndims[0], shapes[0]) / d;
#pragma omp parallel for if (rows * d > 16384)
  for (int64_t r = 0; r < rows; r++)
#pragma omp simd
    for (int64_t i = 0; i < d; i++) y[r * d + i] = x[r * d + i] * factors[i];
  return 0;
}

// a (..., D), b of the same shape -> the sum over the rows of a b (D,)
KERNEL(ColumnDot) {
  const float* a = static_cast<float*>(params[0]);
  const float* b = static_cast<float*>(params[1]);
  const int64_t d = shapes[2][0], rows = size(ndims[0], shapes[0]) / d;
  sum_columns(rows, d, static_cast<float*>(params[2]), [&](int64_t at) { return a[at] * b[at]; });
  return 0;
}

// x (..., D), factors (..., 1) -> every row of x times its factor
KERNEL(RowScale) {
  const float* x = static_cast<float*>(params[0]);
  const float* factors = static_cast<float*>(params[1]);
  float* y = static_cast<float*>(params[2]);
  const int64_t rows = size(ndims[1], shapes[1]), d = size(ndims[0], shapes[0]) / rows;
#pragma omp parallel for if (rows * d > 16384)
  for (int64_t r = 0; r < rows; r++) {
    const float factor = factors[r];
#pragma omp simd
    for (int64_t i = 0; i < d; i++) y[r * d + i] = x[r * d + i] * factor;
  }
  return 0;
}

// x of four axes, order (4,) int32 -> y, whose axis i is x's axis order[i]
KERNEL(Permute) {
  const float* x = static_cast<float*>(params[0]);
  const int32_t* order = static_cast<int32_t*>(params[1]);
  float* y = static_cast<float*>(params[2]);
  int64_t strides[4] = {0, 0, 0, 1}, stride[4];
  for (int axis = 2; axis >= 0; axis--) strides[axis] = strides[axis + 1] * shapes[0][axis + 1];
  for (int axis = 0; axis < 4; axis++) stride[axis] = strides[order[axis]];
  const int64_t a = shapes[2][0], b = shapes[2][1], c = shapes[2][2], d = shapes[2][3];
#pragma omp parallel for collapse(2) if (a * b * c * d > 16384)
  for (int64_t i = 0; i < a; i++)
    for (int64_t j = 0; j < b; j++)
      for (int64_t k = 0; k < c; k++) {
        const float* from = x + i * stride[0] + j * stride[1] + k * stride[2];
        float* to = y + ((i * b + j) * c + k) * d;
        if (stride[3] == 1) std::memcpy(to, from, d * sizeof(float));
        else
          for (int64_t l = 0; l < d; l++) to[l] = from[l * stride[3]];
      }
  return 0;
}

// scores (B, H, T, S), lengths (B,) int32 -> softmax over the first lengths[b] of S, 0 behind them; all equal where the length is 0
KERNEL(MaskedSoftmax) {
  const float* x = static_cast<float*>(params[0]);
  const int32_t* lengths = static_cast<int32_t*>(params[1]);
  float* y = static_cast<float*>(params[2]);
  const int64_t steps = shapes[0][3], rows = size(ndims[0], shapes[0]) / steps, rows_each = shapes[0][1] * shapes[0][2];
#pragma omp parallel for if (rows * steps > 16384)
  for (int64_t r = 0; r < rows; r++) {
    const int64_t n = std::min<int64_t>(lengths[r / rows_each], steps);
    const float* in = x + r * steps;
    float* out = y + r * steps;
    if (n == 0) {
      std::fill(out, out + steps, 1.0f / steps);
      continue;
    }
    float largest = in[0], sum = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < n; i++) largest = std::max(largest, in[i]);
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += out[i] = exp_negative(in[i] - largest);
    const float factor = 1.0f / sum;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] *= factor;
    std::fill(out + n, out + steps, 0.0f);
  }
  return 0;
}

// y of MaskedSoftmax, dy -> dx
KERNEL(MaskedSoftmaxGrad) {
  const float* y = static_cast<float*>(params[0]);
  const float* dy = static_cast<float*>(params[1]);
  float* dx = static_cast<float*>(params[2]);
  const int64_t steps = shapes[0][3], rows = size(ndims[0], shapes[0]) / steps;
#pragma omp parallel for if (rows * steps > 16384)
  for (int64_t r = 0; r < rows; r++) {
    const float *in = y + r * steps, *g = dy + r * steps;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < steps; i++) sum += in[i] * g[i];
#pragma omp simd
    for (int64_t i = 0; i < steps; i++) dx[r * steps + i] = in[i] * (g[i] - sum);
  }
  return 0;
}
