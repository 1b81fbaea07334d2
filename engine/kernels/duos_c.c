/* duos_c.c - Winograd's minimal filtering along lines of levels, the reference.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/duos.h"

static void duo_points(const struct lq_duo_line *line, uint8_t *points, int32_t *pixels)
{
    size_t channels = (size_t)line->channels, duos = (size_t)line->count;

    for (size_t duo = 0; duo < duos; duo++)
        for (size_t c = 0; c < channels; c++) {
            const uint8_t *d = line->levels + LQ_DUO * duo * channels + c;
            uint8_t *to = points + duo * line->duo + c;

            to[0] = (uint8_t)(d[0] - d[2 * channels] + line->top);
            to[line->point] = (uint8_t)(d[channels] + d[2 * channels]);
            to[2 * line->point] = (uint8_t)(d[2 * channels] - d[channels] + line->top);
            to[3 * line->point] = (uint8_t)(d[channels] - d[3 * channels] + line->top);
        }
    for (size_t pixel = 0; pixel < LQ_DUO * duos + 2; pixel++) {
        pixels[pixel] = 0;
        for (size_t c = 0; c < channels; c++)
            pixels[pixel] += line->levels[pixel * channels + c];
    }
}

static void duo_sums(const struct lq_duo_products *p)
{
    for (size_t x = 0; x < (size_t)p->width; x++)
        for (size_t c = 0; c < LQ_DUO_COLUMNS; c++) {
            const int32_t *m = p->products + x / LQ_DUO * p->duo + c;
            int32_t left = 2 * m[0] + m[p->point], right = m[p->point] - m[2 * p->point];

            left += m[2 * p->point];
            right -= 2 * m[3 * p->point];
            p->sums[x * p->pixel + c] = (x % LQ_DUO ? right : left) -
                                        p->offsets[x % LQ_DUO * p->offset_stride + c] +
                                        (p->windows[x] & p->odd[c]);
        }
}

void lq_duos_c(struct lq_duos *duos)
{
    *duos = (struct lq_duos){duo_points, duo_sums};
}
