/* Products with float weights: panels of 8 rows, one vector of rows per step, the input splatted.
 *
 *   tile            tokens x rows x 4 lanes; accumulators stay in registers for 256 inputs, then join y
 *   1 token         4 panels at once: eight chains hide the latency of the addition; the panels lie far apart, because
 *                   four streams hide the latency of memory
 *   4 tokens        1 panel: 8 accumulators, 2 weights, 1 input
 *   F16, BF16       widened into a block of floats once when several tokens share it, else in registers */
#include "simd.h"
#ifdef MT_HAVE_SIMD
#include "kernel.h"

#include "simd_constants.h"

/* Half to float for all finite halves: exponent and mantissa moved into place and rebiased by a multiplication, which
 * also makes subnormal halves right. (0x7C00 and above would come out finite; weight.c sends those elsewhere.) */
INLINE v128_t half4(v128_t wide) {
    v128_t moved = wasm_v128_and(wasm_i32x4_shl(wide, 13), F(HALF_BITS));
    return wasm_f32x4_mul(moved, F(HALF_REBIAS));
}
enum { W_F32, W_F16, W_BF16 };
INLINE void load8(const uint8_t *w, int type, v128_t *a, v128_t *b) {
    if (type == W_F32) {
        *a = wasm_v128_load(w);
        *b = wasm_v128_load(w + 16);
    } else if (type == W_F16) {
        v128_t h = wasm_v128_load(w);
        *a = half4(wasm_i32x4_extend_low_i16x8(h));
        *b = half4(wasm_i32x4_extend_high_i16x8(h));
    } else {
        v128_t h = wasm_v128_load(w);
        *a = wasm_i32x4_shl(wasm_u32x4_extend_low_u16x8(h), 16);
        *b = wasm_i32x4_shl(wasm_u32x4_extend_high_u16x8(h), 16);
    }
}

/* P panels of one token, each `apart` panels after the other. */
INLINE void one_token(const mt_mm *m, const int type, const int P, int32_t panel, int32_t apart, int32_t t) {
    const size_t K = (size_t)m->K, step = type == W_F32 ? 32 : 16;
    const float *x = m->x + (size_t)t * m->x_stride;
    v128_t total[8];
    for (int i = 0; i < 2 * P; i++) total[i] = wasm_f32x4_splat(0);
    for (size_t k0 = 0; k0 < K; k0 += MT_K_BLOCK) {
        size_t end = K - k0 < MT_K_BLOCK ? K : k0 + MT_K_BLOCK;
        v128_t sum[8];
        for (int i = 0; i < 2 * P; i++) sum[i] = wasm_f32x4_splat(0);
        const uint8_t *w = m->w + ((size_t)panel * K + k0) * step;
        for (size_t k = k0; k < end; k++, w += step) {
            v128_t s = wasm_v128_load32_splat(x + k);
            for (int i = 0; i < P; i++) {
                v128_t a, b;
                load8(w + (size_t)i * (size_t)apart * K * step, type, &a, &b);
                sum[2 * i] = MADD(s, a, sum[2 * i]);
                sum[2 * i + 1] = MADD(s, b, sum[2 * i + 1]);
            }
        }
        for (int i = 0; i < 2 * P; i++) total[i] = wasm_f32x4_add(total[i], sum[i]);
    }
    for (int i = 0; i < 2 * P; i++) {
        int32_t n = (panel + i / 2 * apart) * MT_PANEL_F + (i & 1) * 4;
        if (n >= m->N) continue;
        if (m->bias) total[i] = wasm_f32x4_add(total[i], mt_load_lanes(m->bias + n, m->N - n));
        mt_store_lanes(m->y + (size_t)t * m->y_stride + (size_t)n, total[i], m->N - n);
    }
}

/* NT tokens, one panel, inputs k0..k0+count whose weights lie at w as floats. First and last block of K: start y, add
 * the bias. */
INLINE void tile(const mt_mm *m, const int NT, const float *w, int32_t panel, int32_t t, size_t k0, size_t count) {
    v128_t sum[8];
    const float *x[4];
    for (int i = 0; i < NT; i++) {
        x[i] = m->x + (size_t)(t + i) * m->x_stride + k0;
        sum[2 * i] = sum[2 * i + 1] = wasm_f32x4_splat(0);
    }
    for (size_t k = 0; k < count; k++) {
        v128_t a = wasm_v128_load(w + 8 * k), b = wasm_v128_load(w + 8 * k + 4);
        for (int i = 0; i < NT; i++) {
            v128_t s = wasm_v128_load32_splat(x[i] + k);
            sum[2 * i] = MADD(s, a, sum[2 * i]);
            sum[2 * i + 1] = MADD(s, b, sum[2 * i + 1]);
        }
    }
    bool first = k0 == 0, last = k0 + count == (size_t)m->K;
    for (int i = 0; i < 2 * NT; i++) {
        int32_t n = panel * MT_PANEL_F + (i & 1) * 4;
        if (n >= m->N) continue;
        float *y = m->y + (size_t)(t + i / 2) * m->y_stride + (size_t)n;
        sum[i] = wasm_f32x4_add(first ? wasm_f32x4_splat(0) : mt_load_lanes(y, m->N - n), sum[i]);
        if (last && m->bias) sum[i] = wasm_f32x4_add(sum[i], mt_load_lanes(m->bias + n, m->N - n));
        mt_store_lanes(y, sum[i], m->N - n);
    }
}

INLINE void product(const mt_mm *m, const int type, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    const size_t K = (size_t)m->K, step = type == W_F32 ? 32 : 16;
    if (t1 - t0 == 1) {
        int32_t quarter = (p1 - p0) / 4;
        for (int32_t p = p0; p < p0 + quarter; p++) one_token(m, type, 4, p, quarter, t0);
        for (int32_t p = p0 + 4 * quarter; p < p1; p++) one_token(m, type, 1, p, 1, t0);
        return;
    }
    float wide[MT_K_BLOCK * MT_PANEL_F];
    for (int32_t p = p0; p < p1; p++)
        for (size_t k0 = 0; k0 < K; k0 += MT_K_BLOCK) {
            size_t count = K - k0 < MT_K_BLOCK ? K - k0 : MT_K_BLOCK;
            const uint8_t *packed = m->w + ((size_t)p * K + k0) * step;
            const float *w = (const float *)packed;
            if (type != W_F32) {
                for (size_t k = 0; k < count; k++) {
                    v128_t a, b;
                    load8(packed + k * step, type, &a, &b);
                    wasm_v128_store(wide + 8 * k, a);
                    wasm_v128_store(wide + 8 * k + 4, b);
                }
                w = wide;
            }
            int32_t t = t0;
            for (; t + 4 <= t1; t += 4) tile(m, 4, w, p, t, k0, count);
            if (t1 - t == 3) tile(m, 3, w, p, t, k0, count);
            if (t1 - t == 2) tile(m, 2, w, p, t, k0, count);
            if (t1 - t == 1) tile(m, 1, w, p, t, k0, count);
        }
}

void NAME(mm_f32)(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    product(m, W_F32, p0, p1, t0, t1);
}
void NAME(mm_f16)(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    product(m, W_F16, p0, p1, t0, t1);
}
void NAME(mm_bf16)(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    product(m, W_BF16, p0, p1, t0, t1);
}
#endif
