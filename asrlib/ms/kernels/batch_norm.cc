// Batch normalisation over the valid frames.

#include "kernel.h"

namespace {

constexpr int64_t kBlock = 64, kRows = 32;  // channels at a time; rows whose float32 sums are added up in double precision

double counted(const float* mask, int64_t rows) {
  double total = 0;
  for (int64_t r = 0; r < rows; r++) total += mask[r];
  return std::max(total, 2.0);
}

// Adds a row's terms (row, sums of float32) of all rows to totals of `width` channels.
template <int N, class Row>
void add_rows(int64_t rows, int64_t width, double (&total)[N][kBlock], Row row) {
  for (int n = 0; n < N; n++) std::fill(total[n], total[n] + width, 0.0);
  for (int64_t begin = 0; begin < rows; begin += kRows) {
    float part[N][kBlock] = {{0}};
    for (int64_t r = begin; r < std::min(rows, begin + kRows); r++) row(r, part);
    for (int n = 0; n < N; n++)
      for (int64_t c = 0; c < width; c++) total[n][c] += part[n][c];
  }
}

}  // namespace

// x (B, T, C), mask (B, T, 1), gamma (C,), beta (C,), epsilon (1,) -> y, mean (C,), variance (C,) of the rows where mask is 1
KERNEL(BatchNorm) {
  const float* x = static_cast<float*>(params[0]);
  const float* mask = static_cast<float*>(params[1]);
  const float* gamma = static_cast<float*>(params[2]);
  const float* beta = static_cast<float*>(params[3]);
  const float epsilon = *static_cast<float*>(params[4]);
  float* y = static_cast<float*>(params[5]);
  float* mean = static_cast<float*>(params[6]);
  float* variance = static_cast<float*>(params[7]);
  const int64_t channels = shapes[0][2], rows = shapes[0][0] * shapes[0][1];
  const double count = counted(mask, rows);
#pragma omp parallel for if (rows * channels > 16384)
  for (int64_t first = 0; first < channels; first += kBlock) {
    const int64_t width = std::min(kBlock, channels - first);
    double total[1][kBlock];
    for (int pass = 0; pass < 2; pass++) {
      add_rows(rows, width, total, [&](int64_t r, float (&part)[1][kBlock]) {
        const float* in = x + r * channels + first;
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
          const float value = pass == 0 ? in[c] : (in[c] - mean[first + c]) * (in[c] - mean[first + c]);
          part[0][c] += mask[r] * value;
        }
      });
      for (int64_t c = 0; c < width; c++) (pass == 0 ? mean : variance)[first + c] = static_cast<float>(total[0][c] / count);
    }
    float scale[kBlock], shift[kBlock];
    for (int64_t c = 0; c < width; c++) {
      scale[c] = gamma[first + c] / std::sqrt(variance[first + c] + epsilon);
      shift[c] = beta[first + c] - mean[first + c] * scale[c];
    }
    for (int64_t r = 0; r < rows; r++) {
      const float* in = x + r * channels + first;
      float* out = y + r * channels + first;
#pragma omp simd
      for (int64_t c = 0; c < width; c++) out[c] = in[c] * scale[c] + shift[c];
    }
  }
  return 0;
}

// x, mask, gamma, mean, variance, epsilon, dy -> dx, dgamma, dbeta. Rows of padding get a gradient, too, but do not count for mean and variance.
KERNEL(BatchNormGrad) {
  const float* x = static_cast<float*>(params[0]);
  const float* mask = static_cast<float*>(params[1]);
  const float* gamma = static_cast<float*>(params[2]);
  const float* mean = static_cast<float*>(params[3]);
  const float* variance = static_cast<float*>(params[4]);
  const float epsilon = *static_cast<float*>(params[5]);
  const float* dy = static_cast<float*>(params[6]);
  float* dx = static_cast<float*>(params[7]);
  float* dgamma = static_cast<float*>(params[8]);
  float* dbeta = static_cast<float*>(params[9]);
  const int64_t channels = shapes[0][2], rows = shapes[0][0] * shapes[0][1];
  const double count = counted(mask, rows);
#pragma omp parallel for if (rows * channels > 16384)
  for (int64_t first = 0; first < channels; first += kBlock) {
    const int64_t width = std::min(kBlock, channels - first);
    float scale[kBlock];
    double total[2][kBlock];  // of dy, of dy times the normalised x
    for (int64_t c = 0; c < width; c++) scale[c] = 1.0f / std::sqrt(variance[first + c] + epsilon);
    add_rows(rows, width, total, [&](int64_t r, float (&part)[2][kBlock]) {
      const float* in = x + r * channels + first;
      const float* g = dy + r * channels + first;
#pragma omp simd
      for (int64_t c = 0; c < width; c++) {
        part[0][c] += g[c];
        part[1][c] += g[c] * (in[c] - mean[first + c]) * scale[c];
      }
    });
    float of_mean[kBlock], of_deviation[kBlock];
    for (int64_t c = 0; c < width; c++) {
      dbeta[first + c] = static_cast<float>(total[0][c]), dgamma[first + c] = static_cast<float>(total[1][c]);
      of_mean[c] = static_cast<float>(total[0][c] / count), of_deviation[c] = static_cast<float>(total[1][c] / count);
    }
    for (int64_t r = 0; r < rows; r++) {
      const float* in = x + r * channels + first;
      const float* g = dy + r * channels + first;
      float* out = dx + r * channels + first;
      const float weight = mask[r];
#pragma omp simd
      for (int64_t c = 0; c < width; c++) {
        const float normal = (in[c] - mean[first + c]) * scale[c];
        out[c] = gamma[first + c] * scale[c] * (g[c] - weight * (of_mean[c] + normal * of_deviation[c]));
      }
    }
  }
  return 0;
}

// moving mean (C,), moving variance (C,), mean (C,), variance (C,), mask (B, T, 1), share (1,) of the new values -> done (1,).
// The moving variance is unbiased.
KERNEL(MoveStatistics) {
  float* moving_mean = static_cast<float*>(params[0]);
  float* moving_variance = static_cast<float*>(params[1]);
  const float* mean = static_cast<float*>(params[2]);
  const float* variance = static_cast<float*>(params[3]);
  const float share = *static_cast<float*>(params[5]);
  const float count = static_cast<float>(counted(static_cast<float*>(params[4]), size(ndims[4], shapes[4]))), unbiased = count / (count - 1.0f);
  for (int64_t c = 0; c < shapes[0][0]; c++) {
    moving_mean[c] = moving_mean[c] * (1.0f - share) + mean[c] * share;
    moving_variance[c] = moving_variance[c] * (1.0f - share) + variance[c] * unbiased * share;
  }
  *static_cast<float*>(params[6]) = 1;
  return 0;
}
