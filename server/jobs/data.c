/* data.c - the data sets that a job names.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "jobs/data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/beneath.h"

/* Whether the folder lies beneath the root is asked before it is opened by its path: who could
 * exchange it in between fills it anyway. */
static int check_folder(const char *root, const char *name, struct lq_error *error)
{
    int base = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
    int code;

    if (base < 0)
        return error_set(error, LQ_ERR_IO, "data_root %s: %s", root, strerror(errno));
    fd = beneath_open(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    code = errno;
    close(base);
    if (fd < 0)
        return error_set(error, code == ENOENT ? LQ_ERR_NOT_FOUND : LQ_ERR_IO, "folder '%s': %s",
                         name, code == EXDEV ? "it leads out of data_root" : strerror(code));
    close(fd);
    return LQ_OK;
}

static int open_folder(const char *root, const char *name, enum lq_split split,
                       struct lq_dataset **ret_dataset, struct lq_error *error)
{
    char path[CONFIG_TEXT_SIZE + SPEC_NAME_SIZE + 1];
    int status = check_folder(root, name, error);

    if (status != LQ_OK)
        return status;
    snprintf(path, sizeof(path), "%s/%s", root, name);
    return lq_dataset_open(path, split, ret_dataset, error);
}

static int open_sample(const struct jobs *jobs, const struct run *run,
                       struct lq_dataset **ret_dataset, struct lq_error *error)
{
    struct sampler_pictures pictures = {NULL, 0};
    struct lq_dataset *dataset = NULL;
    struct lq_model_info info;
    size_t size;
    int status;

    lq_model_get_info(run->base, &info);
    size = (size_t)info.channels * (size_t)info.height * (size_t)info.width;
    if (info.channels != 3)
        return error_set(error, LQ_ERR_UNSUPPORTED, "the network takes no pictures of R G B");
    status = sampler_copy(jobs->setup.sampler, run->model, &info, &pictures, error);
    if (status == LQ_OK)
        status = lq_dataset_create(&dataset, error);
    for (int64_t i = 0; i < pictures.count && status == LQ_OK; i++)
        status = lq_dataset_add_pixels(dataset, pictures.pixels + (size_t)i * size, info.width,
                                       info.height, -1, error);
    free(pictures.pixels);
    if (status == LQ_OK)
        *ret_dataset = dataset;
    else
        lq_dataset_close(dataset);
    return status;
}

static int open_whole(const struct run *run, const struct spec_data *named, enum lq_split split,
                      struct lq_dataset **ret_dataset, struct lq_error *error)
{
    const struct jobs *jobs = run->jobs;

    if (named->source == SPEC_UPLOAD)
        return uploads_read(jobs->uploads, run->model, named->name, ret_dataset, error);
    if (named->source == SPEC_SAMPLE)
        return open_sample(jobs, run, ret_dataset, error);
    return open_folder(jobs->setup.config->data_root, named->name, split, ret_dataset, error);
}

int data_open(const struct run *run, const struct spec_data *named, enum lq_split split,
              struct data *ret_data, struct lq_error *error)
{
    const struct lq_dataset_selection selection = {.limit = named->limit};
    struct data data = {NULL, NULL};
    int status = open_whole(run, named, split, &data.whole, error);

    if (status == LQ_OK && named->limit && named->limit < lq_dataset_count(data.whole))
        status = lq_dataset_select(data.whole, &selection, &data.part, error);
    if (status == LQ_OK && lq_dataset_count(data.whole) == 0)
        status = error_set(error, LQ_ERR_INVALID, "there is no image in the data");
    if (status == LQ_OK)
        *ret_data = data;
    else
        data_close(&data);
    return status;
}

const struct lq_dataset *data_images(const struct data *data)
{
    return data->part ? data->part : data->whole;
}

void data_close(struct data *data)
{
    lq_dataset_close(data->part);
    lq_dataset_close(data->whole);
    *data = (struct data){NULL, NULL};
}
