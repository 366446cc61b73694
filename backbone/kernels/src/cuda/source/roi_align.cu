// RoIAlign (He et al., Mask R-CNN, 2017) from all levels of a pyramid in one launch, and its gradient.
//
// The sample grid is a product of rows and columns and so are the bilinear weights, so both kernels work one axis at a time.
// Positions are computed in the order of the kernel for the CPU, and the file is compiled without contraction to fused
// multiply-adds, so that samples near a border fall on the same side everywhere.
//
// The gradient is *gathered*: a thread owns a pixel and adds what each region that covers it sends there, in the order of the regions.
// No atomic additions: the same inputs give the same bits, and a pixel is written once.

#define MAX_LEVELS 8
#define MAX_BINS 32
// Samples per axis that fit into shared memory; more are computed where they are needed.
#define MAX_CACHED 256
// More samples than this on one axis of a bin are a runaway box, not a region.
#define MAX_SAMPLES 65536.0f
#define TILE_ROWS 8
#define TILE_COLUMNS 32
#define THREADS (TILE_ROWS * TILE_COLUMNS)
// Channels that a thread of the gradient holds in registers.
#define CHANNELS 16

// What one instruction writes.
struct alignas(16) Words {
  unsigned int word[4];
};

// A feature map [images, channels, height, width] with its strides in elements.
struct Map {
  Scalar *data;
  long long image_stride, channel_stride, row_stride, column_stride;
  int height, width;
  float scale;
  int unused;
};

struct Maps {
  Map level[MAX_LEVELS];
  int levels, images, channels, channels_last;
};

// Corners in image pixels, position in Maps, image of the batch.
struct Roi {
  float x1, y1, x2, y2;
  int level, image;
};

struct Sampling {
  int bins, ratio, aligned;
};

// One axis of a region: bin b has the samples start + b * bin + (i + 0.5) * bin / grid.
struct Axis {
  float start, bin, grid;
  int samples, size;
};

// A sample's two pixels and weights; the division by the number of samples is in them.
struct Sample {
  int low, high;
  float low_weight, high_weight;
};

__device__ inline Axis axis(Sampling sampling, float lo, float hi, float scale, int size) {
  Axis a;
  float offset = sampling.aligned ? 0.5f : 0.0f;
  a.start = lo * scale - offset;
  float length = hi * scale - offset - a.start;
  if (!sampling.aligned) length = fmaxf(length, 1.0f);
  a.bin = length / (float)sampling.bins;
  a.grid = sampling.ratio > 0 ? (float)sampling.ratio : ceilf(a.bin);
  a.size = size;
  // A region that is not finite has no samples; neither has an adaptive one of negative size.
  bool sound = a.grid <= MAX_SAMPLES && fabsf(a.start) <= 3.4e38f && size > 0;
  a.samples = sound ? (int)fmaxf(a.grid, 0.0f) : 0;
  return a;
}

__device__ inline Sample sample(const Axis &a, int bin, int i) {
  Sample s = {0, 0, 0.0f, 0.0f};
  float share = 1.0f / a.grid;
  float at = a.start + (float)bin * a.bin + ((float)i + 0.5f) * a.bin / a.grid;
  // Also leaves out what is not a number.
  if (!(at >= -1.0f && at <= (float)a.size)) return s;
  at = fmaxf(at, 0.0f);
  int low = (int)at;
  if (low >= a.size - 1) {
    s.low = s.high = a.size - 1;
    s.low_weight = share;
  } else {
    float upper = at - (float)low;
    s.low = low;
    s.high = low + 1;
    s.low_weight = (1.0f - upper) * share;
    s.high_weight = upper * share;
  }
  return s;
}

// The samples of one bin that lie on the map are neighbours: first and one past the last. A runaway box has many others.
__device__ inline void range(const Axis &a, int bin, int *first, int *last) {
  int from = 0, to = a.samples;
  while (from < to) {
    Sample s = sample(a, bin, from);
    if (s.low_weight != 0.0f || s.high_weight != 0.0f) break;
    ++from;
  }
  while (to > from) {
    Sample s = sample(a, bin, to - 1);
    if (s.low_weight != 0.0f || s.high_weight != 0.0f) break;
    --to;
  }
  *first = from;
  *last = to;
}

