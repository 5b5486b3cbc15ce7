// One direction of a recurrent layer over all frames: MindSpore has no operator for it on CPUs (GRU, RNN) or a slower one (LSTM).
// Gates are in PyTorch's order: i f g o; r z n.
//
// Forward, name(gates, weight, input bias, recurrent bias) -> y, saved: gates (T, B, G H) are the input's share of the gates without bias,
// weight (G H, H); y (T, B, H); saved (T, B, S H) is kept for the backward pass. Backward, nameGrad(dy, y, saved, weight) -> dgates,
// dnext (T, B, G H), dbias (2, G H): dnext holds the gradients of the recurrent shares of the next frame (0 after the last), so that the weight's
// gradient is dnext' y.

#include "kernel.h"
#include "lanes.h"

namespace {

constexpr int kColumns = kLanes == 8 ? 2 : 4;
constexpr int kRows = 4;
constexpr int64_t kUnits = 16;  // hidden units that a thread computes at once
constexpr int64_t kShared = 1 << 21;  // products of a frame from which on threads share it

// out (C, kUnits) = w[r] . x[c] for R rows of w, `stride` apart, and C rows of x, each of n numbers.
template <int R, int C>
inline void dots(const float* w, int64_t stride, const float* x, int64_t n, float* out) {
  Lanes sum[R][C] = {};
  int64_t k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    Lanes a[C];
    for (int c = 0; c < C; c++) a[c] = load(x + c * n + k);
    for (int r = 0; r < R; r++) {
      const Lanes b = load(w + r * stride + k);
      for (int c = 0; c < C; c++) sum[r][c] += a[c] * b;
    }
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) {
      float total = 0;
      for (int i = 0; i < kLanes; i++) total += sum[r][c][i];
      for (int64_t j = k; j < n; j++) total += w[r * stride + j] * x[c * n + j];
      out[c * kUnits + r] = total;
    }
}

// out (columns, kUnits) = x (columns, n) times the transpose of w (rows, n), rows <= kUnits.
void multiply(const float* w, int64_t stride, int64_t rows, const float* x, int64_t columns, int64_t n, float* out) {
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    int64_t c = 0;
    for (; c + kColumns <= columns; c += kColumns) dots<kRows, kColumns>(w + r * stride, stride, x + c * n, n, out + c * kUnits + r);
    for (; c < columns; c++) dots<kRows, 1>(w + r * stride, stride, x + c * n, n, out + c * kUnits + r);
  }
  for (; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) dots<1, 1>(w + r * stride, stride, x + c * n, n, out + c * kUnits + r);
}

// A kind of cell. forward: one unit from the gates' shares x (of the input) and h (recurrent, bias included), both with stride kUnits; previous:
// the unit's output in the previous frame; saved_before: its saved numbers there. backward: gradients of the shares from dh, of the output; carry
// goes to the previous frame.
struct Lstm {
  static constexpr int kGates = 4, kSaved = 5;  // i f g o, cell state
  static inline float forward(const float* x, const float* h, float, const float* saved_before, float* saved, int64_t H) {
    const float i = sigmoid_of(x[0] + h[0]), f = sigmoid_of(x[kUnits] + h[kUnits]), g = tanh_of(x[2 * kUnits] + h[2 * kUnits]), o = sigmoid_of(x[3 * kUnits] + h[3 * kUnits]);
    const float cell = f * saved_before[4 * H] + i * g;
    saved[0] = i, saved[H] = f, saved[2 * H] = g, saved[3 * H] = o, saved[4 * H] = cell;
    return o * tanh_of(cell);
  }
  static inline float backward(float dh, float carry, float, float, const float* saved_before, const float* saved, float* dx, float* drec, int64_t H) {
    const float i = saved[0], f = saved[H], g = saved[2 * H], o = saved[3 * H], squashed = tanh_of(saved[4 * H]);
    const float dcell = carry + dh * o * (1.0f - squashed * squashed);
    dx[0] = drec[0] = dcell * g * i * (1.0f - i);
    dx[kUnits] = drec[kUnits] = dcell * saved_before[4 * H] * f * (1.0f - f);
    dx[2 * kUnits] = drec[2 * kUnits] = dcell * i * (1.0f - g * g);
    dx[3 * kUnits] = drec[3 * kUnits] = dh * squashed * o * (1.0f - o);
    return dcell * f;
  }
  static constexpr bool kCarryIsOutput = false;
};

