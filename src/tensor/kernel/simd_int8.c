/* Quantised activations and the product with int8 weights: panels of 4 rows, inputs in pairs.
 *
 * Eight bytes of a panel, widened to int16, times a splatted pair of inputs: i32x4.dot_i16x8 leaves one exact sum per
 * row, so nothing is ever added across lanes.
 *
 *     w   r0k0 r0k1 r1k0 r1k1 r2k0 r2k1 r3k0 r3k1      q   k0 k1 k0 k1 k0 k1 k0 k1      dot   r0 r1 r2 r3 */
#include "simd.h"
#ifdef MT_HAVE_SIMD
#include "kernel.h"

#include "simd_constants.h"

void mt_simd_quantize(const float *x, int32_t K, int16_t *q, int8_t *bytes, float *d, int32_t *s) {
    const v128_t magnitude = F(MAGNITUDE);
    for (int32_t b = 0; b < K / MT_Q_BLOCK; b++, x += MT_Q_BLOCK, q += MT_Q_BLOCK, s += 2) {
        v128_t v[8], top = wasm_i32x4_splat(0);
        for (int i = 0; i < 8; i++) {
            v[i] = wasm_v128_load(x + 4 * i);
            top = wasm_i32x4_max(top, wasm_v128_and(v[i], magnitude));
        }
        top = wasm_i32x4_max(top, wasm_i32x4_shuffle(top, top, 2, 3, 0, 1));
        top = wasm_i32x4_max(top, wasm_i32x4_shuffle(top, top, 1, 0, 3, 2));
        float scale = wasm_f32x4_extract_lane(top, 0) / (bytes ? 127.0f : 32767.0f), inverse = 1.0f / scale;
        if (wasm_i32x4_extract_lane(top, 0) >= 0x7F800000) scale = __builtin_nanf(""), inverse = 0;
        if (!(inverse <= 3.4028234664e38f)) scale = 0, inverse = 0;
        d[b] = scale;
        v128_t by = wasm_f32x4_splat(inverse), one = F(ONE), half = F(HALF), sign = F(SIGN), sum[2];
        for (int i = 0; i < 8; i++) { /* ties away from zero: cut, then one step away where half or more was cut */
            v128_t p = wasm_f32x4_mul(v[i], by), t = wasm_f32x4_trunc(p);
            v128_t up = wasm_f32x4_ge(wasm_f32x4_abs(wasm_f32x4_sub(p, t)), half);
            v128_t unit = wasm_v128_or(one, wasm_v128_and(p, sign));
            v[i] = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_add(t, wasm_v128_and(up, unit)));
        }
        for (int g = 0; g < 2; g++) {
            v128_t a = wasm_i16x8_narrow_i32x4(v[4 * g], v[4 * g + 1]);
            v128_t c = wasm_i16x8_narrow_i32x4(v[4 * g + 2], v[4 * g + 3]);
            wasm_v128_store(q + 16 * g, a);
            wasm_v128_store(q + 16 * g + 8, c);
            if (bytes) wasm_v128_store(bytes + MT_Q_BLOCK * b + 16 * g, wasm_i8x16_narrow_i16x8(a, c));
            sum[g] = wasm_i32x4_add(wasm_i32x4_extadd_pairwise_i16x8(a), wasm_i32x4_extadd_pairwise_i16x8(c));
            sum[g] = wasm_i32x4_add(sum[g], wasm_i32x4_shuffle(sum[g], sum[g], 2, 3, 0, 1));
            sum[g] = wasm_i32x4_add(sum[g], wasm_i32x4_shuffle(sum[g], sum[g], 1, 0, 3, 2));
            s[g] = wasm_i32x4_extract_lane(sum[g], 0);
        }
    }
}

