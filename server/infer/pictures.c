/* pictures.c - the image files of one request, decoded on workers, each with its own failure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "infer/pictures.h"

#include <stdlib.h>
#include <string.h>

#include "codec/text.h"

int pictures_init(struct pictures *pictures, const struct config *config,
                  const struct infer_file *files, int count, struct lq_error *error)
{
    *pictures = (struct pictures){
        {(size_t)config->max_image_bytes, (size_t)config->max_image_pixels}, count, files, NULL};
    pictures->failures = calloc((size_t)count, sizeof(*pictures->failures));
    return pictures->failures ? LQ_OK : error_set(error, LQ_ERR_MEMORY, "out of memory");
}

void pictures_deinit(struct pictures *pictures)
{
    for (int i = 0; pictures->failures && i < pictures->count; i++)
        free(pictures->failures[i].text);
    free(pictures->failures);
    *pictures = (struct pictures){0};
}

bool pictures_decode(struct pictures *pictures, const struct lq_model *model, int index,
                     uint8_t *ret_pixels)
{
    const struct infer_file *file = &pictures->files[index];
    struct picture_failure *failure = &pictures->failures[index];
    struct lq_error error = {0};

    if (file->size == 0)
        lq_error_set(&error, LQ_ERR_FORMAT, "the file is empty");
    else if (lq_image_format(file->bytes, file->size) == LQ_IMAGE_UNKNOWN)
        lq_error_set(&error, LQ_ERR_FORMAT, "the file is neither a JPEG nor a PNG file");
    else if (lq_model_decode(model, file->bytes, file->size, &pictures->limits, ret_pixels,
                             &error) == LQ_OK)
        return true;
    failure->status = error.status;
    failure->text = strdup(error.text);
    return false;
}

int pictures_first_failure(const struct pictures *pictures)
{
    for (int i = 0; pictures->failures && i < pictures->count; i++)
        if (pictures->failures[i].status != LQ_OK)
            return i;
    return -1;
}
