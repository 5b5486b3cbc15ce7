// Batch normalisation that knows padding, and the patches of a convolution over time: what Jasper's step spends its time on.
// Called as those of kernels.cc.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#define KERNEL(name) \
  extern "C" int name(int, void** params, int* ndims, int64_t** shapes, const char**, void*, void*)

namespace {

constexpr int64_t kBlock = 64, kRows = 32;  // channels at a time; rows whose float32 sums are added up in double precision

double counted(const float* mask, int64_t rows) {
  double total = 0;
  for (int64_t r = 0; r < rows; r++) total += mask[r];
  return std::max(total, 2.0);
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
    double total[kBlock];
    for (int pass = 0; pass < 2; pass++) {
      std::fill(total, total + width, 0.0);
      for (int64_t begin = 0; begin < rows; begin += kRows) {
        float part[kBlock] = {0};
        for (int64_t r = begin; r < std::min(rows, begin + kRows); r++) {
          const float* in = x + r * channels + first;
          const float weight = mask[r];
#pragma omp simd
          for (int64_t c = 0; c < width; c++) {
            const float value = pass == 0 ? in[c] : (in[c] - mean[first + c]) * (in[c] - mean[first + c]);
            part[c] += weight * value;
          }
        }
        for (int64_t c = 0; c < width; c++) total[c] += part[c];
      }
      for (int64_t c = 0; c < width; c++) (pass == 0 ? mean : variance)[first + c] = static_cast<float>(total[c] / count);
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

// x, mask, gamma, mean, variance, epsilon, dy -> dx, dgamma, dbeta. Rows of padding have a gradient, too, but are in no sum of mean and variance.
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
    double sum[kBlock] = {0}, product[kBlock] = {0};  // of dy, of dy times the normalised x
    for (int64_t c = 0; c < width; c++) scale[c] = 1.0f / std::sqrt(variance[first + c] + epsilon);
    for (int64_t begin = 0; begin < rows; begin += kRows) {
      float part[kBlock] = {0}, part_product[kBlock] = {0};
      for (int64_t r = begin; r < std::min(rows, begin + kRows); r++) {
        const float* in = x + r * channels + first;
        const float* g = dy + r * channels + first;
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
          part[c] += g[c];
          part_product[c] += g[c] * (in[c] - mean[first + c]) * scale[c];
        }
      }
      for (int64_t c = 0; c < width; c++) sum[c] += part[c], product[c] += part_product[c];
    }
    float of_mean[kBlock], of_deviation[kBlock];
    for (int64_t c = 0; c < width; c++) {
      dbeta[first + c] = static_cast<float>(sum[c]), dgamma[first + c] = static_cast<float>(product[c]);
      of_mean[c] = static_cast<float>(sum[c] / count), of_deviation[c] = static_cast<float>(product[c] / count);
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

// x (B, T, I), geometry (4,) int32: kernel, stride, dilation, padding before -> patches (B, T', kernel * I), 0 outside x
KERNEL(Patches) {
  const float* x = static_cast<float*>(params[0]);
  const int32_t* geometry = static_cast<int32_t*>(params[1]);
  float* y = static_cast<float*>(params[2]);
  const int64_t batch = shapes[0][0], steps = shapes[0][1], inputs = shapes[0][2], frames = shapes[2][1];
  const int64_t kernel = geometry[0], stride = geometry[1], dilation = geometry[2], before = geometry[3];
#pragma omp parallel for collapse(2) if (batch * frames * kernel * inputs > 16384)
  for (int64_t b = 0; b < batch; b++)
    for (int64_t t = 0; t < frames; t++) {
      float* out = y + (b * frames + t) * kernel * inputs;
      const int64_t place = t * stride - before;
      if (dilation == 1 && place >= 0 && place + kernel <= steps) {  // a patch lies in one piece
        std::memcpy(out, x + (b * steps + place) * inputs, kernel * inputs * sizeof(float));
        continue;
      }
      for (int64_t k = 0; k < kernel; k++) {
        const int64_t from = place + k * dilation;
        if (from < 0 || from >= steps) std::memset(out + k * inputs, 0, inputs * sizeof(float));
        else std::memcpy(out + k * inputs, x + (b * steps + from) * inputs, inputs * sizeof(float));
      }
    }
  return 0;
}
