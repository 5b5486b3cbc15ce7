// How MindSpore calls a kernel (ops.Custom, "aot"): params holds the inputs, then the outputs, all float32 in C order unless said; shapes as params.

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
