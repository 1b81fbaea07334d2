/* test_lqfile.c - model files come back as they were written; failed writes harm nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/rng.h"
#include "format/lqfile.h"
#include "support/lqfile_check.h"
#include "support/lqfile_forge.h"
#include "support/networks.h"
#include "support/tiny_model.h"

/* ------------------------------------------------------------------------------------------------
 * Round trips
 */

/* save -> parse -> save gives the same bytes; returns what was parsed in between. The graph's
 * tensors point into *ret_file. */
static struct lq_graph *assert_round_trip(const struct lq_graph *graph, struct bytes *ret_file)
{
    struct bytes first = lqfile_saved(graph), again = lqfile_saved(graph), second;
    struct lq_graph *parsed = NULL;
    struct lq_error error = {0};

    lqfile_assert_same(first, again);
    ck_assert_msg(lqfile_parse(first, &parsed, &error) == LQ_OK, "%s", error.text);
    second = lqfile_saved(parsed);
    lqfile_assert_same(first, second);
    free(again.bytes);
    free(second.bytes);
    *ret_file = first;
    return parsed;
}

START_TEST(tiny_round_trip)
{
    struct lq_graph *graph = NULL, *parsed;
    struct bytes file;

    ck_assert_int_eq(tiny_graph((uint64_t)rand(), &graph, NULL), LQ_OK);
    parsed = assert_round_trip(graph, &file);
    ck_assert_int_eq(parsed->node_count, 10);
    ck_assert_str_eq(parsed->values[0].name, "input");
    ck_assert_str_eq(parsed->values[1].name, "conv1_output");
    ck_assert_str_eq(parsed->meta.name, "tiny");
    ck_assert_int_eq(parsed->meta.label_count, 4);
    ck_assert_str_eq(parsed->meta.labels[3], "ship");
    ck_assert_str_eq(parsed->meta.provenance[0].key, "source");
    ck_assert_str_eq(lq_graph_provenance(parsed, "augmentation"), "none");
    ck_assert_int_eq(parsed->meta.preprocess.height, 8);
    ck_assert_int_eq(
        memcmp(&parsed->meta.preprocess, &graph->meta.preprocess, sizeof(struct lq_preprocess)), 0);
    for (int i = 0; i < parsed->node_count; i++) {
        const struct lq_node *a = &graph->nodes[i], *b = &parsed->nodes[i];

        ck_assert_int_eq(
            memcmp(&a->attributes.window, &b->attributes.window, sizeof(a->attributes.window)), 0);
        ck_assert_int_eq(a->attributes.bits, b->attributes.bits);
        ck_assert_int_eq(a->attributes.grid, b->attributes.grid);
        ck_assert(a->attributes.epsilon == b->attributes.epsilon);
        for (int param = 0; param < LQ_PARAM_COUNT; param++) {
            const struct lq_tensor *t = b->params[param];

            ck_assert_int_eq(a->params[param] != NULL, t != NULL);
            if (!t)
                continue;
            ck_assert((const uint8_t *)t->data >= file.bytes + 8 + lqfile_header_length(file));
            ck_assert_str_eq(t->name, a->params[param]->name);
            ck_assert_int_eq(memcmp(t->data, a->params[param]->data, lq_tensor_bytes(t)), 0);
        }
    }
    lq_graph_destroy(parsed);
    lq_graph_destroy(graph);
    free(file.bytes);
}
END_TEST

/* Branches, and tensors whose names are not unique: 1/1 .. 8/8. */
START_TEST(networks_round_trip)
{
    struct lq_rng rng;
    struct bytes file;

    lq_rng_init(&rng, (uint64_t)rand(), 0);
    struct lq_graph *graph = network_create(&rng, _i, _i);
    lq_graph_destroy(assert_round_trip(graph, &file));
    lq_graph_destroy(graph);
    free(file.bytes);
}
END_TEST

struct chain {
    struct lq_graph *graph;
    int value;
};

static int append(struct chain *chain, const char *name, enum lq_op_kind kind,
                  const struct lq_attributes *attributes)
{
    struct lq_node_spec spec = {.name = name,
                                .kind = kind,
                                .attributes = *attributes,
                                .inputs = {chain->value, chain->value},
                                .input_count = 1 + (kind == LQ_OP_ADD || kind == LQ_OP_CONCAT)};
    struct lq_error error = {0};

    ck_assert_msg(lq_graph_add_node(chain->graph, &spec, &chain->value, &error) == LQ_OK, "%s",
                  error.text);
    return chain->value;
}

/* All operators without parameters, in a chain that ends in 60 numbers. */
static struct lq_graph *plain_operators(void)
{
    const struct lq_shape input = {3, {13, 11, 3}};
    struct chain c = {NULL, 0};

