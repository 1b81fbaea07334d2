/* exif.h - which way up a photograph was taken.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_IMAGE_EXIF_H
#define LQ_IMAGE_EXIF_H

#include <stddef.h>

/* The orientation in a JPEG file's EXIF segment (JEITA CP-3451, tag 0x0112), 1..8:
 *   1 as stored          2 mirrored left to right      3 turned by 180 degrees
 *   4 mirrored top down  5 mirrored at the main diagonal
 *   6 to be turned by 90 degrees clockwise
 *   7 mirrored at the other diagonal
 *   8 to be turned by 90 degrees anticlockwise
 * 1 where there is none or where the segment is damaged: a picture is worth more than its EXIF. */
int lq_exif_jpeg_orientation(const void *bytes, size_t size);
/* The same from the eXIf chunk of a PNG file. */
int lq_exif_png_orientation(const void *bytes, size_t size);

#endif
