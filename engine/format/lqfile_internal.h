/* lqfile_internal.h - what reading and writing .lq files have in common: attributes, digests.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_FORMAT_LQFILE_INTERNAL_H
#define LQ_FORMAT_LQFILE_INTERNAL_H

#include <jansson.h>

#include "format/lqfile.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are used as they lie in the file: little-endian"
#endif

#define LQ_LQFILE_START      "{\"__metadata__\":{\"xxh3_128_header\":\""
#define LQ_LQFILE_ALIGNMENT  64 /* of the data's start */
#define LQ_MAX_HEADER_BYTES  ((size_t)1 << 24)
#define LQ_DIGEST_DIGITS     32
#define LQ_MAX_TENSOR_NAME   (LQ_MAX_NAME + 16) /* node, dot, parameter, zero */
#define LQ_LQFILE_LENGTH     8                  /* bytes in front of the header */
#define LQ_LQFILE_DIGEST_POS (LQ_LQFILE_LENGTH + sizeof(LQ_LQFILE_START) - 1)

enum lq_field_type { LQ_FIELD_INT, LQ_FIELD_FLOAT, LQ_FIELD_BOOL, LQ_FIELD_SHAPE };

/* One attribute as files spell it: where it is in struct lq_attributes and who has it. */
struct lq_lqfile_field {
    unsigned ops; /* 1u << enum lq_op_kind */
    const char *name;
    enum lq_field_type type;
    size_t offset;
    int count; /* more than 1: an array */
    bool required;
    float fallback; /* where it is left out */
};
extern const struct lq_lqfile_field lq_lqfile_fields[];
extern const int lq_lqfile_field_count;

/* The field called so that `kind` has, or NULL. */
const struct lq_lqfile_field *lq_lqfile_field_find(enum lq_op_kind kind, const char *name);

/* "NODE.PARAM". */
void lq_lqfile_tensor_name(const char *node, enum lq_param param,
                           char ret_name[LQ_MAX_TENSOR_NAME]);

/* XXH3-128 of several pieces, as text. Errors: LQ_ERR_MEMORY. */
struct lq_piece {
    const void *bytes;
    size_t size;
};
int lq_lqfile_digest(const struct lq_piece *pieces, size_t count,
                     char ret_digest[LQ_DIGEST_DIGITS + 1], struct lq_error *error) LQ_MUST_CHECK;
/* Of everything before the data; data_start > LQ_LQFILE_DIGEST_POS + LQ_DIGEST_DIGITS. */
int lq_lqfile_header_digest(const uint8_t *bytes, size_t data_start,
                            char ret_digest[LQ_DIGEST_DIGITS + 1],
                            struct lq_error *error) LQ_MUST_CHECK;

/* A file while it is read. */
struct lq_lqfile_parser {
    const uint8_t *bytes;
    size_t size, data_start;
    json_t *header;                   /* NULL before it is parsed */
    const json_t *metadata;           /* in it */
    const struct lq_tensor **tensors; /* all of the file, in its order */
    json_t *tensor_indices;           /* name -> index, of those that no node has taken yet */
    struct lq_graph *graph;
    struct lq_error *error;
};

/* Reads metadata "graph" into parser->graph, taking all tensors, and gives the output's value.
 * Errors: those of lq_lqfile_parse. */
int lq_lqfile_read_graph(struct lq_lqfile_parser *parser, int *ret_output) LQ_MUST_CHECK;

/* The JSON text that metadata holds under a key; *ret_json = NULL where there is none. To be freed
 * by json_decref. Errors: LQ_ERR_FORMAT, LQ_ERR_MEMORY. */
int lq_lqfile_read_text(const struct lq_lqfile_parser *parser, const char *key,
                        json_t **ret_json) LQ_MUST_CHECK;

/* Array of 0..LQ_MAX_RANK dimensions, checked. Errors: LQ_ERR_FORMAT, LQ_ERR_LIMIT. */
int lq_lqfile_read_shape(const json_t *json, struct lq_shape *ret_shape,
                         struct lq_error *error) LQ_MUST_CHECK;

/* Fails with jansson's reason, LQ_ERR_FORMAT or LQ_ERR_MEMORY. */
int lq_lqfile_fail_json(struct lq_error *error, const json_error_t *json_error);

/* A text of the file if it may be part of a message, else a remark in parentheses. */
const char *lq_lqfile_printable(const char *text);

#endif
