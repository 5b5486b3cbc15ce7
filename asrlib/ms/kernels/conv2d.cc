// Convolution over time and frequency, channels last, as products whose left side is read from the input in place: no patches are stored.
// x (B, T, F, I), weight (O, I, KF, KT), y (B, T', F', O); strides (2,) int32: of frequency and of time; padding: half of the filter's size at every edge.

#include <omp.h>

#include "kernel.h"
#include "lanes.h"

namespace {

constexpr int kRows = kLanes == 16 ? 12 : 4, kVectors = 2;  // a block of sums that fits the registers

// out (R, V * kLanes), rows out_stride apart, += a' b: a's element (row, k) is a[row * row_stride + k * k_stride], b (n, .) has rows b_stride apart.
template <int R, int V>
inline void add_block(const float* a, int64_t row_stride, int64_t k_stride, const float* b, int64_t b_stride, int64_t n, float* out, int64_t out_stride) {
  Lanes sum[R][V] = {};  // of one call: sums of sums keep more digits
  for (int64_t k = 0; k < n; k++) {
    Lanes right[V];
    for (int v = 0; v < V; v++) right[v] = load(b + k * b_stride + v * kLanes);
    for (int r = 0; r < R; r++) {
      const float left = a[r * row_stride + k * k_stride];
      for (int v = 0; v < V; v++) sum[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) {
      float* to = out + r * out_stride + v * kLanes;
      store(to, load(to) + sum[r][v]);
    }
}

template <int V>
void add_rows(const float* a, int64_t row_stride, int64_t k_stride, const float* b, int64_t b_stride, int64_t n, float* out, int64_t out_stride, int64_t rows) {
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) add_block<kRows, V>(a + r * row_stride, row_stride, k_stride, b, b_stride, n, out + r * out_stride, out_stride);
  for (; r < rows; r++) add_block<1, V>(a + r * row_stride, row_stride, k_stride, b, b_stride, n, out + r * out_stride, out_stride);
}

// The same for all columns of out, a multiple of kLanes.
void add_product(const float* a, int64_t row_stride, int64_t k_stride, const float* b, int64_t n, float* out, int64_t rows, int64_t columns) {
  int64_t c = 0;
  for (; c + kVectors * kLanes <= columns; c += kVectors * kLanes) add_rows<kVectors>(a, row_stride, k_stride, b + c, columns, n, out + c, columns, rows);
  for (; c < columns; c += kLanes) add_rows<1>(a, row_stride, k_stride, b + c, columns, n, out + c, columns, rows);
}

int64_t rounded(int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

struct Shape {
  int64_t batch, T, F, I, O, KF, KT, stride_f, stride_t, pad_f, pad_t, out_T, out_F;
  Shape(const int64_t* x, const int64_t* w, const void* strides)
      : batch(x[0]), T(x[1]), F(x[2]), I(x[3]), O(w[0]), KF(w[2]), KT(w[3]), stride_f(static_cast<const int32_t*>(strides)[0]),
        stride_t(static_cast<const int32_t*>(strides)[1]), pad_f(KF / 2), pad_t(KT / 2), out_T((T + 2 * pad_t - KT) / stride_t + 1),
        out_F((F + 2 * pad_f - KF) / stride_f + 1) {}
  int64_t weight(int64_t o, int64_t i, int64_t kf, int64_t kt) const { return ((o * I + i) * KF + kf) * KT + kt; }
};

}  // namespace

// x, weight, strides -> y
KERNEL(Conv2d) {
  const Shape s(shapes[0], shapes[1], params[2]);
  const float *x = static_cast<float*>(params[0]), *weight = static_cast<float*>(params[1]);
  float* y = static_cast<float*>(params[3]);
  const int64_t columns = rounded(s.O), taps = s.KF * s.I, width = (s.F + 2 * s.pad_f) * s.I;
  std::vector<float> by(s.KT * taps * columns, 0.0f);  // (KT, KF, I, columns)
  for (int64_t kt = 0; kt < s.KT; kt++)
    for (int64_t kf = 0; kf < s.KF; kf++)
      for (int64_t i = 0; i < s.I; i++)
        for (int64_t o = 0; o < s.O; o++) by[((kt * s.KF + kf) * s.I + i) * columns + o] = weight[s.weight(o, i, kf, kt)];
#pragma omp parallel
  {
    std::vector<float> row(width, 0.0f), sums(s.out_F * columns);
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < s.batch; b++)
      for (int64_t t = 0; t < s.out_T; t++) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int64_t kt = 0; kt < s.KT; kt++) {
          const int64_t from = t * s.stride_t + kt - s.pad_t;
          if (from < 0 || from >= s.T) continue;
          std::memcpy(row.data() + s.pad_f * s.I, x + (b * s.T + from) * s.F * s.I, s.F * s.I * sizeof(float));
          add_product(row.data(), s.stride_f * s.I, 1, by.data() + kt * taps * columns, taps, sums.data(), s.out_F, columns);
        }
        float* out = y + (b * s.out_T + t) * s.out_F * s.O;
        for (int64_t f = 0; f < s.out_F; f++) std::memcpy(out + f * s.O, sums.data() + f * columns, s.O * sizeof(float));
      }
  }
  return 0;
}