struct Gru {
  static constexpr int kGates = 3, kSaved = 4;  // r z n, recurrent share of n
  static inline float forward(const float* x, const float* h, float previous, const float*, float* saved, int64_t H) {
    const float r = sigmoid_of(x[0] + h[0]), z = sigmoid_of(x[kUnits] + h[kUnits]), n = tanh_of(x[2 * kUnits] + r * h[2 * kUnits]);
    saved[0] = r, saved[H] = z, saved[2 * H] = n, saved[3 * H] = h[2 * kUnits];
    return n + z * (previous - n);
  }
  static inline float backward(float dh, float, float previous, float, const float*, const float* saved, float* dx, float* drec, int64_t H) {
    const float r = saved[0], z = saved[H], n = saved[2 * H];
    const float dn = dh * (1.0f - z) * (1.0f - n * n);
    dx[0] = drec[0] = dn * saved[3 * H] * r * (1.0f - r);
    dx[kUnits] = drec[kUnits] = dh * (previous - n) * z * (1.0f - z);
    dx[2 * kUnits] = dn, drec[2 * kUnits] = dn * r;
    return dh * z;
  }
  static constexpr bool kCarryIsOutput = true;
};

struct Rnn {
  static constexpr int kGates = 1, kSaved = 1;  // nothing
  static inline float forward(const float* x, const float* h, float, const float*, float*, int64_t) { return tanh_of(x[0] + h[0]); }
  static inline float backward(float dh, float, float, float y, const float*, const float*, float* dx, float* drec, int64_t) {
    dx[0] = drec[0] = dh * (1.0f - y * y);
    return 0.0f;
  }
  static constexpr bool kCarryIsOutput = true;
};

template <class Cell>
int forward(void** params, int64_t** shapes) {
  const auto gates = static_cast<const float*>(params[0]), weight = static_cast<const float*>(params[1]);
  const auto input_bias = static_cast<const float*>(params[2]), recurrent_bias = static_cast<const float*>(params[3]);
  auto y = static_cast<float*>(params[4]), saved = static_cast<float*>(params[5]);
  const int64_t T = shapes[0][0], B = shapes[0][1], G = shapes[0][2], H = G / Cell::kGates, S = Cell::kSaved * H;
  const std::vector<float> zeros(S);
#pragma omp parallel if (B * G * H >= kShared)
  {
    std::vector<float> recurrent(Cell::kGates * B * kUnits);
    for (int64_t t = 0; t < T; t++) {
#pragma omp for schedule(static)
      for (int64_t begin = 0; begin < H; begin += kUnits) {
        const int64_t units = std::min(kUnits, H - begin);
        for (int g = 0; t > 0 && g < Cell::kGates; g++)
          multiply(weight + (g * H + begin) * H, H, units, y + (t - 1) * B * H, B, H, recurrent.data() + g * B * kUnits);
        for (int64_t b = 0; b < B; b++) {
          const int64_t row = t * B + b;
          const float *before = t > 0 ? saved + (row - B) * S : zeros.data(), *previous = t > 0 ? y + (row - B) * H : zeros.data();
          float x[Cell::kGates * kUnits], h[Cell::kGates * kUnits];
          for (int g = 0; g < Cell::kGates; g++)
            for (int64_t j = 0; j < units; j++) {
              x[g * kUnits + j] = gates[row * G + g * H + begin + j] + input_bias[g * H + begin + j];
              h[g * kUnits + j] = recurrent[(g * B + b) * kUnits + j] + recurrent_bias[g * H + begin + j];
            }
#pragma omp simd
          for (int64_t j = 0; j < units; j++) {
            const int64_t u = begin + j;
            y[row * H + u] = Cell::forward(x + j, h + j, previous[u], before + u, saved + row * S + u, H);
          }
        }
      }
    }
  }
  return 0;
}

