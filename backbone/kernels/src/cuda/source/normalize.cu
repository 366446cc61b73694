// Pixels of bytes to normalised ones: x * scale + offset within each image, zero in the padding beside it.

#define THREADS 256

// Grid: (any number of blocks, images). pixels: [images, 3, height, width] with strides in elements; sizes: [images, 2], height and width
// within the padding; out: the same shape, with strides of its own.
struct Layout {
  long long image_stride, channel_stride, row_stride, column_stride;
};

struct Norm {
  float scale[3], offset[3];
};

extern "C" __global__ void normalize(const unsigned char *pixels, Layout from, const int *sizes, int height, int width, Norm norm,
                                     Scalar *out, Layout to, int channels_last) {
  long long image = blockIdx.y;
  int rows = sizes[2 * image], columns = sizes[2 * image + 1];
  unsigned count = 3u * height * width, stride = gridDim.x * THREADS;
  for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < count; i += stride) {
    unsigned channel = channels_last ? i % 3 : i / ((unsigned)height * width);
    unsigned cell = channels_last ? i / 3 : i % ((unsigned)height * width);
    int y = cell / width, x = cell % width;
    float value = 0.0f;
    if (y < rows && x < columns) {
      unsigned char byte = pixels[image * from.image_stride + channel * from.channel_stride + y * from.row_stride + x * from.column_stride];
      value = (float)byte * norm.scale[channel] + norm.offset[channel];
    }
    out[image * to.image_stride + channel * to.channel_stride + y * to.row_stride + x * to.column_stride] = store(value);
  }
}
