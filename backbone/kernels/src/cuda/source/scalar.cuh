// The element type of feature maps, logits and pixels. Kernels read and write it and compute in single precision.
//
// The source is compiled once per type: SCALAR is 0 for float32, 1 for float16, 2 for bfloat16. Both half types are plain bits here, so
// that no header of the CUDA toolkit is needed.

#if SCALAR == 0

typedef float Scalar;
__device__ inline float load(Scalar value) { return value; }
__device__ inline Scalar store(float value) { return value; }

#elif SCALAR == 1

struct Scalar { unsigned short bits; };
#ifdef __CUDACC_RTC__
__device__ inline float load(Scalar value) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
}
__device__ inline Scalar store(float value) {
  Scalar result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
}
#else
// Tests run the kernels on the CPU and bring their own conversion.
__device__ inline float load(Scalar value) { return float_of_half(value.bits); }
__device__ inline Scalar store(float value) { Scalar result; result.bits = half_of_float(value); return result; }
#endif

#else

struct Scalar { unsigned short bits; };
__device__ inline float load(Scalar value) { return __uint_as_float((unsigned)value.bits << 16); }
// To the nearest, ties to even; what is not a number stays so.
__device__ inline Scalar store(float value) {
  unsigned bits = __float_as_uint(value);
  Scalar result;
  result.bits = value != value ? 0x7fc0 : (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  return result;
}

#endif
