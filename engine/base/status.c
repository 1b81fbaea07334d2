/* status.c - how the engine's rooms report failure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *lq_status_text(int status)
{
    switch (status) {
#define X(name, value, text)                                                                       \
    case name:                                                                                     \
        return text;
        LQ_STATUS_LIST(X)
#undef X
    default:
        return "unknown status";
    }
}

/* Drops a character of UTF-8 that the end of the buffer has cut. */
static void mend_end(char *text, size_t size)
{
    size_t length = strlen(text), at = length, whole;
    unsigned char lead;

    if (length + 1 < size)
        return; /* it all fitted */
    do
        lead = (unsigned char)text[--at];
    while (at > 0 && length - at < 4 && (lead & 0xc0) == 0x80);
    whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (length - at < whole)
        text[at] = '\0';
}

void lq_error_set(struct lq_error *error, int status, const char *format, ...)
{
    va_list arguments;

    if (!error || error->status != LQ_OK)
        return;
    error->status = status;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    mend_end(error->text, sizeof(error->text));
}

int lq_error_prefix(struct lq_error *error, const char *format, ...)
{
    char text[sizeof(error->text)];
    va_list arguments;
    size_t used;

    if (!error || error->status == LQ_OK)
        return error ? error->status : LQ_OK;
    memcpy(text, error->text, sizeof(text));
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    used = strlen(error->text);
    snprintf(error->text + used, sizeof(error->text) - used, ": %s", text);
    mend_end(error->text, sizeof(error->text));
    return error->status;
}
