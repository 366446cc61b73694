// Non-maximum suppression of boxes that lie in the order of falling scores, in groups that don't touch each other (images, or images
// and levels).
//
// First every pair of a group is compared at once: bit k of word w in row i says that box i would suppress box 64 w + k. Then one block
// per group walks down its rows and keeps what no kept box suppresses. The arithmetic is that of the CPU, bit for bit.

#define THREADS 64

struct Box {
  float x1, y1, x2, y2;
};

__device__ inline float area(Box b) { return (b.x2 - b.x1) * (b.y2 - b.y1); }

// Grid: (words per row, blocks of 64 rows, groups), 64 threads. Group g has the boxes starts[g] .. starts[g + 1]; `classes` may be
// null, else boxes of different classes leave each other alone. mask: [boxes, words].
extern "C" __global__ void nms_compare(const Box *boxes, const int *classes, const int *starts, float threshold, int words,
                                       unsigned long long *mask) {
  __shared__ Box columns[THREADS];
  __shared__ int column_classes[THREADS];
  int begin = starts[blockIdx.z], count = starts[blockIdx.z + 1] - begin;
  int first_column = blockIdx.x * THREADS, row = blockIdx.y * THREADS + threadIdx.x;
  if (first_column >= count || (int)(blockIdx.y * THREADS) >= count) return;
  int n = min(THREADS, count - first_column);
  if ((int)threadIdx.x < n) {
    columns[threadIdx.x] = boxes[begin + first_column + threadIdx.x];
    column_classes[threadIdx.x] = classes ? classes[begin + first_column + threadIdx.x] : 0;
  }
  __syncthreads();
  if (row >= count) return;
  Box b = boxes[begin + row];
  float own = area(b);
  int kind = classes ? classes[begin + row] : 0;
  unsigned long long bits = 0;
  for (int k = 0; k < n; ++k) {
    if (first_column + k <= row || column_classes[k] != kind) continue;
    Box c = columns[k];
    float w = fmaxf(fminf(b.x2, c.x2) - fmaxf(b.x1, c.x1), 0.0f);
    float h = fmaxf(fminf(b.y2, c.y2) - fmaxf(b.y1, c.y1), 0.0f);
    float inter = w * h;
    if (inter / (own + area(c) - inter) > threshold) bits |= 1ull << k;
  }
  mask[(long long)(begin + row) * words + blockIdx.x] = bits;
}

// Words of suppressed boxes that fit into shared memory: groups of up to 64 * 512 boxes.
#define MAX_WORDS 512

// Grid: groups, 64 threads. keep: one byte per box; at most `limit` boxes of a group are kept.
extern "C" __global__ void nms_walk(const unsigned long long *mask, const int *starts, int words, int limit, unsigned char *keep) {
  __shared__ unsigned long long gone[MAX_WORDS];
  int begin = starts[blockIdx.x], count = starts[blockIdx.x + 1] - begin;
  int used = (count + 63) / 64;
  for (int w = threadIdx.x; w < used; w += THREADS) gone[w] = 0;
  __syncthreads();
  int kept = 0;
  for (int i = 0; i < count; ++i) {
    bool stays = kept < limit && !(gone[i / 64] >> (i % 64) & 1ull);
    // All threads have read the word before one of them changes it.
    __syncthreads();
    if (threadIdx.x == 0) keep[begin + i] = stays ? 1 : 0;
    if (stays) {
      ++kept;
      const unsigned long long *row = mask + (long long)(begin + i) * words;
      for (int w = i / 64 + threadIdx.x; w < used; w += THREADS) gone[w] |= row[w];
      __syncthreads();
    }
  }
}
