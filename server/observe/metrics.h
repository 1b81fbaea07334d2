/* metrics.h - what the server counts, and how Prometheus reads it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Counting takes one relaxed atomic addition in memory that the thread's CPU has nearly to itself;
 * reading adds the parts up. Every function here may be called from any thread. Durations are
 * given in nanoseconds (clock_now_ns).
 *
 * A model's numbers outlive its generations: they are found by name and version, and a reload
 * goes on counting where the generation before it stopped.
 */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "codec/text.h"

#define METRICS_MAX_MODELS 64 /* name and version; further ones share the model "other" */

/* X(NAME, name, help): of the whole server. Counters only grow. */
#define METRICS_COUNTER_LIST(X)                                                                    \
    X(CONNECTIONS, "lqnet_http_connections_accepted_total", "Connections accepted.")               \
    X(REQUEST_BYTES, "lqnet_http_request_body_bytes_total", "Bytes of request bodies.")            \
    X(REPLY_BYTES, "lqnet_http_response_body_bytes_total", "Bytes of reply bodies.")               \
    X(RELOADS, "lqnet_config_reloads_total", "Reloads of certificates and tokens.")                \
    X(RELOAD_FAILURES, "lqnet_config_reload_failures_total",                                       \
      "Reloads of certificates or tokens that failed and left the old ones in use.")               \
    X(JOBS_PUBLISHED, "lqnet_jobs_published_total", "Fine-tuning jobs whose model was published.") \
    X(JOBS_REJECTED, "lqnet_jobs_rejected_total", "Jobs whose model the guard turned down.")       \
    X(JOBS_CANCELLED, "lqnet_jobs_cancelled_total", "Jobs that were cancelled.")                   \
    X(JOBS_FAILED, "lqnet_jobs_failed_total", "Jobs that failed.")                                 \
    X(JOBS_INTERRUPTED, "lqnet_jobs_interrupted_total", "Jobs that the server's end cut short.")

#define METRICS_GAUGE_LIST(X)                                                                      \
    X(IN_FLIGHT, "lqnet_http_requests_in_flight", "Requests begun and not yet ended.")             \
    X(OPEN, "lqnet_http_connections", "Connections open.")                                         \
    X(READY, "lqnet_ready", "1 while /v2/health/ready answers 200.")                               \
    X(GENERATIONS, "lqnet_generations",                                                            \
      "Generations of models in memory, draining ones included.")                                  \
    X(TLS_EXPIRY, "lqnet_tls_certificate_expiry_time_seconds",                                     \
      "End of the certificate's validity, in seconds since 1970; 0: no TLS.")                      \
    X(WORKERS, "lqnet_workers", "Threads that compute.")                                           \
    X(BUSY, "lqnet_workers_busy", "Those of them that are computing.")                             \
    X(WAITING, "lqnet_queue_requests", "Requests waiting for a worker, over all models.")          \
    X(WAITING_IMAGES, "lqnet_queue_images", "Images of these requests that wait.")                 \
    X(JOBS_QUEUED, "lqnet_jobs_queued", "Fine-tuning jobs that wait.")                             \
    X(JOBS_RUNNING, "lqnet_jobs_running", "Fine-tuning jobs that run.")                            \
    X(SAMPLE_BYTES, "lqnet_sample_bytes", "Bytes of the pictures that are kept for jobs.")

/* X(NAME, reason): requests turned away before they were computed. */
#define METRICS_REJECTION_LIST(X)                                                                  \
    X(QUEUE_FULL, "queue_full")                                                                    \
    X(NOT_READY, "not_ready")                                                                      \
    X(DEADLINE, "deadline")                                                                        \
    X(CLIENT_GONE, "client_gone")                                                                  \
    X(RATE_LIMIT, "rate_limit")                                                                    \
    X(CLIENT_CONNECTIONS, "client_connections")                                                    \
    X(UNAUTHORIZED, "unauthorized")                                                                \
    X(FORBIDDEN, "forbidden")                                                                      \
    X(BODY_SIZE, "body_size")                                                                      \
    X(PENDING_BYTES, "pending_bytes")                                                              \
    X(BAD_HEAD, "bad_head")                                                                        \
    X(BAD_BODY, "bad_body")                                                                        \
    X(TIMEOUT, "timeout")

