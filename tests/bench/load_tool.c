/* load_tool.c - what tests/bench/load.sh needs beside wrk: pictures, and a server to compare with.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *   load_tool pictures FOLDER COUNT SIDE   writes COUNT JPEG files of SIDE x SIDE pixels
 *   load_tool bare THREADS                 a bare libmicrohttpd handler on a free port, which it
 *                                          prints; it replies to GET with 200 bytes of JSON
 *   load_tool ready PROGRAM ARGUMENT...    starts lqnetd, prints the milliseconds from its start
 *                                          until it is ready, and ends it
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <turbojpeg.h>
#include <unistd.h>

/* Smooth colours with some noise, as photographs have; another one for each number. */
static void paint(unsigned char *pixels, int side, unsigned number)
{
    unsigned noise = 12345 + number * 7919;

    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            for (int c = 0; c < 3; c++) {
                int slope = (x * (int)(number % 5 + 1) + y * (int)(number % 3 + c + 1)) * 64 / side;

                noise = noise * 1664525 + 1013904223;
                pixels[(y * side + x) * 3 + c] =
                    (unsigned char)((slope + 40 * c + (int)(noise >> 27)) & 255);
            }
}

static int write_pictures(const char *folder, int count, int side)
{
    unsigned char *pixels = malloc((size_t)side * (size_t)side * 3), *jpeg = NULL;
    tjhandle encoder = tjInitCompress();
    unsigned long size = 0;
    int failed = !pixels || !encoder;

    for (int i = 0; i < count && !failed; i++) {
        char path[512];
        FILE *file;

        paint(pixels, side, (unsigned)i);
        snprintf(path, sizeof(path), "%s/%d.jpg", folder, i);
        failed = tjCompress2(encoder, pixels, side, 0, side, TJPF_RGB, &jpeg, &size, TJSAMP_420, 90,
                             0) != 0;
        file = failed ? NULL : fopen(path, "w");
        failed = !file || fwrite(jpeg, 1, size, file) != size;
        if (file && fclose(file) != 0)
            failed = 1;
    }
    tjFree(jpeg);
    tjDestroy(encoder);
    free(pixels);
    return failed;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_context)
{
    static char body[] =
        "{\"name\":\"resnet20\",\"versions\":[\"1\"],\"platform\":\"lqnet_lq\",\"inputs\":[{"
        "\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[-1,3,32,32]}],\"outputs\":[{"
        "\"name\":\"logits\",\"datatype\":\"FP32\",\"shape\":[-1,10]}]}";
    struct MHD_Response *response;
    enum MHD_Result result;

    (void)context, (void)url, (void)method, (void)version, (void)upload;
    *upload_size = 0;
    if (!*request_context) { /* the library calls once for the head, and once for the end */
        *request_context = body;
        return MHD_YES;
    }
    response = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static int serve_bare(int threads)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, NULL,
                         MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_THREAD_POOL_SIZE,
                         (unsigned)(threads > 1 ? threads : 0), MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;

    if (!info)
        return 1;
    printf("%d\n", info->port);
    fflush(stdout);
    for (;;)
        pause();
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* A port that was free a moment ago. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return -1;
    close(fd);
    return ntohs(address.sin_port);
}

static int is_ready(int port)
{
    static const char ask[] = "GET /v2/health/ready HTTP/1.1\r\nHost: a\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char reply[512] = "";
    int fd = socket(AF_INET, SOCK_STREAM, 0), ready;

    ready = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
            write(fd, ask, strlen(ask)) > 0 && read(fd, reply, sizeof(reply) - 1) > 0 &&
            strncmp(reply, "HTTP/1.1 200", 12) == 0;
    close(fd);
    return ready;
}

static int time_ready(char **words, int count)
{
    char listen[32], *all[64] = {NULL};
    int port = free_port(), status;
    double start = now_ms();
    pid_t pid;

    if (port < 0 || count > 60)
        return 1;
    snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
    memcpy(all, words, (size_t)count * sizeof(*words));
    all[count] = "--listen";
    all[count + 1] = listen;
    pid = fork();
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        execv(all[0], all);
        _exit(127);
    }
    while (!is_ready(port) && now_ms() - start < 10000 && waitpid(pid, &status, WNOHANG) == 0)
        usleep(200);
    printf("%.2f\n", now_ms() - start);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "pictures") == 0)
        return write_pictures(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (argc == 3 && strcmp(argv[1], "bare") == 0)
        return serve_bare(atoi(argv[2]));
    if (argc >= 3 && strcmp(argv[1], "ready") == 0)
        return time_ready(argv + 2, argc - 2);
    fprintf(stderr, "usage: load_tool pictures FOLDER COUNT SIDE | bare THREADS | ready PROGRAM "
                    "ARGUMENT...\n");
    return 2;
}
