/* number.c - floats as decimal text, both ways, exactly.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Reading. The first 19 digits make an integer w, the rest of the text a power q: the number is
 * w * 10^q, a little more where digits were cut. Clinger ("How to read floating point numbers
 * accurately", 1990) computes such a product in floating point where both factors are exact. A
 * float needs 24 of a double's 53 bits, so more is allowed here: w and 10^q are rounded to doubles
 * and multiplied. The three roundings and the cut digits shift the product by less than 2 units of
 * its last place, which matters only if a boundary between two floats (a double whose lower 29 bits
 * are 1000...0) lies as close as that: once in 2^26 numbers by chance. Then, and outside the normal
 * floats, strtof decides.
 *
 * Writing. Schubfach (Giulietti, "The Schubfach way to render doubles", 2020): the interval of
 * reals that round to the float holds a number of the form s * 10^k or s/10 * 10^(k+1); k is found
 * from the binary exponent, the interval's ends and the float are scaled by 10^-k with one
 * multiplication each, whose lost bits are kept as one sticky bit.
 */
#include "codec/number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------
 * Reading
 */

enum { MAX_DIGITS = 19, MAX_POWER = 55 };

static const double powers[MAX_POWER + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
    1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27,
    1e28, 1e29, 1e30, 1e31, 1e32, 1e33, 1e34, 1e35, 1e36, 1e37, 1e38, 1e39, 1e40, 1e41,
    1e42, 1e43, 1e44, 1e45, 1e46, 1e47, 1e48, 1e49, 1e50, 1e51, 1e52, 1e53, 1e54, 1e55,
};

/* Eight digits as a number, in three multiplications (little-endian load; the lowest byte is the
 * first digit). */
static uint32_t eight_digits(uint64_t text)
{
    text -= 0x3030303030303030;
    text = text * 10 + (text >> 8); /* pairs, in every second byte */
    return (uint32_t)(((text & 0x000000ff000000ff) * 0x000f424000000064 +
                       ((text >> 16) & 0x000000ff000000ff) * 0x0000271000000001) >>
                      32);
}

