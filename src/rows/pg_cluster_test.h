/*
 * A PostgreSQL of the test's own: a cluster in a temporary folder, reached by a Unix socket alone.
 *
 * initdb refuses root, so as root it runs as nobody. The server dies with the test (setpriv's
 * --pdeathsig), however that ends.
 */
#pragma once

#include "base/test.h"

#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct PgCluster {
    char dir[64];
    char bin[200];
    char url[200]; /* without parameters of ours; ends in ?host=… */
    pid_t pid;
    const char *why_not; /* NULL when it runs */
} PgCluster;

static inline bool pg_cluster_has(const char *program)
{
    char command[100];

    (void) snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

static inline const char *pg_cluster_as_user(void)
{
    if (getuid() != 0)
        return pg_cluster_has("setpriv") ? "setpriv --pdeathsig=QUIT" : "";
    return "setpriv --reuid=nobody --regid=nogroup --clear-groups --pdeathsig=QUIT";
}

static inline void pg_cluster_find(PgCluster *cluster)
{
    glob_t found = { 0 };

    cluster->why_not = "this build has no libpq";
    if (!SL_HAVE_PQ)
        return;
    cluster->why_not = "there is no /usr/lib/postgresql/*/bin/initdb";
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0 && found.gl_pathc > 0) {
        (void) snprintf(cluster->bin, sizeof(cluster->bin), "%s",
                        found.gl_pathv[found.gl_pathc - 1]);
        cluster->why_not = NULL;
    }
    globfree(&found);
    if (!cluster->why_not && getuid() == 0 && !pg_cluster_has("setpriv"))
        cluster->why_not = "initdb refuses root, and there is no setpriv";
}

/* Start the server in the foreground of a child. */
static inline void pg_cluster_spawn(PgCluster *cluster)
{
    char command[800];

    (void) snprintf(command, sizeof(command),
                    "exec %s %s/postgres -D %s/data -c listen_addresses='' -c fsync=off "
                    "-c unix_socket_directories=%s -c max_connections=20 -c shared_buffers=32MB "
                    "-c logging_collector=off >>%s/log 2>&1",
                    pg_cluster_as_user(), cluster->bin, cluster->dir, cluster->dir, cluster->dir);
    cluster->pid = fork();
    if (cluster->pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *) NULL);
        _exit(127);
    }
}

static inline bool pg_cluster_await(const PgCluster *cluster)
{
    char command[400];

    (void) snprintf(command, sizeof(command), "%s/pg_isready -q -h %s", cluster->bin, cluster->dir);
    for (int i = 0; i < 1200; i++) {
        if (system(command) == 0)
            return true;
        (void) usleep(50000);
    }
    return false;
}

static inline void pg_cluster_start(PgCluster *cluster)
{
    char command[800];

    pg_cluster_find(cluster);
    if (cluster->why_not)
        return;
    (void) snprintf(cluster->dir, sizeof(cluster->dir), "/tmp/sluice-pg-XXXXXX");
    if (!mkdtemp(cluster->dir) || chmod(cluster->dir, 0777) < 0) {
        cluster->why_not = "no temporary folder";
        return;
    }
    (void) snprintf(command, sizeof(command),
                    "cd / && %s %s/initdb -D %s/data -U sluice -A trust -E UTF8 --locale=C -N "
                    ">%s/log 2>&1",
                    pg_cluster_as_user(), cluster->bin, cluster->dir, cluster->dir);
    if (system(command) != 0) {
        cluster->why_not = "initdb failed here";
        return;
    }
    pg_cluster_spawn(cluster);
    (void) snprintf(cluster->url, sizeof(cluster->url),
                    "postgresql:///postgres?host=%s&user=sluice", cluster->dir);
    if (!pg_cluster_await(cluster))
        cluster->why_not = "the server did not start here";
}

/* Kill the server as a power cut does; pg_cluster_spawn and _await start it again. */
static inline void pg_cluster_kill(PgCluster *cluster)
{
    if (cluster->pid > 0) {
        (void) kill(cluster->pid, SIGQUIT);
        (void) waitpid(cluster->pid, NULL, 0);
    }
    cluster->pid = 0;
}

static inline void pg_cluster_stop(PgCluster *cluster)
{
    char command[100];

    pg_cluster_kill(cluster);
    if (cluster->dir[0] == '\0')
        return;
    (void) snprintf(command, sizeof(command), "rm -rf %s", cluster->dir);
    (void) system(command);
}
