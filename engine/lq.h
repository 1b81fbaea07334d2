/* lq.h - the public door of the engine: models, sessions, images.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The programs in server/ use the engine through this header and lq_learn.h (data sets,
 * quantization, training, fine-tuning) alone. They are also the vocabulary of the rooms behind the
 * door: every room may include them for the types, none may call their functions.
 *
 * Conventions
 *   - A function that can fail for more than one reason returns int: LQ_OK or a negative
 *     enum lq_status, and describes the failure in the optional last argument, a caller-owned
 *     struct lq_error. Results (named ret_*) are untouched on failure.
 *   - Destructors take NULL.
 *   - The engine never logs, prints, exits, or reads the environment.
 *   - Images are RGB. Feature maps are NHWC inside the engine; the interchange layout of float
 *     input tensors is NCHW, as in ONNX and in the Open Inference Protocol.
 *   - Threads: each type says "immutable" (any number of threads may use it at once) or "one
 *     thread at a time".
 *
 * The method: Zhang, Yang, Ye, Hua, "LQ-Nets: Learned Quantization for Highly Accurate and Compact
 * Deep Neural Networks", ECCV 2018 (arXiv 1807.10029). Equation numbers below are the paper's.
 */
#ifndef LQ_H
#define LQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LQ_VERSION "0.1.0"

#define LQ_MUST_CHECK __attribute__((warn_unused_result))
#define LQ_PRINTF(format_index, first_argument)                                                    \
    __attribute__((format(printf, format_index, first_argument)))

/* ------------------------------------------------------------------------------------------------
 * Status and errors
 */

/* X(name, value, text) */
#define LQ_STATUS_LIST(X)                                                                          \
    X(LQ_OK, 0, "ok")                                                                              \
    X(LQ_ERR_MEMORY, -1, "out of memory")                                                          \
    X(LQ_ERR_INVALID, -2, "invalid argument")                                                      \
    X(LQ_ERR_FORMAT, -3, "malformed data")                                                         \
    X(LQ_ERR_UNSUPPORTED, -4, "not supported")                                                     \
    X(LQ_ERR_IO, -5, "input/output error")                                                         \
    X(LQ_ERR_LIMIT, -6, "limit exceeded")                                                          \
    X(LQ_ERR_NOT_FOUND, -7, "not found")                                                           \
    X(LQ_ERR_NUMERIC, -8, "not a finite number")                                                   \
    X(LQ_ERR_CANCELLED, -9, "cancelled")

enum lq_status {
#define X(name, value, text) name = value,
    LQ_STATUS_LIST(X)
#undef X
};

/* The first failure of an operation: later ones never overwrite it. Start from {0}. The text is
 * UTF-8 without control characters, whatever it quotes: '?' stands for what is not. */
struct lq_error {
    int status;
    char text[512];
};
/* Fills *error, unless it is NULL or filled already. A text that is too long is cut. */
void lq_error_set(struct lq_error *error, int status, const char *format, ...) LQ_PRINTF(3, 4);

/* A constant text for a status; "unknown status" for any other number. */
const char *lq_status_text(int status);

/* ------------------------------------------------------------------------------------------------
 * Engine: the kernels chosen for this CPU. Immutable.
 */

struct lq_engine;

/* CPU tiers, weakest first; a mask of (1u << tier) restricts the choice. LQ_CPU_C always runs. */
enum lq_cpu_tier {
    LQ_CPU_C,
    LQ_CPU_AVX2,
    LQ_CPU_AVXVNNI,
    LQ_CPU_AVX512,
    LQ_CPU_AMX,
    LQ_CPU_NEON,
    LQ_CPU_TIER_COUNT
};
#define LQ_CPU_ALL (~0u)

/* Chooses kernels. cpu_mask: the tiers that may be used (LQ_CPU_ALL: whatever the CPU has).
 * Errors: LQ_ERR_MEMORY. */
int lq_engine_create(unsigned cpu_mask, struct lq_engine **ret_engine,
                     struct lq_error *error) LQ_MUST_CHECK;
/* All models of the engine must have been released before. */
void lq_engine_destroy(struct lq_engine *engine);
/* Name of the best tier in use: "c", "avx2", "avxvnni", "avx512", "amx", "neon". */
const char *lq_engine_cpu(const struct lq_engine *engine);
/* Number of the tier called NAME, or -1. */
int lq_cpu_tier_from_name(const char *name);

/* CPUs that this process may use: affinity mask and cgroup quota, at least 1. */
int lq_cpu_count(void);

/* ------------------------------------------------------------------------------------------------
 * Images: JPEG and PNG files in memory -> network input
 */

/* What a network was trained to see. */
struct lq_preprocess {
    int height, width; /* of the network's input, pixels; filled in by the model */
    int resize;        /* shorter side is resized to this many pixels first (bilinear with
                          antialiasing, as PIL does); 0: the image is resized to height x width
                          if it is larger or smaller, whatever its aspect */
    float mean[3];     /* input = (pixel * scale - mean) / std, channels R G B */
    float std[3];
    float scale; /* 1/255 for means between 0 and 1, 1 for means between 0 and 255 */
};