// Grid: (regions, blocks of channels). out: [regions, channels, bins, bins].
extern "C" __global__ void roi_align_forward(Maps maps, const Roi *rois, Sampling sampling, int channels_per_block, Scalar *out) {
  __shared__ Sample cache[2][MAX_CACHED];
  __shared__ int ranges[2][MAX_BINS][2];
  Roi roi = rois[blockIdx.x];
  const Map &map = maps.level[roi.level];
  Axis axes[2] = {axis(sampling, roi.y1, roi.y2, map.scale, map.height), axis(sampling, roi.x1, roi.x2, map.scale, map.width)};
  int bins = sampling.bins;
  bool cached = axes[0].samples * bins <= MAX_CACHED && axes[1].samples * bins <= MAX_CACHED;
  for (int t = threadIdx.x; t < 2 * bins; t += blockDim.x) {
    int which = t / bins, bin = t % bins;
    range(axes[which], bin, &ranges[which][bin][0], &ranges[which][bin][1]);
  }
  if (cached) {
    for (int which = 0; which < 2; ++which) {
      int n = axes[which].samples;
      for (int t = threadIdx.x; t < n * bins; t += blockDim.x) cache[which][t] = sample(axes[which], t / n, t % n);
    }
  }
  __syncthreads();

  int first_channel = blockIdx.y * channels_per_block;
  int channels = min(channels_per_block, maps.channels - first_channel);
  int cells = bins * bins;
  for (int t = threadIdx.x; t < channels * cells; t += blockDim.x) {
    // Neighbouring threads read neighbouring elements: columns, or channels where these are last.
    int cell = maps.channels_last ? t / channels : t % cells;
    int channel = first_channel + (maps.channels_last ? t % channels : t / cells);
    int row_bin = cell / bins, column_bin = cell % bins;
    const Scalar *plane = map.data + roi.image * map.image_stride + channel * map.channel_stride;
    float sum = 0.0f;
    for (int i = ranges[0][row_bin][0]; i < ranges[0][row_bin][1]; ++i) {
      Sample y = cached ? cache[0][row_bin * axes[0].samples + i] : sample(axes[0], row_bin, i);
      const Scalar *upper = plane + y.low * map.row_stride, *lower = plane + y.high * map.row_stride;
      for (int j = ranges[1][column_bin][0]; j < ranges[1][column_bin][1]; ++j) {
        Sample x = cached ? cache[1][column_bin * axes[1].samples + j] : sample(axes[1], column_bin, j);
        long long left = x.low * map.column_stride, right = x.high * map.column_stride;
        float top = fmaf(x.low_weight, load(upper[left]), x.high_weight * load(upper[right]));
        float bottom = fmaf(x.low_weight, load(lower[left]), x.high_weight * load(lower[right]));
        sum += fmaf(y.low_weight, top, y.high_weight * bottom);
      }
    }
    out[((long long)blockIdx.x * maps.channels + channel) * cells + cell] = store(sum);
  }
}

// Whether a region can reach the pixels first .. first + count of an axis. May say yes in vain, never no in vain.
__device__ inline bool reaches(const Axis &a, int bins, int first, int count) {
  if (a.samples == 0) return false;
  float end = a.start + a.bin * (float)bins;
  float lo = fminf(a.start, end) - 2.0f, hi = fmaxf(a.start, end) + 2.0f;
  // Samples up to one pixel outside belong to the border.
  return hi >= (float)first && lo <= (float)(first + count) && hi >= -2.0f && lo <= (float)a.size + 2.0f;
}

// What bin b takes from a pixel of its axis.
__device__ inline float share(const Axis &a, int bin, int pixel) {
  float sum = 0.0f;
  for (int i = 0; i < a.samples; ++i) {
    Sample s = sample(a, bin, i);
    if (s.low == pixel) sum += s.low_weight;
    if (s.high == pixel && s.high != s.low) sum += s.high_weight;
  }
  return sum;
}

// The tile of a map that a block owns, counted through all levels: tile_starts[l] is the first of level l.
struct Tiles {
  int starts[MAX_LEVELS + 1];
};

