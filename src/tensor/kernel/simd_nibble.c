/* The product with 4-bit weights: panels of 4 rows, inputs in eights, 16 bytes: byte 4 r + j holds input j of row r in
 * its low nibble and input j + 4 in its high one, j = 0..3.
 *
 *   relaxed   i16x8.dot_i8x16_i7x16 takes the nibbles as they are (0..15 fits its 7 bits) and leaves two sums of two
 *             products per row; |2 * 15 * 127| * 8 steps of a group of 32 = 30,480 stays within 16 bits, so the sums
 *             of a whole group are added in 16 bits and widened once. Exact: the same integers as the plain version
 *   plain     nibbles widened to int16, i32x4.dot_i16x8 with a splatted quad of inputs: two sums per row, rows 0 1 and
 *             2 3 in two vectors that are added across at the end of a group
 *
 * Types whose values are nibble - offset subtract offset * (sum of the group's inputs), which is exact too. */
#include "simd.h"
#ifdef MT_HAVE_SIMD
#include "kernel.h"

#include "simd_constants.h"

/* NT tokens, NP panels, each `apart` panels after the other. */
INLINE void nibble_tile(const mt_mm *m, const int NT, const int NP, int32_t panel, int32_t apart, int32_t t) {
    const size_t K = (size_t)m->K, G = (size_t)m->group, groups = K / G;
    const size_t next_w = (size_t)apart * K * MT_PANEL_Q / 2, next_scale = (size_t)apart * groups * MT_PANEL_Q;
    const uint8_t *w = m->w + (size_t)panel * K * MT_PANEL_Q / 2;
    const float *scale = m->scale + (size_t)panel * groups * MT_PANEL_Q;
    const float *min = m->min ? m->min + (size_t)panel * groups * MT_PANEL_Q : NULL;
    const float *d = m->d + (size_t)t * (K / MT_Q_BLOCK);
    const v128_t nibbles = F(NIBBLES);
    v128_t total[8];
    for (int i = 0; i < NT * NP; i++) total[i] = wasm_f32x4_splat(0);
    for (size_t g = 0; g < groups; g++) {
        v128_t sum[8];
#ifdef MT_RELAXED
        const int8_t *q = m->bytes + (size_t)t * K;
        for (int i = 0; i < NT * NP; i++) sum[i] = wasm_i16x8_splat(0);
        for (size_t k = g * G; k < g * G + G; k += 16)
            for (size_t part = 0; part < 16; part += 4) { /* the packed bytes are read twice: registers are scarce */
                v128_t b[4];
                for (int j = 0; j < NP; j++) {
                    b[j] = wasm_v128_load(w + (size_t)j * next_w + (k + (part & 8)) * 2);
                    b[j] = wasm_v128_and(part & 4 ? wasm_u16x8_shr(b[j], 4) : b[j], nibbles);
                }
                for (int i = 0; i < NT; i++) {
                    v128_t a = wasm_v128_load32_splat(q + (size_t)i * K + k + part);
                    for (int j = 0; j < NP; j++)
                        sum[i * NP + j] = wasm_i16x8_add(sum[i * NP + j], wasm_i16x8_relaxed_dot_i8x16_i7x16(a, b[j]));
                }
            }
        for (int i = 0; i < NT * NP; i++) sum[i] = wasm_i32x4_extadd_pairwise_i16x8(sum[i]);
#else
        const int16_t *q = m->q + (size_t)t * K;
        v128_t rows01[8], rows23[8];
        for (int i = 0; i < NT * NP; i++) rows01[i] = rows23[i] = wasm_i32x4_splat(0);
        for (size_t k = g * G; k < g * G + G; k += 16)
            for (size_t part = 0; part < 16; part += 8)
                for (int j = 0; j < NP; j++) {
                    v128_t packed = wasm_v128_load(w + (size_t)j * next_w + (k + part) * 2);
                    v128_t low = wasm_v128_and(packed, nibbles);
                    v128_t high = wasm_v128_and(wasm_u16x8_shr(packed, 4), nibbles);
                    v128_t low01 = wasm_u16x8_extend_low_u8x16(low), low23 = wasm_u16x8_extend_high_u8x16(low);
                    v128_t high01 = wasm_u16x8_extend_low_u8x16(high), high23 = wasm_u16x8_extend_high_u8x16(high);
                    for (int i = 0; i < NT; i++) {
                        v128_t a = wasm_v128_load64_splat(q + (size_t)i * K + k + part);
                        v128_t b = wasm_v128_load64_splat(q + (size_t)i * K + k + part + 4);
                        v128_t *s01 = &rows01[i * NP + j], *s23 = &rows23[i * NP + j];
                        *s01 = wasm_i32x4_add(*s01, wasm_i32x4_dot_i16x8(low01, a));
                        *s23 = wasm_i32x4_add(*s23, wasm_i32x4_dot_i16x8(low23, a));
                        *s01 = wasm_i32x4_add(*s01, wasm_i32x4_dot_i16x8(high01, b));
                        *s23 = wasm_i32x4_add(*s23, wasm_i32x4_dot_i16x8(high23, b));
                    }
                }
        for (int i = 0; i < NT * NP; i++)
            sum[i] = wasm_i32x4_add(wasm_i32x4_shuffle(rows01[i], rows23[i], 0, 2, 4, 6),
                                    wasm_i32x4_shuffle(rows01[i], rows23[i], 1, 3, 5, 7));
#endif
        for (int i = 0; i < NT; i++) {
            v128_t by = wasm_v128_load32_splat(d + (size_t)i * (K / MT_Q_BLOCK) + g * G / MT_Q_BLOCK);
            size_t at = (size_t)(t + i) * groups + g;
            v128_t shift = m->shift ? wasm_v128_load32_splat(m->shift + at) : wasm_i32x4_splat(0);
            for (int j = 0; j < NP; j++) {
                v128_t f = wasm_f32x4_convert_i32x4(wasm_i32x4_sub(sum[i * NP + j], shift));
                f = wasm_f32x4_mul(f, wasm_v128_load(scale + (size_t)j * next_scale + g * MT_PANEL_Q));
                total[i * NP + j] = wasm_f32x4_add(total[i * NP + j], wasm_f32x4_mul(f, by));
            }
            if (!min) continue;
            v128_t sx = wasm_v128_load32_splat(m->low + at);
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

/* Panels from places far apart, as in simd_int8.c. */
void NAME(mm_nibble)(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1) {
    int32_t T = t1 - t0, ways = T == 1 ? 4 : 2, apart = (p1 - p0) / ways;
    for (int32_t p = p0; p < p0 + apart; p++) {
        int32_t t = t0;
        if (T == 1) {
            nibble_tile(m, 1, 4, p, apart, t);
            continue;
        }
#ifdef MT_RELAXED
        for (; t + 4 <= t1; t += 4) nibble_tile(m, 4, 2, p, apart, t);
#endif
        for (; t + 2 <= t1; t += 2) nibble_tile(m, 2, 2, p, apart, t);
        if (t < t1) nibble_tile(m, 1, 2, p, apart, t);
    }
    for (int32_t p = p0 + ways * apart; p < p1; p++)
        for (int32_t t = t0; t < t1; t++) nibble_tile(m, 1, 1, p, 1, t);
}
#endif
