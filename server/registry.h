/* registry.h - the models that are served: those of a folder, opened at start.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * FOLDER/NAME.lq is version 1 of NAME; FOLDER/NAME/VERSION/model.lq the version with that number,
 * of which the highest is served. Names are letters, digits, dots, dashes and underscores, and
 * start with no dot. Immutable once opened: any number of threads may look things up.
 */
#ifndef SERVER_REGISTRY_H
#define SERVER_REGISTRY_H

#include "lq.h"

#define REGISTRY_MAX_NAME 128

struct registry_entry {
    char name[REGISTRY_MAX_NAME];
    int64_t version;
    char version_text[24];
    char path[1024];
    struct lq_model *model; /* NULL: it could not be opened */
    char reason[512];       /* why not */
    int index;              /* of the entry, for tables beside the registry */
};

struct registry;

/* A file that cannot be opened becomes an entry without a model. Errors:
 * LQ_ERR_IO (the folder cannot be read), LQ_ERR_MEMORY. */
int registry_open(const struct lq_engine *engine, const char *folder,
                  struct registry **ret_registry, struct lq_error *error) LQ_MUST_CHECK;
/* A line for each entry. */
void registry_log(const struct registry *registry);
void registry_close(struct registry *registry);

int registry_count(const struct registry *registry);
const struct registry_entry *registry_at(const struct registry *registry, int index);
/* version NULL: the one that is served. NULL where there is none. */
const struct registry_entry *registry_find(const struct registry *registry, const char *name,
                                           const char *version);
/* May this stand in a path as a model's name? */
bool registry_name_is_valid(const char *name);

#endif
