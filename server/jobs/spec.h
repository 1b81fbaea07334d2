/* spec.h - what a job is asked to do.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_SPEC_H
#define SERVER_SPEC_H

#include "lq.h"

#define SPEC_NAME_SIZE 200

/* X(NAME, text) */
#define SPEC_MODE_LIST(X)                                                                          \
    X(CALIBRATE, "calibrate")                                                                      \
    X(QUANTIZERS, "quantizers")                                                                    \
    X(JOINT, "joint")

enum spec_mode {
#define X(name, text) SPEC_##name,
    SPEC_MODE_LIST(X)
#undef X
        SPEC_MODE_COUNT
};
const char *spec_mode_text(enum spec_mode mode);

enum spec_source {
    SPEC_NONE,
    SPEC_FOLDER, /* beneath `data_root` */
    SPEC_UPLOAD, /* for this model */
    SPEC_SAMPLE, /* of the pictures that were answered */
};

struct spec_data {
    enum spec_source source;
    char name[SPEC_NAME_SIZE]; /* of a folder or an upload */
    int64_t limit;             /* only so many images; 0: all */
};

/* JSON: {"mode": ..., "data": {...}, "guard": {...}, "options": {...}}; server/HTTP.md has the
 * members. */
struct spec {
    enum spec_mode mode;
    struct spec_data data;
    struct {
        struct spec_data data; /* SPEC_NONE: held out of the other */
        int64_t hold_out;      /* every so many-th image */
        double bound;          /* points that it may lose */
        double significance;   /* of the test; 0: the engine's own */
        bool dry_run;
        double canary_share; /* of live pictures that the candidate sees too; 0: none */
        int64_t canary_images, canary_seconds;
        double canary_bound; /* percent of them that may be answered otherwise */
    } guard;
    struct { /* struct lq_finetune_options; 0: its own defaults */
        int64_t epochs, batch, seed, images;
        double rate, basis_rate, distillation, temperature, keep;
        bool bases; /* of activations are fitted, too */
        char augmentation[SPEC_NAME_SIZE];
        char teacher[SPEC_NAME_SIZE]; /* a model that is served; "" none */
    } options;
};

/* May it name a folder: names as of models, between slashes? */
bool spec_path_is_valid(const char *path);

/* Reads it; *ret_text becomes its JSON, put together anew, without blanks (free it). Errors:
 * LQ_ERR_INVALID, naming the member; LQ_ERR_MEMORY. */
int spec_read(const void *bytes, size_t size, struct spec *ret_spec, char **ret_text,
              struct lq_error *error) LQ_MUST_CHECK;

#endif