/* Checked against the file's header, before any pixel is decoded. */
struct lq_image_limits {
    size_t max_bytes;  /* encoded */
    size_t max_pixels; /* width * height; a JPEG's scans are limited with it */
};
#define LQ_IMAGE_LIMITS_DEFAULT ((struct lq_image_limits){16u << 20, 1u << 25})

enum lq_image_format { LQ_IMAGE_UNKNOWN, LQ_IMAGE_JPEG, LQ_IMAGE_PNG };
/* By the file's first bytes. */
enum lq_image_format lq_image_format(const void *bytes, size_t size);

/* ------------------------------------------------------------------------------------------------
 * Models: a network, its weights, its labels. Reference counted, immutable.
 */

struct lq_model;

/* Opens a .lq file: maps it, verifies all of it (sizes, names, graph, ranges, checksum), and lays
 * the weights out for this CPU. Errors: LQ_ERR_IO, LQ_ERR_FORMAT (with offset and reason),
 * LQ_ERR_UNSUPPORTED (a later format version), LQ_ERR_LIMIT, LQ_ERR_NUMERIC, LQ_ERR_MEMORY. */
int lq_model_open(const struct lq_engine *engine, const char *path, struct lq_model **ret_model,
                  struct lq_error *error) LQ_MUST_CHECK;
/* The same from memory, which is copied. */
int lq_model_open_memory(const struct lq_engine *engine, const void *bytes, size_t size,
                         struct lq_model **ret_model, struct lq_error *error) LQ_MUST_CHECK;

struct lq_import_options {
    const char *name;          /* of the model; NULL: the file's name without suffix */
    const char *const *labels; /* label_count class names, or NULL */
    int label_count;
    struct lq_preprocess preprocess; /* height and width are taken from the network */
    const char *augmentation;        /* how it was trained, see lq_augmentation below; or NULL */
};
/* Imports a float ONNX network, opset 7 to 18. Errors: as above; LQ_ERR_UNSUPPORTED names the node,
 * the operator and the attribute. */
int lq_model_import_onnx(const struct lq_engine *engine, const char *path,
                         const struct lq_import_options *options, struct lq_model **ret_model,
                         struct lq_error *error) LQ_MUST_CHECK;

/* Writes a .lq file: a temporary file beside it, fsync, rename. Errors: LQ_ERR_IO, LQ_ERR_MEMORY.
 */
int lq_model_save(const struct lq_model *model, const char *path,
                  struct lq_error *error) LQ_MUST_CHECK;

/* Safe from any thread. */
struct lq_model *lq_model_ref(struct lq_model *model);
void lq_model_unref(struct lq_model *model);

struct lq_model_info {
    const char *name;
    const char *input_name, *output_name; /* of the tensors, as in the imported network */
    int channels, height, width;          /* of one input image */
    int classes;                          /* numbers in one output row */
    bool output_is_probability;           /* the network ends in a softmax */
    int label_count;                      /* classes, or 0 */
    struct lq_preprocess preprocess;
    int layer_count;        /* see lq_model_layer */
    int provenance_count;   /* see lq_model_provenance */
    int64_t macs;           /* multiply-accumulates for one image */
    int64_t quantized_macs; /* of these, in integer arithmetic on codes */
    size_t parameter_bytes; /* of the stored tensors */
};
/* Pointers inside stay valid while the model does. */
void lq_model_get_info(const struct lq_model *model, struct lq_model_info *ret_info);
/* Class name, or NULL where the index is out of range or the model has none. */
const char *lq_model_label(const struct lq_model *model, int index);
/* index < provenance_count. Keys: "source", "augmentation", "quantized", "accuracy", ... */
void lq_model_provenance(const struct lq_model *model, int index, const char **ret_key,
                         const char **ret_value);

/* One node of the graph, in order of execution. */
struct lq_layer_info {
    const char *name, *op;
    int input_rank, output_rank; /* of one image: 3 = height, width, channels; 1 = a vector */
    int input_dims[4], output_dims[4];
    int kernel_h, kernel_w;           /* 0 where it makes no sense */
    int weight_bits, activation_bits; /* 0: float */
    int weight_grid, activation_grid; /* see struct lq_bits */
    int64_t macs;
    size_t parameter_bytes;
    int basis_rows, basis_bits; /* of a quantized layer's weights (a row per output
                                   channel) or of an activation quantizer (one row) */
    const int16_t *basis;       /* [basis_rows][basis_bits], integers */
    const float *basis_scale;   /* [basis_rows]; basis value = integer * scale */
};
/* index < layer_count. */
void lq_model_layer(const struct lq_model *model, int index, struct lq_layer_info *ret_info);

/* A copy of the model with one more line of provenance, or a changed one. */
int lq_model_with_provenance(const struct lq_model *model, const char *key, const char *value,
                             struct lq_model **ret_model, struct lq_error *error) LQ_MUST_CHECK;

