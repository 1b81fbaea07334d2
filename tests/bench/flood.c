/* flood.c - sends requests at a rate of its own, whether the server keeps up or not.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *   flood PORT PATH FOLDER COUNT CONNECTIONS RATE SECONDS
 *
 * posts the pictures 0.jpg ... of a folder in turn over keep-alive connections, RATE a second; a
 * request that finds all connections waiting for replies is held back. Prints a line: requests by
 * status, those held back, and the latency of the served (200) and of the refused (503).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PICTURES = 1024, MAX_REPLY = 65536, MAX_TIMES = 4000000 };

struct connection {
    int fd;
    bool waiting;
    int64_t sent_ns;
    size_t got;
    char reply[4096];
};

struct times {
    float *ms;
    int count;
};

static struct {
    char *bytes;
    size_t size;
} requests[MAX_PICTURES];

static struct times served, refused;
static long other, errors, held_back;
static int waiting; /* connections */

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void read_pictures(const char *folder, int count, const char *path)
{
    for (int i = 0; i < count; i++) {
        char name[512], *bytes = malloc(MAX_REPLY);
        static char picture[MAX_REPLY];
        FILE *file;
        size_t size;
        int head;

        snprintf(name, sizeof(name), "%s/%d.jpg", folder, i);
        file = fopen(name, "r");
        if (!file || !bytes) {
            perror(name);
            exit(1);
        }
        size = fread(picture, 1, sizeof(picture) - 1024, file);
        fclose(file);
        head = snprintf(bytes, 1024,
                        "POST %s HTTP/1.1\r\nHost: flood\r\nContent-Type: image/jpeg\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, size);
        memcpy(bytes + head, picture, size);
        requests[i].bytes = bytes;
        requests[i].size = (size_t)head + size;
    }
}

static void open_connection(struct connection *c, int port, int epoll, int index)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    int on = 1;

    *c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        perror("connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static void note(struct times *times, float ms)
{
    if (times->count < MAX_TIMES)
        times->ms[times->count++] = ms;
}

/* A reply has come, or a piece of it. */
static void receive(struct connection *c)
{
    ssize_t piece = read(c->fd, c->reply + c->got, sizeof(c->reply) - 1 - c->got);
    const char *end, *length;
    int status = 0;

    if (piece <= 0) {
        if (piece == 0 || errno != EAGAIN) {
            errors++;
            if (!c->waiting) /* never again */
                waiting++;
            c->waiting = true;
            close(c->fd);
        }
        return;
    }
    c->got += (size_t)piece;
    c->reply[c->got] = '\0';
    end = strstr(c->reply, "\r\n\r\n");
    length = strcasestr(c->reply, "Content-Length:");
    if (!end || !length || c->got < (size_t)(end + 4 - c->reply) + strtoul(length + 15, NULL, 10))
        return;
    sscanf(c->reply, "HTTP/1.1 %d", &status);
    if (status == 200)
        note(&served, (float)(now_ns() - c->sent_ns) / 1e6f);
    else if (status == 503)
        note(&refused, (float)(now_ns() - c->sent_ns) / 1e6f);
    else
        other++;
    c->waiting = false;
    waiting--;
    c->got = 0;
}

static void send_one(struct connection *connections, int count, int *at, int picture)
{
    while (waiting < count) {
        struct connection *c = &connections[ *at = (*at + 1) % count];

        if (c->waiting)
            continue;
        c->waiting = true;
        waiting++;
        c->sent_ns = now_ns();
        if (write(c->fd, requests[picture].bytes, requests[picture].size) !=
            (ssize_t)requests[picture].size)
            errors++;
        return;
    }
    held_back++;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static float percentile(const struct times *times, double part)
{
    return times->count ? times->ms[(int)(part * (times->count - 1))] : 0;
}

int main(int argc, char **argv)
{
    struct epoll_event events[64];
    int port, pictures, count, epoll = epoll_create1(0), at = 0;
    double rate, seconds;
    struct connection *connections;
    int64_t start, next = 0;

    if (argc != 8) {
        fprintf(stderr, "usage: flood PORT PATH FOLDER COUNT CONNECTIONS RATE SECONDS\n");
        return 2;
    }
    port = atoi(argv[1]), pictures = atoi(argv[4]), count = atoi(argv[5]);
    rate = atof(argv[6]), seconds = atof(argv[7]);
    read_pictures(argv[3], pictures, argv[2]);
    connections = calloc((size_t)count, sizeof(*connections));
    served.ms = malloc(MAX_TIMES * sizeof(float));
    refused.ms = malloc(MAX_TIMES * sizeof(float));
    for (int i = 0; i < count; i++)
        open_connection(&connections[i], port, epoll, i);
    start = now_ns();
    for (;;) {
        double elapsed = (double)(now_ns() - start) / 1e9;
        int ready;

        for (; elapsed < seconds && (double)next < elapsed * rate; next++)
            send_one(connections, count, &at, (int)(next % pictures));
        if (elapsed > seconds + 0.5) /* replies to the last requests */
            break;
        ready = epoll_wait(epoll, events, 64, 1);
        for (int i = 0; i < ready; i++)
            receive(&connections[events[i].data.u32]);
    }
    qsort(served.ms, (size_t)served.count, sizeof(float), compare);
    qsort(refused.ms, (size_t)refused.count, sizeof(float), compare);
    printf("served %d refused %d other %ld errors %ld held_back %ld served_per_s %.1f "
           "served_p50_ms %.2f served_p99_ms %.2f refused_p99_ms %.2f refused_max_ms %.2f\n",
           served.count, refused.count, other, errors, held_back, served.count / seconds,
           (double)percentile(&served, 0.5), (double)percentile(&served, 0.99),
           (double)percentile(&refused, 0.99), (double)percentile(&refused, 1));
    return 0;
}
