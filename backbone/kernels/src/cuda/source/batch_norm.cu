// Batch norm of NCHW maps, of one map or as a sum over two, with the ReLU behind it:
//
//   y = relu( sum_k (x_k - mean_k) * inverse_k * weight_k + bias_k )
//
// Networks for small devices have few channels and large maps, so a channel is shared out to many blocks. Each leaves its sums, always in
// the same order; a second, small step adds them. Nothing but the inputs is kept for the backward: the ReLU's mask follows from them.

#define THREADS 256
#define LANES 32
// Loads of a thread that are under way together.
#define DEEP 2

struct Shape {
  int images, channels, area;
};

// One map of the sum; mean, inverse (of the standard deviation), weight and bias: [channels].
struct Part {
  const Scalar *x;
  const float *mean, *inverse, *weight, *bias;
};
struct Parts {
  Part of[2];
};

// V neighbours, loaded at once.
template <int V>
struct alignas(V * sizeof(Scalar)) Pack {
  Scalar v[V];
};

// The i-th pack of a channel, over all images.
template <int V>
__device__ inline long long place(Shape s, int channel, unsigned i) {
  unsigned per = s.area / V, image = i / per;
  return ((long long)image * s.channels + channel) * s.area + (long long)(i - image * per) * V;
}

// A channel's constants.
struct Constants {
  float mean, inverse, weight, bias;
};
__device__ inline Constants constants(const Part &part, int channel) {
  return {part.mean[channel], part.inverse[channel], part.weight[channel], part.bias[channel]};
}
__device__ inline float hat(const Constants &c, float x) { return (x - c.mean) * c.inverse; }
__device__ inline float normed(const Constants &c, float hat) { return hat * c.weight + c.bias; }

// Count, mean and sum of squared distances of two sets together (Chan, Golub and LeVeque 1979).
template <typename T>
__device__ inline void merge(T &n, T &mean, T &squares, T n2, T mean2, T squares2) {
  T all = n + n2;
  if (all == 0) return;
  T apart = mean2 - mean, share = n2 / all;
  squares += squares2 + apart * apart * n * share;
  mean += apart * share;
  n = all;
}

template <int V>
__device__ inline void moments(const Scalar *x, Shape s, float *partial) {
  __shared__ float ns[THREADS], means[THREADS], squares[THREADS];
  int channel = blockIdx.x, t = threadIdx.x;
  unsigned count = (unsigned)s.images * (s.area / V), step = gridDim.y * THREADS, i = blockIdx.y * THREADS + t;
  // Distances to a thread's first value: no digits are lost where the mean is large.
  float first = i < count ? load(x[place<V>(s, channel, i)]) : 0.0f, sum = 0.0f, square = 0.0f, n = 0.0f;
  for (; i < count; i += DEEP * step) {
    Pack<V> held[DEEP];
#pragma unroll
    for (int d = 0; d < DEEP; ++d)
      if (i + d * step < count) held[d] = *(const Pack<V> *)(x + place<V>(s, channel, i + d * step));
#pragma unroll
    for (int d = 0; d < DEEP; ++d) {
      if (i + d * step >= count) continue;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        float apart = load(held[d].v[v]) - first;
        sum += apart;
        square += apart * apart;
      }
      n += V;
    }
  }
  float apart = n > 0.0f ? sum / n : 0.0f;
  ns[t] = n;
  means[t] = first + apart;
  // Rounding can leave less than nothing.
  square -= sum * apart;
  squares[t] = square < 0.0f ? 0.0f : square;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) merge(ns[t], means[t], squares[t], ns[t + half], means[t + half], squares[t + half]);
  }
  if (t == 0) {
    float *out = partial + ((long long)blockIdx.y * s.channels + channel) * 3;
    out[0] = ns[0], out[1] = means[0], out[2] = squares[0];
  }
}

