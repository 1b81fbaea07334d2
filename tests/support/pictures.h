/* pictures.h - JPEG and PNG files made in memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_PICTURES_H
#define TESTS_SUPPORT_PICTURES_H

#include <stddef.h>
#include <stdint.h>

struct picture {
    uint8_t *bytes; /* to be freed */
    size_t size;
};

/* pixels: [height][width][channels]; channels 1 (grey), 3 (RGB) or, for JPEG, 4 (CMYK). */
struct picture picture_jpeg(const uint8_t *pixels, int width, int height, int channels);
/* color_type: PNG_COLOR_TYPE_*; bits of a sample. rows: as libpng takes them, packed. A palette is
 * of 4 entries: (0,0,0) (255,0,0) (0,255,0) (0,0,255). */
struct picture picture_png(const uint8_t *rows, int width, int height, int color_type, int bits);

/* The JPEG with an EXIF segment of one orientation; big: the byte order. */
struct picture picture_with_exif(struct picture jpeg, int orientation, int big);
/* The JPEG with a segment APP1 of these bytes. */
struct picture picture_with_app1(struct picture jpeg, const void *bytes, size_t size);
/* The PNG with one more chunk in front of its data. */
struct picture picture_with_chunk(struct picture png, const char *type, const void *bytes,
                                  size_t size);

#endif
