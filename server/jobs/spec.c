/* spec.c - what a job is asked to do, read from JSON.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "jobs/spec.h"

#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "codec/text.h"
#include "models/repository.h"

#define MAX_BYTES 65536

/* A member of an object, and where its value goes. */
enum kind { INTEGER, NUMBER, FLAG, NAME, WORDS };
struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    double min, max;
};

static const struct field guard_fields[] = {
    {"hold_out", INTEGER, offsetof(struct spec, guard.hold_out), 2, 100},
    {"bound", NUMBER, offsetof(struct spec, guard.bound), 0, 100},
    {"significance", NUMBER, offsetof(struct spec, guard.significance), 1e-6, 0.5},
    {"dry_run", FLAG, offsetof(struct spec, guard.dry_run), 0, 0},
    {NULL, INTEGER, 0, 0, 0}};

static const struct field canary_fields[] = {
    {"share", NUMBER, offsetof(struct spec, guard.canary_share), 0.001, 1},
    {"images", INTEGER, offsetof(struct spec, guard.canary_images), 1, 1e6},
    {"seconds", INTEGER, offsetof(struct spec, guard.canary_seconds), 1, 86400},
    {"bound", NUMBER, offsetof(struct spec, guard.canary_bound), 0, 100},
    {NULL, INTEGER, 0, 0, 0}};

static const struct field option_fields[] = {
    {"epochs", INTEGER, offsetof(struct spec, options.epochs), 1, 1000},
    {"batch", INTEGER, offsetof(struct spec, options.batch), 1, 4096},
    {"seed", INTEGER, offsetof(struct spec, options.seed), 0, 1e15},
    {"images", INTEGER, offsetof(struct spec, options.images), 1, 1e9},
    {"rate", NUMBER, offsetof(struct spec, options.rate), 1e-8, 10},
    {"basis_rate", NUMBER, offsetof(struct spec, options.basis_rate), 1e-8, 10},
    {"distillation", NUMBER, offsetof(struct spec, options.distillation), 0, 1},
    {"temperature", NUMBER, offsetof(struct spec, options.temperature), 0.1, 100},
    {"keep", NUMBER, offsetof(struct spec, options.keep), 0, 1},
    {"bases", FLAG, offsetof(struct spec, options.bases), 0, 0},
    {"augmentation", WORDS, offsetof(struct spec, options.augmentation), 0, 0},
    {"teacher", NAME, offsetof(struct spec, options.teacher), 0, 0},
    {NULL, INTEGER, 0, 0, 0}};

static const char *const modes[] = {
#define X(name, text) text,
    SPEC_MODE_LIST(X)
#undef X
};

const char *spec_mode_text(enum spec_mode mode)
{
    return modes[mode];
}

bool spec_path_is_valid(const char *path)
{
    char part[MODEL_NAME_SIZE];

    if (strlen(path) >= SPEC_NAME_SIZE)
        return false;
    for (;;) {
        size_t length = strcspn(path, "/");

        if (length >= sizeof(part))
            return false;
        memcpy(part, path, length);
        part[length] = '\0';
        if (!repository_name_is_valid(part))
            return false;
        if (!path[length])
            return true;
        path += length + 1;
    }
}

static int take_field(const struct field *field, const json_t *value, const char *place, void *to,
                      struct lq_error *error)
{
    void *at = (char *)to + field->offset;
    const char *text = json_string_value(value);
    bool fits;

    if (field->kind == FLAG) {
        if (!json_is_boolean(value))
            return error_set(error, LQ_ERR_INVALID, "%s.%s: expected true or false", place,
                             field->name);
        *(bool *)at = json_is_true(value);
        return LQ_OK;
    }
    if (field->kind == NAME || field->kind == WORDS) {
        fits = text && (field->kind == NAME ? repository_name_is_valid(text)
                                            : strlen(text) < SPEC_NAME_SIZE);
        if (!fits)
            return error_set(error, LQ_ERR_INVALID, "%s.%s: expected %s", place, field->name,
                             field->kind == NAME ? "a name" : "a short text");
        snprintf(at, SPEC_NAME_SIZE, "%s", text);
        return LQ_OK;
    }
    fits = field->kind == INTEGER ? json_is_integer(value) : json_is_number(value);
    if (!fits || json_number_value(value) < field->min || json_number_value(value) > field->max)
        return error_set(error, LQ_ERR_INVALID, "%s.%s: expected %s from %g to %g", place,
                         field->name, field->kind == INTEGER ? "a whole number" : "a number",
                         field->min, field->max);
    if (field->kind == INTEGER)
        *(int64_t *)at = json_integer_value(value);
    else
        *(double *)at = json_number_value(value);
    return LQ_OK;
}

/* Members that the table has are taken; others are left to `others`, names behind blanks, and
 * refused where they are none of these. */
static int take_fields(const struct field *fields, const char *others, json_t *object,
                       const char *place, struct spec *spec, struct lq_error *error)
{
    const char *key;
    json_t *value;

    if (!object)
        return LQ_OK;
    if (!json_is_object(object))
        return error_set(error, LQ_ERR_INVALID, "%s: expected an object", place);
    json_object_foreach(object, key, value)
    {
        const struct field *field = fields;
        const char *other = strstr(others, key);
        int status = LQ_OK;

        while (field->name && strcmp(field->name, key) != 0)
            field++;
        if (field->name)
            status = take_field(field, value, place, spec, error);
        else if (!key[0] || !other || (other > others && other[-1] != ' ') ||
                 !strchr(" ", other[strlen(key)]))
            status =
                error_set(error, LQ_ERR_INVALID, "%s.%.64s: there is no such member", place, key);
        if (status != LQ_OK)
            return status;
    }
    return LQ_OK;
}

