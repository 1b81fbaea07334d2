/* test_fuzz.c - every target with its corpus, what once broke it, and variations of both.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz/targets.h"

/* For the variations of one target: so many and so long, or as long as LQ_FUZZ_SECONDS says. */
enum { VARIATIONS = 3000, SECONDS = 2, MAX_GROWTH = 16, MAX_FILES = 64 };

static const struct fuzz_target *current;

/* With a copy that is exactly as long as it says. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    current->run(copy + (size ? 0 : 1), size);
    free(copy);
}

struct input {
    uint8_t bytes[1 << 16];
    size_t size;
};

static bool read_input(const char *folder, const char *name, struct input *input)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = name[0] == '.' ? NULL : fopen(path, "re");
    if (!file)
        return false;
    input->size = fread(input->bytes, 1, sizeof(input->bytes), file);
    ck_assert_msg(input->size < sizeof(input->bytes), "%s is too large", path);
    fclose(file);
    return true;
}

/* A few bytes changed, put in, taken out, doubled. */
static void vary(const struct input *from, struct input *to)
{
    int steps = 1 + rand() % 4;

    *to = *from;
    while (steps-- > 0 && to->size > 0) {
        size_t at = (size_t)rand() % to->size, length = 1 + (size_t)rand() % MAX_GROWTH;

        if (length > to->size - at)
            length = to->size - at;
        switch (rand() % 5) {
        case 0:
            to->bytes[at] = (uint8_t)rand();
            break;
        case 1:
            to->bytes[at] ^= (uint8_t)(1 << rand() % 8);
            break;
        case 2:
            to->size -= length;
            memmove(to->bytes + at, to->bytes + at + length, to->size - at);
            break;
        case 3:
            if (to->size + length > sizeof(to->bytes))
                break;
            memmove(to->bytes + at + length, to->bytes + at, to->size - at);
            to->size += length;
            break;
        default:
            to->size = at;
        }
    }
}

/* Runs every file of a folder, and appends it to the inputs. */
static int run_folder(const char *kind, struct input *inputs, int count)
{
    char folder[128];

    snprintf(folder, sizeof(folder), "tests/fuzz/%s/%s", kind, current->name);
    DIR *files = opendir(folder);
    for (struct dirent *entry; files && (entry = readdir(files));) {
        ck_assert_int_lt(count, MAX_FILES);
        if (!read_input(folder, entry->d_name, &inputs[count]))
            continue;
        run(inputs[count].bytes, inputs[count].size);
        count++;
    }
    if (files)
        closedir(files);
    return count;
}

static void run_variations(const struct input *inputs, int count)
{
    static struct input varied;
    const char *given = getenv("LQ_FUZZ_SECONDS");
    int limit = given ? INT_MAX : VARIATIONS;
    time_t until = time(NULL) + (given ? atoi(given) : SECONDS);

    for (int i = 0; i < limit && time(NULL) < until; i++) {
        vary(&inputs[rand() % count], &varied);
        run(varied.bytes, varied.size);
    }
}

START_TEST(target)
{
    struct input *inputs = calloc(MAX_FILES, sizeof(*inputs));
    int count;

    current = &fuzz_targets[_i];
    run((const uint8_t *)"", 0);
    count = run_folder("corpus", inputs, 0);
    ck_assert_msg(count > 0, "%s has no corpus", current->name);
    count = run_folder("regress", inputs, count);
    run_variations(inputs, count);
    free(inputs);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("fuzz");
    int count = 0;

    while (fuzz_targets[count].name)
        count++;
    tcase_set_timeout(tests, 0); /* run.sh has one */
    tcase_add_loop_test(tests, target, 0, count);
    return suite_main("fuzz", tests);
}