/* NT tokens, NP panels, each `apart` panels after the other. */
INLINE void tile(const mt_mm *m, const int NT, const int NP, int32_t panel, int32_t apart, int32_t t) {
    const size_t K = (size_t)m->K, G = (size_t)m->group, groups = K / G;
    const size_t next_w = (size_t)apart * K * MT_PANEL_Q, next_scale = (size_t)apart * groups * MT_PANEL_Q;
    const int8_t *w = (const int8_t *)m->w + (size_t)panel * K * MT_PANEL_Q;
    const float *scale = m->scale + (size_t)panel * groups * MT_PANEL_Q;
    const float *min = m->min ? m->min + (size_t)panel * groups * MT_PANEL_Q : NULL;
    const int16_t *q = m->q + (size_t)t * K;
    const float *d = m->d + (size_t)t * (K / MT_Q_BLOCK);
    v128_t total[8];
    for (int i = 0; i < NT * NP; i++) total[i] = wasm_f32x4_splat(0);
    for (size_t g = 0; g < groups; g++) {
        v128_t sum[8];
        for (int i = 0; i < NT * NP; i++) sum[i] = wasm_i32x4_splat(0);
        for (size_t k = g * G; k < g * G + G; k += 16)
            for (size_t pair = 0; pair < 8; pair++) {
                v128_t a[4];
                for (int j = 0; j < NP; j++)
                    a[j] = wasm_i16x8_load8x8(w + (size_t)j * next_w + k * MT_PANEL_Q + 8 * pair);
                for (int i = 0; i < NT; i++) {
                    v128_t b = wasm_v128_load32_splat(q + (size_t)i * K + k + 2 * pair);
                    for (int j = 0; j < NP; j++)
                        sum[i * NP + j] = wasm_i32x4_add(sum[i * NP + j], wasm_i32x4_dot_i16x8(a[j], b));
                }
            }
        for (int j = 0; j < NP; j++) {
            v128_t by = wasm_v128_load(scale + (size_t)j * next_scale + g * MT_PANEL_Q);
            for (int i = 0; i < NT; i++) {
                v128_t f = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sum[i * NP + j]), by);
                f = wasm_f32x4_mul(f, wasm_v128_load32_splat(d + (size_t)i * (K / MT_Q_BLOCK) + g * G / MT_Q_BLOCK));
                total[i * NP + j] = wasm_f32x4_add(total[i * NP + j], f);
            }
        }
        if (!min) continue;
        for (int i = 0; i < NT; i++) {
            v128_t sx = wasm_v128_load32_splat(m->low + (size_t)(t + i) * groups + g);
            for (int j = 0; j < NP; j++) {
                v128_t low = wasm_v128_load(min + (size_t)j * next_scale + g * MT_PANEL_Q);
                total[i * NP + j] = wasm_f32x4_sub(total[i * NP + j], wasm_f32x4_mul(low, sx));
            }
        }
    }
    for (int j = 0; j < NP; j++) {
        int32_t n = (panel + j * apart) * MT_PANEL_Q;
        if (n >= m->N) break;
        for (int i = 0; i < NT; i++) {
            v128_t f = total[i * NP + j];
            if (m->bias) f = wasm_f32x4_add(f, mt_load_lanes(m->bias + n, m->N - n));
            mt_store_lanes(m->y + (size_t)(t + i) * m->y_stride + (size_t)n, f, m->N - n);
        }
    }
}

void mt_simd_mm_i8(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    /* Panels are taken from four (two) places far apart: memory is read in several streams, which hides its latency
     * (from memory 2.4 times as fast as neighbouring panels). */
    int32_t T = t1 - t0, ways = T <= 2 ? 4 : 2, apart = (p1 - p0) / ways;
    for (int32_t p = p0; p < p0 + apart; p++) {
        int32_t t = t0;
        if (ways == 4) {
            if (T == 1)
                tile(m, 1, 4, p, apart, t);
            else
                tile(m, 2, 4, p, apart, t);
            continue;
        }
        for (; t + 4 <= t1; t += 4) tile(m, 4, 2, p, apart, t);
        if (t1 - t == 3) tile(m, 3, 2, p, apart, t);
        if (t1 - t == 2) tile(m, 2, 2, p, apart, t);
        if (t1 - t == 1) tile(m, 1, 2, p, apart, t);
    }
    for (int32_t p = p0 + ways * apart; p < p1; p++) {
        int32_t t = t0;
        for (; t + 4 <= t1; t += 4) tile(m, 4, 1, p, 1, t);
        for (; t < t1; t++) tile(m, 1, 1, p, 1, t);
    }
}
#endif
