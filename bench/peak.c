/*
 * peak FILE COMMAND [ARGUMENT…]: run a program, and write to FILE how long it took from its start
 * to its exit and the most memory it had.
 *
 * The figures are taken here because a child begins with the peak of whatever it was started from:
 * the kernel keeps the largest resident size over an exec, so that a program started by a script
 * of 40 MiB has never had less.  This process has one megabyte.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    FILE *out;
    double began_s;
    double took_s;
    int status;
    pid_t child;

    if (argc < 3)
        return 2;
    began_s = now_s();
    child = fork();
    if (child < 0)
        return 2;
    if (child == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (wait4(child, &status, 0, &usage) != child)
        return 2;
    took_s = now_s() - began_s;
    out = fopen(argv[1], "w");
    if (!out || fprintf(out, "%.6f %ld\n", took_s, usage.ru_maxrss) < 0 || fclose(out))
        return 2;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
