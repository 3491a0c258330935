/* Scalar matrix products on the panel layouts of weight.c, one output at a time. The SIMD kernels add in this order. */
#include "kernel.h"

#include <math.h>

#include "ref_math.h"

/* ---- activations to int8 ---- */

static float half_away(float v) { /* nearest integer, ties away from zero */
    float t = truncf(v), rest = fabsf(v - t);
    return rest >= 0.5f ? t + copysignf(1.0f, v) : t;
}

/* Blocks of 32: d = max|x| / M, q = x * (1 / d) rounded half away. M = 127 when the values are wanted as bytes (nibble
 * weights), else 32767: the int8 products multiply in 16 bits anyway, and 16 bits put the error of the inputs (2^-16 of
 * the block's largest) far below that of any 8-bit weight, so that a Q8_0 model computes what its file says. A block
 * with NaN or infinity gets d = NaN, which carries through to every output; one so small that 1 / d overflows counts as
 * zero. */
void mt_ref_quantize(const float *x, int32_t K, int16_t *q, int8_t *bytes, float *d, int32_t *s) {
    for (int32_t b = 0; b < K / MT_Q_BLOCK; b++) {
        const float *in = x + MT_Q_BLOCK * b;
        uint32_t top = 0; /* magnitudes compare as integers, with infinity and NaN on top */
        for (int i = 0; i < MT_Q_BLOCK; i++) {
            uint32_t bits = mt_bits_float(in[i]) & 0x7FFFFFFF;
            if (bits > top) top = bits;
        }
        float scale = mt_float_bits(top) / (bytes ? 127.0f : 32767.0f), inverse = 1.0f / scale;
        if (top >= 0x7F800000) scale = NAN, inverse = 0;
        if (!(inverse <= 3.4028234664e38f)) scale = 0, inverse = 0;
        d[b] = scale;
        for (int g = 0; g < 2; g++) {
            int32_t sum = 0;
            for (int i = 16 * g; i < 16 * g + 16; i++) {
                float v = half_away(in[i] * inverse);
                int16_t n = scale == scale ? (int16_t)v : 0;
                q[MT_Q_BLOCK * b + i] = n;
                if (bytes) bytes[MT_Q_BLOCK * b + i] = (int8_t)n;
                sum += n;
            }
            s[2 * b + g] = sum;
        }
    }
}

/* ---- floats ---- */

static float weight_at(const uint8_t *w, uint32_t type, size_t i) {
    float f;
    if (type == MT_F16) return mt_half_to_float(mt_le16(w + 2 * i));
    if (type == MT_BF16) return mt_bf16_to_float(mt_le16(w + 2 * i));
    memcpy(&f, w + i * sizeof f, sizeof f);
    return f;
}

static void mm_float(const mt_mm *m, uint32_t type, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    size_t K = (size_t)m->K;
    for (int32_t n = p0 * MT_PANEL_F; n < p1 * MT_PANEL_F && n < m->N; n++) {
        size_t at = (size_t)(n / MT_PANEL_F) * K * MT_PANEL_F + (size_t)(n % MT_PANEL_F);
        for (int32_t t = t0; t < t1; t++) {
            const float *x = m->x + (size_t)t * m->x_stride;
            float total = 0;
            for (size_t k0 = 0; k0 < K; k0 += MT_K_BLOCK) {
                size_t end = K - k0 < MT_K_BLOCK ? K : k0 + MT_K_BLOCK;
                float sum = 0;
                for (size_t k = k0; k < end; k++) sum = x[k] * weight_at(m->w, type, at + k * MT_PANEL_F) + sum;
                total += sum;
            }
            m->y[(size_t)t * m->y_stride + (size_t)n] = m->bias ? total + m->bias[n] : total;
        }
    }
}
void mt_ref_mm_f32(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    mm_float(m, MT_F32, p0, p1, t0, t1);
}
void mt_ref_mm_f16(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    mm_float(m, MT_F16, p0, p1, t0, t1);
}
void mt_ref_mm_bf16(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    mm_float(m, MT_BF16, p0, p1, t0, t1);
}

/* ---- int8 and nibbles ---- */

static int int8_at(const mt_mm *m, size_t panel, size_t lane, size_t k) {
    const int8_t *w = (const int8_t *)m->w + panel * (size_t)m->K * MT_PANEL_Q;
    return w[(k / 2) * 2 * MT_PANEL_Q + 2 * lane + (k & 1)];
}
static int nibble_at(const mt_mm *m, size_t panel, size_t lane, size_t k) {
    uint8_t byte = m->w[panel * (size_t)m->K * MT_PANEL_Q / 2 + k / 8 * 16 + 4 * lane + k % 4];
    return byte >> (k & 4) & 15;
}

typedef int (*value_at)(const mt_mm *m, size_t panel, size_t lane, size_t k);
static void mm_quants(const mt_mm *m, value_at value, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    size_t K = (size_t)m->K, G = (size_t)m->group, groups = K / G;
    for (int32_t n = p0 * MT_PANEL_Q; n < p1 * MT_PANEL_Q && n < m->N; n++) {
        size_t panel = (size_t)n / MT_PANEL_Q, lane = (size_t)n % MT_PANEL_Q;
        for (int32_t t = t0; t < t1; t++) {
            const int16_t *q = m->q + (size_t)t * K;
            float total = 0;
            for (size_t g = 0; g < groups; g++) {
                int32_t dot = 0;
                for (size_t k = g * G; k < g * G + G; k++) dot += value(m, panel, lane, k) * q[k];
                if (m->shift) dot -= m->shift[(size_t)t * groups + g];
                float d = m->d[(size_t)t * (K / MT_Q_BLOCK) + g * G / MT_Q_BLOCK];
                size_t at = (panel * groups + g) * MT_PANEL_Q + lane;
                total = total + (float)dot * m->scale[at] * d;
                if (m->min) total = total - m->min[at] * m->low[(size_t)t * groups + g];
            }
            m->y[(size_t)t * m->y_stride + (size_t)n] = m->bias ? total + m->bias[n] : total;
        }
    }
}
void mt_ref_mm_i8(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    mm_quants(m, int8_at, p0, p1, t0, t1);
}
void mt_ref_mm_nibble(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    mm_quants(m, nibble_at, p0, p1, t0, t1);
}
