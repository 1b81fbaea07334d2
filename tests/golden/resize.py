#!/usr/bin/env python3
# resize.py - prints resize.h: what Pillow makes of small images (made with Pillow 9.4).
#
# SPDX-License-Identifier: Apache-2.0
#
# The sizes are those of torchvision's Resize and CenterCrop; resize 0 is Image.resize to the crop.
from PIL import Image

CASES = [  # image, resize, cut
    ((37, 23), 10, (8, 8)),    # down, landscape
    ((23, 37), 10, (8, 8)),    # down, portrait
    ((5, 7), 12, (9, 9)),      # up
    ((64, 48), 16, (14, 15)),  # whole factors
    ((41, 30), 29, (13, 9)),   # hardly smaller; offsets of x.5 go to the even number
    ((12, 12), 12, (7, 10)),   # nothing to resize
    ((200, 3), 8, (8, 8)),     # a strip, upwards
    ((3, 200), 2, (2, 8)),     # a strip, downwards
    ((33, 20), 0, (12, 9)),    # both sides on their own, down
    ((6, 50), 0, (10, 10)),    # across up, down down
    ((1, 1), 0, (3, 2)),       # one pixel
]


def image(width, height):
    picture = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            picture.putpixel((x, y), tuple((x * x * 7 + y * 13 * (c + 1) + x * y * 3 + c * 50) & 255
                                           for c in range(3)))
    return picture


def fit(picture, resize, cut):
    if resize == 0:
        return picture.resize(cut, Image.BILINEAR)
    width, height = picture.size
    size = ((resize, int(resize * height / width)) if width <= height
            else (int(resize * width / height), resize))
    left, top = (int(round((side - part) / 2.0)) for side, part in zip(size, cut))
    return picture.resize(size, Image.BILINEAR).crop((left, top, left + cut[0], top + cut[1]))


print("""/* resize.h - what Pillow makes of small images; printed by resize.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_GOLDEN_RESIZE_H
#define TESTS_GOLDEN_RESIZE_H

/* Pixels as hexadecimal R G B; pixel (x, y), channel c of the image is
 * (7 x^2 + 13 y (c + 1) + 3 x y + 50 c) mod 256. */
static const struct {
    int image_width, image_height, resize, width, height;
    const char *rows[16];
} golden_resize[] = {""")
for size, resize, cut in CASES:
    data = fit(image(*size), resize, cut).tobytes()
    print("    {%d, %d, %d, %d, %d," % (*size, resize, *cut))
    rows = [data[i:i + 3 * cut[0]].hex() for i in range(0, len(data), 3 * cut[0])]
    print("     {" + ",\n      ".join('"%s"' % row for row in rows) + "}},")
print("};\n\n#endif")
