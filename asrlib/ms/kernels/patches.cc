// The patches of a convolution over time, which make it one product with a matrix, and their gradient.

#include "kernel.h"

namespace {

struct Geometry {
  int64_t width, stride, dilation, before;  // before: frames of padding in front
  explicit Geometry(const void* of) {
    const int32_t* values = static_cast<const int32_t*>(of);
    width = values[0], stride = values[1], dilation = values[2], before = values[3];
  }
};

}  // namespace

// x (B, T, I), geometry (4,) int32 -> patches (B, T', width * I), 0 outside x
KERNEL(Patches) {
  const float* x = static_cast<float*>(params[0]);
  const Geometry g(params[1]);
  float* y = static_cast<float*>(params[2]);
  const int64_t batch = shapes[0][0], steps = shapes[0][1], inputs = shapes[0][2], frames = shapes[2][1];
#pragma omp parallel for collapse(2) if (batch * frames * g.width * inputs > 16384)
  for (int64_t b = 0; b < batch; b++)
    for (int64_t t = 0; t < frames; t++) {
      float* out = y + (b * frames + t) * g.width * inputs;
      const int64_t place = t * g.stride - g.before;
      if (g.dilation == 1 && place >= 0 && place + g.width <= steps) {  // a patch lies in one piece
        std::memcpy(out, x + (b * steps + place) * inputs, g.width * inputs * sizeof(float));
        continue;
      }
      for (int64_t k = 0; k < g.width; k++) {
        const int64_t from = place + k * g.dilation;
        if (from < 0 || from >= steps) std::memset(out + k * inputs, 0, inputs * sizeof(float));
        else std::memcpy(out + k * inputs, x + (b * steps + from) * inputs, inputs * sizeof(float));
      }
    }
  return 0;
}

// gradient of the patches (B, T', width * I), x (B, T, I), geometry -> gradient of x: for every frame the sum over its positions in the patches
KERNEL(PatchesGrad) {
  const float* dy = static_cast<float*>(params[0]);
  const Geometry g(params[2]);
  float* dx = static_cast<float*>(params[3]);
  const int64_t frames = shapes[0][1], batch = shapes[1][0], steps = shapes[1][1], inputs = shapes[1][2];
#pragma omp parallel for collapse(2) if (batch * frames * g.width * inputs > 16384)
  for (int64_t b = 0; b < batch; b++)
    for (int64_t s = 0; s < steps; s++) {
      float* out = dx + (b * steps + s) * inputs;
      std::memset(out, 0, inputs * sizeof(float));
      for (int64_t k = 0; k < g.width; k++) {
        const int64_t place = s + g.before - k * g.dilation;
        if (place < 0 || place % g.stride != 0 || place / g.stride >= frames) continue;
        const float* in = dy + ((b * frames + place / g.stride) * g.width + k) * inputs;
#pragma omp simd
        for (int64_t i = 0; i < inputs; i++) out[i] += in[i];
      }
    }
  return 0;
}
