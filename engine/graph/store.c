/* store.c - how the values of quantize nodes are stored.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * It follows from who reads them: codes or integer levels if all readers are quantized layers, else
 * the dequantized floats.
 */
#include <string.h>

#include "graph/lower_internal.h"
#include "ops/conv_squares.h"
#include "tensor/bitplanes.h"

/* Where a group's channels share words with another group's, planes cannot be told apart. */
static bool planes_fit(const struct lq_node *node, int channels)
{
    return node->kind == LQ_OP_DENSE || node->attributes.groups == 1 ||
           channels / node->attributes.groups % LQ_WORD_BITS == 0;
}

static bool prefers_planes(const struct lq_lowering *l, const struct lq_node *layer, int value)
{
    int channels = lq_shape_map(&l->graph->values[value].shape).channels;
    int pairs = layer->attributes.bits * l->buffers[value].bits;

    if (!planes_fit(layer, channels) || l->options->form == LQ_FORM_PLAIN)
        return false;
    return l->options->form == LQ_FORM_PACKED ||
           /* bits of a word that no channel fills cost as much as others */
           pairs * lq_plane_words(channels) * LQ_WORD_BITS <=
               l->options->kernels->plane_pairs * channels;
}

/* Of a value that a quantize node makes. */
static struct lq_snapped_basis basis_of(const struct lq_lowering *l, int value)
{
    struct lq_snapped_basis basis;

    lq_node_basis(&l->graph->nodes[l->graph->values[value].producer], &basis);
    return basis;
}

/* Levels of the value and of the layer's weights fit bytes, and a kernel's sums of them are exact.
 */
static bool fits_bytes(const struct lq_lowering *l, const struct lq_node *layer, int value)
{
    struct lq_snapped_basis basis = basis_of(l, value);
    int largest = lq_snapped_largest(&basis);

    for (int bit = 0; bit < basis.bits; bit++)
        if (basis.integers[bit] < 0)
            return false;
    return largest <= 255 && layer->attributes.grid <= 127 &&
           largest * layer->attributes.grid <= l->options->kernels->bytes_bound;
}

/* Bytes of the value are the layer's fastest form, even where planes are few. */
static bool prefers_bytes(const struct lq_lowering *l, const struct lq_node *layer, int value)
{
    const struct lq_kernels *kernels = l->options->kernels;
    struct lq_snapped_basis basis = basis_of(l, value);
    int pairs = layer->attributes.bits * basis.bits;

    return layer->kind == LQ_OP_CONV && fits_bytes(l, layer, value) &&
           pairs >= kernels->square_pairs &&
           lq_squares_pay(kernels, &layer->attributes, lq_shape_map(&l->graph->values[value].shape),
                          lq_snapped_largest(&basis));
}

/* Activations that meet in one sum. */
static int64_t length_of(const struct lq_lowering *l, const struct lq_node *layer, int value)
{
    const struct lq_shape *shape = &l->graph->values[value].shape;
    struct lq_map map = lq_shape_map(shape);
    int64_t pixels = (int64_t)map.height * map.width;

    if (layer->kind == LQ_OP_CONV)
        pixels = (int64_t)layer->attributes.window.kernel_h * layer->attributes.window.kernel_w;
    return pixels * map.channels;
}

/* Half words hold the planes of the layer's weights, its sums of them are exact, and they are
 * faster than levels: their pairs of planes cost what they do in whole words. */
static bool fits_halves(const struct lq_lowering *l, const struct lq_node *layer, int value)
{
    const struct lq_node *producer = &l->graph->nodes[l->graph->values[value].producer];

    return layer->attributes.bits <= LQ_HALVES_BITS &&
           2 * layer->attributes.bits <= l->options->kernels->plane_pairs &&
           (layer->kind == LQ_OP_DENSE ? l->graph->values[value].shape.rank == 1
                                       : layer->attributes.groups == 1) &&
           layer->attributes.grid * producer->attributes.grid <= INT16_MAX;
}

/* Nibbles hold the planes of the layer's weights, its sums of them are exact, and they are faster
 * than bytes. */
static bool fits_nibbles(const struct lq_lowering *l, const struct lq_node *layer, int value)
{
    const struct lq_node *producer = &l->graph->nodes[l->graph->values[value].producer];
    const struct lq_shape *shape = &l->graph->values[value].shape;
    int64_t length = length_of(l, layer, value);

    return layer->attributes.bits * l->buffers[value].bits <= l->options->kernels->nibble_pairs &&
           layer->attributes.bits <= LQ_NIBBLE_BITS && length <= INT16_MAX &&
           producer->attributes.grid <= LQ_NIBBLE_LEVEL &&
           (layer->kind == LQ_OP_DENSE ? shape->rank == 1 : layer->attributes.groups == 1) &&
           2 * layer->attributes.grid * producer->attributes.grid <= INT16_MAX;
}

/* How the value of a quantize node is stored. The plain form is the definition: levels. */
static enum lq_store choose_store(const struct lq_lowering *l, int value)
{
    bool planes = true, bytes = l->options->form != LQ_FORM_PLAIN;
    bool squares = l->options->form == LQ_FORM_AUTO;
    bool nibbles = l->options->form == LQ_FORM_AUTO && l->buffers[value].bits <= LQ_NIBBLE_BITS;
    bool halves = l->options->form == LQ_FORM_AUTO && l->options->kernels->prefers_halves &&
                  l->buffers[value].bits == 2;

    if (l->options->form == LQ_FORM_FLOAT || value == l->graph->output)
        return LQ_STORE_F32;
    for (int i = 0; i < l->graph->node_count; i++) {
        const struct lq_node *node = &l->graph->nodes[i];

        for (int j = 0; j < node->input_count; j++) {
            if (node->inputs[j] != value)
                continue;
            if (!lq_node_is_layer(node) || node->attributes.bits == 0)
                return LQ_STORE_F32;
            nibbles = nibbles && fits_nibbles(l, node, value);
            halves = halves && fits_halves(l, node, value);
            planes = planes && prefers_planes(l, node, value);
            bytes = bytes && fits_bytes(l, node, value);
            squares = squares && prefers_bytes(l, node, value);
        }
    }
    return squares   ? LQ_STORE_BYTES
           : halves  ? LQ_STORE_HALVES
           : nibbles ? LQ_STORE_NIBBLES
           : planes  ? LQ_STORE_PLANES
           : bytes   ? LQ_STORE_BYTES
                     : LQ_STORE_LEVELS;
}

void lq_lowering_choose_buffers(struct lq_lowering *l)
{
    for (int i = 0; i < l->graph->value_count; i++) {
        const struct lq_value *value = &l->graph->values[i];

        l->buffers[i] = (struct lq_buffer){value->shape, LQ_STORE_F32, 0};
        l->reader[i] = -1;
        if (value->producer >= 0 && l->graph->nodes[value->producer].kind == LQ_OP_QUANTIZE)
            l->buffers[i].bits = l->graph->nodes[value->producer].attributes.bits;
    }
    for (int i = 0; i < l->graph->node_count; i++) {
        const struct lq_node *node = &l->graph->nodes[i];

        for (int j = 0; j < node->input_count; j++)
            l->reader[node->inputs[j]] = i;
        if (node->kind == LQ_OP_QUANTIZE)
            l->buffers[node->output].store = choose_store(l, node->output);
    }
}
