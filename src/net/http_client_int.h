/*
 * The inside of the HTTP client: calls (http_client.c) and what drives libcurl
 * (http_client_drive.c).
 *
 * One fiber, the driver, makes every call into libcurl that may read or write a socket. Each socket
 * has a watcher, a fiber with a small stack, that waits for what libcurl wants of it, queues the
 * socket for the driver, and waits again once the driver has been through it. Callers add and
 * remove their handles themselves, which moves no bytes, and wait for their slot's event.
 *
 *   caller --add--> libcurl <--socket_action-- driver <--queue-- watchers <-- loop
 *      ^                                          |
 *      +------------------ done ------------------+
 */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "net/http_client.h"

#include <curl/curl.h>

typedef struct ClientSocket {
    HttpClient *client;
    ListLink link;        /* in client->ready or client->unwatched */
    curl_socket_t fd;     /* libcurl's */
    int watched_fd;       /* the same, or a duplicate when libcurl closes fd by itself */
    int wanted;           /* SL_FD_READ, SL_FD_WRITE; 0: leave it alone */
    int happened;         /* what the driver is to be told; 0: nothing */
    bool is_failed;       /* waiting failed */
    bool is_watched;      /* its watcher lives */
    bool is_gone;         /* closed: whoever is last frees this */
    sl_scope *wait_scope; /* the watcher's, while it waits for the descriptor */
    int waits_for;        /* what it waits for there */
    sl_cond changed;      /* the watcher waits here for something to do */
} ClientSocket;

/* A prepared easy handle and the call it makes. Pooled. */
typedef struct ClientSlot {
    struct ClientSlot *next; /* in the pool */
    ListLink link;           /* in client->active */
    HttpClient *client;
    CURL *easy;
    Buf url;                    /* with a NUL */
    struct curl_slist *headers; /* of this call; NULL when the client's serve */

    const HttpCall *call;
    HttpAnswer *answer;
    HttpPolicy policy;
    size_t body_bytes_max;
    size_t header_bytes_max;
    size_t body_bytes;
    size_t header_bytes;
    sl_event done;
    CURLcode result;
    bool is_aborted; /* the client is being stopped */
    bool is_added;   /* libcurl has it */
    bool is_too_large;
    bool is_denied;
    int body_error; /* of on_body; its words are in err */
    Err err;
    char denied[64];
    char words[CURL_ERROR_SIZE];
} ClientSlot;

struct HttpClient {
    uint32_t tag;
    HttpClientOpts opts; /* defaults filled in */
    CURLM *multi;
    ClientSlot *pool;
    List active; /* slots with a call */
    sl_sem free_calls;
    struct curl_slist *base_headers;

    ClientSocket **sockets; /* by descriptor */
    size_t n_sockets;
    List ready;             /* sockets with something for the driver */
    List unwatched;         /* sockets that need a watcher */
    int64_t timer_at_ns;    /* when libcurl wants to be called; INT64_MAX: not */
    sl_cond work;           /* the driver waits here */
    sl_scope *driver_scope; /* of that wait; NULL while it runs */
    bool is_stopping;
    bool is_simulated; /* on a loop without descriptors: calls are refused */
    sl_cond idle;      /* a call has ended, or the driver */
    sl_event ended;    /* the driver is over */
    size_t callers;    /* fibers inside http_client_call */
    HttpClientStats counts;
};

#define HTTP_CLIENT_TAG 0x48434c54u /* "HCLT" */

/* http_client_drive.c */
MUST int client_drive_init(HttpClient *client);
SUSPENDS int client_drive(void *client);      /* the driver's fiber */
void client_drive_set_easy(ClientSlot *slot); /* the options that concern sockets */
