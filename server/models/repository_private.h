/* repository_private.h - what the files of the repository share: repository.c lists and reads,
 * repository_write.c adds versions.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_REPOSITORY_PRIVATE_H
#define SERVER_REPOSITORY_PRIVATE_H

#include "models/repository.h"

#define REPOSITORY_PATH_SIZE (2 * MODEL_NAME_SIZE)
#define REPOSITORY_MODEL     "model.lq"
#define REPOSITORY_LATENT    "latent.lq"

struct repository {
    int fd;
    char folder[CONFIG_TEXT_SIZE]; /* for messages */
};

/* Of a file, in the folder. */
void repository_path(const struct repository_file *file, char *ret_path, size_t size);

#endif
