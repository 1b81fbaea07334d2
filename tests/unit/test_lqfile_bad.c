/* test_lqfile_bad.c - damaged and hostile model files are refused, with a reason.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "format/lqfile.h"
#include "support/lqfile_check.h"
#include "support/lqfile_forge.h"
#include "support/tiny_model.h"

/* ------------------------------------------------------------------------------------------------
 * Damage
 */

START_TEST(truncated_at_every_length)
{
    struct bytes file = lqfile_tiny();

    for (size_t size = 0; size < file.size; size++) {
        struct bytes cut = {lqfile_copy(file.bytes, size), size};

        lqfile_assert_refused(cut, LQ_ERR_FORMAT, "offset", "truncated");
        free(cut.bytes);
    }
    struct bytes longer = {calloc(1, file.size + 1), file.size + 1};
    memcpy(longer.bytes, file.bytes, file.size);
    lqfile_assert_refused(longer, LQ_ERR_FORMAT, "1 bytes behind the last tensor", "longer");
    free(longer.bytes);
    free(file.bytes);
}
END_TEST

START_TEST(every_flipped_bit_is_noticed)
{
    struct bytes file = lqfile_tiny();

    for (size_t at = 0; at < file.size; at++)
        for (int bit = 0; bit < 8; bit++) {
            struct lq_graph *graph = NULL;
            struct lq_error error = {0};

            file.bytes[at] ^= (uint8_t)(1 << bit);
            int status = lqfile_parse(file, &graph, &error);
            ck_assert_msg(status == LQ_ERR_FORMAT || status == LQ_ERR_LIMIT, "byte %zu bit %d: %d",
                          at, bit, status);
            ck_assert_msg(strncmp(error.text, "offset ", 7) == 0, "%s", error.text);
            file.bytes[at] ^= (uint8_t)(1 << bit);
        }
    free(file.bytes);
}
END_TEST

/* Forged so that the digests are right: anything may come of it but a crash, and what is accepted
 * can be written and read. */
START_TEST(forged_bytes)
{
    struct bytes file = lqfile_tiny();
    struct lq_rng rng;
    int accepted = 0;

    lq_rng_init(&rng, (uint64_t)rand(), 0);
    for (size_t at = 0; at < file.size; at++) {
        struct bytes forged = {lqfile_copy(file.bytes, file.size), file.size};
        struct lq_graph *graph = NULL;

        forged.bytes[at] = "0123456789\"\\,:{}[]-.eE \x80\xff"[lq_rng_below(&rng, 25)];
        lqfile_seal(forged.bytes, forged.size);
        int status = lqfile_parse(forged, &graph, NULL);
        accepted += status == LQ_OK;
        if (status == LQ_OK && accepted % 16 == 0) { /* each save waits for the disk */
            struct bytes again = lqfile_saved(graph);

            lq_graph_destroy(graph);
            graph = NULL;
            ck_assert_int_eq(lqfile_parse(again, &graph, NULL), LQ_OK);
            free(again.bytes);
        }
        lq_graph_destroy(graph);
        free(forged.bytes);
    }
    ck_assert_int_gt(accepted, 500); /* weights may be any finite number */
    free(file.bytes);
}
END_TEST

