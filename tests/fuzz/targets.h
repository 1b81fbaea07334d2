/* targets.h - what takes bytes from outside, as functions of bytes alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A target may do anything with its input but crash, leak, hang, or break what its header promises:
 * FUZZ_CHECK says so. `make fuzz T=NAME` looks for inputs that do (libFuzzer, clang); what it finds
 * is mended and kept in tests/fuzz/regress/NAME. test_fuzz runs these and the corpus, and
 * variations of them.
 */
#ifndef TESTS_FUZZ_TARGETS_H
#define TESTS_FUZZ_TARGETS_H

#include "lq.h"

/* X(name, what it takes): fuzz_NAME. The input is exactly size bytes long, so that sanitizers see a
 * step beyond its end. */
#define FUZZ_LIST(X)                                                                               \
    X(lqfile, "a .lq file, sealed first; what is accepted is run once")                            \
    X(onnx, "an ONNX file; what is accepted is run once")                                          \
    X(checkpoint, "a checkpoint of a training run")                                                \
    X(image, "a JPEG or PNG file")                                                                 \
    X(infer, "a byte (bits 0..1: no header length, one in the next two bytes, floats, an image), " \
             "then the body of an inference request")                                              \
    X(multipart, "a line Content-Type, then a body")                                               \
    X(compress, "a byte (bit 0: deflate, the rest: size of the pieces), then a compressed body")   \
    X(tar, "a byte (bit 0: headers are signed first), then a tar archive")                         \
    X(base64, "base64")                                                                            \
    X(number, "a JSON number")                                                                     \
    X(headers, "lines: Accept-Encoding, Content-Encoding, a path, a version policy, an address, "  \
               "an augmentation")                                                                  \
    X(config, "a configuration file")                                                              \
    X(tokens, "a tokens file")                                                                     \
    X(http, "what a client sends to lqnetd over one connection")

#define X(name, text) void fuzz_##name(const uint8_t *bytes, size_t size);
FUZZ_LIST(X)
#undef X

struct fuzz_target {
    const char *name, *text;
    void (*run)(const uint8_t *bytes, size_t size);
};
extern const struct fuzz_target fuzz_targets[]; /* ends with a name of NULL */

/* Ends the process where it is not so. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_fail(__FILE__, __LINE__, #condition);                                             \
    } while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

/* A failure has its text, safe to print; success has none. */
void fuzz_check_status(int status, const struct lq_error *error);
/* A file with these bytes, for its owner alone; until the next call. */
const char *fuzz_file(const uint8_t *bytes, size_t size);
/* Runs a model once, if it is small enough for that. */
void fuzz_run_model(struct lq_model *model);
/* A copy that ends with a zero, for functions that take strings; to be freed. */
char *fuzz_string(const uint8_t *bytes, size_t size);

#endif
