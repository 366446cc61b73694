// NCCL's C interface over main memory, for tests without cards: processes of one machine add tensors of the simulated device in a shared file.
// Calls are not blocking: they answer "in progress", and go on when they are asked about. What happens is written to $FAKE_NCCL_LOG.<rank>.
// $FAKE_NCCL is what goes wrong, as WHAT@RANK: `refuse` (no communicator), `error` (the third operation fails), `hang` (it never ends),
// `deaf` (operations are accepted and not done), `id` (no unique id); `version` is another version on that rank.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SUCCESS = 0, CUDA_ERROR = 1, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6, IN_PROGRESS = 7 };
enum { RANKS = 8, SLOT = 64 << 20 };

typedef struct {
  char path[128];
} Id;

typedef struct {
  size_t size;
  unsigned magic, version;
  int blocking;
} Config;

typedef struct {
  atomic_int joined, pids[RANKS];
  atomic_long arrived[RANKS];
} Shared;

typedef struct {
  Shared *shared;
  char *slots;
  int rank, size, ready, finalizing;
  long operation;
  // The operation in progress, if any: the receiver, numbers, kind, and whose they become (-1: the sum).
  char *to;
  size_t count;
  int kind, root;
} Comm;

static int own_rank(void) {
  const char *rank = getenv("RANK");
  return rank ? atoi(rank) : 0;
}

static int wrong(const char *what) {
  const char *given = getenv("FAKE_NCCL");
  char wanted[64];
  snprintf(wanted, sizeof wanted, "%s@%d", what, own_rank());
  return given && !strcmp(given, wanted);
}

static void note(const char *what) {
  const char *log = getenv("FAKE_NCCL_LOG");
  char path[512];
  if (!log) return;
  snprintf(path, sizeof path, "%s.%d", log, own_rank());
  FILE *file = fopen(path, "a");
  fprintf(file, "%s\n", what);
  fclose(file);
}

static size_t bytes_of(int kind) { return (size_t[]){1, 1, 4, 4, 8, 8, 2, 4, 8, 2}[kind]; }

// Where the simulated device keeps what it shows under an address.
static char *host(const void *p) { return (char *)((uintptr_t)p & (((uintptr_t)1 << 48) - 1)); }

static char *slot(Comm *comm, int rank, long operation) { return comm->slots + (size_t)(2 * rank + operation % 2) * SLOT; }

const char *ncclGetErrorString(int code) {
  return code == REMOTE_ERROR ? "remote process exited or there was a network error" : code == CUDA_ERROR ? "unhandled cuda error" : "error";
}

int ncclGetVersion(int *version) {
  *version = wrong("version") ? 22703 : 22809;
  return SUCCESS;
}

int ncclGetUniqueId(Id *id) {
  note("id");
  if (wrong("id")) return SYSTEM_ERROR;
  memset(id, 0, sizeof *id);
  snprintf(id->path, sizeof id->path, "%s.shared", getenv("FAKE_NCCL_LOG"));
  int file = open(id->path, O_CREAT | O_EXCL | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, sizeof(Shared) + (size_t)2 * RANKS * SLOT)) return SYSTEM_ERROR;
  close(file);
  return SUCCESS;
}

int ncclCommInitRankConfig(Comm **out, int size, Id id, int rank, Config *config) {
  note("init");
  if (wrong("refuse")) return CUDA_ERROR;
  if (config->magic != 0xcafebeef || config->size != 24 || config->version != 21400 || config->blocking) return INVALID_ARGUMENT;
  int file = open(id.path, O_RDWR);
  if (file < 0 || size > RANKS) return SYSTEM_ERROR;
  size_t bytes = sizeof(Shared) + (size_t)2 * RANKS * SLOT;
  char *memory = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return SYSTEM_ERROR;
  Comm *comm = calloc(1, sizeof *comm);
  comm->shared = (Shared *)memory;
  comm->slots = memory + sizeof(Shared);
  comm->rank = rank;
  comm->size = size;
  comm->shared->pids[rank] = getpid();
  comm->shared->joined++;
  *out = comm;
  return IN_PROGRESS;
}

static void add(char *to, const char *from, size_t count, int kind) {
#define ADD(KIND, TYPE) \
  if (kind == KIND)     \
    for (size_t i = 0; i < count; i++) ((TYPE *)to)[i] += ((const TYPE *)from)[i];
  ADD(2, int32_t) ADD(4, int64_t) ADD(7, float) ADD(8, double)
}

int ncclCommGetAsyncError(Comm *comm, int *state) {
  *state = IN_PROGRESS;
  if (!comm->ready) {
    comm->ready = comm->shared->joined == comm->size;
    if (comm->ready) *state = SUCCESS;
    return SUCCESS;
  }
  if (!comm->to) {
    *state = SUCCESS;
    return SUCCESS;
  }
  // The first operation is the one that shows that it works.
  if (comm->operation == 3 && wrong("error")) *state = REMOTE_ERROR;
  if (comm->operation == 3 && wrong("hang")) return SUCCESS;
  for (int rank = 0; rank < comm->size; rank++) {
    if (comm->shared->arrived[rank] >= comm->operation) continue;
    if (kill(comm->shared->pids[rank], 0) && errno == ESRCH) *state = REMOTE_ERROR;
    return SUCCESS;
  }
  if (*state == REMOTE_ERROR) return SUCCESS;
  size_t bytes = comm->count * bytes_of(comm->kind);
  memcpy(comm->to, slot(comm, comm->root < 0 ? 0 : comm->root, comm->operation), bytes);
  for (int rank = 1; comm->root < 0 && rank < comm->size; rank++) add(comm->to, slot(comm, rank, comm->operation), comm->count, comm->kind);
  comm->to = 0;
  *state = SUCCESS;
  return SUCCESS;
}

static int start(Comm *comm, const void *from, void *to, size_t count, int kind, int root) {
  if (!comm->ready || comm->to || comm->finalizing) return INVALID_USAGE;
  if (count * bytes_of(kind) > SLOT) return INVALID_ARGUMENT;
  comm->operation++;
  if (comm->operation > 1 && wrong("deaf")) return SUCCESS;
  memcpy(slot(comm, comm->rank, comm->operation), host(from), count * bytes_of(kind));
  comm->to = host(to);
  comm->count = count;
  comm->kind = kind;
  comm->root = root;
  comm->shared->arrived[comm->rank] = comm->operation;
  return IN_PROGRESS;
}

int ncclAllReduce(const void *from, void *to, size_t count, int kind, int operation, Comm *comm, void *stream) {
  note("all_reduce");
  (void)stream;
  return operation ? INVALID_ARGUMENT : start(comm, from, to, count, kind, -1);
}

int ncclBroadcast(const void *from, void *to, size_t count, int kind, int root, Comm *comm, void *stream) {
  note("broadcast");
  (void)stream;
  return start(comm, from, to, count, kind, root);
}

int ncclCommFinalize(Comm *comm) {
  note("finalize");
  comm->finalizing = 1;
  return IN_PROGRESS;
}

int ncclCommDestroy(Comm *comm) {
  note("destroy");
  free(comm);
  return SUCCESS;
}

int ncclCommAbort(Comm *comm) {
  note("abort");
  free(comm);
  return SUCCESS;
}
