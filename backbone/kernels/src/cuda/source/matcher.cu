// Which anchor learns which object (the rules are those of `matcher.rs`): two passes over the anchors, none keeps the matrix of IoUs.
//
// Compiled without contraction to fused multiply-adds, so that both passes, and the CPU, get the same bits for the same pair.

#define THREADS 256
// Objects held in shared memory together.
#define CHUNK 64
#define BACKGROUND -1
#define IGNORED -2

struct Box {
  float x1, y1, x2, y2;
};

__device__ inline float area(Box b) { return (b.x2 - b.x1) * (b.y2 - b.y1); }

__device__ inline float iou(Box object, float object_area, Box anchor, float anchor_area) {
  float w = fmaxf(fminf(object.x2, anchor.x2) - fmaxf(object.x1, anchor.x1), 0.0f);
  float h = fmaxf(fminf(object.y2, anchor.y2) - fmaxf(object.y1, anchor.y1), 0.0f);
  float inter = w * h;
  return inter / (object_area + anchor_area - inter);
}

// Grid: (blocks of THREADS anchors, images). anchors: [anchors, 4], shared by all images when `shared_anchors`, else
// [images, anchors, 4]; the objects of image n are objects[starts[n]] .. objects[starts[n + 1]]. Leaves each anchor's best object
// (index within its image) and IoU, and raises `claims` (one per object, zeros before) to each object's best IoU.
extern "C" __global__ void match_best(const Box *anchors, int count, int shared_anchors, const Box *objects, const int *starts,
                                      int *best_object, float *best_iou, int *claims) {
  __shared__ Box chunk[CHUNK];
  __shared__ int reached[CHUNK];
  int image = blockIdx.y, index = blockIdx.x * THREADS + threadIdx.x;
  int begin = starts[image], end = starts[image + 1];
  Box anchor = {0.0f, 0.0f, 0.0f, 0.0f};
  if (index < count) anchor = anchors[(shared_anchors ? 0 : (long long)image * count) + index];
  float own = area(anchor), best = -1.0f;
  int object = 0;
  for (int base = begin; base < end; base += CHUNK) {
    int n = min(CHUNK, end - base);
    __syncthreads();
    if ((int)threadIdx.x < n) {
      chunk[threadIdx.x] = objects[base + threadIdx.x];
      reached[threadIdx.x] = 0;
    }
    __syncthreads();
    if (index < count) {
      for (int k = 0; k < n; ++k) {
        float value = iou(chunk[k], area(chunk[k]), anchor, own);
        // Strictly greater: of equals the first object wins.
        if (value > best) {
          best = value;
          object = base - begin + k;
        }
        // Floats that are not negative are ordered as their bits are.
        if (value > 0.0f) atomicMax(&reached[k], __float_as_int(value));
      }
    }
    __syncthreads();
    if ((int)threadIdx.x < n && reached[threadIdx.x] > 0) atomicMax(&claims[base + threadIdx.x], reached[threadIdx.x]);
  }
  if (index < count) {
    best_object[(long long)image * count + index] = object;
    best_iou[(long long)image * count + index] = best;
  }
}

// The verdict: an object (index within its image), BACKGROUND or IGNORED. `matches` holds best_object before.
extern "C" __global__ void match_judge(const Box *anchors, int count, int shared_anchors, const Box *objects, const int *starts,
                                       const float *best_iou, const int *claims, float high, float low, int low_quality,
                                       int *matches) {
  __shared__ Box chunk[CHUNK];
  __shared__ float claimed[CHUNK];
  int image = blockIdx.y, index = blockIdx.x * THREADS + threadIdx.x;
  int begin = starts[image], end = starts[image + 1];
  Box anchor = {0.0f, 0.0f, 0.0f, 0.0f};
  if (index < count) anchor = anchors[(shared_anchors ? 0 : (long long)image * count) + index];
  float own = area(anchor);
  bool is_claimed = false;
  for (int base = begin; low_quality && base < end; base += CHUNK) {
    int n = min(CHUNK, end - base);
    __syncthreads();
    if ((int)threadIdx.x < n) {
      chunk[threadIdx.x] = objects[base + threadIdx.x];
      claimed[threadIdx.x] = __int_as_float(claims[base + threadIdx.x]);
    }
    __syncthreads();
    if (index < count) {
      for (int k = 0; k < n; ++k) {
        // An object that overlaps no anchor claims none.
        if (claimed[k] > 0.0f) is_claimed |= iou(chunk[k], area(chunk[k]), anchor, own) == claimed[k];
      }
    }
  }
  if (index >= count) return;
  long long at = (long long)image * count + index;
  float best = best_iou[at];
  if (begin == end) matches[at] = BACKGROUND;
  else if (!is_claimed && !(best >= high)) matches[at] = best >= low ? IGNORED : BACKGROUND;
}
