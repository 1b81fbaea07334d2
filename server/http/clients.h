/* clients.h - what each client may take: requests in a second, connections at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A client is an IPv4 address or the first 64 bits of an IPv6 address. Requests are let in by a
 * bucket of `burst` that fills at `rate` a second (as the generic cell rate algorithm keeps it: one
 * time for each client). Clients without a connection are remembered until 16,384 others have come
 * after them. Any thread.
 */
#ifndef SERVER_CLIENTS_H
#define SERVER_CLIENTS_H

#include <sys/socket.h>

#include "codec/text.h"

/* 0: no limit. */
struct clients_limits {
    int64_t rate, burst, connections; /* burst 0: `rate` */
};

struct clients;
struct client;

/* Errors: LQ_ERR_MEMORY. */
int clients_create(const struct clients_limits *limits, struct clients **ret_clients,
                   struct lq_error *error) LQ_MUST_CHECK;
/* Everyone must have left. */
void clients_destroy(struct clients *clients);

/* A connection opens; *ret_too_many: it is one more than the client may have. NULL (no limits): the
 * address is none of the Internet, or memory ran out. */
struct client *clients_enter(struct clients *clients, const struct sockaddr *address,
                             bool *ret_too_many);
/* It closes; NULL is fine. */
void clients_leave(struct clients *clients, struct client *client);
/* A request comes: 0 lets it in, else the nanoseconds until there will be room for one. */
int64_t clients_take(struct clients *clients, struct client *client, int64_t now_ns);

#endif
