/* repository.h - the folder that models are kept in.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * FOLDER/NAME.lq is version 1 of NAME; FOLDER/NAME/VERSION/model.lq the version with that number,
 * and latent.lq beside it, where there is one, the float network behind it, for training.
 * Names are letters, digits, dots, dashes and underscores, and start with no dot. Nothing outside
 * the folder is read or written: links may lead to places inside it only. One thread at a time.
 */
#ifndef SERVER_REPOSITORY_H
#define SERVER_REPOSITORY_H

#include <sys/types.h>
#include <time.h>

#include "models/generation.h"

struct repository;

/* Tells one state of a file from another. */
struct repository_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct repository_file {
    char name[MODEL_NAME_SIZE];
    int64_t version;
    bool flat;   /* NAME.lq */
    bool latent; /* the float network behind it, not it; never of a repository_list */
};

/* May this stand in a path as a model's name? */
bool repository_name_is_valid(const char *name);

/* Errors: LQ_ERR_IO (the folder cannot be opened), LQ_ERR_MEMORY. */
int repository_open(const char *folder, struct repository **ret_repository,
                    struct lq_error *error) LQ_MUST_CHECK;
void repository_close(struct repository *repository);

/* All files that may be models, by name, then version; free(*ret_files). Names that cannot stand in
 * a URL are left out. Errors: LQ_ERR_IO, LQ_ERR_MEMORY. */
int repository_list(struct repository *repository, struct repository_file **ret_files,
                    int *ret_count, struct lq_error *error) LQ_MUST_CHECK;
/* Errors: LQ_ERR_NOT_FOUND, LQ_ERR_IO. */
int repository_stamp(struct repository *repository, const struct repository_file *file,
                     struct repository_stamp *ret_stamp, struct lq_error *error) LQ_MUST_CHECK;
bool repository_stamps_equal(const struct repository_stamp *a, const struct repository_stamp *b);
/* Reads the file whole, so that it may be overwritten in place while the model serves. Errors: as
 * above, and those of lq_model_open_memory. */
int repository_read(struct repository *repository, const struct repository_file *file,
                    const struct lq_engine *engine, struct lq_model **ret_model,
                    struct repository_stamp *ret_stamp, struct lq_error *error) LQ_MUST_CHECK;

/* A file's content. */
struct repository_bytes {
    void *bytes;
    size_t size;
};
/* Errors: LQ_ERR_NOT_FOUND, LQ_ERR_IO, LQ_ERR_FORMAT, LQ_ERR_MEMORY. */
int repository_bytes(struct repository *repository, const struct repository_file *file,
                     struct repository_bytes *ret_bytes, struct repository_stamp *ret_stamp,
                     struct lq_error *error) LQ_MUST_CHECK;
void repository_bytes_free(struct repository_bytes *bytes);

/* What a version consists of. */
struct repository_content {
    struct repository_bytes model, latent; /* latent.bytes NULL: none */
};
/* Of a version, in whichever form it is there; its latent may be none. Errors: as
 * repository_bytes, repository_list. */
int repository_content(struct repository *repository, const char *name, int64_t version,
                       struct repository_content *ret_content,
                       struct lq_error *error) LQ_MUST_CHECK;
/* Its float network alone: LQ_OK and bytes NULL where there is none. Errors: as repository_bytes.
 */
int repository_latent(struct repository *repository, const char *name, int64_t version,
                      struct repository_bytes *ret_bytes, struct lq_error *error) LQ_MUST_CHECK;
void repository_content_free(struct repository_content *content);

/* repository_write.c */

/* May versions be added to it? Errors: LQ_ERR_UNSUPPORTED, with the reason. */
int repository_check_writable(struct repository *repository, struct lq_error *error) LQ_MUST_CHECK;
/* Adds NAME/VERSION/model.lq, and latent.lq: when this returns, it is on the disk; whatever happens
 * before, it is there whole or not at all. Errors: LQ_ERR_IO (it is there already; a full disk
 * ...). */
int repository_add(struct repository *repository, const char *name, int64_t version,
                   const struct repository_content *content, struct lq_error *error) LQ_MUST_CHECK;
/* Takes NAME/VERSION/ away again, and what a repository_add of it that was cut short has left. */
void repository_remove(struct repository *repository, const char *name, int64_t version);

#endif
