/* preprocess.h - an RGB image to what a network was trained to see.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Fit, then normalise; data augmentation goes between the two.
 */
#ifndef LQ_IMAGE_PREPROCESS_H
#define LQ_IMAGE_PREPROCESS_H

#include "image/decode.h"

/* Brings an image to preprocess->height x width pixels.
 *   resize > 0   the shorter side becomes `resize` pixels and the longer one
 *                (int)(resize * long / short); then the middle is cut out, at round((side - cut) /
 *                2), halves to even. An image that is then still smaller than the cut is resized
 *                to cover it instead.
 *   resize == 0  both sides are resized.
 * The pixels are those of Pillow's Image.resize(BILINEAR) and torchvision's Resize and CenterCrop,
 * bit for bit; an image that has the right size already keeps its pixels.
 * Errors: LQ_ERR_INVALID (a size below 1), LQ_ERR_MEMORY. */
int lq_preprocess_fit(const struct lq_preprocess *preprocess, const struct lq_image *image,
                      struct lq_image *ret_fitted, struct lq_error *error) LQ_MUST_CHECK;

/* (pixel * scale - mean) / std in float. channels 3: R G B; 1: their luma, rounded, with the mean
 * and std of channel 0. ret_nhwc: [height][width][channels] of the image.
 * Errors: LQ_ERR_UNSUPPORTED (another number of channels). */
int lq_preprocess_normalise(const struct lq_preprocess *preprocess, int channels,
                            const struct lq_image *fitted, float *ret_nhwc,
                            struct lq_error *error) LQ_MUST_CHECK;

/* The same of pixels that have `channels` already, 1 to 3; count of them. */
void lq_preprocess_floats(const struct lq_preprocess *preprocess, int channels,
                          const uint8_t *pixels, size_t count, float *ret_nhwc);

/* What is normalised: R G B, or their luma. ret_nhwc: [height][width][channels] of the image.
 * Errors: LQ_ERR_UNSUPPORTED (another number of channels). */
int lq_preprocess_pixels(int channels, const struct lq_image *fitted, uint8_t *ret_nhwc,
                         struct lq_error *error) LQ_MUST_CHECK;

#endif
