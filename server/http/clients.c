/* clients.c - what each client may take: requests in a second, connections at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "http/clients.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS  4096
#define MAX_IDLE 16384

struct key {
    uint64_t high, low;
};

struct client {
    struct client *next;          /* of its hash */
    struct client *newer, *older; /* among those without a connection */
    struct key key;
    int64_t connections;
    int64_t full_ns; /* when the bucket is full again */
};

struct clients {
    struct clients_limits limits;
    int64_t interval_ns; /* between two requests at the full rate; 0: no limit */
    uint64_t seed;       /* so that nobody can choose addresses that collide */
    pthread_mutex_t lock;
    struct client *buckets[BUCKETS];
    struct client *newest, *oldest;
    int idle;
};

int clients_create(const struct clients_limits *limits, struct clients **ret_clients,
                   struct lq_error *error)
{
    struct clients *clients = calloc(1, sizeof(*clients));

    if (!clients)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    clients->limits = *limits;
    if (limits->rate)
        clients->interval_ns = 1000000000 / limits->rate;
    if (!limits->burst)
        clients->limits.burst = limits->rate;
    if (getrandom(&clients->seed, sizeof(clients->seed), GRND_NONBLOCK) < 0)
        clients->seed = (uint64_t)(uintptr_t)clients;
    pthread_mutex_init(&clients->lock, NULL);
    *ret_clients = clients;
    return LQ_OK;
}

void clients_destroy(struct clients *clients)
{
    if (!clients)
        return;
    for (int i = 0; i < BUCKETS; i++) {
        struct client *client;

        while ((client = clients->buckets[i])) {
            clients->buckets[i] = client->next;
            free(client);
        }
    }
    pthread_mutex_destroy(&clients->lock);
    free(clients);
}

/* An IPv4 address is the same client whether it comes as one or mapped into IPv6. */
static bool make_key(const struct sockaddr *address, struct key *ret_key)
{
    struct in6_addr ip6;
    uint32_t ip4;

    *ret_key = (struct key){0, 0};
    if (address && address->sa_family == AF_INET) {
        memcpy(&ip4, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
        ret_key->low = ip4;
        return true;
    }
    if (!address || address->sa_family != AF_INET6)
        return false;
    ip6 = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&ip6)) {
        memcpy(&ip4, ip6.s6_addr + 12, 4);
        ret_key->low = ip4;
    } else {
        memcpy(&ret_key->high, ip6.s6_addr, 8);
        ret_key->low = UINT64_MAX; /* never an IPv4 address */
    }
    return true;
}

static struct client **bucket_of(struct clients *clients, struct key key)
{
    uint64_t hash = (key.high ^ key.low * 0x9e3779b97f4a7c15u) + clients->seed;

    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
    return &clients->buckets[(hash ^ hash >> 33) % BUCKETS];
}

/* ------------------------------------------------------------------------------------------------
 * Those without a connection. The lock is held.
 */

static void leave_idle(struct clients *clients, struct client *client)
{
    if (client->newer)
        client->newer->older = client->older;
    else
        clients->newest = client->older;
    if (client->older)
        client->older->newer = client->newer;
    else
        clients->oldest = client->newer;
    client->newer = client->older = NULL;
    clients->idle--;
}

static void forget_oldest(struct clients *clients)
{
    struct client *client = clients->oldest, **at = bucket_of(clients, client->key);

    leave_idle(clients, client);
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    free(client);
}

static void enter_idle(struct clients *clients, struct client *client)
{
    client->older = clients->newest;
    if (client->older)
        client->older->newer = client;
    else
        clients->oldest = client;
    clients->newest = client;
    if (++clients->idle > MAX_IDLE)
        forget_oldest(clients);
}

/* ------------------------------------------------------------------------------------------------
 * Connections and requests
 */

static struct client *provide(struct clients *clients, struct key key)
{
    struct client **bucket = bucket_of(clients, key), *client = *bucket;

    while (client && (client->key.high != key.high || client->key.low != key.low))
        client = client->next;
    if (client) {
        if (client->connections == 0)
            leave_idle(clients, client);
        return client;
    }
    client = calloc(1, sizeof(*client));
    if (!client)
        return NULL;
    client->key = key;
    client->next = *bucket;
    *bucket = client;
    return client;
}

struct client *clients_enter(struct clients *clients, const struct sockaddr *address,
                             bool *ret_too_many)
{
    struct client *client;
    struct key key;

    *ret_too_many = false;
    if (!make_key(address, &key))
        return NULL;
    pthread_mutex_lock(&clients->lock);
    client = provide(clients, key);
    if (client) {
        client->connections++;
        *ret_too_many =
            clients->limits.connections && client->connections > clients->limits.connections;
    }
    pthread_mutex_unlock(&clients->lock);
    return client;
}

void clients_leave(struct clients *clients, struct client *client)
{
    if (!client)
        return;
    pthread_mutex_lock(&clients->lock);
    if (--client->connections == 0)
        enter_idle(clients, client);
    pthread_mutex_unlock(&clients->lock);
}

int64_t clients_take(struct clients *clients, struct client *client, int64_t now_ns)
{
    int64_t wait_ns = 0, full_ns;

    if (!client || !clients->interval_ns)
        return 0;
    pthread_mutex_lock(&clients->lock);
    full_ns = (client->full_ns > now_ns ? client->full_ns : now_ns) + clients->interval_ns;
    if (full_ns - now_ns > clients->limits.burst * clients->interval_ns)
        wait_ns = full_ns - now_ns - clients->limits.burst * clients->interval_ns;
    else
        client->full_ns = full_ns;
    pthread_mutex_unlock(&clients->lock);
    return wait_ns;
}