/* ------------------------------------------------------------------------------------------------
 * Sessions: the buffers to run one model. One thread at a time; make one per worker.
 */

struct lq_session;

/* How quantized layers are computed. All integer forms give the same bits. */
enum lq_form {
    LQ_FORM_AUTO,   /* whichever is faster, layer by layer */
    LQ_FORM_PLAIN,  /* plain loops over integer levels: the definition */
    LQ_FORM_PACKED, /* AND + popcount on packed planes */
    LQ_FORM_FLOAT,  /* dequantized floats: agrees up to rounding, for checks */
    LQ_FORM_COUNT
};
/* "auto", "plain", "packed", "float"; -1 for any other name. */
int lq_form_from_name(const char *name);

struct lq_session_options {
    int max_batch; /* images computed at once, 1..4096; a longer batch runs in pieces */
    int threads;   /* that share the work of one call, 1..64; the caller's is one of them */
    enum lq_form form;
};
/* Takes a reference on the model. Nothing is allocated afterwards, whatever runs.
 * Errors: LQ_ERR_INVALID, LQ_ERR_MEMORY, LQ_ERR_LIMIT. */
int lq_session_create(struct lq_model *model, const struct lq_session_options *options,
                      struct lq_session **ret_session, struct lq_error *error) LQ_MUST_CHECK;
void lq_session_destroy(struct lq_session *session);
/* Bytes of all the session's buffers. */
size_t lq_session_bytes(const struct lq_session *session);

enum lq_layout { LQ_NCHW, LQ_NHWC };
/* Runs `count` normalised images: input [count][C][H][W] or [count][H][W][C] floats, ret_output
 * [count][classes] floats. An image's answer does not depend on the batch it is in, nor on the
 * number of threads, to the bit. Errors: LQ_ERR_NUMERIC: the input holds a NaN or an infinity
 * (the text names its image); LQ_ERR_CANCELLED. */
int lq_session_run(struct lq_session *session, const float *input, enum lq_layout layout, int count,
                   float *ret_output, struct lq_error *error) LQ_MUST_CHECK;

/* The same of images that are not normalised yet: pixels [count][H][W][C], 0..255, C the network's
 * channels. A float network normalises them; one with quantized layers computes its first
 * convolution from the pixels, in integers, with weights rounded to 15 bits, so that its answers
 * are not quite those to normalised floats. Errors: LQ_ERR_CANCELLED. */
int lq_session_run_pixels(struct lq_session *session, const uint8_t *pixels, int count,
                          float *ret_output, struct lq_error *error) LQ_MUST_CHECK;

/* Asked before each layer of each image, by all threads that compute, several at once: it must be
 * quick and must not call the session. Once it says true the run ends, as soon as every thread is
 * done with its layer, with LQ_ERR_CANCELLED; ret_output then holds nothing of use. The session can
 * run again. */
typedef bool lq_cancel_check(void *context);
/* For the runs from now on; NULL: nothing is asked. Between runs only. */
void lq_session_set_cancel(struct lq_session *session, lq_cancel_check *check, void *context);

/* Adds up, from now on, the time that each of the session's steps takes; a step computes one layer
 * or several together. Errors: LQ_ERR_MEMORY. */
int lq_session_profile(struct lq_session *session, struct lq_error *error) LQ_MUST_CHECK;
struct lq_step_info {
    const char *name, *op; /* of its first layer */
    const char *store;     /* its first input: "floats", "levels", "bytes",
                               "planes", "halves", "nibbles" */
    int64_t macs;          /* multiply-accumulates for one image */
    double seconds;        /* so far, summed over images and threads; 0: the first step, which takes
                              pixels, has done this one's work */
};
int lq_session_step_count(const struct lq_session *session);
/* index < lq_session_step_count, of a session that is profiled. */
void lq_session_step(const struct lq_session *session, int index, struct lq_step_info *ret_info);

/* Decodes a JPEG or PNG file and brings it to the network's input: EXIF orientation, RGB, resize,
 * centre crop. ret_pixels: [height][width][channels], for lq_session_run_pixels, so batches can be
 * put together. Any thread. Errors: LQ_ERR_FORMAT (not an image, or a damaged one),
 * LQ_ERR_UNSUPPORTED, LQ_ERR_LIMIT, LQ_ERR_MEMORY. */
int lq_model_decode(const struct lq_model *model, const void *bytes, size_t size,
                    const struct lq_image_limits *limits, uint8_t *ret_pixels,
                    struct lq_error *error) LQ_MUST_CHECK;

struct lq_prediction {
    int index;
    float probability; /* softmax of the logits, or the output itself where it is one already */
};
/* The min(top_k, classes) most probable classes of one output row, best first, the lower index
 * first among equals. Returns how many were written. */
int lq_model_top_k(const struct lq_model *model, const float *output, int top_k,
                   struct lq_prediction *ret_predictions);

#endif