START_TEST(lengths_that_lie)
{
    struct bytes file = lqfile_tiny();
    size_t length = lqfile_header_length(file);
    const struct {
        uint64_t length;
        int status;
        const char *text;
    } cases[] = {
        {0, LQ_ERR_FORMAT, "offset 8: no lqnet model"},
        {1, LQ_ERR_FORMAT, "offset 8: no lqnet model"},
        {56, LQ_ERR_FORMAT, "offset 8: no lqnet model"},
        {length - 1, LQ_ERR_FORMAT, "no multiple of 64"},
        {length - 64, LQ_ERR_FORMAT, "the header is damaged"},
        {length + 64, LQ_ERR_FORMAT, "the header is damaged"},
        {file.size - 8 + 1, LQ_ERR_FORMAT, "the file has"},
        {UINT64_C(1) << 63, LQ_ERR_FORMAT, "the file has"},
        {UINT64_MAX, LQ_ERR_FORMAT, "the file has"},
        {UINT64_MAX - 7, LQ_ERR_FORMAT, "the file has"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(file.bytes, &cases[i].length, 8);
        lqfile_assert_refused(file, cases[i].status, cases[i].text, "length");
    }
    free(file.bytes);
}
END_TEST

START_TEST(other_files)
{
    static const char plain[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"
                                "                                                         ";
    size_t huge_size = (size_t)20 << 20;
    struct bytes file = {NULL, 0}, huge = {calloc(1, huge_size), huge_size};
    const uint64_t length = huge_size - 8;

    lqfile_assert_refused(file, LQ_ERR_FORMAT, "offset 0: the file ends after 0 bytes", "empty");
    file.bytes = lqfile_wrap(plain, sizeof(plain) - 1, "\0\0\0", 4, &file.size);
    lqfile_assert_refused(file, LQ_ERR_FORMAT, "offset 8: no lqnet model", "other safetensors");
    free(file.bytes);
    memcpy(huge.bytes, &length, 8);
    lqfile_assert_refused(huge, LQ_ERR_LIMIT, "expected at most 16777216", "huge header");
    free(huge.bytes);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Hostile headers: one place of the tiny model's header replaced, digests right
 */

struct hostile {
    const char *find, *replace;
    int status;
    const char *text;
};

#define Q "\\\"" /* a quote inside a string of the header */

static const struct hostile hostile[] = {
    /* format */
    {"\"lqnet\"", "\"lqnot\"", LQ_ERR_FORMAT, "metadata 'format' is 'lqnot'"},
    {"\"lqnet\"", "\"\\u001b[2J\"", LQ_ERR_FORMAT, "(cannot be shown)"},
    {"version\":\"1\"", "version\":\"2\"", LQ_ERR_UNSUPPORTED, "format version 2"},
    {"version\":\"1\"", "version\":\"123456789\"", LQ_ERR_UNSUPPORTED, "format version 123456789"},
    {"version\":\"1\"", "version\":\"1.0\"", LQ_ERR_FORMAT, "'1.0'"},
    {"version\":\"1\"", "version\":\"01\"", LQ_ERR_FORMAT, "'01'"},
    {"version\":\"1\"", "version\":\"9999999999\"", LQ_ERR_FORMAT, "'9999999999'"},
    {"version\":\"1\"", "version\":\"\"", LQ_ERR_FORMAT, "'format_version' is ''"},
    {"version\":\"1\"", "version\":1", LQ_ERR_FORMAT, "metadata 'format_version' is no string"},
    {"\"format\"", "\"Format\"", LQ_ERR_FORMAT, "metadata 'format' is ''"},
    {"\"name\":\"tiny\"", "\"name\":null", LQ_ERR_FORMAT, "metadata 'name' is no string"},
    {"\"name\":\"tiny\"", "\"name\":\"\"", LQ_ERR_FORMAT, "model name is empty"},
    {"\"name\":\"tiny\"", "\"name\":\"a\\nb\"", LQ_ERR_FORMAT, "byte 1 is 0x0a"},
    {"\"name\":\"tiny\"", "\"name\":\"a\\u0000b\"", LQ_ERR_FORMAT, "offset "},
    {"\"name\":\"tiny\"", "\"name\":\"a\xff\"", LQ_ERR_FORMAT, "offset "},
    {"\"name\":\"tiny\"", "\"name\":\"a\",\"name\":\"b\"", LQ_ERR_FORMAT, "duplicate"},
    {"\"name\":\"tiny\"", "\"name\":\"tiny\",\"later\":\"ignored\"", LQ_OK, ""},
    {"\"xxh3_128\"", "\"xxh3_129\"", LQ_ERR_FORMAT, "the data are damaged"},
    /* tensors */
    {"\"conv1.weight\":{\"dtype\":\"F32\"", "\"conv1.weight\":{\"dtype\":\"F64\"",
     LQ_ERR_UNSUPPORTED, "tensor 'conv1.weight': dtype is 'F64'"},
    {"\"conv1.weight\":{\"dtype\":\"F32\"", "\"conv1.weight\":{\"dtype\":\"I32\"", LQ_ERR_FORMAT,
     "parameter 'weight' is I32"},
    {"\"conv1.weight\":{\"dtype\":\"F32\"", "\"conv1.weight\":{\"dtype\":5", LQ_ERR_FORMAT,
     "tensor 'conv1.weight': "},
    {"\"conv1.weight\":{\"dtype\":\"F32\"", "\"conv1.weight\":{\"x\":0,\"dtype\":\"F32\"",
     LQ_ERR_FORMAT, "tensor 'conv1.weight': "},
    {"\"conv1.weight\":{", "\"zero\":[],\"conv1.weight\":{", LQ_ERR_FORMAT, "tensor 'zero': "},
    {"[8,3,3,3]", "[8,3,3,4]", LQ_ERR_FORMAT, "hold 864 bytes, dtype and shape ask for 1152"},
    {"[8,3,3,3]", "[8,3,9]", LQ_ERR_FORMAT, "parameter 'weight' is F32 8x3x9"},
    {"[8,3,3,3]", "[8,3,3,3,1]", LQ_ERR_LIMIT, "rank 5"},
    {"[8,3,3,3]", "[16777216,16777216,16777216,16777216]", LQ_ERR_LIMIT, "elements"},
    {"[8,3,3,3]", "[4294967296,3,3,3]", LQ_ERR_LIMIT, "dimension 0 is 4294967296"},
    {"[8,3,3,3]", "[-8,3,3,-3]", LQ_ERR_LIMIT, "dimension 0 is -8"},
    {"[8,3,3,3]", "[0]", LQ_ERR_LIMIT, "dimension 0 is 0"},
    {"[8,3,3,3]", "[216.0]", LQ_ERR_FORMAT, "dimension 0 is no integer"},
    {"[8,3,3,3]", "{\"8\":3}", LQ_ERR_FORMAT, "shape is no array"},
    {"[864,896]", "[868,900]", LQ_ERR_FORMAT, "start at 868, behind the end"},
    {"[864,896]", "[860,892]", LQ_ERR_FORMAT, "start at 860, before the end"},
    {"[864,896]", "[864,863]", LQ_ERR_FORMAT, "data_offsets [864, 863]"},
    {"[864,896]", "[-864,896]", LQ_ERR_FORMAT, "data_offsets [-864, 896]"},
    {"[864,896]", "[864,9223372036854775807]", LQ_ERR_FORMAT, "ask for 32"},
    {"[864,896]", "[864,9223372036854775808]", LQ_ERR_FORMAT, "offset "},
    {"[864,896]", "[864,896,928]", LQ_ERR_FORMAT, "tensor 'conv1.bias'"},
    {"[864,896]", "[864]", LQ_ERR_FORMAT, "tensor 'conv1.bias'"},
    {"\"conv1.bias\"", "\"conv1.weight\"", LQ_ERR_FORMAT, "duplicate"},
    {"\"conv1.bias\"", "\"conv1.gamma\"", LQ_ERR_FORMAT, "takes no parameter 'gamma'"},
    {"\"conv1.bias\"", "\"ghost.bias\"", LQ_ERR_FORMAT, "'ghost.bias' is not a parameter"},
    {"\"conv1.bias\"", "\"conv1.\\u001bias\"", LQ_ERR_FORMAT, "tensor 1: tensor name: byte 6"},
    {"\"conv1.weight\"", "\"conv0.weight\"", LQ_ERR_FORMAT, "parameter 'weight' is missing"},
    {"\"conv2.basis\"", "\"conv2.weight\"", LQ_ERR_FORMAT, "has parameter 'weight'"},
    /* graph */
    {"\"graph\"", "\"grape\"", LQ_ERR_FORMAT, "there is no metadata 'graph'"},
    {"\"{" Q "input" Q, "\"{" Q "input" Q ":1," Q "input" Q, LQ_ERR_FORMAT, "duplicate"},
    {"\"{" Q "input" Q, "\"{" Q "extra" Q ":1," Q "input" Q, LQ_ERR_FORMAT, "metadata 'graph': "},
    {"\"{" Q "input" Q, "\"[" Q "input" Q, LQ_ERR_FORMAT, "metadata 'graph', byte 9"},
    {"[8,8,3]", "[8,8]", LQ_ERR_UNSUPPORTED, "no image of 1 or 3 channels"},
    {"[8,8,3]", "[8,8,2]", LQ_ERR_UNSUPPORTED, "no image of 1 or 3 channels"},
    {"[8,8,3]", "[8,8,0]", LQ_ERR_LIMIT, "dimension 2 is 0"},
    {"[8,8,3]", "[16777216,16777216,3]", LQ_ERR_LIMIT, "elements"},
    {"[8,8,3]", "[8,8,1]", LQ_ERR_FORMAT, "parameter 'weight' is F32 8x3x3x3"},
    {Q "name" Q ":" Q "input" Q, Q "name" Q ":" Q Q, LQ_ERR_FORMAT, "input name is empty"},
    {Q "nodes" Q ":[", Q "nodes" Q ":[7,", LQ_ERR_FORMAT, "node 0: "},
    {Q "nodes" Q ":[", Q "nodes" Q ":[{}],[", LQ_ERR_FORMAT, "metadata 'graph', byte"},
    {Q "op" Q ":" Q "relu" Q, Q "op" Q ":" Q "gelu" Q, LQ_ERR_UNSUPPORTED,
     "'relu1': unknown operator 'gelu'"},
    {Q "op" Q ":" Q "relu" Q, Q "op" Q ":3", LQ_ERR_FORMAT, "node 2: "},
    {Q "relu1" Q, Q "relu\\\\u0007" Q, LQ_ERR_FORMAT, "node 2: name: byte 4 is 0x07"},
    {Q "relu1" Q, Q "bn1" Q, LQ_ERR_FORMAT, "'bn1' (relu): the name is used twice"},
    {Q "conv1_output" Q, Q "input" Q, LQ_ERR_FORMAT, "the value 'input' is made twice"},
    {Q "output" Q ":" Q "conv1_output" Q, Q "output" Q ":null", LQ_ERR_FORMAT, "node 0: "},
    {Q "grid" Q ":31", Q "grid" Q ":31," Q "zap" Q ":1", LQ_ERR_UNSUPPORTED,
     "node 'conv2.input' (quantize): unknown attribute 'zap'"},
    {Q "grid" Q ":31", Q "grid" Q ":31," Q "kernel" Q ":[1,1]", LQ_ERR_UNSUPPORTED,
     "unknown attribute 'kernel'"},
    {Q "grid" Q ":31", Q "grid" Q ":28", LQ_ERR_FORMAT, "row 0 sums to 29, the grid is 28"},
    {Q "grid" Q ":31", Q "grid" Q ":4096", LQ_ERR_FORMAT, "attribute grid is 4096"},
    {"," Q "grid" Q ":31", "", LQ_ERR_FORMAT, "attribute grid: is missing"},
    {Q "bits" Q ":2," Q "grid" Q ":31", Q "bits" Q ":9," Q "grid" Q ":31", LQ_ERR_FORMAT,
     "attribute bits is 9"},
    {Q "bits" Q ":2," Q "grid" Q ":31", Q "bits" Q ":1," Q "grid" Q ":31", LQ_ERR_FORMAT,
     "parameter 'basis' is I16 2, expected I16 1"},
    {Q "grid" Q ":14", Q "grid" Q ":9", LQ_ERR_FORMAT, "the grid is 9"},
    {"," Q "bits" Q ":2," Q "grid" Q ":14", "", LQ_ERR_FORMAT, "attribute bits is 0"},
    {Q "epsilon" Q ":9.99999975e-6", Q "epsilon" Q ":" Q "1" Q, LQ_ERR_FORMAT,
     "attribute epsilon: expected a number"},
    {Q "epsilon" Q ":9.99999975e-6", Q "epsilon" Q ":-1", LQ_ERR_FORMAT, "attribute epsilon is -1"},
    {Q "epsilon" Q ":9.99999975e-6", Q "epsilon" Q ":1e39", LQ_ERR_NUMERIC, "1e+39"},
    {Q "epsilon" Q ":9.99999975e-6", Q "epsilon" Q ":1e999", LQ_ERR_FORMAT, "metadata 'graph'"},
    {Q "epsilon" Q ":9.99999975e-6", Q "epsilon" Q ":NaN", LQ_ERR_FORMAT, "metadata 'graph'"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":3", LQ_ERR_FORMAT,
     "attribute kernel: expected an array"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":[3]", LQ_ERR_FORMAT, "an array of 2 integers"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":[3,3,3]", LQ_ERR_FORMAT, "an array of 2 integers"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":[3,3.5]", LQ_ERR_FORMAT, "expected an integer"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":[3,4294967299]", LQ_ERR_FORMAT, "does not fit 32 bits"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":[0,3]", LQ_ERR_FORMAT, "attribute kernel_h is 0"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":[1024,1024]", LQ_ERR_FORMAT, "reaches over 1024"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":[3,3]," Q "groups" Q ":2", LQ_ERR_FORMAT,
     "attribute groups is 2"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":[3,3]," Q "groups" Q ":0", LQ_ERR_FORMAT,
     "attribute groups is 0"},
    {Q "kernel" Q ":[3,3]", Q "kernel" Q ":[3,3]," Q "stride" Q ":[0,1]", LQ_ERR_FORMAT,
     "attribute stride_h is 0"},
    {Q "pads" Q ":[1,1,1,1]", Q "pads" Q ":[1,1,2147483647,1]", LQ_ERR_FORMAT,
     "attribute pad_bottom is 2147483647"},
    {Q "out_channels" Q ":8", Q "out_channels" Q ":2147483647", LQ_ERR_FORMAT,
     "attribute out_channels is 2147483647"},
    {"," Q "out_channels" Q ":8", "", LQ_ERR_FORMAT, "attribute out_channels: is missing"},
    {Q "shape" Q ":[8]}", Q "shape" Q ":[9]}", LQ_ERR_FORMAT, "cannot reshape"},
    {Q "shape" Q ":[8]}", Q "shape" Q ":[]}", LQ_ERR_FORMAT, "rank 0"},
    {Q "shape" Q ":[8]}", Q "shape" Q ":[2,2,2,1,1]}", LQ_ERR_LIMIT, "rank 5"},
    {Q "shape" Q ":[8]}", Q "shape" Q ":8}", LQ_ERR_FORMAT, "shape is no array"},
    {Q "relu" Q "}", Q "relu" Q "," Q "inputs" Q ":[" Q "relu2" Q "]}", LQ_ERR_FORMAT,
     "no value 'relu2' is made before it"},
    {Q "relu" Q "}", Q "relu" Q "," Q "inputs" Q ":[" Q "relu1" Q "]}", LQ_ERR_FORMAT,
     "no value 'relu1' is made before it"},
    {Q "relu" Q "}", Q "relu" Q "," Q "inputs" Q ":[" Q "conv1" Q "]}", LQ_ERR_FORMAT,
     "no value 'conv1' is made before it"},
    {Q "relu" Q "}", Q "relu" Q "," Q "inputs" Q ":[" Q "bn1" Q "]}", LQ_OK, ""},
    {Q "relu" Q "}", Q "relu" Q "," Q "inputs" Q ":[1]}", LQ_ERR_FORMAT, "array of strings"},
    {Q "relu" Q "}", Q "relu" Q "," Q "inputs" Q ":[]}", LQ_ERR_FORMAT, "0 inputs, expected 1"},
    {Q "relu" Q "}", Q "relu" Q "," Q "inputs" Q ":" Q "bn1" Q "}", LQ_ERR_FORMAT, "an array"},
    {Q "relu" Q "}", Q "relu" Q "," Q "inputs" Q ":[" Q "bn1" Q "," Q "bn1" Q "]}", LQ_ERR_FORMAT,
     "2 inputs, expected 1"},
    {Q "relu" Q "}", Q "relu" Q "," Q "inputs" Q ":[" Q "conv1_output" Q "]}", LQ_ERR_FORMAT,
     "1 of 10 nodes do not contribute"},
    {",{" Q "name" Q ":" Q "relu1" Q "," Q "op" Q ":" Q "relu" Q "}", "", LQ_OK, ""},
    {"{" Q "name" Q ":" Q "pool" Q "," Q "op" Q ":" Q "global_average_pool" Q "},", "",
     LQ_ERR_FORMAT, "cannot reshape"},
    /* what is known */
    {Q "ship" Q, Q "ship" Q "," Q "sheep" Q, LQ_ERR_FORMAT, "5 labels for 4 classes"},
    {Q "ship" Q, "7", LQ_ERR_FORMAT, "label 3 is no string"},
    {Q "ship" Q, Q Q, LQ_ERR_FORMAT, "label is empty"},
    {Q "ship" Q "]", Q "ship" Q, LQ_ERR_FORMAT, "metadata 'labels', byte"},
    {"\"[" Q "cat" Q, "\"{" Q "cat" Q ":1}\",\"x\":\"", LQ_ERR_FORMAT, "metadata 'labels'"},
    {Q "resize" Q ":8", Q "resize" Q ":-1", LQ_ERR_FORMAT, "resize is -1"},
    {Q "resize" Q ":8", Q "resize" Q ":4294967304", LQ_ERR_FORMAT, "resize is 4294967304"},
    {Q "resize" Q ":8", Q "resize" Q ":8.5", LQ_ERR_FORMAT, "metadata 'preprocess'"},
    {Q "resize" Q ":8", Q "resize" Q ":8," Q "crop" Q ":8", LQ_ERR_FORMAT, "metadata 'preprocess'"},
    {Q "resize" Q ":8,", "", LQ_ERR_FORMAT, "metadata 'preprocess'"},
    {"[0.229000002,", "[0,", LQ_ERR_FORMAT, "std 0 of channel 0"},
    {"[0.229000002,", "[1e300,", LQ_ERR_FORMAT, "std inf of channel 0"},
    {"[0.229000002,", "[", LQ_ERR_FORMAT, "metadata 'preprocess'"},
    {Q "none" Q, "0", LQ_ERR_FORMAT, "'augmentation' is no string"},
    {Q "none" Q, Q "\\\\u009b" Q, LQ_ERR_FORMAT, "provenance value: byte 0"},
    {"\"{" Q "source" Q ":" Q "random numbers" Q, "\"[1]\",\"x\":\"{" Q "y" Q ":" Q "z" Q,
     LQ_ERR_FORMAT, "metadata 'provenance': expected an object"},
};

/* Header and data of the tiny model, to be put together again. */
struct parts {
    struct bytes file;
    const char *header;
    size_t header_size; /* without padding */
    const uint8_t *data;
    size_t data_size;
};

static struct parts tiny_parts(void)
{
    struct parts p = {.file = lqfile_tiny()};
    size_t length = lqfile_header_length(p.file);

    p.header = (const char *)p.file.bytes + 8;
    p.header_size = length;
    while (p.header[p.header_size - 1] == ' ')
        p.header_size--;
    p.data = p.file.bytes + 8 + length;
    p.data_size = p.file.size - 8 - length;
    return p;
}

static struct bytes forge(const struct parts *p, const char *find, const char *replace)
{
    const char *at = memmem(p->header, p->header_size, find, strlen(find));
    size_t before = at ? (size_t)(at - p->header) : 0;
    size_t size = p->header_size - strlen(find) + strlen(replace);
    char *header = malloc(size);
    struct bytes file;

    ck_assert_msg(at != NULL, "no '%s'", find);
    memcpy(header, p->header, before);
    memcpy(header + before, replace, strlen(replace));
    memcpy(header + before + strlen(replace), at + strlen(find),
           p->header_size - before - strlen(find));
    file.bytes = lqfile_wrap(header, size, p->data, p->data_size, &file.size);
    free(header);
    return file;
}

START_TEST(hostile_headers)
{
    struct parts p = tiny_parts();

    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        struct bytes file = forge(&p, hostile[i].find, hostile[i].replace);
        struct lq_graph *graph = NULL;
        struct lq_error error = {0};

        ck_assert_int_eq(lqfile_parse(file, &graph, NULL), hostile[i].status); /* without a text */
        lq_graph_destroy(graph);
        graph = NULL;
        if (hostile[i].status != LQ_OK)
            lqfile_assert_refused(file, hostile[i].status, hostile[i].text, hostile[i].replace);
        else
            ck_assert_msg(lqfile_parse(file, &graph, &error) == LQ_OK, "%s: %s", hostile[i].replace,
                          error.text);
        lq_graph_destroy(graph);
        free(file.bytes);
    }
    free(p.file.bytes);
}
END_TEST

/* JSON that is deep, in the header and in a text inside. */
START_TEST(deep_json)
{
    struct parts p = tiny_parts();
    char deep[20001], text[20100];
    struct bytes file;

    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = 0;
    snprintf(text, sizeof(text), "\"name\":%s", deep);
    file = forge(&p, "\"name\":\"tiny\"", text);
    lqfile_assert_refused(file, LQ_ERR_FORMAT, "depth", "deep header");
    free(file.bytes);
    snprintf(text, sizeof(text), "\"graph\":\"%s\",\"x\":\"", deep);
    file = forge(&p, "\"graph\":\"", text);
    lqfile_assert_refused(file, LQ_ERR_FORMAT, "metadata 'graph', byte", "deep graph");
    free(file.bytes);
    free(p.file.bytes);
}
END_TEST

/* Values that are no good, under right digests: offsets as in the tiny model's header. */
START_TEST(hostile_data)
{
    const struct {
        size_t offset;
        uint8_t bytes[4];
        int size, status;
        const char *text;
    } cases[] = {
        {0, {0, 0, 0xc0, 0x7f}, 4, LQ_ERR_NUMERIC, "tensor 'conv1.weight': element 0 is nan"},
        {860, {0, 0, 0x80, 0xff}, 4, LQ_ERR_NUMERIC, "element 215 is -inf"},
        {992, {0, 0, 0x80, 0xbf}, 4, LQ_ERR_FORMAT, "parameter 'variance': element 0 is -1"},
        {1024, {0, 0, 0, 0}, 4, LQ_ERR_FORMAT, "'conv2.input' (quantize): parameter 'scale'"},
        {1028, {0, 0, 0x80, 0xbf}, 4, LQ_ERR_FORMAT, "parameter 'scale': element 0 is -1"},
        {1332, {0, 0x80}, 2, LQ_ERR_FORMAT, "row 0 sums to 32787, the grid is 31"},
        {1366, {0xff, 0x7f}, 2, LQ_ERR_FORMAT, "parameter 'basis': row 7 sums to"},
    };
    struct parts p = tiny_parts();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes file = {lqfile_copy(p.file.bytes, p.file.size), p.file.size};

        memcpy(file.bytes + (p.data - p.file.bytes) + cases[i].offset, cases[i].bytes,
               (size_t)cases[i].size);
        lqfile_seal(file.bytes, file.size);
        lqfile_assert_refused(file, cases[i].status, cases[i].text, "data");
        free(file.bytes);
    }
    for (size_t size = p.data_size - 1; size <= p.data_size + 1; size += 2) {
        uint8_t data[4096] = {0};
        struct bytes file;

        memcpy(data, p.data, p.data_size);
        file.bytes = lqfile_wrap(p.header, p.header_size, data, size, &file.size);
        lqfile_assert_refused(file, LQ_ERR_FORMAT,
                              size < p.data_size
                                  ? "tensor 'conv2.codes': data_offsets end at 1512, the "
                                    "file's data at 1511"
                                  : "1 bytes behind the last tensor",
                              "size");
        free(file.bytes);
    }
    free(p.file.bytes);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Memory that runs out, at each allocation of the JSON library in turn
 */

static long allocations_left;

static void *failing_malloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

/* Runs `work` with 0, 1, 2 ... allocations until it succeeds; returns how many it took. Every
 * failure before that has a text; its status may be LQ_ERR_FORMAT, for the library tells memory
 * that runs out in its lexer as a syntax error. */
static long starve(int (*work)(void *context, struct lq_error *error), void *context)
{
    for (long allowed = 0; allowed < 100000; allowed++) {
        struct lq_error error = {0};
        int status;

        allocations_left = allowed;
        json_set_alloc_funcs(failing_malloc, free);
        status = work(context, &error);
        json_set_alloc_funcs(malloc, free);
        if (status == LQ_OK)
            return allowed;
        ck_assert_msg((status == LQ_ERR_MEMORY || status == LQ_ERR_FORMAT) && error.text[0],
                      "%ld allocations: %d %s", allowed, status, error.text);
    }
    return -1;
}

static int parse_work(void *context, struct lq_error *error)
{
    struct lq_graph *graph = NULL;
    int status = lqfile_parse(*(struct bytes *)context, &graph, error);

    lq_graph_destroy(graph);
    return status;
}

static int save_work(void *context, struct lq_error *error)
{
    return lq_lqfile_save(context, lqfile_path("starved.lq"), error);
}

START_TEST(memory_runs_out)
{
    struct bytes file = lqfile_tiny();
    struct lq_graph *graph = NULL;

    ck_assert_int_gt(starve(parse_work, &file), 500);
    ck_assert_int_eq(tiny_graph(1, &graph, NULL), LQ_OK);
    ck_assert_int_gt(starve(save_work, graph), 300);
    struct bytes starved = lqfile_read(lqfile_path("starved.lq"));
    lqfile_assert_same(file, starved);
    free(starved.bytes);
    unlink(lqfile_path("starved.lq"));
    ck_assert_int_eq(lqfile_folder_count(), 0);
    lq_graph_destroy(graph);
    free(file.bytes);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("lqfile_bad");

    tcase_add_test(tests, truncated_at_every_length);
    tcase_add_test(tests, every_flipped_bit_is_noticed);
    tcase_add_test(tests, forged_bytes);
    tcase_add_test(tests, lengths_that_lie);
    tcase_add_test(tests, other_files);
    tcase_add_test(tests, hostile_headers);
    tcase_add_test(tests, deep_json);
    tcase_add_test(tests, hostile_data);
    tcase_add_test(tests, memory_runs_out);
    return lqfile_suite_main("lqfile_bad", tests);
}
