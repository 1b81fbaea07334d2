/* windows.h - the pixels of struct lq_windows, one after the other.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_KERNELS_WINDOWS_H
#define LQ_KERNELS_WINDOWS_H

#include "kernels/kernels.h"

/* A pixel, and where its window and its columns start. All zero: the first one. */
struct lq_pixel {
    int image, y, x;
    size_t a, columns;
};

/* Moves on; false, and the pixel unchanged, at the last one. */
static inline bool lq_next_pixel(const struct lq_windows *windows, struct lq_pixel *pixel)
{
    if (pixel->x + 1 < windows->width) {
        pixel->x++;
        pixel->a += windows->a_step;
        pixel->columns += windows->y_step;
        return true;
    }
    if (pixel->y + 1 < windows->height)
        pixel->y++;
    else if (pixel->image + 1 < windows->images)
        *pixel = (struct lq_pixel){.image = pixel->image + 1};
    else
        return false;
    pixel->x = 0;
    pixel->a = (size_t)pixel->image * windows->a_image + (size_t)pixel->y * windows->a_line;
    pixel->columns = (size_t)pixel->image * windows->y_image + (size_t)pixel->y * windows->y_line;
    return true;
}

#endif
