// Depthwise convolutions of 3x3 and 5x5 filters, forward and backward, on maps in NCHW order.
//
// They move many bytes and compute little. A thread owns a column and ROWS rows of the output, so that each row of the input is
// loaded once for all outputs that need it. The gradient of a filter is a sum over all pixels of all images: each block takes a part of one
// channel's pixels and leaves its sums, in the same order each time; a second, small sum is the caller's.

#define THREADS 256
#define LANES 32
#define ROWS 4
// Output pixels of a block: LANES columns, and THREADS / LANES groups of ROWS rows.
#define TILE_ROWS (THREADS / LANES * ROWS)

// A convolution: input [images, channels, height, width], output [images, channels, out_height, out_width].
struct Shape {
  int images, channels, height, width, out_height, out_width, padding;
};

__device__ inline int tiles_across(const Shape &s) { return (s.out_width + LANES - 1) / LANES; }

// Grid: (images * channels, tiles). `flip` turns the filter around, which makes the gradient of the input at stride 1.
template <int K, int S>
__device__ inline void forward(const Scalar *input, const float *filters, const float *bias, Shape s, int flip, Scalar *output) {
  int across = tiles_across(s);
  int column = blockIdx.y % across * LANES + threadIdx.x % LANES;
  int row = blockIdx.y / across * TILE_ROWS + threadIdx.x / LANES * ROWS;
  if (column >= s.out_width || row >= s.out_height) return;
  long long plane = blockIdx.x;
  int channel = plane % s.channels;
  float filter[K * K], sums[ROWS];
#pragma unroll
  for (int k = 0; k < K * K; ++k) filter[k] = filters[channel * K * K + (flip ? K * K - 1 - k : k)];
#pragma unroll
  for (int j = 0; j < ROWS; ++j) sums[j] = bias ? bias[channel] : 0.0f;
  const Scalar *map = input + plane * s.height * s.width;
  int top = row * S - s.padding, left = column * S - s.padding;
#pragma unroll
  for (int r = 0; r < (ROWS - 1) * S + K; ++r) {
    int y = top + r;
    if (y < 0 || y >= s.height) continue;
#pragma unroll
    for (int kx = 0; kx < K; ++kx) {
      int x = left + kx;
      float value = x >= 0 && x < s.width ? load(map[y * s.width + x]) : 0.0f;
#pragma unroll
      for (int j = 0; j < ROWS; ++j) {
        int ky = r - j * S;
        if (ky >= 0 && ky < K) sums[j] = fmaf(filter[ky * K + kx], value, sums[j]);
      }
    }
  }
  Scalar *out = output + plane * s.out_height * s.out_width;
#pragma unroll
  for (int j = 0; j < ROWS; ++j) {
    if (row + j < s.out_height) out[(row + j) * s.out_width + column] = store(sums[j]);
  }
}

// Grid: (images * channels, any number of blocks): the gradient of the input where outputs skip pixels.
template <int K, int S>
__device__ inline void to_input(const Scalar *grad, const float *filters, Shape s, Scalar *input_grad) {
  long long plane = blockIdx.x;
  int channel = plane % s.channels;
  float filter[K * K];
#pragma unroll
  for (int k = 0; k < K * K; ++k) filter[k] = filters[channel * K * K + k];
  const Scalar *incoming = grad + plane * s.out_height * s.out_width;
  Scalar *out = input_grad + plane * s.height * s.width;
  for (int i = blockIdx.y * THREADS + threadIdx.x; i < s.height * s.width; i += gridDim.y * THREADS) {
    int y = i / s.width + s.padding, x = i % s.width + s.padding;
    float sum = 0.0f;
#pragma unroll
    for (int ky = 0; ky < K; ++ky) {
      int oy = y - ky;
      if (oy < 0 || oy % S != 0 || oy / S >= s.out_height) continue;
#pragma unroll
      for (int kx = 0; kx < K; ++kx) {
        int ox = x - kx;
        if (ox < 0 || ox % S != 0 || ox / S >= s.out_width) continue;
        sum = fmaf(filter[ky * K + kx], load(incoming[oy / S * s.out_width + ox / S]), sum);
      }
    }
    out[i] = store(sum);
  }
}

