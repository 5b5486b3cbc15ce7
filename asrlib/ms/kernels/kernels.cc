// Operators that are many times slower in MindSpore on CPUs than in PyTorch: GELU, layer normalisation, normalisation over time.

#include "kernel.h"

namespace {

// Distribution function of N(0, 1) from e = exp(-x^2 / 2): Abramowitz and Stegun 7.1.26, within 1e-7.
inline float normal_cdf(float x, float e) {
  const float t = 1.0f / (1.0f + 0.3275911f * 0.70710678f * std::fabs(x));
  const float p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
  const float tail = 0.5f * p * e;
  return x < 0 ? tail : 1.0f - tail;
}

constexpr float kEpsilon = 1e-5f;

}  // namespace

// x -> x cdf(x)
KERNEL(Gelu) {
  const float* x = static_cast<float*>(params[0]);
  float* y = static_cast<float*>(params[1]);
  const int64_t n = size(ndims[0], shapes[0]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) y[i] = x[i] * normal_cdf(x[i], exp_negative(-0.5f * x[i] * x[i]));
  return 0;
}

// x, dy -> dx
KERNEL(GeluGrad) {
  const float* x = static_cast<float*>(params[0]);
  const float* dy = static_cast<float*>(params[1]);
  float* dx = static_cast<float*>(params[2]);
  const int64_t n = size(ndims[0], shapes[0]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) {
    const float e = exp_negative(-0.5f * x[i] * x[i]);
    dx[i] = dy[i] * (normal_cdf(x[i], e) + x[i] * 0.39894228f * e);
  }
  return 0;
}

// x -> its hyperbolic tangent
KERNEL(Tanh) {
  const float* x = static_cast<float*>(params[0]);
  float* y = static_cast<float*>(params[1]);
  const int64_t n = size(ndims[0], shapes[0]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) y[i] = tanh_of(x[i]);
  return 0;
}

// y of Tanh, dy -> dx
KERNEL(TanhGrad) {
  const float* y = static_cast<float*>(params[0]);
  const float* dy = static_cast<float*>(params[1]);
  float* dx = static_cast<float*>(params[2]);
  const int64_t n = size(ndims[0], shapes[0]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * (1.0f - y[i] * y[i]);
  return 0;
}

// x (..., D), gamma (D,), beta (D,) -> y, normalised over D
KERNEL(LayerNorm) {
  const float* x = static_cast<float*>(params[0]);
  const float* gamma = static_cast<float*>(params[1]);
  const float* beta = static_cast<float*>(params[2]);
  float* y = static_cast<float*>(params[3]);
  const int64_t d = shapes[1][0], rows = size(ndims[0], shapes[0]) / d;
#pragma omp parallel for if (rows * d > 16384)
  for (int64_t r = 0; r < rows; r++) {
    const float* in = x + r * d;
    float* out = y + r * d;
    float sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < d; i++) sum += in[i];
    const float mean = sum / d;
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < d; i++) square += (in[i] - mean) * (in[i] - mean);
    const float scale = 1.0f / std::sqrt(square / d + kEpsilon);
#pragma omp simd
    for (int64_t i = 0; i < d; i++) out[i] = (in[i] - mean) * scale * gamma[i] + beta[i];
  }
  return 0;
}

// x (..., D), gamma (D,), dy -> dx, dgamma, dbeta
KERNEL(LayerNormGrad) {
  const float* x = static_cast<float*>(params[0]);
  const float* gamma = static_cast<float*>(params[1]);
  const float* dy = static_cast<float*>(params[2]);
  float* dx = static_cast<float*>(params[3]);
  float* dgamma = static_cast<float*>(params[4]);
  float* dbeta = static_cast<float*>(params[5]);
  const int64_t d = shapes[1][0], rows = size(ndims[0], shapes[0]) / d;
  std::fill(dgamma, dgamma + d, 0.0f);
  std::fill(dbeta, dbeta + d, 0.0f);
#pragma omp parallel if (rows * d > 16384)
  {
    std::vector<float> own_gamma(d, 0.0f), own_beta(d, 0.0f);
    float* pg = own_gamma.data();
    float* pb = own_beta.data();
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
      const float* in = x + r * d;
      const float* g = dy + r * d;
      float* out = dx + r * d;
      float sum = 0, square = 0, sum_g = 0, sum_gx = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < d; i++) sum += in[i];
      const float mean = sum / d;
#pragma omp simd reduction(+ : square)
      for (int64_t i = 0; i < d; i++) square += (in[i] - mean) * (in[i] - mean);
      const float scale = 1.0f / std::sqrt(square / d + kEpsilon);
#pragma omp simd reduction(+ : sum_g, sum_gx)
      for (int64_t i = 0; i < d; i++) {
        const float normal = (in[i] - mean) * scale, weighted = g[i] * gamma[i];
        sum_g += weighted;
        sum_gx += weighted * normal;
        pg[i] += g[i] * normal;
        pb[i] += g[i];
      }
      const float mean_g = sum_g / d, mean_gx = sum_gx / d;
#pragma omp simd
      for (int64_t i = 0; i < d; i++) out[i] = scale * (g[i] * gamma[i] - mean_g - (in[i] - mean) * scale * mean_gx);
    }
