/* test_clients.c - requests in a second and connections at once, client by client.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/clients.h"

#define S INT64_C(1000000000)

static struct clients *create(int64_t rate, int64_t burst, int64_t connections)
{
    struct clients *clients = NULL;

    ck_assert_int_eq(
        clients_create(&(struct clients_limits){rate, burst, connections}, &clients, NULL), LQ_OK);
    return clients;
}

/* Of text like 10.1.2.3 or 2001:db8::1. */
static struct client *enter(struct clients *clients, const char *text, bool *ret_too_many)
{
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6};
    struct sockaddr_in ip4 = {.sin_family = AF_INET};

    if (inet_pton(AF_INET6, text, &ip6.sin6_addr) == 1)
        return clients_enter(clients, (struct sockaddr *)&ip6, ret_too_many);
    ck_assert_int_eq(inet_pton(AF_INET, text, &ip4.sin_addr), 1);
    return clients_enter(clients, (struct sockaddr *)&ip4, ret_too_many);
}

START_TEST(a_bucket)
{
    struct clients *clients = create(10, 3, 0);
    bool too_many;
    struct client *a = enter(clients, "10.0.0.1", &too_many);
    struct client *b = enter(clients, "10.0.0.2", &too_many);
    const int64_t t = 5 * S;

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(clients_take(clients, a, t), 0);
    ck_assert_int_eq(clients_take(clients, a, t), S / 10);
    ck_assert_int_eq(clients_take(clients, a, t + S / 20), S / 20); /* refusals cost nothing */
    ck_assert_int_eq(clients_take(clients, b, t), 0);
    ck_assert_int_eq(clients_take(clients, a, t + S / 10), 0);
    ck_assert_int_gt(clients_take(clients, a, t + S / 10), 0);
    for (int i = 0; i < 3; i++) /* full again, and no fuller */
        ck_assert_int_eq(clients_take(clients, a, t + 100 * S), 0);
    ck_assert_int_gt(clients_take(clients, a, t + 100 * S), 0);
    ck_assert_int_gt(clients_take(clients, a, t), 0); /* a clock that is a little behind */
    clients_leave(clients, a);
    clients_leave(clients, b);
    clients_destroy(clients);
}
END_TEST

/* Over 20 seconds a client that never stops gets rate x time + burst, whatever the rate. */
START_TEST(the_rate)
{
    static const int64_t rates[] = {1, 7, 100, 1000};

    for (size_t r = 0; r < 4; r++) {
        struct clients *clients = create(rates[r], 0, 0);
        bool too_many;
        struct client *client = enter(clients, "10.0.0.1", &too_many);
        int64_t let_in = 0;

        for (int64_t t = S; t < 21 * S; t += S / 5000)
            let_in += clients_take(clients, client, t) == 0;
        ck_assert_int_ge(let_in, 20 * rates[r]);
        ck_assert_int_le(let_in, 21 * rates[r] + 1);
        clients_leave(clients, client);
        clients_destroy(clients);
    }
}
END_TEST

START_TEST(a_new_connection_is_no_new_client)
{
    struct clients *clients = create(1, 1, 0);
    bool too_many;
    struct client *client = enter(clients, "10.0.0.1", &too_many);

    ck_assert_int_eq(clients_take(clients, client, S), 0);
    clients_leave(clients, client);
    client = enter(clients, "::ffff:10.0.0.1", &too_many); /* the same */
    ck_assert_int_gt(clients_take(clients, client, S), 0);
    clients_leave(clients, client);
    client = enter(clients, "2001:db8:1:2::1", &too_many);
    ck_assert_int_eq(clients_take(clients, client, S), 0);
    clients_leave(clients, client);
    client = enter(clients, "2001:db8:1:2:ffff::", &too_many); /* the same 64 bits */
    ck_assert_int_gt(clients_take(clients, client, S), 0);
    clients_leave(clients, client);
    client = enter(clients, "2001:db8:1:3::1", &too_many);
    ck_assert_int_eq(clients_take(clients, client, S), 0);
    clients_leave(clients, client);
    clients_destroy(clients);
}
END_TEST

START_TEST(connections)
{
    struct clients *clients = create(0, 0, 2);
    struct client *held[3];
    bool too_many;

    for (int i = 0; i < 3; i++) {
        held[i] = enter(clients, "10.0.0.1", &too_many);
        ck_assert_ptr_nonnull(held[i]);
        ck_assert_int_eq(too_many, i == 2);
        ck_assert_int_eq(clients_take(clients, held[i], S), 0); /* no rate */
    }
    struct client *other = enter(clients, "10.0.0.2", &too_many);
    ck_assert(!too_many);
    clients_leave(clients, held[0]);
    clients_leave(clients, held[1]);
    held[0] = enter(clients, "10.0.0.1", &too_many);
    ck_assert(!too_many);
    clients_leave(clients, held[0]);
    clients_leave(clients, held[2]);
    clients_leave(clients, other);
    ck_assert_ptr_null(clients_enter(clients, NULL, &too_many));
    ck_assert_ptr_null(clients_enter(clients, &(struct sockaddr){.sa_family = AF_UNIX}, &too_many));
    clients_leave(clients, NULL);
    clients_destroy(clients);
}
END_TEST

/* However many come, those without a connection are forgotten at some time, the others never. */
START_TEST(a_flood_of_clients)
{
    struct clients *clients = create(1, 1, 0);
    bool too_many;
    struct client *stays = enter(clients, "10.0.0.1", &too_many), *client;
    char text[32];

    ck_assert_int_eq(clients_take(clients, stays, S), 0);
    client = enter(clients, "10.0.0.2", &too_many);
    ck_assert_int_eq(clients_take(clients, client, S), 0);
    clients_leave(clients, client);
    for (int i = 0; i < 100000; i++) {
        snprintf(text, sizeof(text), "11.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        client = enter(clients, text, &too_many);
        ck_assert_int_eq(clients_take(clients, client, S), 0);
        clients_leave(clients, client);
    }
    ck_assert_int_gt(clients_take(clients, stays, S), 0);
    client = enter(clients, text, &too_many); /* the last one */
    ck_assert_int_gt(clients_take(clients, client, S), 0);
    clients_leave(clients, client);
    client = enter(clients, "10.0.0.2", &too_many); /* forgotten */
    ck_assert_int_eq(clients_take(clients, client, S), 0);
    clients_leave(clients, client);
    clients_leave(clients, stays);
    clients_destroy(clients);
}
END_TEST

static void *flood_main(void *argument)
{
    struct clients *clients = argument;
    char text[32];
    bool too_many;

    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "11.0.0.%d", i % 50);
        struct client *client = enter(clients, text, &too_many);
        clients_take(clients, client, i);
        clients_leave(clients, client);
    }
    return NULL;
}

START_TEST(many_threads)
{
    struct clients *clients = create(1000, 0, 1);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, flood_main, clients), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    bool too_many;
    struct client *client = enter(clients, "11.0.0.7", &too_many);
    ck_assert(!too_many); /* all connections were given back */
    clients_leave(clients, client);
    clients_destroy(clients);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("clients");

    tcase_add_test(tests, a_bucket);
    tcase_add_test(tests, the_rate);
    tcase_add_test(tests, a_new_connection_is_no_new_client);
    tcase_add_test(tests, connections);
    tcase_add_test(tests, a_flood_of_clients);
    tcase_add_test(tests, many_threads);
    return suite_main("clients", tests);
}