/* X(NAME, stage): the parts of a request's time that are worth telling apart. */
#define METRICS_STAGE_LIST(X)                                                                      \
    X(DECODE, "decode")                                                                            \
    X(QUEUE, "queue")                                                                              \
    X(COMPUTE, "compute")                                                                          \
    X(ENCODE, "encode")

/* X(NAME, name, help): of a model. */
#define METRICS_MODEL_COUNTER_LIST(X)                                                              \
    X(IMAGES, "lqnet_model_images_total", "Images computed.")                                      \
    X(SUCCESSES, "lqnet_model_successes_total", "Requests answered with a result.")                \
    X(FAILURES, "lqnet_model_failures_total",                                                      \
      "Requests that reached the model's queue and got no result.")                                \
    X(LOADS, "lqnet_model_loads_total", "Generations published.")                                  \
    X(LOAD_FAILURES, "lqnet_model_load_failures_total",                                            \
      "Loads that failed and left what was there in place.")

#define METRICS_MODEL_GAUGE_LIST(X)                                                                \
    X(QUEUED, "lqnet_model_queue_requests", "Requests waiting for a worker.")                      \
    X(GENERATION, "lqnet_model_generation", "Number of the generation that serves; 0: none.")      \
    X(MODEL_READY, "lqnet_model_ready", "1 while the model can be used.")

#define X(name, ...) METRICS_##name,
enum metrics_counter { METRICS_COUNTER_LIST(X) METRICS_COUNTERS };
enum metrics_gauge { METRICS_GAUGE_LIST(X) METRICS_GAUGES };
enum metrics_stage { METRICS_STAGE_LIST(X) METRICS_STAGES };
enum metrics_model_counter { METRICS_MODEL_COUNTER_LIST(X) METRICS_MODEL_COUNTERS };
enum metrics_model_gauge { METRICS_MODEL_GAUGE_LIST(X) METRICS_MODEL_GAUGES };
#undef X
#define X(name, ...) METRICS_REJECTED_##name,
enum metrics_rejection { METRICS_REJECTION_LIST(X) METRICS_REJECTIONS };
#undef X

struct metrics;
struct metrics_model;

/* `routes` are the patterns of the paths, each of which lives as long as the metrics; one that
 * stands there twice is one. Errors: LQ_ERR_MEMORY. */
int metrics_create(const char *const *routes, int count, struct metrics **ret_metrics,
                   struct lq_error *error) LQ_MUST_CHECK;
void metrics_destroy(struct metrics *metrics);

void metrics_count(struct metrics *metrics, enum metrics_counter counter, uint64_t more);
void metrics_gauge_add(struct metrics *metrics, enum metrics_gauge gauge, int64_t more);
void metrics_gauge_set(struct metrics *metrics, enum metrics_gauge gauge, int64_t value);
void metrics_rejected(struct metrics *metrics, enum metrics_rejection reason);
/* One request has ended: route is an index into `routes`, or -1 where the path is none of them. */
void metrics_request(struct metrics *metrics, int route, const char *method, int status,
                     int64_t ns);

/* The numbers of a model, made when they are first asked for; valid until metrics_destroy. Takes a
 * lock: keep the pointer. Never NULL. */
struct metrics_model *metrics_model(struct metrics *metrics, const char *name, const char *version);
void metrics_model_count(struct metrics_model *model, enum metrics_model_counter counter,
                         uint64_t more);
void metrics_model_gauge_add(struct metrics_model *model, enum metrics_model_gauge gauge,
                             int64_t more);
void metrics_model_gauge_set(struct metrics_model *model, enum metrics_model_gauge gauge,
                             int64_t value);
/* One request (decode, queue, encode) or one batch (compute) has spent this long. */
void metrics_stage(struct metrics_model *model, enum metrics_stage stage, int64_t ns);
/* A batch of so many images has been computed: counts METRICS_IMAGES as well. */
void metrics_batch(struct metrics_model *model, int64_t images);

/* What has been counted so far, for statistics. */
uint64_t metrics_model_read(const struct metrics_model *model, enum metrics_model_counter counter);
/* How often the stage was passed, and the time it took in all. */
void metrics_stage_read(const struct metrics_model *model, enum metrics_stage stage,
                        uint64_t *ret_count, uint64_t *ret_ns);
uint64_t metrics_batches_read(const struct metrics_model *model);

/* Everything, in Prometheus' text format 0.0.4. */
void metrics_write(struct metrics *metrics, struct text *text);
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
