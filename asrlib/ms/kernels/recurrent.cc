// A recurrent layer over all frames, in one direction or in both: MindSpore has no operator for it on CPUs (GRU, RNN) or a slower one (LSTM).
// Gates are in PyTorch's order: i f g o; r z n. Padding is skipped: the backward direction begins at the last frame of each utterance.
//
// Forward, for each direction: gates (T, B, G H), the input's share without bias; weight (G H, H); input bias, recurrent bias (G H,); after them
// lengths (B,) int32 -> for each direction: y (T, B, H), saved (T, B, S H) for the gradient.
// Gradient, for each direction: dy, y (T, B, H), saved, weight; after them lengths -> for each direction: dgates (T, B, G H); before (T, B, H), the
// output of the frame before, so that the weight's gradient is drec' before; dbias (2, G H); of a GRU also drec (T, B, G H), the gradient of the
// recurrent share, which is that of the gates in the others.

#include "kernel.h"
#include "lanes.h"

#include <omp.h>

#include <atomic>
#include <memory>
#include <thread>

namespace {

constexpr int kColumns = kLanes == 8 ? 2 : 4;  // utterances at a time: the sums of kVectors x kColumns fit into the registers
constexpr int kVectors = 4;
constexpr int64_t kShared = 1 << 21;  // products of a frame from which on threads share a direction
constexpr int64_t kCached = 6 << 20;  // bytes of the weights of a direction up to which both directions are computed at the same time

// Threads that compute one direction together and wait for each other at every frame.
class Team {
 public:
  explicit Team(int size) : size_(size) {}
  int size() const { return size_; }
  void wait() {
    if (size_ == 1) return;
    const int turn = turn_.load();
    if (arrived_.fetch_add(1) + 1 == size_) {
      arrived_.store(0);
      turn_.store(turn + 1);
      return;
    }
    for (int i = 0; turn_.load(std::memory_order_acquire) == turn; i++)
      if (i > 4000) std::this_thread::yield();  // other processes need the core
  }