#pragma omp critical
    for (int64_t i = 0; i < d; i++) {
      dgamma[i] += pg[i];
      dbeta[i] += pb[i];
    }
  }
  return 0;
}

namespace {

constexpr int64_t kBlock = 64;  // channels at a time: one frame of them is four cache lines

// Mean and 1 / deviation over the first n frames of `width` neighbouring channels of x (T, C). Sums over 32 frames are added up in double
// precision: one float32 sum over a second of audio would cost two digits.
void time_statistics(const float* x, int64_t n, int64_t channels, int64_t width, float* mean, float* scale) {
  double total[kBlock];
  const double count = std::max<int64_t>(n, 1);
  for (int pass = 0; pass < 2; pass++) {
    std::fill(total, total + width, 0.0);
    for (int64_t begin = 0; begin < n; begin += 32) {
      float part[kBlock] = {0};
      for (int64_t t = begin; t < std::min(n, begin + 32); t++)
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
          const float value = pass == 0 ? x[t * channels + c] : x[t * channels + c] - mean[c];
          part[c] += pass == 0 ? value : value * value;
        }
      for (int64_t c = 0; c < width; c++) total[c] += part[c];
    }
    for (int64_t c = 0; c < width; c++) {
      if (pass == 0) mean[c] = static_cast<float>(total[c] / count);
      else scale[c] = static_cast<float>(1.0 / std::sqrt(total[c] / count + kEpsilon));
    }
  }
}

}  // namespace

// x (B, T, C), gamma (C,), beta (C,), lengths (B,) int32 -> y, each channel normalised over the frames of its utterance; 0 in the padding
KERNEL(TimeNorm) {
  const float* x = static_cast<float*>(params[0]);
  const float* gamma = static_cast<float*>(params[1]);
  const float* beta = static_cast<float*>(params[2]);
  const int32_t* lengths = static_cast<int32_t*>(params[3]);
  float* y = static_cast<float*>(params[4]);
  const int64_t batch = shapes[0][0], frames = shapes[0][1], channels = shapes[0][2], blocks = (channels + kBlock - 1) / kBlock;
#pragma omp parallel for collapse(2)
  for (int64_t b = 0; b < batch; b++)
    for (int64_t k = 0; k < blocks; k++) {
      const int64_t first = k * kBlock, width = std::min(kBlock, channels - first), n = std::min<int64_t>(lengths[b], frames);
      const float* in = x + b * frames * channels + first;
      float* out = y + b * frames * channels + first;
      float mean[kBlock], scale[kBlock];
      time_statistics(in, n, channels, width, mean, scale);
      for (int64_t t = 0; t < n; t++)
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
          out[t * channels + c] = (in[t * channels + c] - mean[c]) * scale[c] * gamma[first + c] + beta[first + c];
      for (int64_t t = n; t < frames; t++) std::fill(out + t * channels, out + t * channels + width, 0.0f);
    }
  return 0;
}

