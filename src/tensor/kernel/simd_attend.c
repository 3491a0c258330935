/* Attention of one query and head over cache slots: the algorithm of ref_attend.c. Four slots at a time share the loads
 * of the query, their four vector sums are transposed and added; values are accumulated four slots per pass over the
 * output row. */
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

/* Scores of slot[0..n), n <= 32 and slot[] padded to a multiple of four with any slots that exist. */
INLINE void scores(const mt_attend_args *a, int32_t t, int32_t h, const int32_t *slot, int n, float *out) {
    size_t E = (size_t)a->E, whole = E & ~(size_t)3, g = (size_t)h * (size_t)a->G / (size_t)a->H;
    const float *q = a->q + ((size_t)t * (size_t)a->H + (size_t)h) * E, *keys = a->k + g * a->k_stride;
    for (int j = 0; j < n; j += 4) {
        const float *k0 = keys + (size_t)slot[j] * E, *k1 = keys + (size_t)slot[j + 1] * E;
        const float *k2 = keys + (size_t)slot[j + 2] * E, *k3 = keys + (size_t)slot[j + 3] * E;
        v128_t s0 = wasm_f32x4_splat(0), s1 = s0, s2 = s0, s3 = s0;
        for (size_t e = 0; e < whole; e += 4) {
            v128_t x = wasm_v128_load(q + e);
            s0 = MADD(x, wasm_v128_load(k0 + e), s0);
            s1 = MADD(x, wasm_v128_load(k1 + e), s1);
            s2 = MADD(x, wasm_v128_load(k2 + e), s2);
            s3 = MADD(x, wasm_v128_load(k3 + e), s3);
        }
        if (whole < E) {
            int n4 = (int)(E - whole);
            v128_t x = mt_load_lanes(q + whole, n4);
            s0 = MADD(x, mt_load_lanes(k0 + whole, n4), s0);
            s1 = MADD(x, mt_load_lanes(k1 + whole, n4), s1);
            s2 = MADD(x, mt_load_lanes(k2 + whole, n4), s2);
            s3 = MADD(x, mt_load_lanes(k3 + whole, n4), s3);
        }
        v128_t s = wasm_f32x4_mul(sum_lanes4(s0, s1, s2, s3), wasm_f32x4_splat(a->scale));
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
        wasm_v128_store(out + j, s);
    }
}

/* out += sum of p[j] v[slot[j]], in the order of j. */
INLINE void values(const float *p, const int32_t *slot, int n, const float *v, size_t EV, float *out) {
    int j = 0;
    size_t whole = EV & ~(size_t)3;
    for (; j + 4 <= n; j += 4) {
        const float *v0 = v + (size_t)slot[j] * EV, *v1 = v + (size_t)slot[j + 1] * EV;
        const float *v2 = v + (size_t)slot[j + 2] * EV, *v3 = v + (size_t)slot[j + 3] * EV;
        v128_t p0 = wasm_v128_load32_splat(p + j), p1 = wasm_v128_load32_splat(p + j + 1);
        v128_t p2 = wasm_v128_load32_splat(p + j + 2), p3 = wasm_v128_load32_splat(p + j + 3);
        for (size_t e = 0; e < whole; e += 4) {
            v128_t o = wasm_v128_load(out + e);
            o = MADD(p0, wasm_v128_load(v0 + e), o);
            o = MADD(p1, wasm_v128_load(v1 + e), o);
            o = MADD(p2, wasm_v128_load(v2 + e), o);
            o = MADD(p3, wasm_v128_load(v3 + e), o);
            wasm_v128_store(out + e, o);
        }
        if (whole < EV) {
            int n4 = (int)(EV - whole);
            v128_t o = mt_load_lanes(out + whole, n4);
            o = MADD(p0, mt_load_lanes(v0 + whole, n4), o);
            o = MADD(p1, mt_load_lanes(v1 + whole, n4), o);
            o = MADD(p2, mt_load_lanes(v2 + whole, n4), o);
            o = MADD(p3, mt_load_lanes(v3 + whole, n4), o);
            mt_store_lanes(out + whole, o, n4);
        }
    }
    for (; j < n; j++) {
        v128_t pj = wasm_f32x4_splat(p[j]);
        const float *vj = v + (size_t)slot[j] * EV;
        for (size_t e = 0; e < EV; e += 4) {
            int n4 = EV - e < 4 ? (int)(EV - e) : 4;
            mt_store_lanes(out + e, MADD(pj, mt_load_lanes(vj + e, n4), mt_load_lanes(out + e, n4)), n4);
        }
    }
}

INLINE void multiply(float *out, size_t n, float by) {
    v128_t b = wasm_f32x4_splat(by);
    for (size_t e = 0; e < n; e += 4) {
        int n4 = n - e < 4 ? (int)(n - e) : 4;
        mt_store_lanes(out + e, wasm_f32x4_mul(mt_load_lanes(out + e, n4), b), n4);
    }
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
        for (int j = n; j & 3; j++) slot[j] = slot[0];
        scores(a, t, h, slot, n, p);
        for (int j = n; j & 3; j++) p[j] = -INFINITY;
        v128_t tops = wasm_f32x4_splat(m);
        for (int j = 0; j < n; j += 4) tops = wasm_f32x4_max(tops, wasm_v128_load(p + j));
        tops = wasm_f32x4_max(tops, wasm_i32x4_shuffle(tops, tops, 2, 3, 0, 1));
        tops = wasm_f32x4_max(tops, wasm_i32x4_shuffle(tops, tops, 1, 0, 3, 2));
        float top = wasm_f32x4_extract_lane(tops, 0);
        if (top != top) {
            for (size_t e = 0; e < EV; e++) out[e] = NAN;
            return;
        }
        if (top == -INFINITY) continue;
        float shrink = mt_expf(m - top);
        if (shrink != 1) multiply(out, EV, shrink);
        v128_t sum = wasm_f32x4_splat(0), shift = wasm_f32x4_splat(top);
        for (int j = 0; j < n; j += 4) {
            v128_t e = mt_expf_x4(wasm_f32x4_sub(wasm_v128_load(p + j), shift));
            wasm_v128_store(p + j, e);
            sum = wasm_f32x4_add(sum, e);
        }
        float lane[4];
        wasm_v128_store(lane, sum);
        l = l * shrink + ((lane[0] + lane[1]) + (lane[2] + lane[3]));
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
