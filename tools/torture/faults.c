/* Write faults: preloaded into a program, it fails the FAULT_AT-th call that writes below FAULT_UNDER, and no other.
 *
 * FAULT_UNDER  folder; calls on other files pass
 * FAULT_AT     which call, from 1; 0 counts only
 * FAULT_KIND   enospc, eio, or short (half of the bytes are written, as a slow disk or a signal may have it)
 * FAULT_COUNT  file that gets a line for each call
 *
 * Calls: open for writing, write, pwrite, writev, fsync, fdatasync, ftruncate, rename, mkdir, unlink.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int under(const char *path) {
    const char *folder = getenv("FAULT_UNDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int of_descriptor(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return under(path);
}

static int at_folder(int dir, const char *path, char *full) {
    if (path[0] == '/' || dir == AT_FDCWD) {
        if (path[0] == '/') return snprintf(full, PATH_MAX, "%s", path), under(full);
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(full, PATH_MAX, "%.2000s/%.2000s", here, path);
        return under(full);
    }
    char folder[PATH_MAX];
    of_descriptor(dir, folder);
    snprintf(full, PATH_MAX, "%.2000s/%.2000s", folder, path);
    return under(full);
}

/* 0: the call passes; 1: it fails with errno set; 2: it is cut short. */
static int fault(const char *what, const char *path) {
    long at = getenv("FAULT_AT") ? atol(getenv("FAULT_AT")) : 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    const char *count = getenv("FAULT_COUNT");
    if (count) {
        int fd = REAL(open)(count, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        if (fd >= 0) {
            char line[PATH_MAX + 64];
            int n = snprintf(line, sizeof line, "%ld %s %s\n", number, what, path);
            if (REAL(write)(fd, line, n) < 0) {}
            REAL(close)(fd);
        }
    }
    if (number != at) return 0;
    const char *kind = getenv("FAULT_KIND");
    if (kind && strcmp(kind, "short") == 0) return 2;
    errno = kind && strcmp(kind, "eio") == 0 ? EIO : ENOSPC;
    return 1;
}

#define WRITES (O_WRONLY | O_RDWR | O_CREAT)

#define OPEN(name, signature, dir, flags_at, ...)                                      \
    int name signature {                                                               \
        mode_t mode = 0;                                                               \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                         \
            va_list rest;                                                              \
            va_start(rest, flags);                                                     \
            mode = va_arg(rest, mode_t);                                               \
            va_end(rest);                                                              \
        }                                                                              \
        char full[PATH_MAX];                                                           \
        if ((flags & WRITES) && at_folder(dir, path, full) && fault("open", full) == 1) return -1; \
        return REAL(name)(__VA_ARGS__, mode);                                          \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, flags, path, flags)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, flags, path, flags)
OPEN(openat, (int dir, const char *path, int flags, ...), dir, flags, dir, path, flags)
OPEN(openat64, (int dir, const char *path, int flags, ...), dir, flags, dir, path, flags)

ssize_t write(int fd, const void *data, size_t size) {
    char path[PATH_MAX];
    if (of_descriptor(fd, path)) switch (fault("write", path)) {
        case 1: return -1;
        case 2: size = size > 1 ? size / 2 : size;
    }
    return REAL(write)(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    char path[PATH_MAX];
    if (of_descriptor(fd, path)) switch (fault("pwrite", path)) {
        case 1: return -1;
        case 2: size = size > 1 ? size / 2 : size;
    }
    return REAL(pwrite64)(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (of_descriptor(fd, path)) switch (fault("writev", path)) {
        case 1: return -1;
        case 2: return REAL(writev)(fd, parts, 1);
    }
    return REAL(writev)(fd, parts, count);
}

#define ON_DESCRIPTOR(name, type, signature, ...)                       \
    type name signature {                                               \
        char path[PATH_MAX];                                            \
        if (of_descriptor(fd, path) && fault(#name, path) == 1) return -1; \
        return REAL(name)(__VA_ARGS__);                                 \
    }

ON_DESCRIPTOR(fsync, int, (int fd), fd)
ON_DESCRIPTOR(fdatasync, int, (int fd), fd)
ON_DESCRIPTOR(ftruncate64, int, (int fd, off64_t size), fd, size)

int rename(const char *from, const char *to) {
    char full[PATH_MAX];
    if (at_folder(AT_FDCWD, to, full) && fault("rename", full) == 1) return -1;
    return REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode) {
    char full[PATH_MAX];
    if (at_folder(AT_FDCWD, path, full) && fault("mkdir", full) == 1) return -1;
    return REAL(mkdir)(path, mode);
}

int unlink(const char *path) {
    char full[PATH_MAX];
    if (at_folder(AT_FDCWD, path, full) && fault("unlink", full) == 1) return -1;
    return REAL(unlink)(path);
}