    ck_assert_int_eq(lq_graph_create(&c.graph, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_input(c.graph, "in \"\\/\xc3\xa9", &input, NULL), LQ_OK);
    append(&c, "both", LQ_OP_CLIP, &(struct lq_attributes){.min = -0.1f, .max = 1e30f});
    append(&c, "low", LQ_OP_CLIP, &(struct lq_attributes){.min = 1e-45f, .max = INFINITY});
    append(&c, "high", LQ_OP_CLIP, &(struct lq_attributes){.min = -INFINITY, .max = 3.4e38f});
    append(&c, "sum", LQ_OP_ADD, &(struct lq_attributes){0});
    append(&c, "cat", LQ_OP_CONCAT, &(struct lq_attributes){.axis = 2});
    append(&c, "pad", LQ_OP_PAD,
           &(struct lq_attributes){.before = {1, 0, 2}, .after = {0, 3, 0}, .value = -0.0f});
    append(&c, "cut", LQ_OP_SLICE,
           &(struct lq_attributes){.start = {1, 0, 0}, .end = {14, 13, 8}, .step = {1, 2, 3}});
    append(&c, "lrn", LQ_OP_LRN,
           &(struct lq_attributes){.lrn_size = 5, .alpha = 1e-4f, .beta = 0.75f, .bias = 1.1f});
    append(&c, "max", LQ_OP_MAX_POOL,
           &(struct lq_attributes){.window = {3, 2, 2, 1, 1, 1, 1, 0, 1, 0}, .ceil_mode = true});
    append(&c, "mean", LQ_OP_AVERAGE_POOL,
           &(struct lq_attributes){.window = {2, 2, 1, 1, 1, 1, 0, 0, 1, 1},
                                   .count_include_pad = true});
    append(&c, "relu", LQ_OP_RELU, &(struct lq_attributes){0});
    int count = (int)lq_shape_elements(&c.graph->values[c.value].shape);
    append(&c, "matrix", LQ_OP_RESHAPE,
           &(struct lq_attributes){.shape = {4, {1, 1, count / 3, 3}}});
    append(&c, "flat", LQ_OP_RESHAPE, &(struct lq_attributes){.shape = {1, {count}}});
    append(&c, "soft", LQ_OP_SOFTMAX, &(struct lq_attributes){0});
    ck_assert_int_eq(lq_graph_finish(c.graph, c.value, NULL), LQ_OK);
    return c.graph;
}

START_TEST(attributes_are_exact)
{
    struct lq_graph *graph = plain_operators(), *parsed;
    struct bytes file;

    parsed = assert_round_trip(graph, &file);
    for (int i = 0; i < graph->node_count; i++) {
        struct lq_attributes a = graph->nodes[i].attributes, b = parsed->nodes[i].attributes;

        if (a.window.dilation_h == 1 && graph->nodes[i].kind != LQ_OP_CONV)
            b.window.dilation_h = b.window.dilation_w = 1; /* pools have no other */
        ck_assert_msg(memcmp(&a, &b, sizeof(a)) == 0, "%s", graph->nodes[i].name);
    }
    ck_assert(parsed->nodes[lq_graph_find_node(parsed, "low")].attributes.max == INFINITY);
    ck_assert(parsed->nodes[lq_graph_find_node(parsed, "high")].attributes.min == -INFINITY);
    ck_assert(signbit(parsed->nodes[lq_graph_find_node(parsed, "pad")].attributes.value));
    ck_assert_str_eq(parsed->values[0].name, "in \"\\/\xc3\xa9");
    ck_assert_ptr_null(parsed->meta.name);
    lq_graph_destroy(parsed);
    lq_graph_destroy(graph);
    free(file.bytes);
}
END_TEST

/* Two dense layers with names as long as names may be, and one tensor for both. */
START_TEST(long_names_and_shared_tensors)
{
    const struct lq_shape input = {3, {1, 1, 3}}, square = {2, {3, 3}}, vector = {1, {3}};
    char names[2][LQ_MAX_NAME];
    struct chain c = {NULL, 0};
    struct lq_tensor *weight = NULL;
    struct lq_graph *parsed;
    struct bytes file;

    ck_assert_int_eq(lq_graph_create(&c.graph, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_input(c.graph, "x", &input, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_tensor(c.graph, "w", LQ_F32, &square, NULL, &weight, NULL),
                     LQ_OK);
    append(&c, "flat", LQ_OP_RESHAPE, &(struct lq_attributes){.shape = vector});
    for (int i = 0; i < 2; i++) {
        memset(names[i], 'a' + i, LQ_MAX_NAME - 1);
        names[i][LQ_MAX_NAME - 1] = 0;
        struct lq_node_spec spec = {.name = names[i],
                                    .kind = LQ_OP_DENSE,
                                    .attributes = {.out_channels = 3},
                                    .inputs = {c.value},
                                    .input_count = 1,
                                    .params = {[LQ_PARAM_WEIGHT] = weight}};
        ck_assert_int_eq(lq_graph_add_node(c.graph, &spec, &c.value, NULL), LQ_OK);
    }
    ck_assert_int_eq(lq_graph_finish(c.graph, c.value, NULL), LQ_OK);
    parsed = assert_round_trip(c.graph, &file);
    ck_assert_str_eq(parsed->nodes[2].name, names[1]);
    ck_assert_ptr_ne(parsed->nodes[1].params[LQ_PARAM_WEIGHT],
                     parsed->nodes[2].params[LQ_PARAM_WEIGHT]);
    lq_graph_destroy(parsed);
    lq_graph_destroy(c.graph);
    free(file.bytes);
}
END_TEST

/* The description in lqfile.h is followed by a second implementation of the digests. */
START_TEST(layout_is_as_described)
{
    struct bytes file = lqfile_tiny(), copy = {lqfile_copy(file.bytes, file.size), file.size};
    size_t length = lqfile_header_length(file);

    ck_assert_uint_eq((8 + length) % 64, 0);
    ck_assert_uint_eq(file.bytes[8], '{');
    lqfile_seal(copy.bytes, copy.size);
    lqfile_assert_same(file, copy);
    ck_assert_ptr_nonnull(memmem(file.bytes, 8 + length, "\"conv2.codes\":{\"dtype\":\"U8\",", 28));
    ck_assert_ptr_nonnull(memmem(file.bytes, 8 + length, "\\\"conv1_output\\\"", 16));
    free(file.bytes);
    free(copy.bytes);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Writing
 */

START_TEST(failed_writes_leave_the_old_file)
{
    struct lq_graph *graph = NULL;
    struct lq_error error = {0};
    struct rlimit limit, old_limit;
    struct bytes before, after;
    char path[256];

    snprintf(path, sizeof(path), "%s", lqfile_path("kept.lq"));
    ck_assert_int_eq(tiny_model_write(path, NULL), LQ_OK);
    before = lqfile_read(path);
    ck_assert_int_eq(tiny_graph(2, &graph, NULL), LQ_OK);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
    limit = old_limit;
    limit.rlim_cur = 3000; /* the header fits, the data do not */
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(lq_lqfile_save(graph, path, &error), LQ_ERR_IO);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
    ck_assert_ptr_nonnull(strstr(error.text, path));
    after = lqfile_read(path);
    lqfile_assert_same(before, after);
    ck_assert_int_eq(lqfile_folder_count(), 1);
    ck_assert_int_eq(lq_lqfile_save(graph, path, NULL), LQ_OK);
    free(after.bytes);
    after = lqfile_read(path);
    ck_assert_uint_eq(before.size, after.size);
    ck_assert_int_ne(memcmp(before.bytes, after.bytes, before.size), 0);
    ck_assert_int_eq(lqfile_folder_count(), 1);
    unlink(path);
    free(before.bytes);
    free(after.bytes);
    lq_graph_destroy(graph);
}
END_TEST

START_TEST(places_that_cannot_be_written)
{
    struct lq_graph *graph = NULL, *unfinished = NULL;

    ck_assert_int_eq(tiny_graph(1, &graph, NULL), LQ_OK);
    ck_assert_int_lt(lq_lqfile_save(graph, lqfile_path("no/such/folder.lq"), NULL), 0);
    ck_assert_int_lt(lq_lqfile_save(graph, lqfile_path(""), NULL), 0);
    ck_assert_int_eq(lqfile_folder_count(), 0);
    lq_graph_destroy(graph);
    ck_assert_int_eq(lq_graph_create(&unfinished, NULL), LQ_OK);
    ck_assert_int_eq(lq_lqfile_save(unfinished, lqfile_path("x.lq"), NULL), LQ_ERR_INVALID);
    ck_assert_int_eq(lqfile_folder_count(), 0);
    lq_graph_destroy(unfinished);
}
END_TEST

/* A mapping is handed over and released with the graph. */
START_TEST(mapped_file)
{
    struct lq_graph *graph = NULL;
    struct lq_file file;

    ck_assert_int_eq(tiny_model_write(lqfile_path("mapped.lq"), NULL), LQ_OK);
    ck_assert_int_eq(lq_file_map(lqfile_path("mapped.lq"), 1 << 20, &file, NULL), LQ_OK);
    unlink(lqfile_path("mapped.lq"));
    ck_assert_int_eq(lq_lqfile_parse(&file, &graph, NULL), LQ_OK);
    ck_assert_ptr_null(file.bytes);
    ck_assert_int_eq(lq_graph_classes(graph), 4);
    lq_graph_destroy(graph);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("lqfile");

    tcase_add_test(tests, tiny_round_trip);
    tcase_add_loop_test(tests, networks_round_trip, 1, 9);
    tcase_add_test(tests, attributes_are_exact);
    tcase_add_test(tests, long_names_and_shared_tensors);
    tcase_add_test(tests, layout_is_as_described);
    tcase_add_test(tests, failed_writes_leave_the_old_file);
    tcase_add_test(tests, places_that_cannot_be_written);
    tcase_add_test(tests, mapped_file);
    return lqfile_suite_main("lqfile", tests);
}
