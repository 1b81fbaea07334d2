/* repository_write.c - adds versions to the folder of models.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A version is made as NAME/.VERSION.new/, its files in it, brought to the disk, and renamed to
 * NAME/VERSION: whoever looks, after a loss of power too, sees all of it or nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/text.h"
#include "models/beneath.h"
#include "models/repository_private.h"

enum { LABEL_SIZE = 32 };

/* The names of a version's folder while it is made, and afterwards. */
struct labels {
    char made[LABEL_SIZE], final[LABEL_SIZE];
};

static struct labels name_version(int64_t version)
{
    struct labels labels;

    snprintf(labels.made, sizeof(labels.made), ".%lld.new", (long long)version);
    snprintf(labels.final, sizeof(labels.final), "%lld", (long long)version);
    return labels;
}

static int fail(const char *name, int64_t version, const char *what, struct lq_error *error)
{
    return error_set(error, LQ_ERR_IO, "cannot %s %s/%lld/" REPOSITORY_MODEL ": %s", what, name,
                     (long long)version, strerror(errno));
}

int repository_check_writable(struct repository *repository, struct lq_error *error)
{
    if (faccessat(repository->fd, ".", W_OK | X_OK, AT_EACCESS) == 0)
        return LQ_OK;
    return error_set(error, LQ_ERR_UNSUPPORTED, "models %s: no version can be written there: %s",
                     repository->folder, strerror(errno));
}

static bool write_whole(int fd, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t piece = write(fd, bytes + done, size - done);

        if (piece < 0 && errno != EINTR)
            return false;
        done += piece > 0 ? (size_t)piece : 0;
    }
    return true;
}

static bool write_file(int folder, const char *name, const struct repository_bytes *bytes)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool written;

    if (fd < 0)
        return false;
    written = write_whole(fd, bytes->bytes, bytes->size) && fsync(fd) == 0;
    return close(fd) == 0 && written;
}

/* The files in their folder, all on the disk. */
static bool write_content(int folder, const struct repository_content *content)
{
    return (!content->latent.bytes || write_file(folder, REPOSITORY_LATENT, &content->latent)) &&
           write_file(folder, REPOSITORY_MODEL, &content->model) && fsync(folder) == 0;
}

static void remove_folder(int parent, const char *name)
{
    int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (folder < 0)
        return;
    unlinkat(folder, REPOSITORY_MODEL, 0);
    unlinkat(folder, REPOSITORY_LATENT, 0);
    close(folder);
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* NAME/, made where it is not there yet; -1 and errno. */
static int open_model(const struct repository *repository, const char *name)
{
    if (mkdirat(repository->fd, name, 0777) == 0 && fsync(repository->fd) != 0)
        return -1;
    return beneath_open(repository->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool make_version(int parent, const struct labels *labels,
                         const struct repository_content *content)
{
    int folder;
    bool made;

    remove_folder(parent, labels->made); /* of a crash */
    if (mkdirat(parent, labels->made, 0777) != 0)
        return false;
    folder = openat(parent, labels->made, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return false;
    made = write_content(folder, content);
    if (made)
        made = renameat(parent, labels->made, parent, labels->final) == 0 && fsync(parent) == 0;
    close(folder);
    return made;
}

int repository_add(struct repository *repository, const char *name, int64_t version,
                   const struct repository_content *content, struct lq_error *error)
{
    struct labels labels = name_version(version);
    int parent = open_model(repository, name), status = LQ_OK;

    if (parent < 0)
        return fail(name, version, "make", error);
    if (!make_version(parent, &labels, content)) {
        status = fail(name, version, "write", error);
        remove_folder(parent, labels.made);
    }
    close(parent);
    return status;
}

void repository_remove(struct repository *repository, const char *name, int64_t version)
{
    struct labels labels = name_version(version);
    int parent = beneath_open(repository->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (parent < 0)
        return;
    remove_folder(parent, labels.made);
    if (renameat(parent, labels.final, parent, labels.made) == 0) { /* never half of it */
        fsync(parent);
        remove_folder(parent, labels.made);
    }
    close(parent);
}
