/* Counts what a process asks of CUDA's runtime: gcc -O2 -shared -fPIC -o libcount.so count.c -ldl; LD_PRELOAD=libcount.so COUNT_OUT=file program.
   No CUDA header is needed: only the arguments that are passed on have to be as wide as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct { unsigned x, y, z; } dim3;

static atomic_long launches, graph_launches, stream_waits, event_waits, device_waits, to_device, from_device, other_copies;

static void *next(const char *name) {
  void *f = dlsym(RTLD_NEXT, name);
  if (!f) {
    fprintf(stderr, "count: no %s\n", name);
    abort();
  }
  return f;
}

#define FORWARD(name, counter, types, values)             \
  int name types {                                        \
    static int(*real) types;                              \
    if (!real) real = (int(*) types)next(#name);          \
    atomic_fetch_add(&counter, 1);                        \
    return real values;                                   \
  }

FORWARD(cudaLaunchKernel, launches, (const void *f, dim3 g, dim3 b, void **a, size_t s, void *stream), (f, g, b, a, s, stream))
/* What nvcc 13 makes of <<<>>>. */
FORWARD(__cudaLaunchKernel, launches, (const void *f, dim3 g, dim3 b, void **a, size_t s, void *stream), (f, g, b, a, s, stream))
FORWARD(cudaLaunchKernelExC, launches, (const void *config, const void *f, void **a), (config, f, a))
FORWARD(cudaGraphLaunch, graph_launches, (void *graph, void *stream), (graph, stream))
FORWARD(cudaStreamSynchronize, stream_waits, (void *stream), (stream))
FORWARD(cudaEventSynchronize, event_waits, (void *event), (event))
FORWARD(cudaDeviceSynchronize, device_waits, (void), ())

int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream) {
  static int (*real)(void *, const void *, size_t, int, void *);
  if (!real) real = (int (*)(void *, const void *, size_t, int, void *))next("cudaMemcpyAsync");
  atomic_fetch_add(kind == 1 ? &to_device : kind == 2 ? &from_device : &other_copies, 1);
  return real(to, from, bytes, kind, stream);
}

/* The program calls it when what it wants to be counted begins. */
void repghost_count_reset(void) {
  launches = graph_launches = stream_waits = event_waits = device_waits = to_device = from_device = other_copies = 0;
}

__attribute__((destructor)) static void report(void) {
  const char *path = getenv("COUNT_OUT");
  FILE *out = path ? fopen(path, "w") : NULL;
  if (!out) return;
  fprintf(out,
          "{\"launches\": %ld, \"graph_launches\": %ld, \"stream_waits\": %ld, \"event_waits\": %ld, \"device_waits\": %ld, "
          "\"to_device\": %ld, \"from_device\": %ld, \"other_copies\": %ld}\n",
          launches, graph_launches, stream_waits, event_waits, device_waits, to_device, from_device, other_copies);
  fclose(out);
}