static int take_source(const json_t *object, const char *place, struct spec_data *ret_data,
                       struct lq_error *error)
{
    const json_t *folder = json_object_get(object, "folder");
    const json_t *upload = json_object_get(object, "upload");
    const json_t *sample = json_object_get(object, "sample");
    const json_t *limit = json_object_get(object, "limit");
    const char *name = json_string_value(folder ? folder : upload);

    if (!folder + !upload + !sample != 2)
        return error_set(error, LQ_ERR_INVALID, "%s: expected one of folder, upload and sample",
                         place);
    if (sample && !json_is_true(sample))
        return error_set(error, LQ_ERR_INVALID, "%s.sample: expected true", place);
    if (!sample && (!name || !(folder ? spec_path_is_valid(name) : repository_name_is_valid(name))))
        return error_set(error, LQ_ERR_INVALID,
                         "%s.%s: expected a name of letters, digits, dots, dashes and underscores",
                         place, folder ? "folder" : "upload");
    if (limit && (!json_is_integer(limit) || json_integer_value(limit) < 1))
        return error_set(error, LQ_ERR_INVALID, "%s.limit: expected a number above 0", place);
    ret_data->source = folder ? SPEC_FOLDER : upload ? SPEC_UPLOAD : SPEC_SAMPLE;
    snprintf(ret_data->name, sizeof(ret_data->name), "%s", name ? name : "");
    ret_data->limit = json_integer_value(limit);
    return LQ_OK;
}

static int take_mode(const json_t *root, struct spec *spec, struct lq_error *error)
{
    const char *mode = json_string_value(json_object_get(root, "mode"));

    for (int i = 0; mode && i < SPEC_MODE_COUNT; i++)
        if (strcmp(mode, modes[i]) == 0) {
            spec->mode = (enum spec_mode)i;
            return LQ_OK;
        }
    return error_set(error, LQ_ERR_INVALID, "mode: expected calibrate, quantizers or joint");
}

static int take_guard(json_t *guard, struct spec *spec, struct lq_error *error)
{
    json_t *canary = json_object_get(guard, "canary");
    bool own = json_object_get(guard, "folder") || json_object_get(guard, "upload");
    int status =
        take_fields(guard_fields, "folder upload limit canary", guard, "guard", spec, error);

    if (status == LQ_OK && own && json_object_get(guard, "hold_out"))
        status = error_set(error, LQ_ERR_INVALID,
                           "guard.hold_out: the guard has data of its own already");
    if (status == LQ_OK && !own && json_object_get(guard, "limit"))
        status = error_set(error, LQ_ERR_INVALID, "guard.limit: of which folder or upload?");
    if (status == LQ_OK && own)
        status = take_source(guard, "guard", &spec->guard.data, error);
    if (status == LQ_OK && canary) {
        spec->guard.canary_share = 0.1;
        status = take_fields(canary_fields, "", canary, "guard.canary", spec, error);
    }
    return status;
}

static int take_root(json_t *root, struct spec *spec, struct lq_error *error)
{
    static const struct field none[] = {{NULL, INTEGER, 0, 0, 0}};
    const json_t *data = json_object_get(root, "data");
    int status = take_fields(none, "mode data guard options", root, "job", spec, error);

    if (status == LQ_OK)
        status = take_mode(root, spec, error);
    if (status == LQ_OK)
        status = take_fields(none, "folder upload sample limit", json_object_get(root, "data"),
                             "data", spec, error);
    if (status == LQ_OK)
        status = take_source(data, "data", &spec->data, error);
    if (status == LQ_OK)
        status = take_guard(json_object_get(root, "guard"), spec, error);
    if (status == LQ_OK)
        status = take_fields(option_fields, "", json_object_get(root, "options"), "options", spec,
                             error);
    return status;
}

int spec_read(const void *bytes, size_t size, struct spec *ret_spec, char **ret_text,
              struct lq_error *error)
{
    struct spec spec = {.guard = {.hold_out = 5,
                                  .bound = 0.2,
                                  .canary_images = 1000,
                                  .canary_seconds = 600,
                                  .canary_bound = 5}};
    json_error_t where;
    json_t *root;
    char *text = NULL;
    int status;

    if (size > MAX_BYTES)
        return error_set(error, LQ_ERR_INVALID, "the body has %zu bytes, at most %d are read", size,
                         MAX_BYTES);
    root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return error_set(error, LQ_ERR_INVALID, "the body is no JSON: line %d, column %d: %s",
                         where.line, where.column, where.text);
    status = json_is_object(root) ? take_root(root, &spec, error)
                                  : error_set(error, LQ_ERR_INVALID, "the body is no JSON object");
    if (status == LQ_OK && !(text = json_dumps(root, JSON_COMPACT)))
        status = error_set(error, LQ_ERR_MEMORY, "out of memory");
    json_decref(root);
    if (status == LQ_OK) {
        *ret_spec = spec;
        *ret_text = text;
    }
    return status;
}