// Grid: (channels, parts). partial: [parts, channels, 3].
extern "C" __global__ void batch_norm_moments(const Scalar *x, Shape s, int wide, float *partial) {
  if (wide) moments<4>(x, s, partial);
  else moments<1>(x, s, partial);
}

// Grid: (channels), of LANES threads. Mean and inverse from the parts, and the running statistics' step; without parts, from the running
// statistics.
extern "C" __global__ void batch_norm_statistics(const float *partial, int parts, int channels, float eps, float momentum,
                                                 float *running_mean, float *running_var, float *mean, float *inverse) {
  __shared__ double ns[LANES], means[LANES], squares[LANES];
  int channel = blockIdx.x, t = threadIdx.x;
  double n = 0.0, m = 0.0, q = 0.0;
  for (int p = t; p < parts; p += LANES) {
    const float *of = partial + ((long long)p * channels + channel) * 3;
    merge(n, m, q, (double)of[0], (double)of[1], (double)of[2]);
  }
  ns[t] = n, means[t] = m, squares[t] = q;
  for (int half = LANES / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) merge(ns[t], means[t], squares[t], ns[t + half], means[t + half], squares[t + half]);
  }
  if (t != 0) return;
  double center = parts > 0 ? means[0] : (double)running_mean[channel];
  double variance = parts > 0 ? squares[0] / ns[0] : (double)running_var[channel];
  mean[channel] = (float)center;
  inverse[channel] = (float)(1.0 / sqrt(variance + (double)eps));
  if (parts > 0) {
    running_mean[channel] += momentum * ((float)center - running_mean[channel]);
    running_var[channel] += momentum * ((float)(squares[0] / (ns[0] - 1.0)) - running_var[channel]);
  }
}

template <int V>
__device__ inline void apply(const Parts &parts, Shape s, int relu, Scalar *y) {
  int channel = blockIdx.x % s.channels;
  long long plane = (long long)blockIdx.x * s.area;
  bool two = parts.of[1].x;
  Constants a = constants(parts.of[0], channel), b = constants(parts.of[two ? 1 : 0], channel);
  int count = s.area / V;
  for (int i = blockIdx.y * THREADS + threadIdx.x; i < count; i += gridDim.y * THREADS) {
    long long at = plane + (long long)i * V;
    Pack<V> x0 = *(const Pack<V> *)(parts.of[0].x + at), x1 = x0, out;
    if (two) x1 = *(const Pack<V> *)(parts.of[1].x + at);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      float sum = normed(a, hat(a, load(x0.v[v])));
      if (two) sum += normed(b, hat(b, load(x1.v[v])));
      // What is not a number stays so.
      out.v[v] = store(relu && sum < 0.0f ? 0.0f : sum);
    }
    *(Pack<V> *)(y + at) = out;
  }
}

// Grid: (images * channels, any number of blocks).
extern "C" __global__ void batch_norm_apply(Parts parts, Shape s, int wide, int relu, Scalar *y) {
  if (wide) apply<4>(parts, s, relu, y);
  else apply<1>(parts, s, relu, y);
}

