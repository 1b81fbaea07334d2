/* status.c - how the engine's rooms report failure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

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

void lq_error_set(struct lq_error *error, int status, const char *format, ...)
{
    va_list arguments;

    if (!error || error->status != LQ_OK)
        return;
    error->status = status;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    lq_text_make_printable(error->text); /* it may quote a file, or be cut off in a character */
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
    lq_text_make_printable(error->text);
    return error->status;
}