// x (for its shape alone), weight, strides, dy -> dx. The frequencies of x fall into stride_f classes, each of which sees every stride_f-th tap.
KERNEL(Conv2dInputGrad) {
  const Shape s(shapes[0], shapes[1], params[2]);
  const float *weight = static_cast<float*>(params[1]), *dy = static_cast<float*>(params[3]);
  float* dx = static_cast<float*>(params[4]);
  const int64_t columns = rounded(s.I), most = (s.KF + s.stride_f - 1) / s.stride_f, edge = most + 1, width = (s.out_F + 2 * edge) * s.O;
  std::vector<float> by(s.KT * s.stride_f * most * s.O * columns, 0.0f);  // (KT, class, taps in reverse order, O, columns)
  const auto taps = [&](int64_t first) { return (s.KF - first + s.stride_f - 1) / s.stride_f; };
  for (int64_t kt = 0; kt < s.KT; kt++)
    for (int64_t first = 0; first < std::min(s.stride_f, s.KF); first++)
      for (int64_t m = 0; m < taps(first); m++)
        for (int64_t o = 0; o < s.O; o++)
          for (int64_t i = 0; i < s.I; i++)
            by[(((kt * s.stride_f + first) * most + taps(first) - 1 - m) * s.O + o) * columns + i] = weight[s.weight(o, i, first + s.stride_f * m, kt)];
#pragma omp parallel
  {
    std::vector<float> row(width, 0.0f), sums(s.F * columns);
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < s.batch; b++)
      for (int64_t t = 0; t < s.T; t++) {
        float* out = dx + (b * s.T + t) * s.F * s.I;
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int64_t kt = 0; kt < s.KT; kt++) {
          const int64_t place = t + s.pad_t - kt;
          if (place < 0 || place % s.stride_t != 0 || place / s.stride_t >= s.out_T) continue;
          std::memcpy(row.data() + edge * s.O, dy + (b * s.out_T + place / s.stride_t) * s.out_F * s.O, s.out_F * s.O * sizeof(float));
          int64_t done = 0;
          for (int64_t f = 0; f < std::min(s.stride_f, s.F); f++) {  // the class of f, f + stride_f, ...
            const int64_t first = (f + s.pad_f) % s.stride_f, rows = (s.F - f + s.stride_f - 1) / s.stride_f;
            if (first < s.KF) {
              const float* from = row.data() + ((f + s.pad_f) / s.stride_f - taps(first) + 1 + edge) * s.O;
              add_product(from, s.O, 1, by.data() + (kt * s.stride_f + first) * most * s.O * columns, taps(first) * s.O, sums.data() + done * columns, rows, columns);
            }
            done += rows;
          }
        }
        int64_t done = 0;
        for (int64_t f = 0; f < std::min(s.stride_f, s.F); f++)
          for (int64_t to = f; to < s.F; to += s.stride_f, done++) std::memcpy(out + to * s.I, sums.data() + done * columns, s.I * sizeof(float));
      }
  }
  return 0;
}

// x, weight (for its shape alone), strides, dy -> dweight
KERNEL(Conv2dWeightGrad) {
  const Shape s(shapes[0], shapes[1], params[2]);
  const float *x = static_cast<float*>(params[0]), *dy = static_cast<float*>(params[3]);
  float* dw = static_cast<float*>(params[4]);
  const int64_t columns = rounded(s.O), taps = s.KF * s.I, width = (s.F + 2 * s.pad_f) * s.I;
  std::vector<std::vector<float>> of_threads(omp_get_max_threads());  // (KT, KF, I, columns) each; added up in the threads' order
#pragma omp parallel
  {
    std::vector<float>& sums = of_threads[omp_get_thread_num()];
    sums.assign(s.KT * taps * columns, 0.0f);
    std::vector<float> row(width, 0.0f), gradient(s.out_F * columns, 0.0f);
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < s.batch; b++)
      for (int64_t t = 0; t < s.out_T; t++) {
        const float* from_dy = dy + (b * s.out_T + t) * s.out_F * s.O;
        for (int64_t f = 0; f < s.out_F; f++) std::memcpy(gradient.data() + f * columns, from_dy + f * s.O, s.O * sizeof(float));
        for (int64_t kt = 0; kt < s.KT; kt++) {
          const int64_t from = t * s.stride_t + kt - s.pad_t;
          if (from < 0 || from >= s.T) continue;
          std::memcpy(row.data() + s.pad_f * s.I, x + (b * s.T + from) * s.F * s.I, s.F * s.I * sizeof(float));
          add_product(row.data(), 1, s.stride_f * s.I, gradient.data(), s.out_F, sums.data() + kt * taps * columns, taps, columns);
        }
      }
  }
#pragma omp parallel for
  for (int64_t o = 0; o < s.O; o++)
    for (int64_t i = 0; i < s.I; i++)
      for (int64_t kf = 0; kf < s.KF; kf++)
        for (int64_t kt = 0; kt < s.KT; kt++) {
          double total = 0;
          for (const auto& sums : of_threads)
            if (!sums.empty()) total += sums[((kt * s.KF + kf) * s.I + i) * columns + o];
          dw[s.weight(o, i, kf, kt)] = static_cast<float>(total);
        }
  return 0;
}
