/* Faults on order, for a program that runs with this in LD_PRELOAD: each is a file in the folder HALLGATE_FAULTS, for as long as it is there.
 *
 *   disk          system calls on files below HALLGATE_DISK do not return
 *   sync          fdatasync and fsync on them alone do not return
 *   stuck-THREAD  threads of that name do not look for events any more
 *   alone-THREAD  threads of that name can begin no thread
 *   clock         the wall clock is off by as many seconds as the file says; the steady one is not
 *   panic-THREAD  the clock fails for a thread of that name, once, which is a panic in Rust; it takes the file away
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The path of a fault's file; false where none are ordered. */
static int fault(char path[PATH_MAX], const char *what, const char *thread) {
    const char *folder = getenv("HALLGATE_FAULTS");
    return folder && snprintf(path, PATH_MAX, "%s/%s%s", folder, what, thread) < PATH_MAX;
}

static int is_ordered(const char *path) {
    return syscall(SYS_faccessat, -100 /* AT_FDCWD */, path, F_OK) == 0;
}

static void wait_while(const char *what, const char *thread) {
    int before = errno;
    char path[PATH_MAX];
    const struct timespec moment = {0, 5000000};
    while (fault(path, what, thread) && is_ordered(path)) syscall(SYS_nanosleep, &moment, NULL);
    errno = before;
}

static int is_on_disk(const char *path) {
    const char *disk = getenv("HALLGATE_DISK");
    return disk && strncmp(path, disk, strlen(disk)) == 0;
}

static void touch(int file, int syncs) {
    int before = errno;
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, -100, name, path, sizeof path - 1);
    errno = before;
    if (length <= 0) return;
    path[length] = 0;
    if (!is_on_disk(path)) return;
    wait_while("disk", "");
    if (syncs) wait_while("sync", "");
}

ssize_t read(int file, void *to, size_t size) {
    touch(file, 0);
    return syscall(SYS_read, file, to, size);
}
ssize_t write(int file, const void *from, size_t size) {
    touch(file, 0);
    return syscall(SYS_write, file, from, size);
}
ssize_t pread64(int file, void *to, size_t size, off_t at) {
    touch(file, 0);
    return syscall(SYS_pread64, file, to, size, at);
}
ssize_t pwrite64(int file, const void *from, size_t size, off_t at) {
    touch(file, 0);
    return syscall(SYS_pwrite64, file, from, size, at);
}
int fdatasync(int file) {
    touch(file, 1);
    return syscall(SYS_fdatasync, file);
}
int fsync(int file) {
    touch(file, 1);
    return syscall(SYS_fsync, file);
}
int ftruncate64(int file, off_t length) {
    touch(file, 0);
    return syscall(SYS_ftruncate, file, length);
}
int rename(const char *from, const char *to) {
    if (is_on_disk(to)) wait_while("disk", "");
    return syscall(SYS_renameat2, -100, from, -100, to, 0);
}

static int named(char name[16]) {
    return syscall(SYS_prctl, PR_GET_NAME, name, 0, 0, 0) == 0;
}

int epoll_wait(int poll, struct epoll_event *events, int most, int patience) {
    char name[16] = "";
    if (named(name)) wait_while("stuck-", name);
    return syscall(SYS_epoll_pwait, poll, events, most, patience, NULL, 8);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *with, void *(*run)(void *), void *given) {
    char name[16] = "", path[PATH_MAX];
    if (named(name) && fault(path, "alone-", name) && is_ordered(path)) return EAGAIN;
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    return create(thread, with, run, given);
}

/* How far the wall clock is off, in seconds. */
static long off(void) {
    char path[PATH_MAX], text[32] = "";
    int file = fault(path, "clock", "") ? syscall(SYS_openat, -100, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (file < 0) return 0;
    syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int before = errno;
    char name[16] = "", path[PATH_MAX];
    /* Whoever takes the file away is the one that it was meant for. */
    if (named(name) && fault(path, "panic-", name) && is_ordered(path) && syscall(SYS_unlinkat, -100, path, 0) == 0) {
        errno = EINVAL;
        return -1;
    }
    int told = syscall(SYS_clock_gettime, clock, now);
    if (told == 0 && clock == CLOCK_REALTIME) now->tv_sec += off();
    errno = before;
    return told;
}
