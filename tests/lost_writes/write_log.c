// Preloaded into a server: writes down what it does to its SQLite file and to the log beside it,
// in the order in which it does it. WRITE_LOG_DATABASE is the file, WRITE_LOG the record. With
// WRITE_LOG_LYING_DISK syncs are left out, as of a disk that says it has what it does not have.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536
#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

struct __attribute__((packed)) entry {
    char what;     // 'W'rite, 'T'runcate or 'S'ync
    char file;     // 'd'atabase or 'l'og
    uint64_t offset;
    uint64_t length;
};

static char kinds[FILES];
static int record = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static char kind(int fd) {
    return fd >= 0 && fd < FILES ? kinds[fd] : 0;
}

static void note(char what, int fd, uint64_t offset, const void *data, uint64_t length) {
    struct entry entry = {what, kind(fd), offset, length};
    struct iovec parts[2] = {{&entry, sizeof entry}, {(void *)data, data ? length : 0}};
    if (what == 'S' && getenv("WRITE_LOG_LYING_DISK")) return;
    // A record with a gap would prove nothing.
    if (writev(record, parts, 2) != (ssize_t)(sizeof entry + parts[1].iov_len)) abort();
}

static int opened(int fd, const char *path) {
    const char *database = getenv("WRITE_LOG_DATABASE");
    if (fd < 0 || fd >= FILES || !database) return fd;
    size_t length = strlen(database);
    pthread_mutex_lock(&lock);
    kinds[fd] = 0;
    if (strncmp(path, database, length) == 0) {
        if (path[length] == 0) kinds[fd] = 'd';
        if (strcmp(path + length, "-wal") == 0) kinds[fd] = 'l';
    }
    if (kinds[fd] && record < 0)
        record = REAL(open, getenv("WRITE_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    pthread_mutex_unlock(&lock);
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return opened(REAL(open, path, flags, mode), path);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return opened(REAL(open64, path, flags, mode), path);
}

int close(int fd) {
    if (kind(fd)) kinds[fd] = 0;
    return REAL(close, fd);
}

// What is begun is in the record before it can be on the disk.
#define WRITES(call, at)                         \
    if (!kind(fd)) return call;                  \
    pthread_mutex_lock(&lock);                   \
    note('W', fd, at, data, length);             \
    ssize_t done = call;                         \
    if (done != (ssize_t)length) abort();        \
    pthread_mutex_unlock(&lock);                 \
    return done;

ssize_t write(int fd, const void *data, size_t length) {
    WRITES(REAL(write, fd, data, length), (uint64_t)lseek(fd, 0, SEEK_CUR))
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    WRITES(REAL(pwrite, fd, data, length, offset), (uint64_t)offset)
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    WRITES(REAL(pwrite64, fd, data, length, offset), (uint64_t)offset)
}

#define TRUNCATES(call)                                     \
    if (!kind(fd)) return call;                             \
    pthread_mutex_lock(&lock);                              \
    note('T', fd, (uint64_t)length, NULL, 0);               \
    int done = call;                                        \
    pthread_mutex_unlock(&lock);                            \
    return done;

int ftruncate(int fd, off_t length) { TRUNCATES(REAL(ftruncate, fd, length)) }

int ftruncate64(int fd, off64_t length) { TRUNCATES(REAL(ftruncate64, fd, length)) }

// A sync is in the record once it is done, and covers what was written before it began: others
// wait meanwhile.
#define SYNCS(call)                              \
    if (!kind(fd)) return call;                  \
    pthread_mutex_lock(&lock);                   \
    int done = call;                             \
    if (done == 0) note('S', fd, 0, NULL, 0);    \
    pthread_mutex_unlock(&lock);                 \
    return done;

int fsync(int fd) { SYNCS(REAL(fsync, fd)) }

int fdatasync(int fd) { SYNCS(REAL(fdatasync, fd)) }
