/* infer_request_tensor.c - the input tensor of an inference request.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base64.h"
#include "infer/infer_request_private.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are copied as they are");

/* [N,C,H,W], or [N] and [N,1] for files. */
static int check_shape(struct reading *reading, bool files)
{
    const struct lq_model_info *info = reading->info;
    const struct tensor *input = &reading->input;
    const int64_t expected[4] = {0, files ? 1 : info->channels, info->height, info->width};
    bool rank_fits = files ? input->rank == 1 || input->rank == 2 : input->rank == 4;

    if (!rank_fits && files)
        return invalid(reading, "inputs[0].shape: expected [N]");
    if (!rank_fits)
        return invalid(reading, "inputs[0].shape: expected [N,%d,%d,%d]", info->channels,
                       info->height, info->width);
    for (int i = 1; i < input->rank; i++)
        if (input->shape[i] != expected[i])
            return invalid(reading, "inputs[0].shape[%d] is %lld, expected %lld", i,
                           (long long)input->shape[i], (long long)expected[i]);
    if (input->shape[0] < 1 || (uint64_t)input->shape[0] > reading->max_count)
        return invalid(reading, "inputs[0].shape[0] is %lld, expected 1..%zu",
                       (long long)input->shape[0], reading->max_count);
    reading->request->count = (int)input->shape[0];
    return LQ_OK;
}

/* Name, datatype and shape; sets the request's count. */
int infer_check_tensor(struct reading *reading, enum datatype *ret_type)
{
    static const char *const names[] = {"FP32", "UINT8", "BYTES"};
    const struct tensor *input = &reading->input;
    int type = 0;

    if (strcmp(input->name, reading->info->input_name) != 0)
        return invalid(reading, "inputs[0].name is '%.64s', expected '%s'", input->name,
                       reading->info->input_name);
    while (type <= BYTES && strcmp(input->datatype, names[type]) != 0)
        type++;
    if (type > BYTES)
        return invalid(reading, "inputs[0].datatype is '%s', expected FP32, UINT8 or BYTES",
                       input->datatype);
    *ret_type = (enum datatype)type;
    return check_shape(reading, type == BYTES);
}

/* Numbers of the JSON: as many as the shape says, flat or nested in its way. */
static int check_numbers(struct reading *reading)
{
    const struct tensor *input = &reading->input;
    const struct json_numbers *numbers = &input->numbers;
    size_t expected = (size_t)reading->request->count * reading->image_size;

    if (numbers->count != expected || input->strings.raw)
        return invalid(reading,
                       "inputs[0].data: expected %zu finite numbers, flat or nested, got "
                       "%zu",
                       expected, numbers->count);
    if (numbers->rank != 1 && numbers->rank != input->rank)
        return invalid(reading, "inputs[0].data: nested %d deep, expected 1 or %d", numbers->rank,
                       input->rank);
    for (int i = 0; numbers->rank > 1 && i < input->rank; i++)
        if (numbers->lengths[i] != (size_t)input->shape[i])
            return invalid(reading,
                           "inputs[0].data: %zu in a list of level %d, the shape says "
                           "%lld",
                           numbers->lengths[i], i, (long long)input->shape[i]);
    return LQ_OK;
}

int infer_take_floats(struct reading *reading, const void *bytes)
{
    struct json_numbers *numbers = &reading->input.numbers;
    size_t count = (size_t)reading->request->count * reading->image_size;

    reading->request->floats = bytes ? malloc(count * sizeof(float)) : numbers->values;
    if (!reading->request->floats)
        return out_of_memory(reading);
    if (bytes)
        memcpy(reading->request->floats, bytes, count * sizeof(float));
    else
        numbers->values = NULL;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(reading->request->floats[i]))
            return invalid(reading, "inputs[0].data[%zu] is no finite number", i);
    return LQ_OK;
}

