/* config.h - the settings of lqnetd: one table gives the struct, the parser, and the help text.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A file holds lines `key = value` of at most 199 characters; blank lines, lines that start with #
 * or ;, and the rest of a line behind a blank and a ; are skipped. There are no sections. A flag
 * `--key value` (or `--key=value`; dashes may stand for underscores) wins over the environment's
 * LQNETD_KEY, this over the file, the file over the default. Unknown keys, values out of range and
 * keys given twice in a file are refused.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdio.h>

#include "lq.h"

#define CONFIG_TEXT_SIZE 512
#define CONFIG_HOST_SIZE 256 /* a host name has at most 253 characters */

/* X(key, type, default, min, max, doc). TEXT: min and max are of its length; INT; BOOL: min and max
 * are not used. etc/lqnetd.conf repeats every key with its default; a test compares them. */
#define CONFIG_LIST(X)                                                                             \
    X(listen, TEXT, "127.0.0.1:8080", 3, 300,                                                      \
      "address and port, HOST:PORT or [IPV6]:PORT; port 0 takes a free one")                       \
    X(admin_listen, TEXT, "", 0, 300,                                                              \
      "for the admin as well: HOST:PORT, PORT of 127.0.0.1, or unix:PATH; empty: nowhere")         \
    X(tokens, TEXT, "", 0, 511,                                                                    \
      "file of bearer tokens, a line each: name, scopes (infer,read,admin), token; empty: none")   \
    X(tls_cert, TEXT, "", 0, 511, "PEM file, chain included: TLS at both addresses; empty: none")  \
    X(tls_key, TEXT, "", 0, 511, "PEM file of its private key")                                    \
    X(user, TEXT, "", 0, 64,                                                                       \
      "that root becomes once the addresses are open; empty: it stays root")                       \
    X(sandbox, BOOL, "true", 0, 0, "deny system calls that a server does not need")                \
    X(models, TEXT, "models", 1, 511, "folder of NAME.lq and NAME/VERSION/model.lq")               \
    X(log_level, TEXT, "info", 4, 7, "error, warning, info or debug")                              \
    X(log_output, TEXT, "stderr", 6, 6, "stderr or stdout")                                        \
    X(access_log, BOOL, "true", 0, 0, "a line for each request, at the level info")                \
    X(cpu, TEXT, "all", 1, 100,                                                                    \
      "kernels that may be used: all, or some of c,avx2,avxvnni,avx512,amx,neon")                  \
    X(version_policy, TEXT, "latest", 1, 511,                                                      \
      "versions that are served: latest, latest:N, all or 1+3; NAME=... for one model")            \
    X(required_models, TEXT, "", 0, 511, "names; not ready while one of them is not loaded")       \
    X(strict_readiness, BOOL, "true", 0, 0,                                                        \
      "ready only if every model of the folder is loaded that was not unloaded on purpose")        \
    X(repository_poll_s, INT, "0", 0, 86400, "look for new and changed models so often; 0: never") \
    X(http_threads, INT, "2", 1, 64, "threads that read requests and write replies")               \
    X(max_connections, INT, "512", 1, 100000, "open at once; more wait to be accepted")            \
    X(admin_connections, INT, "64", 1, 10000, "the same, at admin_listen")                         \
    X(max_header_bytes, INT, "8192", 4096, 1048576,                                                \
      "memory of a connection for the request's head, and for a piece of its body")                \
    X(max_body_bytes, INT, "16777216", 0, 1073741824, "of one request")                            \
    X(max_pending_bytes, INT, "268435456", 0, 1099511627776,                                       \
      "of all request bodies in memory; 503 beyond")                                               \
    X(rate_limit, INT, "0", 0, 1000000,                                                            \
      "requests in a second that a client may send to `listen`; 429 beyond; 0: any number")        \
    X(rate_burst, INT, "0", 0, 1000000, "of them at once, after a pause; 0: a second's worth")     \
    X(max_client_connections, INT, "0", 0, 100000,                                                 \
      "of one client at once, to `listen`; 429 beyond; 0: any number")                             \
    X(header_timeout_ms, INT, "10000", 10, 3600000, "for a request's whole head")                  \
    X(body_timeout_ms, INT, "30000", 10, 3600000, "for a request's whole body")                    \
    X(reply_timeout_ms, INT, "30000", 10, 3600000, "for the client to take the whole reply")       \
    X(idle_timeout_ms, INT, "60000", 10, 3600000, "for the next request on a connection")          \
    X(workers, INT, "0", 0, 1024, "requests computed at once; 0: one per CPU")                     \
    X(worker_threads, INT, "1", 1, 64, "threads that share the work of one request")               \
    X(max_batch, INT, "8", 1, 4096, "images a worker computes at once; memory grows with it")      \
    X(max_delay_us, INT, "0", 0, 1000000,                                                          \
      "that a request waits for others to fill a batch, while other workers compute")              \
    X(queue_length, INT, "64", 1, 1000000,                                                         \
      "requests that may wait for a worker, of each model; 503 beyond")                            \
    X(retry_after_s, INT, "1", 1, 3600, "Retry-After of a 503")                                    \
    X(refusal_delay_ms, INT, "25", 0, 10000,                                                       \
      "until the 503 of a full queue, or the 429 of rate_limit, is sent: clients that ask again "  \
      "at once would keep the server from what it has taken on")                                   \
    X(max_batch_request, INT, "64", 1, 65536, "images in one inference request")                   \
    X(max_image_bytes, INT, "16777216", 64, 1073741824, "of an encoded image")                     \
    X(max_image_pixels, INT, "33554432", 1, 1073741824, "width x height of an image")              \
    X(state, TEXT, "", 0, 400,                                                                     \
      "folder of fine-tuning jobs: their history, uploads, candidates; empty: no jobs")            \
    X(data_root, TEXT, "", 0, 300, "folder whose folders jobs may name as data; empty: none")      \
    X(job_threads, INT, "1", 1, 64, "threads of the job that runs")                                \
    X(job_priority, TEXT, "low", 3, 6,                                                             \
      "of these threads: idle (what CPU nobody else wants), low, or normal")                       \
    X(job_bytes, INT, "1073741824", 1048576, 1099511627776,                                        \
      "of feature maps that a job keeps while it calibrates; fewer images where they do not fit")  \
    X(job_queue, INT, "16", 1, 1000, "jobs that may wait")                                         \
    X(upload_bytes, INT, "268435456", 0, 1099511627776, "of all uploads of pictures together")     \
    X(sample_images, INT, "0", 0, 1000000,                                                         \
      "pictures that are kept, in memory, of those a model is asked about; 0: none")               \
    X(sample_bytes, INT, "67108864", 0, 1099511627776, "of all these pictures together")           \
    X(shutdown_delay_ms, INT, "0", 0, 3600000,                                                     \
      "after SIGTERM: still accept for this long, but report not ready")                           \
    X(shutdown_timeout_ms, INT, "30000", 0, 3600000, "then finish accepted requests for this long")

