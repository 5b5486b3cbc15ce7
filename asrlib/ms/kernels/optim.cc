// Norms and sums of gradients, and updates of optimizers in one pass over the memory: sums, weights and moments are changed in place.

#include "kernel.h"

namespace {

// In float32 within blocks and in double precision over them, in the same order for any number of threads.
double square_sum(const float* x, int64_t n) {
  constexpr int64_t kBlock = 4096;
  std::vector<double> sums((n + kBlock - 1) / kBlock);
#pragma omp parallel for if (n > 16384)
  for (int64_t b = 0; b < static_cast<int64_t>(sums.size()); b++) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); i++) sum += x[i] * x[i];
    sums[b] = sum;
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace

// x -> sum of its squares (1,)
KERNEL(SquareSum) {
  *static_cast<float*>(params[1]) = static_cast<float>(square_sum(static_cast<float*>(params[0]), size(ndims[0], shapes[0])));
  return 0;
}

// sum, gradient, first (1,): whether the gradient replaces the sum instead of being added to it -> done (1,)
KERNEL(AddTo) {
  float* sum = static_cast<float*>(params[0]);
  const float* gradient = static_cast<float*>(params[1]);
  const bool first = *static_cast<float*>(params[2]) != 0;
  const int64_t n = size(ndims[0], shapes[0]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) sum[i] = first ? gradient[i] : sum[i] + gradient[i];
  *static_cast<float*>(params[3]) = 1;
  return 0;
}

// mean, value, decay (1,) -> done (1,): mean = decay mean + (1 - decay) value
KERNEL(MoveMean) {
  float* mean = static_cast<float*>(params[0]);
  const float* value = static_cast<float*>(params[1]);
  const float decay = *static_cast<float*>(params[2]);
  const int64_t n = size(ndims[0], shapes[0]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) mean[i] = mean[i] * decay + value[i] * (1 - decay);
  *static_cast<float*>(params[3]) = 1;
  return 0;
}

// two arrays -> done (1,): swaps their contents
KERNEL(Exchange) {
  float* a = static_cast<float*>(params[0]);
  float* b = static_cast<float*>(params[1]);
  const int64_t n = size(ndims[0], shapes[0]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) std::swap(a[i], b[i]);
  *static_cast<float*>(params[2]) = 1;
  return 0;
}

// weight, first moment, second moment, gradient; settings (9,): learning rate, beta1^t, beta2^t, scale of the gradient, beta1, beta2, epsilon,
// weight decay, whether it is decoupled -> done (1,). As torch.optim.Adam and AdamW.
KERNEL(AdamUpdate) {
  float* weight = static_cast<float*>(params[0]);
  float* first = static_cast<float*>(params[1]);
  float* second = static_cast<float*>(params[2]);
  const float* gradient = static_cast<float*>(params[3]);
  const float* settings = static_cast<float*>(params[4]);
  const float rate = settings[0], scale = settings[3], beta1 = settings[4], beta2 = settings[5], epsilon = settings[6];
  const bool decoupled = settings[8] != 0;
  const float shrink = decoupled ? 1 - rate * settings[7] : 1, penalty = decoupled ? 0 : settings[7];
  const float step = rate / (1 - settings[1]), correction = 1 / std::sqrt(1 - settings[2]);
  const int64_t n = size(ndims[0], shapes[0]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) {
    const float g = gradient[i] * scale + penalty * weight[i];
    first[i] = beta1 * first[i] + (1 - beta1) * g;
    second[i] = beta2 * second[i] + (1 - beta2) * g * g;
    weight[i] = weight[i] * shrink - step * first[i] / (std::sqrt(second[i]) * correction + epsilon);
  }
  *static_cast<float*>(params[5]) = 1;
  return 0;
}

// weight, first moment, second moment (1,), gradient; settings (6,): learning rate, scale of the gradient, beta1, beta2, epsilon, weight decay
// -> done (1,)
KERNEL(NovoGradUpdate) {
  float* weight = static_cast<float*>(params[0]);
  float* first = static_cast<float*>(params[1]);
  float* second = static_cast<float*>(params[2]);
  const float* gradient = static_cast<float*>(params[3]);
  const float* settings = static_cast<float*>(params[4]);
  const float rate = settings[0], scale = settings[1], beta1 = settings[2], beta2 = settings[3], decay = settings[5];
  const int64_t n = size(ndims[0], shapes[0]);
  const float norm = static_cast<float>(square_sum(gradient, n)) * scale * scale;
  *second = *second > 0 ? beta2 * *second + (1 - beta2) * norm : norm;  // starts with the first gradient
  const float factor = scale / (std::sqrt(*second) + settings[4]);
#pragma omp parallel for simd if (n > 16384)
  for (int64_t i = 0; i < n; i++) {
    first[i] = beta1 * first[i] + factor * gradient[i] + decay * weight[i];
    weight[i] -= rate * first[i];
  }
  *static_cast<float*>(params[5]) = 1;
  return 0;
}