// x (B, T, C), gamma (C,), lengths (B,) int32, dy -> dx, dgamma, dbeta
KERNEL(TimeNormGrad) {
  const float* x = static_cast<float*>(params[0]);
  const float* gamma = static_cast<float*>(params[1]);
  const int32_t* lengths = static_cast<int32_t*>(params[2]);
  const float* dy = static_cast<float*>(params[3]);
  float* dx = static_cast<float*>(params[4]);
  float* dgamma = static_cast<float*>(params[5]);
  float* dbeta = static_cast<float*>(params[6]);
  const int64_t batch = shapes[0][0], frames = shapes[0][1], channels = shapes[0][2], blocks = (channels + kBlock - 1) / kBlock;
#pragma omp parallel for
  for (int64_t k = 0; k < blocks; k++) {
    const int64_t first = k * kBlock, width = std::min(kBlock, channels - first);
    std::fill(dgamma + first, dgamma + first + width, 0.0f);
    std::fill(dbeta + first, dbeta + first + width, 0.0f);
    for (int64_t b = 0; b < batch; b++) {
      const int64_t n = std::min<int64_t>(lengths[b], frames);
      const float* in = x + b * frames * channels + first;
      const float* g = dy + b * frames * channels + first;
      float* out = dx + b * frames * channels + first;
      float mean[kBlock], scale[kBlock], sum_g[kBlock] = {0}, sum_gx[kBlock] = {0};
      time_statistics(in, n, channels, width, mean, scale);
      for (int64_t t = 0; t < n; t++)
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
          sum_g[c] += g[t * channels + c];
          sum_gx[c] += g[t * channels + c] * (in[t * channels + c] - mean[c]) * scale[c];
        }
      for (int64_t t = 0; t < n; t++)
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
          const float normal = (in[t * channels + c] - mean[c]) * scale[c];
          out[t * channels + c] = gamma[first + c] * scale[c] * (g[t * channels + c] - sum_g[c] / n - normal * sum_gx[c] / n);
        }
      for (int64_t t = n; t < frames; t++) std::fill(out + t * channels, out + t * channels + width, 0.0f);
      for (int64_t c = 0; c < width; c++) {
        dgamma[first + c] += sum_gx[c];
        dbeta[first + c] += sum_g[c];
      }
    }
  }
  return 0;
}

namespace {

// 0..1 from a position and a seed: the finaliser of MurmurHash3 on their mixture.
inline float hashed(uint32_t position, uint32_t seed) {
  uint32_t h = position * 0x9E3779B1u ^ seed * 0x85EBCA77u;
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  h *= 0xC2B2AE35u;
  h ^= h >> 16;
  return static_cast<float>(h >> 8) * (1.0f / 16777216.0f);
}

}  // namespace

// x, seed () int32, rate () -> x / (1 - rate) where the hash of position and seed is at least rate, else 0; its own gradient
KERNEL(Dropout) {
  const float* x = static_cast<float*>(params[0]);
  const uint32_t seed = *static_cast<uint32_t*>(params[1]);
  const float rate = *static_cast<float*>(params[2]), scale = 1.0f / (1.0f - rate);
  float* y = static_cast<float*>(params[3]);
  const int64_t n = size(ndims[0], shapes[0]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) y[i] = hashed(static_cast<uint32_t>(i), seed) >= rate ? x[i] * scale : 0.0f;
  return 0;
}

namespace {

constexpr int kLanes = 16;  // output channels at a time
constexpr int kRows = 8;    // frames, or input channels, at a time

// y[t, o] = sum over k, c of x[t + k, c] w[k, c, o] for t < frames and `lanes` outputs from w and y; rows of x and y lie x_stride and y_stride apart.
template <int Rows>
void convolve_rows(const float* x, const float* w, float* y, int64_t kernel, int64_t inputs, int64_t outputs, int lanes, int64_t x_stride,
                   int64_t y_stride) {
  float total[Rows][kLanes] = {};
  for (int64_t k = 0; k < kernel; k++) {
    float sum[Rows][kLanes] = {};  // of one tap: sums of sums keep more digits
    for (int64_t c = 0; c < inputs; c++) {
      const float* from = x + k * x_stride + c;
      const float* by = w + (k * inputs + c) * outputs;
      if (lanes == kLanes) {
        for (int r = 0; r < Rows; r++) {
          const float value = from[r * x_stride];
#pragma omp simd
          for (int o = 0; o < kLanes; o++) sum[r][o] += value * by[o];
        }
      } else {
        for (int r = 0; r < Rows; r++)
          for (int o = 0; o < lanes; o++) sum[r][o] += from[r * x_stride] * by[o];
      }
    }
    for (int r = 0; r < Rows; r++)
      for (int o = 0; o < kLanes; o++) total[r][o] += sum[r][o];
  }
  for (int r = 0; r < Rows; r++)
    for (int o = 0; o < lanes; o++) y[r * y_stride + o] = total[r][o];
}

struct Grouped {
  int64_t batch, groups, kernel, inputs, outputs;
};

// x (B, T + K - 1, G I), w (G, K, I, O) -> y (B, T, G O)
void convolve(const float* x, const float* w, float* y, int64_t frames, const Grouped& s) {
  const int64_t x_stride = s.groups * s.inputs, y_stride = s.groups * s.outputs, blocks = (frames + 31) / 32;
#pragma omp parallel for collapse(3)
  for (int64_t g = 0; g < s.groups; g++)
    for (int64_t b = 0; b < s.batch; b++)
      for (int64_t block = 0; block < blocks; block++)
        for (int64_t o = 0; o < s.outputs; o += kLanes) {
          const int lanes = static_cast<int>(std::min<int64_t>(kLanes, s.outputs - o));
          const int64_t end = std::min(frames, block * 32 + 32);
          for (int64_t t = block * 32; t < end;) {
            const float* from = x + (b * (frames + s.kernel - 1) + t) * x_stride + g * s.inputs;
            const float* by = w + g * s.kernel * s.inputs * s.outputs + o;
            float* to = y + (b * frames + t) * y_stride + g * s.outputs + o;
            if (end - t >= kRows) {
              convolve_rows<kRows>(from, by, to, s.kernel, s.inputs, s.outputs, lanes, x_stride, y_stride);
              t += kRows;
            } else {
              convolve_rows<1>(from, by, to, s.kernel, s.inputs, s.outputs, lanes, x_stride, y_stride);
              t += 1;
            }
          }
        }
}

}  // namespace