#define CONFIG_MEMBER_TEXT(key) char key[CONFIG_TEXT_SIZE];
#define CONFIG_MEMBER_INT(key)  int64_t key;
#define CONFIG_MEMBER_BOOL(key) bool key;

struct config {
#define X(key, type, fallback, min, max, doc) CONFIG_MEMBER_##type(key)
    CONFIG_LIST(X)
#undef X
};

/* One row of the table, for help texts and tests. */
struct config_key {
    const char *name, *type, *fallback, *doc;
    int64_t min, max;
};
int config_key_count(void);
const struct config_key *config_key_at(int index);

/* Every key at its default. */
void config_init(struct config *config);
/* Sets one key from text; `place` ("FILE:LINE", "flag --x") starts the error's text.
 * Errors: LQ_ERR_NOT_FOUND: no such key; LQ_ERR_INVALID: the value, with the allowed range. */
int config_set(struct config *config, const char *place, const char *key, const char *value,
               struct lq_error *error) LQ_MUST_CHECK;
/* The value as text, as it would stand in a file. */
void config_get(const struct config *config, int index, char *ret_text, size_t size);
/* Reads a file over what is set already. Errors: LQ_ERR_IO; those of config_set; LQ_ERR_FORMAT: a
 * line that is neither, naming FILE:LINE. */
int config_read(struct config *config, const char *path, struct lq_error *error) LQ_MUST_CHECK;

/* PATH of unix:PATH, else NULL. */
const char *config_unix_path(const char *address);
/* The address that `admin_listen` means: a port alone is one of 127.0.0.1. Errors: LQ_ERR_INVALID.
 */
int config_admin_address(const char *value, char *ret_address, size_t size,
                         struct lq_error *error) LQ_MUST_CHECK;
/* Splits HOST:PORT or [IPV6]:PORT. Errors: LQ_ERR_INVALID. */
int config_split_address(const char *text, char *ret_host, size_t size, int *ret_port,
                         struct lq_error *error) LQ_MUST_CHECK;
/* The mask of `cpu`, for lq_engine_create. */
unsigned config_cpu_mask(const struct config *config);
enum config_priority { CONFIG_PRIORITY_IDLE, CONFIG_PRIORITY_LOW, CONFIG_PRIORITY_NORMAL };
/* The meaning of `job_priority`; -1 where it is none. */
int config_priority(const char *name);
/* Threads that compute: `workers`, or one for each CPU that may be used. */
int config_workers(const struct config *config);

/* What the command line asks for. */
enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION, CONFIG_CHECK };
/* Defaults, then the file of --config or else of LQNETD_CONFIG, then the environment, then the
 * other flags. Errors: those of config_read and config_set; LQ_ERR_INVALID: a flag without a value,
 * a word that is not a flag. */
int config_from_arguments(struct config *config, int argc, char **argv,
                          enum config_action *ret_action, struct lq_error *error) LQ_MUST_CHECK;
/* Do the settings fit together? Errors: LQ_ERR_INVALID, naming the keys. */
int config_check(const struct config *config, struct lq_error *error) LQ_MUST_CHECK;
/* The text of --help, from the table. */
void config_help(FILE *out);

#endif
