/* exif.c - which way up a photograph was taken.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "image/exif.h"

#include <string.h>

#include "base/reader.h"

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT      3

enum { ORIENTATION_NONE = 1, ORIENTATION_LAST = 8 };

/* One entry of a directory: tag, type, count, then the value itself where it is this short. */
static bool read_entry(struct lq_reader *tiff, bool big_endian, int *orientation)
{
    uint16_t tag, type, value;
    uint32_t count;

    if (!lq_read_u16(tiff, big_endian, &tag) || !lq_read_u16(tiff, big_endian, &type) ||
        !lq_read_u32(tiff, big_endian, &count) || !lq_read_u16(tiff, big_endian, &value) ||
        !lq_read_skip(tiff, 2))
        return false;
    if (tag == TAG_ORIENTATION && type == TYPE_SHORT && count == 1 && value >= ORIENTATION_NONE &&
        value <= ORIENTATION_LAST)
        *orientation = value;
    return true;
}

/* A TIFF header ("II" or "MM", 42, offset of the first directory) and that directory. */
static int tiff_orientation(const uint8_t *bytes, size_t size)
{
    struct lq_reader tiff = {bytes, size, 0};
    int orientation = ORIENTATION_NONE;
    uint16_t order, magic, entries;
    uint32_t directory;

    if (!lq_read_u16(&tiff, true, &order) || (order != 0x4949 && order != 0x4d4d))
        return orientation;
    bool big_endian = order == 0x4d4d;
    if (!lq_read_u16(&tiff, big_endian, &magic) || magic != 42 ||
        !lq_read_u32(&tiff, big_endian, &directory) || directory < tiff.offset ||
        !lq_read_skip(&tiff, directory - tiff.offset) || !lq_read_u16(&tiff, big_endian, &entries))
        return orientation;
    for (int i = 0; i < entries && orientation == ORIENTATION_NONE; i++)
        if (!read_entry(&tiff, big_endian, &orientation))
            break;
    return orientation;
}

/* The next marker, past the fill bytes that may stand before it. */
static bool read_marker(struct lq_reader *jpeg, uint8_t *ret_marker)
{
    if (!lq_read_u8(jpeg, ret_marker) || *ret_marker != 0xff)
        return false;
    while (*ret_marker == 0xff)
        if (!lq_read_u8(jpeg, ret_marker))
            return false;
    return true;
}

int lq_exif_jpeg_orientation(const void *bytes, size_t size)
{
    static const uint8_t signature[6] = "Exif\0";
    struct lq_reader jpeg = {bytes, size, 0};
    const uint8_t *payload;
    uint16_t length;
    uint8_t marker;

    if (!read_marker(&jpeg, &marker) || marker != 0xd8)
        return ORIENTATION_NONE;
    while (read_marker(&jpeg, &marker)) {
        if (marker == 0xda || marker == 0xd9) /* the picture itself, or the end */
            break;
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) /* markers without a segment */
            continue;
        if (!lq_read_u16(&jpeg, true, &length) || length < 2 ||
            !lq_read_bytes(&jpeg, length - 2u, &payload))
            break;
        length = (uint16_t)(length - 2);
        if (marker == 0xe1 && length > sizeof(signature) &&
            memcmp(payload, signature, sizeof(signature)) == 0)
            return tiff_orientation(payload + sizeof(signature), length - sizeof(signature));
    }
    return ORIENTATION_NONE;
}

int lq_exif_png_orientation(const void *bytes, size_t size)
{
    struct lq_reader png = {bytes, size, 0};
    const uint8_t *type, *payload;
    uint32_t length;

    if (!lq_read_skip(&png, 8))
        return ORIENTATION_NONE;
    while (lq_read_u32(&png, true, &length) && lq_read_bytes(&png, 4, &type) &&
           lq_read_bytes(&png, length, &payload) && lq_read_skip(&png, 4) &&
           memcmp(type, "IEND", 4) != 0) /* what stands behind the picture is not about it */
        if (memcmp(type, "eXIf", 4) == 0)
            return tiff_orientation(payload, length);
    return ORIENTATION_NONE;
}