 private:
  const int size_;
  std::atomic<int> arrived_{0}, turn_{0};
};

struct Range {
  int64_t begin, end;
};

Range share(int64_t blocks, int member, int members) { return {blocks * member / members, blocks * (member + 1) / members}; }

// out (C, V, kLanes) = the products of V vectors of weights, w (n, V, kLanes), with C rows of x, x_stride apart, of n numbers.
template <int V, int C>
inline void products(const float* w, const float* x, int64_t x_stride, int64_t n, float* out) {
  Lanes sum[C][V] = {};
  for (int64_t k = 0; k < n; k++)
    for (int c = 0; c < C; c++) {
      const Lanes value = Lanes{} + x[c * x_stride + k];
      for (int v = 0; v < V; v++) sum[c][v] += load(w + (k * V + v) * kLanes) * value;
    }
  for (int c = 0; c < C; c++)
    for (int v = 0; v < V; v++) store(out + (c * V + v) * kLanes, sum[c][v]);
}

template <int V>
void multiply(const float* w, const float* x, int64_t columns, int64_t n, float* out) {
  int64_t c = 0;
  for (; c + kColumns <= columns; c += kColumns) products<V, kColumns>(w, x + c * n, n, n, out + c * V * kLanes);
  for (; c + 2 <= columns; c += 2) products<V, 2>(w, x + c * n, n, n, out + c * V * kLanes);
  for (; c < columns; c++) products<V, 1>(w, x + c * n, n, n, out + c * V * kLanes);
}

// A kind of cell. forward: one unit from the gates' shares x (of the input) and h (recurrent), biases included, both with stride kLanes; previous:
// the unit's output in the frame before; saved_before: its saved numbers there. backward: gradients of the shares from dh, of the output; the result
// goes to the frame before.
struct Lstm {
  static constexpr int kGates = 4, kSaved = 5;  // i f g o, cell state
  static inline float forward(const float* x, const float* h, float, const float* saved_before, float* saved, int64_t H) {
    const float i = sigmoid_of(x[0] + h[0]), f = sigmoid_of(x[kLanes] + h[kLanes]), g = tanh_of(x[2 * kLanes] + h[2 * kLanes]),
                o = sigmoid_of(x[3 * kLanes] + h[3 * kLanes]);
    const float cell = f * saved_before[4 * H] + i * g;
    saved[0] = i, saved[H] = f, saved[2 * H] = g, saved[3 * H] = o, saved[4 * H] = cell;
    return o * tanh_of(cell);
  }
  static inline float backward(float dh, float carry, float, float, const float* saved_before, const float* saved, float* dx, float*, int64_t H) {
    const float i = saved[0], f = saved[H], g = saved[2 * H], o = saved[3 * H], squashed = tanh_of(saved[4 * H]);
    const float dcell = carry + dh * o * (1.0f - squashed * squashed);
    dx[0] = dcell * g * i * (1.0f - i);
    dx[kLanes] = dcell * saved_before[4 * H] * f * (1.0f - f);
    dx[2 * kLanes] = dcell * i * (1.0f - g * g);
    dx[3 * kLanes] = dh * squashed * o * (1.0f - o);
    return dcell * f;
  }
  static constexpr bool kCarryIsOutput = false, kOwnRecurrent = false;
};

struct Gru {
  static constexpr int kGates = 3, kSaved = 4;  // r z n, recurrent share of n
  static inline float forward(const float* x, const float* h, float previous, const float*, float* saved, int64_t H) {
    const float r = sigmoid_of(x[0] + h[0]), z = sigmoid_of(x[kLanes] + h[kLanes]), n = tanh_of(x[2 * kLanes] + r * h[2 * kLanes]);
    saved[0] = r, saved[H] = z, saved[2 * H] = n, saved[3 * H] = h[2 * kLanes];
    return n + z * (previous - n);
  }
  static inline float backward(float dh, float, float previous, float, const float*, const float* saved, float* dx, float* drec, int64_t H) {
    const float r = saved[0], z = saved[H], n = saved[2 * H];
    const float dn = dh * (1.0f - z) * (1.0f - n * n);
    dx[0] = drec[0] = dn * saved[3 * H] * r * (1.0f - r);
    dx[kLanes] = drec[kLanes] = dh * (previous - n) * z * (1.0f - z);
    dx[2 * kLanes] = dn, drec[2 * kLanes] = dn * r;
    return dh * z;
  }
  static constexpr bool kCarryIsOutput = true, kOwnRecurrent = true;
};

struct Rnn {
  static constexpr int kGates = 1, kSaved = 1;  // nothing
  static inline float forward(const float* x, const float* h, float, const float*, float*, int64_t) { return tanh_of(x[0] + h[0]); }
  static inline float backward(float dh, float, float, float y, const float*, const float*, float* dx, float*, int64_t) {
    dx[0] = dh * (1.0f - y * y);
    return 0.0f;
  }
  static constexpr bool kCarryIsOutput = true, kOwnRecurrent = false;
};

// The sizes of a layer, and where step s of a direction lies in it.
struct Layer {
  int64_t T, B, H;
  const int32_t* lengths;
  int64_t length(int64_t b) const { return std::min<int64_t>(std::max(lengths[b], 0), T); }
  // The row of (T, B) of step s of utterance b; step -1 has none.
  int64_t row(int64_t b, int64_t s, bool reversed) const { return (reversed ? length(b) - 1 - s : s) * B + b; }
};

// What the threads of a direction share: the outputs, or the gradients of the recurrent shares, of the last step, (B, n), at even and at odd steps.
struct Shared {
  Shared(int64_t size, int threads) : even(size, 0.0f), odd(size, 0.0f), team(threads) {}
  float* of(int64_t step) { return step % 2 == 0 ? even.data() : odd.data(); }
  std::vector<float> even, odd;
  Team team;
};

// The weights (G H, H) of a thread's units as products() reads them, for each block of kLanes units (H, G, kLanes); 0 where there is no unit.
template <int G>
std::vector<float> packed_rows(const float* weight, int64_t H, Range blocks) {
  std::vector<float> packed((blocks.end - blocks.begin) * H * G * kLanes, 0.0f);
  for (int64_t block = blocks.begin; block < blocks.end; block++)
    for (int g = 0; g < G; g++)
      for (int64_t k = 0; k < H; k += kLanes)  // squares that fit into the nearest cache
        for (int64_t j = 0; j < std::min<int64_t>(kLanes, H - block * kLanes); j++) {
          const float* from = weight + (g * H + block * kLanes + j) * H;
          float* to = packed.data() + ((block - blocks.begin) * H * G + g) * kLanes + j;
          for (int64_t i = k; i < std::min(k + kLanes, H); i++) to[i * G * kLanes] = from[i];
        }
  return packed;
}

// The same of the transposed weights, for each block of kVectors kLanes units (G H, kVectors, kLanes).
std::vector<float> packed_columns(const float* weight, int64_t rows, int64_t H, Range blocks) {
  constexpr int64_t kUnits = kVectors * kLanes;
  std::vector<float> packed((blocks.end - blocks.begin) * rows * kUnits, 0.0f);
  float* to = packed.data();
  for (int64_t block = blocks.begin; block < blocks.end; block++)
    for (int64_t r = 0; r < rows; r++, to += kUnits) std::copy_n(weight + r * H + block * kUnits, std::min(kUnits, H - block * kUnits), to);
  return packed;
}

// One direction for the units of one thread.
template <class Cell>
void forward(void** in, void** out, const Layer& layer, bool reversed, Shared& shared, int member) {
  constexpr int G = Cell::kGates;
  const auto gates = static_cast<const float*>(in[0]), weight = static_cast<const float*>(in[1]);
  const auto input_bias = static_cast<const float*>(in[2]), recurrent_bias = static_cast<const float*>(in[3]);
  const auto y = static_cast<float*>(out[0]), saved = static_cast<float*>(out[1]);
  const int64_t B = layer.B, H = layer.H, S = Cell::kSaved * H;
  const Range own = share((H + kLanes - 1) / kLanes, member, shared.team.size());
  const std::vector<float> packed = packed_rows<G>(weight, H, own), zeros(S, 0.0f);
  std::vector<float> recurrent(B * G * kLanes);
  for (int64_t s = 0; s < layer.T; s++) {
    const float* last = shared.of(s + 1);
    float* now = shared.of(s);
    for (int64_t block = own.begin; block < own.end; block++) {
      const int64_t begin = block * kLanes, units = std::min<int64_t>(kLanes, H - begin);
      multiply<G>(packed.data() + (block - own.begin) * H * G * kLanes, last, B, H, recurrent.data());
      for (int64_t b = 0; b < B; b++) {
        if (s >= layer.length(b)) {
          std::fill_n(y + (s * B + b) * H + begin, units, 0.0f);
          continue;
        }
        const int64_t row = layer.row(b, s, reversed);
        float x[G * kLanes], h[G * kLanes];
        for (int g = 0; g < G; g++)
          for (int64_t j = 0; j < units; j++) {
            x[g * kLanes + j] = gates[(row * G + g) * H + begin + j] + input_bias[g * H + begin + j];
            h[g * kLanes + j] = recurrent[(b * G + g) * kLanes + j] + recurrent_bias[g * H + begin + j];
          }
        const float* before = s > 0 ? saved + layer.row(b, s - 1, reversed) * S + begin : zeros.data();
        const float* previous = last + b * H + begin;
        float *to = y + row * H + begin, *kept = saved + row * S + begin;
#pragma omp simd
        for (int64_t j = 0; j < units; j++) to[j] = Cell::forward(x + j, h + j, previous[j], before + j, kept + j, H);
        std::copy_n(to, units, now + b * H + begin);
      }
    }
    shared.team.wait();
  }
}

template <class Cell>
void backward(void** in, void** out, const Layer& layer, bool reversed, Shared& shared, int member) {
  constexpr int64_t kUnits = kVectors * kLanes;
  const auto dy = static_cast<const float*>(in[0]), y = static_cast<const float*>(in[1]), saved = static_cast<const float*>(in[2]),
             weight = static_cast<const float*>(in[3]);
  const auto dgates = static_cast<float*>(out[0]), outputs_before = static_cast<float*>(out[1]), dbias = static_cast<float*>(out[2]);
  const auto drecurrent = Cell::kOwnRecurrent ? static_cast<float*>(out[3]) : nullptr;
  const int64_t B = layer.B, H = layer.H, S = Cell::kSaved * H, G = Cell::kGates * H;
  const Range own = share((H + kUnits - 1) / kUnits, member, shared.team.size());
  const std::vector<float> packed = packed_columns(weight, G, H, own), zeros(S, 0.0f);
  std::vector<float> from_next(B * kUnits), carry(B * (own.end - own.begin) * kUnits, 0.0f);
  for (int64_t g = 0; g < 2 * Cell::kGates; g++)
    std::fill(dbias + g * H + std::min(own.begin * kUnits, H), dbias + g * H + std::min(own.end * kUnits, H), 0.0f);
  for (int64_t s = layer.T - 1; s >= 0; s--) {
    const float* last = shared.of(s + 1);
    float* now = shared.of(s);
    for (int64_t block = own.begin; block < own.end; block++) {
      multiply<kVectors>(packed.data() + (block - own.begin) * G * kUnits, last, B, G, from_next.data());
      for (int64_t b = 0; b < B; b++)
        for (int64_t begin = block * kUnits; begin < std::min(H, block * kUnits + kUnits); begin += kLanes) {
          const int64_t units = std::min<int64_t>(kLanes, H - begin);
          if (s >= layer.length(b)) {
            for (int g = 0; g < Cell::kGates; g++) {
              std::fill_n(dgates + ((s * B + b) * Cell::kGates + g) * H + begin, units, 0.0f);
              if (Cell::kOwnRecurrent) std::fill_n(drecurrent + ((s * B + b) * Cell::kGates + g) * H + begin, units, 0.0f);
            }
            std::fill_n(outputs_before + (s * B + b) * H + begin, units, 0.0f);
            continue;
          }
          const int64_t row = layer.row(b, s, reversed);
          const float *before = zeros.data(), *previous = zeros.data();
          if (s > 0) before = saved + layer.row(b, s - 1, reversed) * S + begin, previous = y + layer.row(b, s - 1, reversed) * H + begin;
          std::copy_n(previous, units, outputs_before + row * H + begin);
          float* kept = carry.data() + (b * (own.end - own.begin) + block - own.begin) * kUnits + begin - block * kUnits;
          const float* share_of_next = from_next.data() + b * kUnits + begin - block * kUnits;
          float dx[Cell::kGates * kLanes], drec[Cell::kGates * kLanes];
#pragma omp simd
          for (int64_t j = 0; j < units; j++) {
            const float dh = dy[row * H + begin + j] + share_of_next[j] + (Cell::kCarryIsOutput ? kept[j] : 0.0f);
            kept[j] = Cell::backward(dh, kept[j], previous[j], y[row * H + begin + j], before + j, saved + row * S + begin + j, dx + j, drec + j, H);
          }
          for (int g = 0; g < Cell::kGates; g++) {
            const float *of_x = dx + g * kLanes, *of_h = (Cell::kOwnRecurrent ? drec : dx) + g * kLanes;
            std::copy_n(of_x, units, dgates + (row * Cell::kGates + g) * H + begin);
            std::copy_n(of_h, units, now + b * G + g * H + begin);
            if (Cell::kOwnRecurrent) std::copy_n(of_h, units, drecurrent + (row * Cell::kGates + g) * H + begin);
            for (int64_t j = 0; j < units; j++) dbias[g * H + begin + j] += of_x[j], dbias[G + g * H + begin + j] += of_h[j];
          }
        }
    }
    shared.team.wait();
  }
}

// Runs a pass for every direction. Both directions of a small layer run at the same time, each with half of the threads, which then wait less for
// each other; large weights would compete for the cache.
template <class Pass>
void run(int directions, const Layer& layer, int64_t gates, int64_t shared_size, Pass pass) {
  const int64_t products = layer.B * gates * layer.H * layer.H, bytes = 4 * gates * layer.H * layer.H;
  const int wanted = products >= kShared ? omp_get_max_threads() : std::min(directions, omp_get_max_threads());
  std::vector<std::unique_ptr<Shared>> shared;
  int teams = 1, members = 1;
#pragma omp parallel num_threads(wanted)
  {
#pragma omp single
    {
      const int threads = omp_get_num_threads();  // may be fewer than wanted
      teams = directions > 1 && threads > 1 && bytes <= kCached ? 2 : 1;
      members = threads / teams;
      for (int d = 0; d < directions; d++) shared.push_back(std::make_unique<Shared>(shared_size, members));
    }
    const int team = omp_get_thread_num() / members, member = omp_get_thread_num() % members;
    for (int d = team; d < directions && team < teams; d += teams) pass(d, *shared[d], member);
  }
}

template <class Cell>
int forward(void** params, int64_t** shapes, int directions) {
  const int lengths = 4 * directions;
  const Layer layer{shapes[0][0], shapes[0][1], shapes[1][1], static_cast<const int32_t*>(params[lengths])};
  run(directions, layer, Cell::kGates, layer.B * layer.H, [&](int d, Shared& shared, int member) {
    forward<Cell>(params + 4 * d, params + lengths + 1 + 2 * d, layer, d == 1, shared, member);
  });
  return 0;
}

template <class Cell>
int backward(void** params, int64_t** shapes, int directions) {
  const int lengths = 4 * directions, outputs = Cell::kOwnRecurrent ? 4 : 3;
  const Layer layer{shapes[0][0], shapes[0][1], shapes[0][2], static_cast<const int32_t*>(params[lengths])};
  run(directions, layer, Cell::kGates, layer.B * layer.H * Cell::kGates, [&](int d, Shared& shared, int member) {
    backward<Cell>(params + 4 * d, params + lengths + 1 + outputs * d, layer, d == 1, shared, member);
  });
  return 0;
}

}  // namespace

KERNEL(LstmLayer) { return forward<Lstm>(params, shapes, 1); }
KERNEL(LstmLayerGrad) { return backward<Lstm>(params, shapes, 1); }
KERNEL(LstmLayers) { return forward<Lstm>(params, shapes, 2); }
KERNEL(LstmLayersGrad) { return backward<Lstm>(params, shapes, 2); }
KERNEL(GruLayer) { return forward<Gru>(params, shapes, 1); }
KERNEL(GruLayerGrad) { return backward<Gru>(params, shapes, 1); }
KERNEL(GruLayers) { return forward<Gru>(params, shapes, 2); }
KERNEL(GruLayersGrad) { return backward<Gru>(params, shapes, 2); }
KERNEL(RnnLayer) { return forward<Rnn>(params, shapes, 1); }
KERNEL(RnnLayerGrad) { return backward<Rnn>(params, shapes, 1); }
KERNEL(RnnLayers) { return forward<Rnn>(params, shapes, 2); }
KERNEL(RnnLayersGrad) { return backward<Rnn>(params, shapes, 2); }
