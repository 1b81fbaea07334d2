/* fuzz.c - libFuzzer's way in: LQ_FUZZ names the target.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/targets.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("LQ_FUZZ");

    (void)argc, (void)argv;
    for (target = fuzz_targets; target->name; target++)
        if (name && strcmp(name, target->name) == 0)
            return 0;
    fprintf(stderr, "LQ_FUZZ is one of:\n");
    for (target = fuzz_targets; target->name; target++)
        fprintf(stderr, "  %-12s %s\n", target->name, target->text);
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    target->run(bytes, size);
    return 0;
}
