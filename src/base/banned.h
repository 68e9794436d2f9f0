/*
 * Calls that block the thread, or that invite mistakes, poisoned above the runtime.
 *
 * The Makefile includes this by force into every file of the layers above rt; the store's thread
 * and the runtime itself may block, and tests may do as they like. What must block or burns more
 * than a millisecond of processor time goes through sl_offload(); waiting is the runtime's business
 * (sl_sleep, sl_chan, sl_mutex, the streams of net/).
 *
 * Poison catches a word wherever it stands, so the system headers that declare these names come
 * first, and names that are good words for a field or a flag (poll, select, wait, read, signal) are
 * caught as calls instead: they are declared again with an attribute that makes every call of them
 * an error. A file on its way up that may block says so by defining SL_MAY_BLOCK on the compiler's
 * command line.
 */
#pragma once

#include <alloca.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* No bound, or state behind the back of the caller: snprintf, Buf and Str do the same without.
 * Fortified headers make macros of some. */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets

#ifndef SL_MAY_BLOCK

#pragma GCC poison usleep nanosleep clock_nanosleep popen
#pragma GCC poison gethostbyname gethostbyaddr getaddrinfo getnameinfo
#pragma GCC poison pthread_cond_wait pthread_cond_timedwait pthread_join sem_wait
#pragma GCC poison epoll_wait waitpid waitid fsync fdatasync

#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored \
    "-Wignored-attributes" /* fortified headers define some of them inline */
#define SL_BLOCKS   \
    __attribute__(( \
        unavailable("blocks the thread of all fibers: use the runtime's call or sl_offload()")))
#else
#define SL_BLOCKS   \
    __attribute__(( \
        error("blocks the thread of all fibers: use the runtime's call or sl_offload()")))
#endif

extern unsigned int sleep(unsigned int seconds) SL_BLOCKS;
extern int system(const char *command) SL_BLOCKS;
extern int poll(struct pollfd *fds, nfds_t n, int timeout) SL_BLOCKS;
extern int select(int n, fd_set *in, fd_set *out, fd_set *except,
                  struct timeval *timeout) SL_BLOCKS;
extern pid_t wait(int *status) SL_BLOCKS;
extern int flock(int fd, int operation) SL_BLOCKS;
extern pid_t fork(void) SL_BLOCKS;
extern int pthread_mutex_lock(pthread_mutex_t *mutex) SL_BLOCKS;

#ifdef __clang__
#pragma clang diagnostic pop
#endif
#undef SL_BLOCKS

#endif