template <int V>
__device__ inline void reduce(const Parts &parts, Shape s, int relu, const Scalar *grad, float *partial) {
  __shared__ float sums[3][THREADS];
  int channel = blockIdx.x, t = threadIdx.x;
  bool two = parts.of[1].x;
  Constants a = constants(parts.of[0], channel), b = constants(parts.of[two ? 1 : 0], channel);
  unsigned count = (unsigned)s.images * (s.area / V), step = gridDim.y * THREADS;
  float sum = 0.0f, sum_a = 0.0f, sum_b = 0.0f;
  for (unsigned i = blockIdx.y * THREADS + t; i < count; i += DEEP * step) {
    Pack<V> g[DEEP], x0[DEEP], x1[DEEP];
#pragma unroll
    for (int d = 0; d < DEEP; ++d) {
      if (i + d * step >= count) continue;
      long long at = place<V>(s, channel, i + d * step);
      g[d] = *(const Pack<V> *)(grad + at);
      x0[d] = *(const Pack<V> *)(parts.of[0].x + at);
      if (two) x1[d] = *(const Pack<V> *)(parts.of[1].x + at);
    }
#pragma unroll
    for (int d = 0; d < DEEP; ++d) {
      if (i + d * step >= count) continue;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        float hat_a = hat(a, load(x0[d].v[v])), hat_b = two ? hat(b, load(x1[d].v[v])) : 0.0f;
        float value = normed(a, hat_a) + (two ? normed(b, hat_b) : 0.0f);
        float incoming = relu && value <= 0.0f ? 0.0f : load(g[d].v[v]);
        sum += incoming;
        sum_a += incoming * hat_a;
        sum_b += incoming * hat_b;
      }
    }
  }
  sums[0][t] = sum, sums[1][t] = sum_a, sums[2][t] = sum_b;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half)
      for (int k = 0; k < 3; ++k) sums[k][t] += sums[k][t + half];
  }
  __syncthreads();
  if (t < 3) partial[((long long)blockIdx.y * 3 + t) * s.channels + channel] = sums[t][0];
}

// Grid: (channels, parts). partial: [parts, 3, channels], the gradients of the biases and of both weights.
extern "C" __global__ void batch_norm_reduce(Parts parts, Shape s, int wide, int relu, const Scalar *grad, float *partial) {
  if (wide) reduce<4>(parts, s, relu, grad, partial);
  else reduce<1>(parts, s, relu, grad, partial);
}

template <int V>
__device__ inline void backward(const Parts &parts, Shape s, int relu, const Scalar *grad, const float *sums, float share, Scalar *to_a,
                                Scalar *to_b) {
  int channel = blockIdx.x % s.channels;
  long long plane = (long long)blockIdx.x * s.area;
  bool two = parts.of[1].x;
  Constants a = constants(parts.of[0], channel), b = constants(parts.of[two ? 1 : 0], channel);
  float mean_g = sums[channel] * share, mean_a = sums[s.channels + channel] * share, mean_b = sums[2 * s.channels + channel] * share;
  float scale_a = a.weight * a.inverse, scale_b = b.weight * b.inverse;
  int count = s.area / V;
  for (int i = blockIdx.y * THREADS + threadIdx.x; i < count; i += gridDim.y * THREADS) {
    long long at = plane + (long long)i * V;
    Pack<V> g = *(const Pack<V> *)(grad + at), x0 = *(const Pack<V> *)(parts.of[0].x + at), x1 = x0, out_a, out_b;
    if (two) x1 = *(const Pack<V> *)(parts.of[1].x + at);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      float hat_a = hat(a, load(x0.v[v])), hat_b = two ? hat(b, load(x1.v[v])) : 0.0f;
      float value = normed(a, hat_a) + (two ? normed(b, hat_b) : 0.0f);
      float incoming = (relu && value <= 0.0f ? 0.0f : load(g.v[v])) - mean_g;
      out_a.v[v] = store(scale_a * (incoming - hat_a * mean_a));
      out_b.v[v] = store(scale_b * (incoming - hat_b * mean_b));
    }
    if (to_a) *(Pack<V> *)(to_a + at) = out_a;
    if (to_b) *(Pack<V> *)(to_b + at) = out_b;
  }
}

// Grid: (images * channels, any number of blocks). sums: [3, channels]; share: 1 / values per channel, or 0 where the statistics are
// constants.
extern "C" __global__ void batch_norm_backward(Parts parts, Shape s, int wide, int relu, const Scalar *grad, const float *sums, float share,
                                               Scalar *to_a, Scalar *to_b) {
  if (wide) backward<4>(parts, s, relu, grad, sums, share, to_a, to_b);
  else backward<1>(parts, s, relu, grad, sums, share, to_a, to_b);
}
