/* sampler.h - what passes through the server, looked at for fine-tuning: a sample of the pictures
 * that were answered, and those that a candidate is shown beside the model that serves.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Kept in memory alone, at most `sample_images` for each model and `sample_bytes` in all, in the
 * network's size; nothing gives them out but to a job. Off (0) by default. Whoever serves never
 * waits for it: a picture that comes while somebody else looks is not taken. Any thread.
 */
#ifndef SERVER_SAMPLER_H
#define SERVER_SAMPLER_H

#include "models/generation.h"

struct sampler;

/* Errors: LQ_ERR_MEMORY. */
int sampler_create(const struct config *config, struct sampler **ret_sampler,
                   struct lq_error *error) LQ_MUST_CHECK;
void sampler_destroy(struct sampler *sampler);

/* A batch has been answered: pixels [rows][height][width][channels], output [rows][classes]. */
void sampler_see(void *sampler, const struct generation *generation, const uint8_t *pixels,
                 const float *output, int rows);

/* Pictures of one network's size. */
struct sampler_pictures {
    uint8_t *pixels; /* [count][height][width][channels] */
    int64_t count;
};
/* A copy of a model's sample, of pictures of its present size; the caller frees its pixels. Errors:
 * LQ_ERR_NOT_FOUND (there is none, and why), LQ_ERR_MEMORY. */
int sampler_copy(struct sampler *sampler, const char *model, const struct lq_model_info *info,
                 struct sampler_pictures *ret_pictures, struct lq_error *error) LQ_MUST_CHECK;
int64_t sampler_bytes(const struct sampler *sampler);

/* From now on a share (0..1] of the pictures that this generation answers waits for sampler_next;
 * one shadow at a time. Errors: LQ_ERR_MEMORY. */
int sampler_shadow(struct sampler *sampler, uint64_t generation, const struct lq_model_info *info,
                   double share, struct lq_error *error) LQ_MUST_CHECK;
/* The next one, and the class that was answered; false: none came within wait_us. */
bool sampler_next(struct sampler *sampler, int64_t wait_us, uint8_t *ret_pixels, int *ret_class);
void sampler_unshadow(struct sampler *sampler);

#endif