template <class Cell>
int backward(void** params, int64_t** shapes) {
  const auto dy = static_cast<const float*>(params[0]), y = static_cast<const float*>(params[1]), saved = static_cast<const float*>(params[2]),
             weight = static_cast<const float*>(params[3]);
  auto dgates = static_cast<float*>(params[4]), dnext = static_cast<float*>(params[5]), dbias = static_cast<float*>(params[6]);
  const int64_t T = shapes[0][0], B = shapes[0][1], H = shapes[0][2], G = Cell::kGates * H, S = Cell::kSaved * H;
  const int64_t stride = G + kLanes;  // not a power of two, at which rows would compete for the same cache lines
  std::vector<float> transposed(H * stride), carry(B * H);
  const std::vector<float> zeros(S);
  std::memset(dnext + (T - 1) * B * G, 0, B * G * sizeof(float));
  std::memset(dbias, 0, 2 * G * sizeof(float));
#pragma omp parallel if (B * G * H >= kShared)
  {
    std::vector<float> from_next(B * kUnits);
#pragma omp for schedule(static)
    for (int64_t begin = 0; begin < H; begin += kUnits)
      for (int64_t g = 0; g < G; g++)
        for (int64_t u = begin; u < std::min(begin + kUnits, H); u++) transposed[u * stride + g] = weight[g * H + u];
    for (int64_t t = T - 1; t >= 0; t--) {
#pragma omp for schedule(static)
      for (int64_t begin = 0; begin < H; begin += kUnits) {
        const int64_t units = std::min(kUnits, H - begin);
        if (t < T - 1) multiply(transposed.data() + begin * stride, stride, units, dnext + t * B * G, B, G, from_next.data());
        for (int64_t b = 0; b < B; b++) {
          const int64_t row = t * B + b;
          const float *before = t > 0 ? saved + (row - B) * S : zeros.data(), *previous = t > 0 ? y + (row - B) * H : zeros.data();
          float dx[Cell::kGates * kUnits], drec[Cell::kGates * kUnits];
#pragma omp simd
          for (int64_t j = 0; j < units; j++) {
            const int64_t u = begin + j;
            float& kept = carry[b * H + u];
            const float dh = dy[row * H + u] + from_next[b * kUnits + j] + (Cell::kCarryIsOutput ? kept : 0.0f);
            kept = Cell::backward(dh, kept, previous[u], y[row * H + u], before + u, saved + row * S + u, dx + j, drec + j, H);
          }
          for (int g = 0; g < Cell::kGates; g++)
            for (int64_t j = 0; j < units; j++) {
              const int64_t k = g * H + begin + j;
              dgates[row * G + k] = dx[g * kUnits + j];
              dbias[k] += dx[g * kUnits + j];
              dbias[G + k] += drec[g * kUnits + j];
              if (t > 0) dnext[(row - B) * G + k] = drec[g * kUnits + j];
            }
        }
      }
    }
  }
  return 0;
}

}  // namespace

KERNEL(LstmLayer) { return forward<Lstm>(params, shapes); }
KERNEL(LstmLayerGrad) { return backward<Lstm>(params, shapes); }
KERNEL(GruLayer) { return forward<Gru>(params, shapes); }
KERNEL(GruLayerGrad) { return backward<Gru>(params, shapes); }
KERNEL(RnnLayer) { return forward<Rnn>(params, shapes); }
KERNEL(RnnLayerGrad) { return backward<Rnn>(params, shapes); }