// Grid: (tiles of all levels, images, blocks of CHANNELS channels), THREADS threads. `order` lists the regions by level and image, those
// of level l and image n are order[starts[l * images + n]] .. order[starts[l * images + n + 1]]; grad: [regions, channels, bins, bins].
// Writes every pixel of every level of `maps`.
extern "C" __global__ void roi_align_backward(Maps maps, Tiles tiles, const Roi *rois, const int *order, const int *starts,
                                              Sampling sampling, const Scalar *grad) {
  __shared__ float row_shares[TILE_ROWS][MAX_BINS], column_shares[TILE_COLUMNS][MAX_BINS];
  __shared__ int row_bins[TILE_ROWS][2], column_bins[TILE_COLUMNS][2];
  __shared__ unsigned char covers[THREADS];
  int level = 0;
  while (level + 1 < maps.levels && (int)blockIdx.x >= tiles.starts[level + 1]) ++level;
  const Map &map = maps.level[level];
  int tile = blockIdx.x - tiles.starts[level], across = (map.width + TILE_COLUMNS - 1) / TILE_COLUMNS;
  int first_row = tile / across * TILE_ROWS, first_column = tile % across * TILE_COLUMNS;
  int row = threadIdx.x / TILE_COLUMNS, column = threadIdx.x % TILE_COLUMNS;
  int image = blockIdx.y, first_channel = blockIdx.z * CHANNELS;
  int bins = sampling.bins, cells = bins * bins;
  float sums[CHANNELS];
  for (int c = 0; c < CHANNELS; ++c) sums[c] = 0.0f;

  int begin = starts[level * maps.images + image], end = starts[level * maps.images + image + 1];
  for (int base = begin; base < end; base += THREADS) {
    __syncthreads();
    if (base + (int)threadIdx.x < end) {
      Roi roi = rois[order[base + threadIdx.x]];
      covers[threadIdx.x] = reaches(axis(sampling, roi.y1, roi.y2, map.scale, map.height), bins, first_row, TILE_ROWS) &&
                            reaches(axis(sampling, roi.x1, roi.x2, map.scale, map.width), bins, first_column, TILE_COLUMNS);
    }
    __syncthreads();
    int count = min(THREADS, end - base);
    for (int k = 0; k < count; ++k) {
      if (!covers[k]) continue;
      int position = order[base + k];
      Roi roi = rois[position];
      Axis y = axis(sampling, roi.y1, roi.y2, map.scale, map.height), x = axis(sampling, roi.x1, roi.x2, map.scale, map.width);
      for (int t = threadIdx.x; t < (TILE_ROWS + TILE_COLUMNS) * bins; t += THREADS) {
        int line = t / bins, bin = t % bins;
        if (line < TILE_ROWS) row_shares[line][bin] = share(y, bin, first_row + line);
        else column_shares[line - TILE_ROWS][bin] = share(x, bin, first_column + line - TILE_ROWS);
      }
      __syncthreads();
      // The bins that take anything from a line are few and neighbours.
      if (threadIdx.x < TILE_ROWS + TILE_COLUMNS) {
        int line = threadIdx.x;
        const float *shares = line < TILE_ROWS ? row_shares[line] : column_shares[line - TILE_ROWS];
        int *found = line < TILE_ROWS ? row_bins[line] : column_bins[line - TILE_ROWS];
        int from = 0, to = bins;
        while (from < to && shares[from] == 0.0f) ++from;
        while (to > from && shares[to - 1] == 0.0f) --to;
        found[0] = from;
        found[1] = to;
      }
      __syncthreads();
      const Scalar *incoming = grad + ((long long)position * maps.channels + first_channel) * cells;
      for (int i = row_bins[row][0]; i < row_bins[row][1]; ++i) {
        for (int j = column_bins[column][0]; j < column_bins[column][1]; ++j) {
          float weight = row_shares[row][i] * column_shares[column][j];
          const Scalar *cell = incoming + i * bins + j;
#pragma unroll
          for (int c = 0; c < CHANNELS; ++c) {
            if (first_channel + c < maps.channels) sums[c] = fmaf(weight, load(cell[c * cells]), sums[c]);
          }
        }
      }
      __syncthreads();
    }
  }

  int y = first_row + row, x = first_column + column;
  if (y >= map.height || x >= map.width) return;
  Scalar *pixel = map.data + image * map.image_stride + y * map.row_stride + x * map.column_stride;
  // Channels that lie side by side are written 16 bytes at a time; one by one, each would be a transaction of its own.
  if (maps.channels_last && first_channel + CHANNELS <= maps.channels && maps.channels % (sizeof(Words) / sizeof(Scalar)) == 0) {
    alignas(sizeof(Words)) Scalar values[CHANNELS];
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) values[c] = store(sums[c]);
#pragma unroll
    for (int i = 0; i < (int)(sizeof(values) / sizeof(Words)); ++i)
      reinterpret_cast<Words *>(pixel + first_channel)[i] = reinterpret_cast<const Words *>(values)[i];
    return;
  }
#pragma unroll
  for (int c = 0; c < CHANNELS; ++c) {
    if (first_channel + c < maps.channels) pixel[(first_channel + c) * map.channel_stride] = store(sums[c]);
  }
}