// Grid: (channels, parts). partial: [parts, channels, K * K].
template <int K, int S>
__device__ inline void to_filter(const Scalar *input, const Scalar *grad, Shape s, float *partial) {
  __shared__ float held[K * K][THREADS];
  int channel = blockIdx.x;
  int across = tiles_across(s), down = (s.out_height + TILE_ROWS - 1) / TILE_ROWS;
  float sums[K * K];
#pragma unroll
  for (int k = 0; k < K * K; ++k) sums[k] = 0.0f;
  for (int tile = blockIdx.y; tile < s.images * down * across; tile += gridDim.y) {
    int column = tile % across * LANES + threadIdx.x % LANES;
    int row = tile / across % down * TILE_ROWS + threadIdx.x / LANES * ROWS;
    if (column >= s.out_width || row >= s.out_height) continue;
    long long plane = (long long)(tile / (across * down)) * s.channels + channel;
    const Scalar *map = input + plane * s.height * s.width, *incoming = grad + plane * s.out_height * s.out_width;
    float g[ROWS];
#pragma unroll
    for (int j = 0; j < ROWS; ++j) g[j] = row + j < s.out_height ? load(incoming[(row + j) * s.out_width + column]) : 0.0f;
    int top = row * S - s.padding, left = column * S - s.padding;
#pragma unroll
    for (int r = 0; r < (ROWS - 1) * S + K; ++r) {
      int y = top + r;
      if (y < 0 || y >= s.height) continue;
#pragma unroll
      for (int kx = 0; kx < K; ++kx) {
        int x = left + kx;
        float value = x >= 0 && x < s.width ? load(map[y * s.width + x]) : 0.0f;
#pragma unroll
        for (int j = 0; j < ROWS; ++j) {
          int ky = r - j * S;
          if (ky >= 0 && ky < K) sums[ky * K + kx] = fmaf(g[j], value, sums[ky * K + kx]);
        }
      }
    }
  }
#pragma unroll
  for (int k = 0; k < K * K; ++k) held[k][threadIdx.x] = sums[k];
  __syncthreads();
  // Eight threads per weight, each 32 values; then one per weight.
  const int STRIPES = 8;
  float stripe = 0.0f;
  int weight = threadIdx.x / STRIPES, part = threadIdx.x % STRIPES;
  if (weight < K * K) {
    for (int t = part; t < THREADS; t += STRIPES) stripe += held[weight][t];
  }
  __syncthreads();
  if (weight < K * K) held[weight][part] = stripe;
  __syncthreads();
  if (threadIdx.x < K * K) {
    float sum = 0.0f;
    for (int t = 0; t < STRIPES; ++t) sum += held[threadIdx.x][t];
    partial[((long long)blockIdx.y * s.channels + channel) * K * K + threadIdx.x] = sum;
  }
}

#define DEPTHWISE(K, S)                                                                                                              \
  extern "C" __global__ void depthwise_forward_##K##_##S(const Scalar *input, const float *filters, const float *bias, Shape s, int flip, \
                                                         Scalar *output) {                                                          \
    forward<K, S>(input, filters, bias, s, flip, output);                                                                            \
  }                                                                                                                                  \
  extern "C" __global__ void depthwise_input_##K##_##S(const Scalar *grad, const float *filters, Shape s, Scalar *input_grad) {      \
    to_input<K, S>(grad, filters, s, input_grad);                                                                                    \
  }                                                                                                                                  \
  extern "C" __global__ void depthwise_filter_##K##_##S(const Scalar *input, const Scalar *grad, Shape s, float *partial) {          \
    to_filter<K, S>(input, grad, s, partial);                                                                                        \
  }

DEPTHWISE(3, 1)
DEPTHWISE(3, 2)
DEPTHWISE(5, 1)
DEPTHWISE(5, 2)
