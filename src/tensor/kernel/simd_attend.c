/* Attention of one query and head over cache slots: the algorithm of ref_attend.c. Eight slots at a time share the
 * loads of the query, their vector sums are transposed and added; values are accumulated over all slots of a block with
 * 32 outputs in registers. */
#include "simd.h"
#ifdef MT_HAVE_SIMD
#include "kernel.h"

#include <math.h>

#include "simd_math.h"

/* (a0 + a1) + (a2 + a3) of each of four vectors. */
INLINE v128_t sum_lanes4(v128_t a, v128_t b, v128_t c, v128_t d) {
    v128_t ab_low = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), ab_high = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
    v128_t cd_low = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), cd_high = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
    v128_t s0 = wasm_i32x4_shuffle(ab_low, cd_low, 0, 1, 4, 5), s1 = wasm_i32x4_shuffle(ab_low, cd_low, 2, 3, 6, 7);
    v128_t s2 = wasm_i32x4_shuffle(ab_high, cd_high, 0, 1, 4, 5), s3 = wasm_i32x4_shuffle(ab_high, cd_high, 2, 3, 6, 7);
    return wasm_f32x4_add(wasm_f32x4_add(s0, s1), wasm_f32x4_add(s2, s3));
}

/* Dot products of q with eight rows: eight chains hide the latency of the addition. */
INLINE void dots8(const float *q, const float *keys, size_t E, const int32_t *slot, v128_t *first, v128_t *second) {
    const float *k[8];
    v128_t s[8];
    size_t whole = E & ~(size_t)3;
    for (int i = 0; i < 8; i++) {
        k[i] = keys + (size_t)slot[i] * E;
        s[i] = wasm_f32x4_splat(0);
    }
    for (size_t e = 0; e < whole; e += 4) {
        v128_t x = wasm_v128_load(q + e);
        for (int i = 0; i < 8; i++) s[i] = MADD(x, wasm_v128_load(k[i] + e), s[i]);
    }
    if (whole < E) {
        int rest = (int)(E - whole);
        v128_t x = mt_load_lanes(q + whole, rest);
        for (int i = 0; i < 8; i++) s[i] = MADD(x, mt_load_lanes(k[i] + whole, rest), s[i]);
    }
    *first = sum_lanes4(s[0], s[1], s[2], s[3]);
    *second = sum_lanes4(s[4], s[5], s[6], s[7]);
}

/* The rarer parts of a score; n a multiple of four. */
static __attribute__((noinline)) void NAME(attend_adjust)(const mt_attend_args *a, int32_t t, int32_t h,
                                                          const int32_t *slot, int n, float *p) {
    for (int j = 0; j < n; j += 4) {
        v128_t s = wasm_v128_load(p + j);
        if (a->softcap != 0) {
            v128_t cap = wasm_f32x4_splat(a->softcap);
            s = wasm_f32x4_mul(mt_tanhf_x4(wasm_f32x4_div(s, cap)), cap);
        }
        if (a->alibi) {
            v128_t distance = wasm_i32x4_make(a->slot_position[slot[j]], a->slot_position[slot[j + 1]],
                                              a->slot_position[slot[j + 2]], a->slot_position[slot[j + 3]]);
            distance = wasm_f32x4_convert_i32x4(wasm_i32x4_sub(distance, wasm_i32x4_splat(a->position[t])));
            s = wasm_f32x4_add(s, wasm_f32x4_mul(wasm_f32x4_splat(a->alibi[h]), distance));
        }
        wasm_v128_store(p + j, s);
    }
}

/* Scores of slot[0..n); slot[] and p[] are padded to a multiple of eight, slot[] with any slots that exist. */
INLINE void scores(const mt_attend_args *a, int32_t t, int32_t h, const int32_t *slot, int n, float *p) {
    size_t E = (size_t)a->E, g = (size_t)h * (size_t)a->G / (size_t)a->H;
    const float *q = a->q + ((size_t)t * (size_t)a->H + (size_t)h) * E, *keys = a->k + g * a->k_stride;
    v128_t scale = wasm_f32x4_splat(a->scale);
    for (int j = 0; j < n; j += 8) {
        v128_t first, second;
        dots8(q, keys, E, slot + j, &first, &second);
        wasm_v128_store(p + j, wasm_f32x4_mul(first, scale));
        wasm_v128_store(p + j + 4, wasm_f32x4_mul(second, scale));
    }
    if (a->softcap != 0 || a->alibi) NAME(attend_adjust)(a, t, h, slot, (n + 7) & ~7, p);
}

/* out += sum of p[j] v[slot[j]], in the order of j; W vectors of the output stay in registers. */
INLINE void values_slice(const float *p, const int32_t *slot, int n, const float *v, size_t EV, const int W,
                         float *out) {
    v128_t o[8];
    for (int i = 0; i < W; i++) o[i] = wasm_v128_load(out + 4 * i);
    for (int j = 0; j < n; j++) {
        const float *row = v + (size_t)slot[j] * EV;
        v128_t by = wasm_v128_load32_splat(p + j);
        for (int i = 0; i < W; i++) o[i] = MADD(by, wasm_v128_load(row + 4 * i), o[i]);
    }
    for (int i = 0; i < W; i++) wasm_v128_store(out + 4 * i, o[i]);
}
INLINE void values(const float *p, const int32_t *slot, int n, const float *v, size_t EV, float *out) {
    size_t e = 0;
    for (; e + 32 <= EV; e += 32) values_slice(p, slot, n, v + e, EV, 8, out + e);
    for (; e + 4 <= EV; e += 4) values_slice(p, slot, n, v + e, EV, 1, out + e);
    if (e == EV) return;
    int rest = (int)(EV - e);
    v128_t o = mt_load_lanes(out + e, rest);
    for (int j = 0; j < n; j++)
        o = MADD(wasm_v128_load32_splat(p + j), mt_load_lanes(v + (size_t)slot[j] * EV + e, rest), o);
    mt_store_lanes(out + e, o, rest);
}