// x (B, T + K - 1, G I), w (G, K, I, O) -> y (B, T, G O): a grouped convolution over time
KERNEL(GroupedConv) {
  const Grouped s{shapes[0][0], shapes[1][0], shapes[1][1], shapes[1][2], shapes[1][3]};
  convolve(static_cast<float*>(params[0]), static_cast<float*>(params[1]), static_cast<float*>(params[2]), shapes[2][1], s);
  return 0;
}

// x, w, dy -> dx, dw
KERNEL(GroupedConvGrad) {
  const Grouped s{shapes[0][0], shapes[1][0], shapes[1][1], shapes[1][2], shapes[1][3]};
  const float* x = static_cast<float*>(params[0]);
  const float* w = static_cast<float*>(params[1]);
  const float* dy = static_cast<float*>(params[2]);
  float* dx = static_cast<float*>(params[3]);
  float* dw = static_cast<float*>(params[4]);
  const int64_t frames = shapes[2][1], padded = shapes[0][1], x_stride = s.groups * s.inputs, y_stride = s.groups * s.outputs;

  // dx is the convolution of the padded dy with the weights reversed in time, with inputs and outputs swapped
  std::vector<float> turned(s.groups * s.kernel * s.inputs * s.outputs), wide(s.batch * (padded + s.kernel - 1) * y_stride, 0.0f);
#pragma omp parallel for collapse(2)
  for (int64_t g = 0; g < s.groups; g++)
    for (int64_t k = 0; k < s.kernel; k++) {
      const float* from = w + (g * s.kernel + k) * s.inputs * s.outputs;
      float* to = turned.data() + (g * s.kernel + s.kernel - 1 - k) * s.inputs * s.outputs;
      for (int64_t c = 0; c < s.inputs; c++)
        for (int64_t o = 0; o < s.outputs; o++) to[o * s.inputs + c] = from[c * s.outputs + o];
    }
  for (int64_t b = 0; b < s.batch; b++)
    std::memcpy(wide.data() + (b * (padded + s.kernel - 1) + s.kernel - 1) * y_stride, dy + b * frames * y_stride,
                frames * y_stride * sizeof(float));
  convolve(wide.data(), turned.data(), dx, padded, Grouped{s.batch, s.groups, s.kernel, s.outputs, s.inputs});

#pragma omp parallel for collapse(2)
  for (int64_t g = 0; g < s.groups; g++)
    for (int64_t k = 0; k < s.kernel; k++)
      for (int64_t c = 0; c < s.inputs; c += kRows)
        for (int64_t o = 0; o < s.outputs; o += kLanes) {
          const int rows = static_cast<int>(std::min<int64_t>(kRows, s.inputs - c)), lanes = static_cast<int>(std::min<int64_t>(kLanes, s.outputs - o));
          float sum[kRows][kLanes] = {};
          for (int64_t b = 0; b < s.batch; b++)
            for (int64_t t = 0; t < frames; t++) {
              const float* from = x + (b * padded + t + k) * x_stride + g * s.inputs + c;
              const float* by = dy + (b * frames + t) * y_stride + g * s.outputs + o;
              if (rows == kRows && lanes == kLanes) {
                for (int r = 0; r < kRows; r++)
#pragma omp simd
                  for (int l = 0; l < kLanes; l++) sum[r][l] += from[r] * by[l];
              } else {
                for (int r = 0; r < rows; r++)
                  for (int l = 0; l < lanes; l++) sum[r][l] += from[r] * by[l];
              }
            }
          float* to = dw + ((g * s.kernel + k) * s.inputs + c) * s.outputs + o;
          for (int r = 0; r < rows; r++)
            for (int l = 0; l < lanes; l++) to[r * s.outputs + l] = sum[r][l];
        }
  return 0;
}
