#!/usr/bin/env python3
"""Prints the pixels that test_image.c expects of a resize: Pillow's, of an image made by a formula."""
from PIL import Image

CASES = [(7, 5, 4, 4), (5, 7, 3, 6), (3, 3, 5, 4), (64, 48, 3, 2), (1, 9, 2, 2), (40, 2, 2, 3)]

for width, height, to_width, to_height in CASES:
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            image.putpixel((x, y), tuple((x * 37 + y * 101 + c * 59 + x * y * 13) % 256 for c in range(3)))
    pixels = image.resize((to_width, to_height), Image.BILINEAR).tobytes()
    print("    {%d, %d, %d, %d, {%s}}," % (width, height, to_width, to_height, ", ".join(map(str, pixels))))
