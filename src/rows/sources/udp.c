/*
 * udp: datagrams of whole rows. What is done with them is said in rows/datagrams.h.
 */
#include "base/err.h"
#include "rows/datagrams.h"
#include "rows/source.h"

#include <stdio.h>

extern const SourceDriver source_udp;

typedef struct UdpArgs {
    Str listen;
    int64_t buffer;
    Str group;
} UdpArgs;

static const SchemaField udp_fields[] = {
    FIELD_STR(UdpArgs, listen, "address to receive on", .is_required = true, .holder = "ADDR:PORT"),
    FIELD_INT(UdpArgs, buffer,
              "bytes that the kernel holds for us; above net.core.rmem_max it wants a right to it",
              .range = RANGE(4096, 1 << 30), .default_text = "4194304"),
    FIELD_STR(UdpArgs, group, "multicast group to join", .holder = "ADDR"),
};

static const Schema udp_args = SCHEMA(UdpArgs, udp_fields, "Settings of the source udp");

SUSPENDS static int udp_run(Source *source)
{
    const UdpArgs *args = source->args;
    DatagramOpts opts = { .buffer_bytes = (size_t) args->buffer, .group = args->group };
    char where[NET_ADDRESS_TEXT_MAX], text[NET_ADDRESS_TEXT_MAX + 32];
    NetAddress address;
    int r = net_address_parse(args->listen, &address), fd = -1;

    if (r == 0 && net_address_is_unix(&address))
        r = fail(-ERR_INVALID, "a path is for the source unix");
    if (r == 0)
        r = datagrams_open(&address, &opts, &fd);
    if (r < 0)
        return wrap(r, "udp");
    (void) snprintf(text, sizeof(text), "receives on %s", net_address_format(&address, where).data);
    source_say(source, true, text);
    r = datagrams_run(source, fd, &opts);
    return r < 0 ? wrap(r, "udp") : 0;
}

static int udp_from_text(Str text, Buf *out)
{
    return source_from_url(&source_udp, "listen", text, out);
}

const SourceDriver source_udp = {
    .name = "udp",
    .summary = "datagrams of lines over UDP: line protocol unless format says otherwise",
    .schemes = { "udp://" },
    .args = &udp_args,
    .from_text = udp_from_text,
    .format = DECODE_INFLUX,
    .is_endless = true,
    .is_local = true, /* it listens on this machine */
    .run = udp_run,
};