/* [N][C][H][W] -> [N][H][W][C], from bytes or from the numbers of the JSON. */
static int take_pixels(struct reading *reading, const uint8_t *bytes)
{
    const struct json_numbers *numbers = &reading->input.numbers;
    size_t channels = (size_t)reading->info->channels, plane = reading->image_size / channels;
    size_t images = (size_t)reading->request->count, at = 0;
    uint8_t *to = malloc(images * reading->image_size);

    reading->request->pixels = to;
    if (!to)
        return out_of_memory(reading);
    for (size_t n = 0; n < images; n++, to += reading->image_size)
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < plane; i++, at++) {
                float value = bytes ? bytes[at] : numbers->values[at];

                if (value < 0 || value > 255 || !(bytes || numbers->integers))
                    return invalid(reading, "inputs[0].data: UINT8 takes integers from 0 to 255");
                to[i * channels + c] = (uint8_t)value;
            }
    return LQ_OK;
}

/* Each element is its length, 4 bytes, and so many bytes. */
static int take_binary_files(struct reading *reading, const uint8_t *bytes, size_t size)
{
    struct infer_file *files = reading->request->files;

    for (int i = 0; i < reading->request->count; i++) {
        uint32_t length = 0;

        if (size >= sizeof(length))
            memcpy(&length, bytes, sizeof(length));
        if (size < sizeof(length) || length > size - sizeof(length))
            return invalid(reading, "inputs[0]: element %d goes beyond binary_data_size", i);
        files[i] = (struct infer_file){bytes + sizeof(length), length};
        bytes += sizeof(length) + length;
        size -= sizeof(length) + length;
    }
    if (size > 0)
        return invalid(reading, "inputs[0]: %zu bytes of binary data are left over", size);
    return LQ_OK;
}

static int take_text_files(struct reading *reading)
{
    const struct strings *strings = &reading->input.strings;
    size_t room = 1;
    char *to;

    if (strings->count != (size_t)reading->request->count)
        return invalid(reading, "inputs[0].data: expected %d strings, got %zu",
                       reading->request->count, strings->count);
    for (size_t i = 0; i < strings->count; i++)
        room += strings->raw[i].size;
    to = reading->request->decoded = malloc(room);
    if (!to)
        return out_of_memory(reading);
    for (size_t i = 0; i < strings->count; i++) {
        size_t length = json_decode(strings->raw[i].bytes, strings->raw[i].size, to), size;

        if (!base64_decode(to, length, to, &size))
            return invalid(reading, "inputs[0].data[%zu] is no base64", i);
        reading->request->files[i] = (struct infer_file){to, size};
        to += size;
    }
    return LQ_OK;
}

static int take_files(struct reading *reading, const void *bytes, size_t size)
{
    reading->request->files =
        calloc((size_t)reading->request->count, sizeof(*reading->request->files));
    if (!reading->request->files)
        return out_of_memory(reading);
    return bytes ? take_binary_files(reading, bytes, size) : take_text_files(reading);
}

/* The input as datatype and shape say it is; bytes NULL: the data are in the JSON. */
int infer_take_tensor(struct reading *reading, const void *bytes, size_t size)
{
    size_t expected;
    enum datatype type;
    int status;

    if (!reading->input.present)
        return invalid(reading, "inputs: expected one tensor");
    status = infer_check_tensor(reading, &type);
    if (status != LQ_OK)
        return status;
    if (bytes && reading->input.has_data)
        return invalid(reading, "inputs[0] has both data and binary_data_size");
    if (type == BYTES)
        return take_files(reading, bytes, size);
    if (!bytes)
        status = check_numbers(reading);
    expected =
        (size_t)reading->request->count * reading->image_size * (type == FP32 ? sizeof(float) : 1);
    if (bytes && size != expected)
        return invalid(reading, "inputs[0].parameters.binary_data_size is %zu, the shape says %zu",
                       size, expected);
    if (status != LQ_OK)
        return status;
    return type == FP32 ? infer_take_floats(reading, bytes) : take_pixels(reading, bytes);
}