INLINE void multiply(float *out, size_t n, float by) {
    v128_t b = wasm_f32x4_splat(by);
    size_t e = 0;
    for (; e + 4 <= n; e += 4) wasm_v128_store(out + e, wasm_f32x4_mul(wasm_v128_load(out + e), b));
    for (; e < n; e++) out[e] = out[e] * by;
}

void NAME(attend)(const mt_attend_args *a, int32_t t, int32_t h) {
    size_t EV = (size_t)a->EV, g = (size_t)h * (size_t)a->G / (size_t)a->H;
    const float *v = a->v + g * a->v_stride;
    float *out = a->out + ((size_t)t * (size_t)a->H + (size_t)h) * EV;
    float m = a->sink ? a->sink[h] : -INFINITY, l = a->sink ? 1 : 0;
    memset(out, 0, EV * sizeof(float));
    int32_t run = a->run_start[t], end = a->run_start[t + 1], at = 0;
    for (;;) {
        int32_t slot[MT_ATTEND_BLOCK];
        float p[MT_ATTEND_BLOCK];
        int n = 0;
        while (run < end && n < MT_ATTEND_BLOCK) {
            int32_t left = a->runs[run].count - at, take = MT_ATTEND_BLOCK - n < left ? MT_ATTEND_BLOCK - n : left;
            for (int32_t i = 0; i < take; i++) slot[n + i] = a->runs[run].start + at + i;
            n += take > 0 ? take : 0;
            at += take;
            if (at >= a->runs[run].count) run++, at = 0;
        }
        if (n == 0) break;
        int padded = (n + 7) & ~7;
        for (int j = n; j < padded; j++) slot[j] = slot[0];
        scores(a, t, h, slot, n, p);
        for (int j = n; j < padded; j++) p[j] = -INFINITY;
        v128_t tops = wasm_f32x4_splat(m);
        for (int j = 0; j < padded; j += 4) tops = wasm_f32x4_pmax(tops, wasm_v128_load(p + j)); /* skips NaN */
        tops = wasm_f32x4_pmax(tops, wasm_i32x4_shuffle(tops, tops, 2, 3, 0, 1));
        tops = wasm_f32x4_pmax(tops, wasm_i32x4_shuffle(tops, tops, 1, 0, 3, 2));
        float top = wasm_f32x4_extract_lane(tops, 0);
        if (top == -INFINITY) {
            for (int j = 0; j < n; j++)
                if (p[j] != p[j]) l = NAN;
            continue;
        }
        float shrink = mt_expf(m - top);
        if (shrink != 1) multiply(out, EV, shrink);
        v128_t sum = wasm_f32x4_splat(0), shift = wasm_f32x4_splat(top);
        for (int j = 0; j < padded; j += 4) {
            v128_t e = mt_expf_x4(wasm_f32x4_sub(wasm_v128_load(p + j), shift));
            wasm_v128_store(p + j, e);
            sum = wasm_f32x4_add(sum, e);
        }
        l = l * shrink + ((wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1)) +
                          (wasm_f32x4_extract_lane(sum, 2) + wasm_f32x4_extract_lane(sum, 3)));
        m = top;
        values(p, slot, n, v, EV, out);
    }
    multiply(out, EV, l == 0 ? 0 : 1 / l);
}

void NAME(attend_scores)(const mt_attend_args *a, int32_t t, int32_t h, const int32_t *column, float *row) {
    for (int32_t r = a->run_start[t]; r < a->run_start[t + 1]; r++) {
        int32_t start = a->runs[r].start, count = a->runs[r].count;
        for (int32_t i = 0; i < count; i += MT_ATTEND_BLOCK) {
            int32_t slot[MT_ATTEND_BLOCK];
            float p[MT_ATTEND_BLOCK];
            int n = count - i < MT_ATTEND_BLOCK ? count - i : MT_ATTEND_BLOCK;
            for (int j = 0; j < MT_ATTEND_BLOCK; j++) slot[j] = start + i + (j < n ? j : 0);
            scores(a, t, h, slot, n, p);
            for (int j = 0; j < n; j++) row[column[slot[j]]] = p[j];
        }
    }
}

void NAME(attend_values)(const float *p, const int32_t *slot, int32_t n, const float *v, int32_t EV, float *out) {
    memset(out, 0, (size_t)EV * sizeof(float));
    int32_t used[MT_ATTEND_BLOCK];
    float weight[MT_ATTEND_BLOCK];
    int k = 0;
    for (int32_t j = 0; j < n; j++) {
        if (slot[j] < 0 || p[j] == 0) continue;
        used[k] = slot[j];
        weight[k++] = p[j];
        if (k < MT_ATTEND_BLOCK) continue;
        values(weight, used, k, v, (size_t)EV, out);
        k = 0;
    }
    values(weight, used, k, v, (size_t)EV, out);
}
#endif
