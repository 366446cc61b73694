// The focal loss of sigmoid outputs (Lin et al. 2017, section 3), or its derivative, in one pass over the logits.
//
// An absent class loses f(x) = p^gamma softplus(x), p = sigmoid(x), with derivative p^gamma (gamma (1 - p) softplus(x) + p); a present
// one loses f(-x). The derivative is computed when the backward pass asks for it, already multiplied by the gradient of the loss: that costs
// less than to keep it, and a scaled float16 gradient does not underflow.

#define THREADS 256
#define BACKGROUND -1
#define IGNORED -2

// Grid: (any number of blocks, images). logits: [images, anchors, outputs]; classes: [images, anchors], a class, BACKGROUND or IGNORED;
// scales: [images]. With `partial` ([images, blocks]) each block leaves its sum there; with `grad` (shape of the logits) the
// derivative times *upstream goes there.
extern "C" __global__ void focal_loss(const Scalar *logits, const int *classes, const float *scales, unsigned anchors, unsigned outputs,
                                      float alpha, float gamma, const float *upstream, Scalar *grad, double *partial) {
  __shared__ double sums[THREADS];
  long long image = blockIdx.y;
  const Scalar *x_of = logits + image * anchors * outputs;
  Scalar *grad_of = grad ? grad + image * anchors * outputs : grad;
  const int *class_of = classes + image * anchors;
  float absent = (1.0f - alpha) * scales[image], present = alpha * scales[image];
  float factor = grad ? *upstream : 0.0f;
  // Few values are added in single precision before the double takes them.
  double sum = 0.0;
  float run = 0.0f;
  int terms = 0;
  unsigned count = anchors * outputs, stride = gridDim.x * THREADS;
  for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < count; i += stride) {
    unsigned anchor = i / outputs;
    int target = class_of[anchor];
    float loss = 0.0f, derivative = 0.0f;
    if (target != IGNORED) {
      bool is_present = target >= 0 && (unsigned)target == i - anchor * outputs;
      float sign = is_present ? -1.0f : 1.0f, weight = is_present ? present : absent;
      float x = sign * load(x_of[i]);
      float e = expf(-fabsf(x)), r = 1.0f / (1.0f + e);
      float p = x >= 0.0f ? r : e * r, q = x >= 0.0f ? e * r : r;
      float softplus = (x > 0.0f ? x : 0.0f) + log1pf(e);
      float modulation = gamma == 2.0f ? p * p : powf(p, gamma);
      loss = weight * modulation * softplus;
      derivative = sign * weight * modulation * (gamma * q * softplus + p);
    }
    if (grad) grad_of[i] = store(factor * derivative);
    run += loss;
    if (++terms % 16 == 0) {
      sum += run;
      run = 0.0f;
    }
  }
  if (!partial) return;
  sums[threadIdx.x] = sum + run;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if ((int)threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) partial[image * gridDim.x + blockIdx.x] = sums[0];
}