static bool are_eight_digits(uint64_t text)
{
    return ((text & 0xf0f0f0f0f0f0f0f0) |
            (((text + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) >> 4)) == 0x3333333333333333;
}

static uint64_t load_eight(const char *at)
{
    uint64_t text;

    memcpy(&text, at, sizeof(text));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    text = __builtin_bswap64(text);
#endif
    return text;
}

static bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

struct decimal {
    uint64_t w;
    int digits; /* in w, without leading zeros */
    int64_t q;
};

/* Adds digits to w, up to MAX_DIGITS; the others raise q instead. `scale`: what each digit does to
 * q, 0 before the point, -1 behind it. */
static const char *read_digits(const char *at, const char *end, int scale, struct decimal *decimal)
{
    while (decimal->digits <= MAX_DIGITS - 8 && end - at >= 8) {
        uint64_t text = load_eight(at);

        if (!are_eight_digits(text) || (decimal->w == 0 && *at == '0')) /* leading: no digit */
            break;
        decimal->w = decimal->w * 100000000 + eight_digits(text);
        decimal->digits += 8;
        decimal->q += (int64_t)8 * scale;
        at += 8;
    }
    for (; is_digit(at, end); at++) {
        if (decimal->digits < MAX_DIGITS) {
            decimal->w = decimal->w * 10 + (uint64_t)(*at - '0');
            decimal->digits += decimal->w > 0;
            decimal->q += scale;
        } else {
            decimal->q += 1 + scale;
        }
    }
    return at;
}

/* The part from 'e' on, if there is one; NULL: an e without digits. */
static const char *read_exponent(const char *at, const char *end, struct decimal *decimal)
{
    bool negative = false;
    int64_t exponent = 0;

    if (at == end || (*at != 'e' && *at != 'E'))
        return at;
    at++;
    if (at < end && (*at == '-' || *at == '+'))
        negative = *at++ == '-';
    if (!is_digit(at, end))
        return NULL;
    for (; is_digit(at, end); at++)
        if (exponent < 1000000000000) /* more than any text has digits */
            exponent = exponent * 10 + (*at - '0');
    decimal->q += negative ? -exponent : exponent;
    return at;
}

/* Any number at all, correctly, and slowly. */
static float read_slowly(const char *at, const char *end)
{
    char local[128], *copy = local;
    size_t length = (size_t)(end - at);
    locale_t c = newlocale(LC_ALL_MASK, "C", NULL);
    float value = NAN; /* where memory has run out: refused as every number that is not finite */

    if (length >= sizeof(local))
        copy = malloc(length + 1);
    if (copy && c) {
        memcpy(copy, at, length);
        copy[length] = '\0';
        value = strtof_l(copy, NULL, c);
    }
    if (copy != local)
        free(copy);
    if (c)
        freelocale(c);
    return value;
}

/* w * 10^q; false where it is too close to a boundary to be sure. */
static bool round_quickly(const struct decimal *decimal, float *ret_value)
{
    double product;
    uint64_t bits;
    uint32_t rest;

    if (decimal->w == 0) {
        *ret_value = 0;
        return true;
    }
    if (decimal->q > MAX_POWER || decimal->q < -MAX_POWER)
        return false;
    product = decimal->q < 0 ? (double)decimal->w / powers[-decimal->q]
                             : (double)decimal->w * powers[decimal->q];
    if (product < (double)FLT_MIN * 1.0001 || product > (double)FLT_MAX)
        return false;
    memcpy(&bits, &product, sizeof(bits));
    rest = (uint32_t)bits & 0x1fffffff;
    if (rest - (0x10000000 - 4) <= 8)
        return false;
    *ret_value = (float)product;
    return true;
}

const char *number_read_float(const char *at, const char *end, float *ret_value, bool *ret_integer)
{
    const char *start = at, *digits;
    struct decimal decimal = {0, 0, 0};
    bool negative = at < end && *at == '-';
    float value;

    at += negative;
    if (!is_digit(at, end))
        return NULL;
    at = *at == '0' ? at + 1 : read_digits(at, end, 0, &decimal);
    if (is_digit(at, end)) /* a leading zero */
        return NULL;
    *ret_integer = true;
    if (at < end && *at == '.') {
        digits = ++at;
        at = read_digits(at, end, -1, &decimal);
        if (at == digits)
            return NULL;
        *ret_integer = false;
    }
    digits = at;
    at = read_exponent(at, end, &decimal);
    if (!at)
        return NULL;
    *ret_integer = *ret_integer && at == digits;
    if (round_quickly(&decimal, &value))
        *ret_value = negative ? -value : value;
    else
        *ret_value = read_slowly(start, at);
    return at;
}

/* ------------------------------------------------------------------------------------------------
 * Writing
 */

enum { MIN_SCALE = -31, MAX_SCALE = 45 };

/* 10^k from MIN_SCALE on, the upper 64 bits, rounded up. */
static const uint64_t scales[MAX_SCALE - MIN_SCALE + 1] = {
    0x81ceb32c4b43fcf5, 0xa2425ff75e14fc32, 0xcad2f7f5359a3b3f, 0xfd87b5f28300ca0e,
    0x9e74d1b791e07e49, 0xc612062576589ddb, 0xf79687aed3eec552, 0x9abe14cd44753b53,
    0xc16d9a0095928a28, 0xf1c90080baf72cb2, 0x971da05074da7bef, 0xbce5086492111aeb,
    0xec1e4a7db69561a6, 0x9392ee8e921d5d08, 0xb877aa3236a4b44a, 0xe69594bec44de15c,
    0x901d7cf73ab0acda, 0xb424dc35095cd810, 0xe12e13424bb40e14, 0x8cbccc096f5088cc,
    0xafebff0bcb24aaff, 0xdbe6fecebdedd5bf, 0x89705f4136b4a598, 0xabcc77118461cefd,
    0xd6bf94d5e57a42bd, 0x8637bd05af6c69b6, 0xa7c5ac471b478424, 0xd1b71758e219652c,
    0x83126e978d4fdf3c, 0xa3d70a3d70a3d70b, 0xcccccccccccccccd, 0x8000000000000000,
    0xa000000000000000, 0xc800000000000000, 0xfa00000000000000, 0x9c40000000000000,
    0xc350000000000000, 0xf424000000000000, 0x9896800000000000, 0xbebc200000000000,
    0xee6b280000000000, 0x9502f90000000000, 0xba43b74000000000, 0xe8d4a51000000000,
    0x9184e72a00000000, 0xb5e620f480000000, 0xe35fa931a0000000, 0x8e1bc9bf04000000,
    0xb1a2bc2ec5000000, 0xde0b6b3a76400000, 0x8ac7230489e80000, 0xad78ebc5ac620000,
    0xd8d726b7177a8000, 0x878678326eac9000, 0xa968163f0a57b400, 0xd3c21bcecceda100,
    0x84595161401484a0, 0xa56fa5b99019a5c8, 0xcecb8f27f4200f3a, 0x813f3978f8940985,
    0xa18f07d736b90be6, 0xc9f2c9cd04674edf, 0xfc6f7c4045812297, 0x9dc5ada82b70b59e,
    0xc5371912364ce306, 0xf684df56c3e01bc7, 0x9a130b963a6c115d, 0xc097ce7bc90715b4,
    0xf0bdc21abb48db21, 0x96769950b50d88f5, 0xbc143fa4e250eb32, 0xeb194f8e1ae525fe,
    0x92efd1b8d0cf37bf, 0xb7abc627050305ae, 0xe596b7b0c643c71a, 0x8f7e32ce7bea5c70,
    0xb35dbf821ae4f38c,
};

static int floor_log2_of_power(int k)
{
    return (k * 1741647) >> 19; /* log2(10) * 2^19 */
}

/* floor(log10(2^e)), or of 3/4 of it. */
static int floor_log10(int e, bool three_quarters)
{
    return (e * 1262611 - (three_quarters ? 524031 : 0)) >> 22; /* log10(2) * 2^22, log10(4/3) */
}

/* scale * x / 2^64; the lost bits are or-ed into the last. */
static uint32_t scale_sticky(uint64_t scale, uint32_t x)
{
    uint64_t low = (scale & 0xffffffff) * x, high = (scale >> 32) * x + (low >> 32);

    return (uint32_t)(high >> 32) | ((uint32_t)high > 1);
}

/* The shortest s * 10^k in the rounding interval of c * 2^q. */
static uint32_t shortest(uint32_t c, int q, bool lower_is_closer, int *ret_k)
{
    int k = floor_log10(q, lower_is_closer), h = q + floor_log2_of_power(-k) + 1;
    uint64_t scale = scales[-k - MIN_SCALE];
    uint32_t odd = c & 1; /* the ends of an even float's interval round to it */
    uint32_t value = scale_sticky(scale, (4 * c) << h);
    uint32_t lower = scale_sticky(scale, (4 * c - 2 + lower_is_closer) << h) + odd;
    uint32_t upper = scale_sticky(scale, (4 * c + 2) << h) - odd;
    uint32_t s = value / 4, middle = 4 * s + 2;

    if (s >= 10) {
        uint32_t tens = s / 10;
        bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;

        if (down != up) {
            *ret_k = k + 1;
            return tens + up;
        }
    }
    *ret_k = k;
    if ((lower <= 4 * s) != (4 * s + 4 <= upper))
        return s + (4 * s + 4 <= upper);
    return s + (value > middle || (value == middle && (s & 1)));
}

/* Digits of s, at most 10; returns how many. */
static int write_digits(uint32_t s, char *to)
{
    char reversed[10];
    int count = 0;

    do
        reversed[count++] = (char)('0' + s % 10);
    while (s /= 10);
    for (int i = 0; i < count; i++)
        to[i] = reversed[count - 1 - i];
    return count;
}

/* digits * 10^k as text; `point` digits stand before the point. */
static size_t write_decimal(const char *digits, int count, int k, char *to)
{
    int point = count + k;
    char *start = to;

    if (point <= -5 || point > 9) { /* d.ddde-7 */
        *to++ = digits[0];
        if (count > 1)
            *to++ = '.';
        memcpy(to, digits + 1, (size_t)count - 1);
        to += count - 1;
        *to++ = 'e';
        if (point - 1 < 0)
            *to++ = '-';
        return (size_t)(to - start) +
               (size_t)write_digits((uint32_t)(point < 1 ? 1 - point : point - 1), to);
    }
    for (int i = point < 1 ? point - 1 : 0; i < count || i < point + 1; i++) {
        if (i == point)
            *to++ = '.';
        *to++ = i >= 0 && i < count ? digits[i] : '0';
    }
    return (size_t)(to - start);
}

size_t number_write_float(float value, char ret_text[NUMBER_TEXT_SIZE])
{
    char digits[16], *to = ret_text;
    uint32_t bits, fraction, s;
    int exponent, count, k;

    memcpy(&bits, &value, sizeof(bits));
    if (bits >> 31)
        *to++ = '-';
    exponent = (int)(bits >> 23 & 0xff);
    fraction = bits & 0x7fffff;
    if (exponent == 0 && fraction == 0) {
        *to++ = '0';
        *to++ = '.';
        *to++ = '0';
        return (size_t)(to - ret_text);
    }
    s = exponent ? shortest(fraction | 0x800000, exponent - 150, fraction == 0 && exponent > 1, &k)
                 : shortest(fraction, -149, false, &k);
    for (; s % 10 == 0; s /= 10)
        k++;
    count = write_digits(s, digits);
    return (size_t)(to - ret_text) + write_decimal(digits, count, k, to);
}
