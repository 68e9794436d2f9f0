/*
 * The inside of the HTTP client. A call (http_client.c) is one hop or several
 * (http_client_redirect.c); each hop is a request (http_client_request.c) that goes some way
 * (http_client_route.c) and brings an answer (http_client_answer.c), and all are driven through
 * libcurl by one fiber (http_client_drive.c).
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

/* libcurl's buffer, which each running call has: a usual page at once. */
#define CLIENT_RECEIVE_BYTES (33 << 10)

typedef struct ClientSocket {
    HttpClient *client;
    ListLink link;             /* in client->ready or client->unwatched */
    curl_socket_t fd;          /* libcurl's */
    int watched_fd;            /* the same, or a duplicate when libcurl closes fd by itself */
    int wanted;                /* SL_FD_READ, SL_FD_WRITE; 0: leave it alone */
    int happened;              /* what the driver is to be told; 0: nothing */
    bool is_failed;            /* waiting failed */
    bool is_watched;           /* its watcher lives */
    bool is_gone;              /* closed: whoever is last frees this */
    sl_scope *wait_scope;      /* the watcher's, while it waits for the descriptor */
    int waits_for;             /* what it waits for there */
    sl_cond changed;           /* the watcher waits here for something to do */
    struct ClientSlot *opener; /* the call that had it opened; NULL: libcurl's own socket */
    uint64_t opener_serial;    /* of that call */
} ClientSocket;

/* What the head of an answer has said so far. */
typedef struct ClientHead {
    int status;
    bool is_complete;     /* the empty line has come; later lines are trailers */
    bool has_location;    /* slot->location */
    unsigned n_encodings; /* of the content, one around the other */
    bool is_chunked;
    bool has_length;
    uint64_t length; /* what Content-Length says; 0 when it is not there */
    uint64_t bytes;  /* of this answer's lines */
} ClientHead;

/* A prepared easy handle and the call it makes. Pooled. */
typedef struct ClientSlot {
    struct ClientSlot *next; /* in the pool */
    ListLink link;           /* in client->active */
    HttpClient *client;
    CURL *easy;

    /* The call. */
    uint64_t serial; /* of the call on its client */
    const HttpCall *call;
    HttpAnswer *answer;
    HttpPolicy policy;
    size_t body_bytes_max;
    uint64_t wire_bytes_max;
    size_t header_bytes_max;
    int64_t turn_ns;  /* when the call had its turn: timeout_ms counts from here */
    Buf credentials;  /* a header line for the first origin, with a NUL; empty: none */
    Buf origin;       /* of the first URL; empty until a redirect asks for it */
    int hops;         /* redirects followed */
    bool is_stranger; /* this hop goes to another origin than the first */
    bool is_head;     /* HEAD: a length is told, and nothing comes */
    bool is_get;      /* a redirect has made it a GET without body */

    /* This hop's request. */
    Buf url;                    /* with a NUL */
    Buf location;               /* as sent, with a NUL */
    Buf lines;                  /* header lines, each with a NUL */
    Buf built;                  /* the lines that `headers` was made of */
    struct curl_slist *headers; /* nodes of one array; the lines are in `built` */
    size_t headers_cap;
    Buf resolve_line;
    struct curl_slist resolve; /* of the client's fixed addresses: one line */
    bool is_proxied;           /* the peer is a proxy that is trusted to obey the policy */

    /* What the handle still has from its last call, and a call without must take back. */
    bool has_method, has_body, has_proxy, has_encoding, has_resolve, has_cookies;

    /* This hop's answer. */
    ClientHead head;
    size_t body_bytes;
    size_t header_bytes; /* of all answers */
    size_t n_set_cookies;
    bool is_started; /* a name is being looked up, or a connection was found: no longer waiting */

    /* How it ended. */
    sl_event done;
    CURLcode result;
    bool is_aborted;   /* the client is being stopped */
    bool is_added;     /* libcurl has it */
    bool is_denied;    /* an address was refused … */
    bool is_opened;    /* … and another was not */
    bool is_connected; /* a socket that it opened was, when it was closed */
    bool is_enough;    /* of a redirect's body */
    int stop_error;    /* what made a callback stop the call; its words are in err */
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
    Buf agent_line;    /* "User-Agent: …" with a NUL */
    Buf encoding_line; /* "Accept-Encoding: …", all that libcurl decodes, with a NUL */

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
void client_slot_free(ClientSlot *slot);

/* http_client_request.c: a hop becomes the options of the handle. */
MUST int client_request_start(HttpClient *client); /* what is the same for each handle */
void client_request_init(ClientSlot *slot);        /* what is the same for each call */
MUST int client_request_set(ClientSlot *slot);
void client_request_clear(ClientSlot *slot); /* what must not outlive the call */

/* http_client_answer.c: what arrives, and what became of it. */
void client_answer_init(ClientSlot *slot);
void client_answer_begin(ClientSlot *slot); /* before each hop */
void client_answer_fill(ClientSlot *slot);  /* whatever the outcome */
MUST int client_answer_fail(ClientSlot *slot);
bool client_answer_is_hop(const ClientSlot *slot); /* a redirect that is to be followed */

/* http_client_redirect.c: from hop to hop. */
MUST int client_first_url(ClientSlot *slot);
MUST int client_next_url(ClientSlot *slot); /* 0, HTTP_REDIRECT_STOP or an error */
void client_fill_location(ClientSlot *slot);

/* http_client_route.c: fixed addresses and proxies. */
MUST int client_route_set(ClientSlot *slot);
