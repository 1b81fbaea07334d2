/* pictures.h - the image files of one request, decoded on workers, each with its own failure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_PICTURES_H
#define SERVER_PICTURES_H

#include "config.h"
#include "infer/infer_request.h"

struct picture_failure {
    int status; /* LQ_OK: it could be decoded */
    char *text;
};

struct pictures {
    struct lq_image_limits limits;
    int count;
    const struct infer_file *files; /* not its own */
    struct picture_failure *failures;
};

/* Errors: LQ_ERR_MEMORY. */
int pictures_init(struct pictures *pictures, const struct config *config,
                  const struct infer_file *files, int count, struct lq_error *error) LQ_MUST_CHECK;
void pictures_deinit(struct pictures *pictures);

/* Decodes one; false: its failure says why. Several threads may decode different ones. */
bool pictures_decode(struct pictures *pictures, const struct lq_model *model, int index,
                     uint8_t *ret_pixels);
/* Index of the first that failed, or -1. */
int pictures_first_failure(const struct pictures *pictures);

#endif
