/* Rows of the key/value cache: one head of one token, in full or rounded precision.
 *
 *   F32  E floats
 *   F16  E halves, to nearest even; beyond 65504 they stay at 65504, and a NaN reads as 98304: kernels take no care of
 *        halves that are not finite. E is rounded up to a multiple of 4 with zeros, so that four can be loaded at once
 *   Q8   for every 32 values a float d = max|x| / 127, then E bytes round(x / d), rounded up the same way. An error is
 *        at most d / 2, max|x| / 254. A block with an infinity or NaN becomes NaN as a whole.
 *
 *   E = 40, Q8: | d0 d1 | 32 bytes of block 0 | 8 bytes of block 1 |   48 bytes; F16 80, F32 160 */
#include "kernels.h"

#include <math.h>

#include "kernel/kernel.h"

static size_t padded(int32_t width) {
    return ((size_t)width + 3) & ~(size_t)3;
}

const char *mt_cache_name(mt_cache_type type) {
    return type == MT_CACHE_F16 ? "f16" : type == MT_CACHE_Q8 ? "q8" : "f32";
}

static void put_q8(const float *x, int32_t width, float *scale, int8_t *q) {
    for (int32_t at = 0; at < width; at += MT_CACHE_BLOCK, scale++) {
        int32_t n = width - at < MT_CACHE_BLOCK ? width - at : MT_CACHE_BLOCK;
        float top = 0, inverse;
        bool finite = true;
        for (int32_t i = 0; i < n; i++) {
            float a = fabsf(x[at + i]);
            if (!isfinite(a)) finite = false;
            if (a > top) top = a;
        }
        *scale = finite ? top / 127 : NAN;
        inverse = finite && *scale > 0 ? 1 / *scale : 0;
        if (isinf(inverse)) inverse = 0, *scale = 0; /* all below 1e-36 */
        for (int32_t i = 0; i < n; i++) {
            float v = finite ? nearbyintf(x[at + i] * inverse) : 0;
            q[at + i] = (int8_t)(v > 127 ? 127 : v < -127 ? -127 : v);
        }
    }
    for (size_t i = (size_t)width; i < padded(width); i++) q[i] = 0;
}

void mt_cache_put(mt_cache_type type, const float *x, int32_t width, void *row) {
    if (type == MT_CACHE_F16) {
        uint16_t *h = row;
        for (int32_t i = 0; i < width; i++) {
            float v = x[i] > 65504 ? 65504 : x[i] < -65504 ? -65504 : x[i];
            h[i] = mt_float_to_half(v);
        }
        for (size_t i = (size_t)width; i < padded(width); i++) h[i] = 0;
    } else if (type == MT_CACHE_Q8) {
        size_t blocks = ((size_t)width + MT_CACHE_BLOCK - 1) / MT_CACHE_BLOCK;
        put_q8(x, width, row, (int8_t *)row + 4 * blocks);
    } else {
        memcpy(row, x, (size_t)width * sizeof *x);
    }
}

void mt_cache_get(mt_cache_type type, const void *row, int32_t width, float *x) {
    if (type == MT_CACHE_F32) {
        memcpy(x, row, (size_t)width * sizeof *x);
        return;
    }
    for (int32_t i = 0; i < width; i++) x[i] = mt_cache_value(type, row, width, i);
}
