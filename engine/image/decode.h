/* decode.h - JPEG and PNG files in memory to RGB pixels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_IMAGE_DECODE_H
#define LQ_IMAGE_DECODE_H

#include "lq.h"

/* Of one side; JPEG can say no more. */
#define LQ_IMAGE_MAX_SIDE 65535

/* Start from {0}. */
struct lq_image {
    int width, height;
    uint8_t *pixels; /* [height][width][3], R G B */
};

/* Black. Errors: LQ_ERR_INVALID (a side below 1 or beyond LQ_IMAGE_MAX_SIDE), LQ_ERR_MEMORY. */
int lq_image_init(int width, int height, struct lq_image *ret_image,
                  struct lq_error *error) LQ_MUST_CHECK;
void lq_image_deinit(struct lq_image *image);

/* Decodes a whole file: grey becomes R = G = B, CMYK (inverted, as Adobe writes it) becomes RGB,
 * transparency is dropped, 16 bits become 8; the picture is turned the way its EXIF data says.
 * limits NULL: LQ_IMAGE_LIMITS_DEFAULT; they are checked against the header before a pixel is
 * decoded. A file that ends early or that the decoder has to guess at is refused. Any thread.
 * Errors: LQ_ERR_LIMIT, LQ_ERR_FORMAT (neither JPEG nor PNG, or damaged), LQ_ERR_UNSUPPORTED,
 * LQ_ERR_MEMORY. */
int lq_image_decode(const void *bytes, size_t size, const struct lq_image_limits *limits,
                    struct lq_image *ret_image, struct lq_error *error) LQ_MUST_CHECK;

#endif
