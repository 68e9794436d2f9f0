/*
 * Addresses: where a listener listens and a stream connects, as text and as the kernel wants them.
 *
 *   127.0.0.1:7584   [::1]:7584   :7584 (all interfaces)   localhost:7584   unix:/run/sluice.sock
 *
 * Numeric addresses only, plus the word "localhost" (127.0.0.1): names are resolved by the HTTP
 * client, which does so off the loop. Pure: no descriptor, no suspension.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define NET_ADDRESS_TEXT_MAX 128 /* bytes of formatted text, the NUL counted */

typedef struct NetAddress {
    struct sockaddr_storage storage; /* AF_UNSPEC when there is none (simulated, unnamed) */
    socklen_t len;                   /* bytes used of it */
} NetAddress;

/* Parse TEXT. 0, or -ERR_INVALID with words that name the text. */
MUST int net_address_parse(Str text, NetAddress *ret_address);

/* As text, in the form that parse reads, NUL-terminated in OUT; "-" when there is no address. */
Str net_address_format(const NetAddress *address, char out[static NET_ADDRESS_TEXT_MAX]);

/* The port in host order, 0 when the kind has none. */
uint16_t net_address_port(const NetAddress *address);

bool net_address_is_unix(const NetAddress *address);

/*
 * Whether the address belongs to this machine or its neighbourhood and not to the public internet:
 * loopback, private, link-local, shared (RFC 6598), unique-local, multicast, broadcast,
 * unspecified, benchmarking and documentation ranges; also when mapped or embedded in IPv6
 * (::ffff:, 64:ff9b::, 2002::). For the HTTP client's policy. Everything that is neither IPv4 nor
 * IPv6 is private.
 */
bool net_address_is_private(const struct sockaddr *address, socklen_t len);
