/* Attention of one query over cache slots: the algorithm of ref_attend.c. Heads of one group go through it in pairs,
 * sharing every load of a key or value (three would spill); vector sums are transposed and added; outputs stay in
 * registers while a block's values are added. */
#include "simd.h"
#ifdef MT_HAVE_SIMD
#include "kernel.h"

#include <math.h>

#include "simd_constants.h"
#include "simd_math.h"

/* (a0 + a1) + (a2 + a3) of each of four vectors. */
INLINE v128_t sum_lanes4(v128_t a, v128_t b, v128_t c, v128_t d) {
    v128_t ab_low = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), ab_high = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
    v128_t cd_low = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), cd_high = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
    v128_t s0 = wasm_i32x4_shuffle(ab_low, cd_low, 0, 1, 4, 5), s1 = wasm_i32x4_shuffle(ab_low, cd_low, 2, 3, 6, 7);
    v128_t s2 = wasm_i32x4_shuffle(ab_high, cd_high, 0, 1, 4, 5), s3 = wasm_i32x4_shuffle(ab_high, cd_high, 2, 3, 6, 7);
    return wasm_f32x4_add(wasm_f32x4_add(s0, s1), wasm_f32x4_add(s2, s3));
}

/* Four values of a cache row of `width` from e on, e a multiple of four. */
INLINE v128_t load_row(const int type, const uint8_t *row, size_t e, size_t width) {
    if (type == MT_CACHE_F16) {
        /* Sign, exponent and mantissa moved into place; a multiplication by 2^112 corrects the exponent, also of
         * subnormal halves. */
        v128_t moved = wasm_v128_and(wasm_i32x4_shl(wasm_i32x4_load16x4(row + 2 * e), 13), F(HALF_BITS));
        return wasm_f32x4_mul(moved, F(HALF_REBIAS));
    }
    if (type == MT_CACHE_Q8) {
        const float *scale = (const float *)row;
        const uint8_t *q = row + 4 * ((width + MT_CACHE_BLOCK - 1) / MT_CACHE_BLOCK);
        v128_t bytes = wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(q + e));
        v128_t value = wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(bytes));
        return wasm_f32x4_mul(value, wasm_v128_load32_splat(scale + e / MT_CACHE_BLOCK));
    }
    return wasm_v128_load(row + 4 * e);
}
/* The last ones, fewer than four: rounded rows are padded with zeros, of float rows only what is there is read. */
INLINE v128_t load_rest(const int type, const uint8_t *row, size_t e, size_t width) {
    if (type != MT_CACHE_F32) return load_row(type, row, e, width);
    return mt_load_lanes((const float *)row + e, (int)(width - e));
}

/* Dot products of R rows of q, E apart, with S keys: R * S chains hide the latency of the addition. Row r's go to
 * out + 64 r. */
INLINE void dots(const int type, const float *q, const int R, const uint8_t *keys, size_t E, const int32_t *slot,
                 const int S, v128_t scale, float *out) {
    const uint8_t *k[8];
    v128_t s[8];
    size_t whole = E & ~(size_t)3;
    for (int i = 0; i < S; i++) k[i] = keys + (size_t)slot[i] * mt_cache_row(type, (int32_t)E);
    for (int i = 0; i < R * S; i++) s[i] = wasm_f32x4_splat(0);
    for (size_t e = 0; e < whole; e += 4) {
        v128_t x[2];
        for (int r = 0; r < R; r++) x[r] = wasm_v128_load(q + (size_t)r * E + e);
        for (int i = 0; i < S; i++) {
            v128_t y = load_row(type, k[i], e, E);
            for (int r = 0; r < R; r++) s[r * S + i] = MADD(x[r], y, s[r * S + i]);
        }
    }
    if (whole < E) {
        int rest = (int)(E - whole);
        for (int r = 0; r < R; r++) {
            v128_t x = mt_load_lanes(q + (size_t)r * E + whole, rest);
            for (int i = 0; i < S; i++) s[r * S + i] = MADD(x, load_rest(type, k[i], whole, E), s[r * S + i]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int i = 0; i < S; i += 4) {
            const v128_t *a = s + r * S + i;
            wasm_v128_store(out + MT_ATTEND_BLOCK * r + i, wasm_f32x4_mul(sum_lanes4(a[0], a[1], a[2], a[3]), scale));
        }
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

/* Scores of heads h..h+R-1 with slot[0..n); slot[] and the rows of p are padded to a multiple of eight, slot[] with any
 * slots that exist. */
INLINE void scores(const int type, const mt_attend_args *a, int32_t t, int32_t h, const int R, const int32_t *slot,
                   int n, float *p) {
    size_t E = (size_t)a->E, g = (size_t)h * (size_t)a->G / (size_t)a->H;
    const float *q = a->q + ((size_t)t * (size_t)a->H + (size_t)h) * E;
    const uint8_t *keys = (const uint8_t *)a->k + g * a->k_stride;
    const int S = R == 1 ? 8 : 4;
    v128_t scale = wasm_f32x4_splat(a->scale);
    for (int j = 0; j < n; j += S) dots(type, q, R, keys, E, slot + j, S, scale, p + j);
    if (a->softcap != 0 || a->alibi)
        for (int r = 0; r < R; r++) NAME(attend_adjust)(a, t, h + r, slot, (n + 7) & ~7, p + MT_ATTEND_BLOCK * r);
}

/* out += sum of p[j] v[slot[j]] for R rows, in the order of j, elements e.. of them; R * W vectors of outputs stay in
 * registers. */
INLINE void values_slice(const int type, const float *p, const int R, const int32_t *slot, int n, const uint8_t *v,
                         size_t e, size_t EV, const int W, float *out) {
    v128_t o[8];
    size_t stride = mt_cache_row(type, (int32_t)EV);
    for (int r = 0; r < R; r++)
        for (int i = 0; i < W; i++) o[r * W + i] = wasm_v128_load(out + (size_t)r * EV + e + 4 * (size_t)i);
    for (int j = 0; j < n; j++) {
        const uint8_t *row = v + (size_t)slot[j] * stride;
        v128_t by[2];
        for (int r = 0; r < R; r++) by[r] = wasm_v128_load32_splat(p + MT_ATTEND_BLOCK * r + j);
        for (int i = 0; i < W; i++) {
            v128_t x = load_row(type, row, e + 4 * (size_t)i, EV);
            for (int r = 0; r < R; r++) o[r * W + i] = MADD(by[r], x, o[r * W + i]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int i = 0; i < W; i++) wasm_v128_store(out + (size_t)r * EV + e + 4 * (size_t)i, o[r * W + i]);
}
INLINE void values(const int type, const float *p, const int R, const int32_t *slot, int n, const uint8_t *v, size_t EV,
                   float *out) {
    const int W = R == 1 ? 8 : 4;
    size_t e = 0, stride = mt_cache_row(type, (int32_t)EV);
    for (; e + 4 * (size_t)W <= EV; e += 4 * (size_t)W) values_slice(type, p, R, slot, n, v, e, EV, W, out);
    for (; e + 4 <= EV; e += 4) values_slice(type, p, R, slot, n, v, e, EV, 1, out);
    if (e == EV) return;
    int rest = (int)(EV - e);
    for (int r = 0; r < R; r++) {
        v128_t o = mt_load_lanes(out + (size_t)r * EV + e, rest);
        for (int j = 0; j < n; j++)
            o = MADD(wasm_v128_load32_splat(p + MT_ATTEND_BLOCK * r + j),
                     load_rest(type, v + (size_t)slot[j] * stride, e, EV), o);
        mt_store_lanes(out + (size_t)r * EV + e, o, rest);
    }
}

INLINE void multiply(float *out, size_t n, float by) {
    v128_t b = wasm_f32x4_splat(by);
    size_t e = 0;
    for (; e + 4 <= n; e += 4) wasm_v128_store(out + e, wasm_f32x4_mul(wasm_v128_load(out + e), b));
    for (; e < n; e++) out[e] = out[e] * by;
}

/* One block of one row: scores in p become shares, m and l move on, out is rescaled. */
INLINE void block_softmax(float *p, int n, float *m, float *l, float *out, size_t EV) {
    int padded = (n + 7) & ~7;
    for (int j = n; j < padded; j++) p[j] = -INFINITY;
    v128_t tops = wasm_f32x4_splat(*m);
    for (int j = 0; j < padded; j += 4) tops = wasm_f32x4_pmax(tops, wasm_v128_load(p + j)); /* skips NaN */
    tops = wasm_f32x4_pmax(tops, wasm_i32x4_shuffle(tops, tops, 2, 3, 0, 1));
    tops = wasm_f32x4_pmax(tops, wasm_i32x4_shuffle(tops, tops, 1, 0, 3, 2));
    float top = wasm_f32x4_extract_lane(tops, 0);
    if (top == -INFINITY) {
        for (int j = 0; j < n; j++) {
            if (p[j] != p[j]) *l = NAN;
            p[j] = 0;
        }
        return;
    }
    float shrink = mt_expf(*m - top);
    if (shrink != 1) multiply(out, EV, shrink);
    v128_t sum = wasm_f32x4_splat(0), shift = wasm_f32x4_splat(top);
    for (int j = 0; j < padded; j += 4) {
        v128_t e = mt_expf_x4(wasm_f32x4_sub(wasm_v128_load(p + j), shift));
        wasm_v128_store(p + j, e);
        sum = wasm_f32x4_add(sum, e);
    }
    *l = *l * shrink + ((wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1)) +
                        (wasm_f32x4_extract_lane(sum, 2) + wasm_f32x4_extract_lane(sum, 3)));
    *m = top;
}

/* R heads of one group: they see the same keys and values, whose loads they share. */
INLINE void attend_heads(const int type, const mt_attend_args *a, int32_t t, int32_t h, const int R) {
    size_t EV = (size_t)a->EV, g = (size_t)h * (size_t)a->G / (size_t)a->H;
    const uint8_t *v = (const uint8_t *)a->v + g * a->v_stride;
    float *out = a->out + ((size_t)t * (size_t)a->H + (size_t)h) * EV, m[2], l[2];
    for (int r = 0; r < R; r++) {
        m[r] = a->sink ? a->sink[h + r] : -INFINITY;
        l[r] = a->sink ? 1 : 0;
    }
    memset(out, 0, (size_t)R * EV * sizeof(float));
    int32_t run = a->run_start[t], end = a->run_start[t + 1], at = 0;
    for (;;) {
        int32_t slot[MT_ATTEND_BLOCK];
        float p[2 * MT_ATTEND_BLOCK];
        int n = 0;
        while (run < end && n < MT_ATTEND_BLOCK) {
            int32_t left = a->runs[run].count - at, take = MT_ATTEND_BLOCK - n < left ? MT_ATTEND_BLOCK - n : left;
            for (int32_t i = 0; i < take; i++) slot[n + i] = a->runs[run].start + at + i;
            n += take > 0 ? take : 0;
            at += take;
            if (at >= a->runs[run].count) run++, at = 0;
        }
        if (n == 0) break;
        for (int j = n; j & 7; j++) slot[j] = slot[0];
        scores(type, a, t, h, R, slot, n, p);
        for (int r = 0; r < R; r++) block_softmax(p + MT_ATTEND_BLOCK * r, n, &m[r], &l[r], out + (size_t)r * EV, EV);
        values(type, p, R, slot, n, v, EV, out);
    }
    for (int r = 0; r < R; r++) multiply(out + (size_t)r * EV, EV, l[r] == 0 ? 0 : 1 / l[r]);
}
/* One copy of the code for each kind of row. */
#define BY_TYPE(type, call)                                                                                            \
    switch (type) {                                                                                                    \
    case MT_CACHE_F16:                                                                                                 \
        call(MT_CACHE_F16);                                                                                            \
        break;                                                                                                         \
    case MT_CACHE_Q8:                                                                                                  \
        call(MT_CACHE_Q8);                                                                                             \
        break;                                                                                                         \
    default:                                                                                                           \
        call(MT_CACHE_F32);                                                                                            \
        break;                                                                                                         \
    }

void NAME(attend)(const mt_attend_args *a, int32_t t, int32_t h, int32_t count) {
#define PAIRS(type)                                                                                                    \
    for (; count > 1; h += 2, count -= 2) attend_heads(type, a, t, h, 2);                                              \
    if (count) attend_heads(type, a, t, h, 1)
    BY_TYPE(a->type, PAIRS)
#undef PAIRS
}

void NAME(attend_scores)(const mt_attend_args *a, int32_t t, int32_t h, const int32_t *column, float *row) {
    for (int32_t r = a->run_start[t]; r < a->run_start[t + 1]; r++) {
        int32_t start = a->runs[r].start, count = a->runs[r].count;
        for (int32_t i = 0; i < count; i += MT_ATTEND_BLOCK) {
            int32_t slot[MT_ATTEND_BLOCK];
            float p[MT_ATTEND_BLOCK];
            int n = count - i < MT_ATTEND_BLOCK ? count - i : MT_ATTEND_BLOCK;
            for (int j = 0; j < MT_ATTEND_BLOCK; j++) slot[j] = start + i + (j < n ? j : 0);
#define SCORES(type) scores(type, a, t, h, 1, slot, n, p)
            BY_TYPE(a->type, SCORES)
#undef SCORES
            for (int j = 0; j < n; j++) row[column[slot[j]]] = p[j];
        }
    }
}

static void NAME(add_values)(const mt_attend_args *a, int32_t h, const float *p, const int32_t *slot, int n,
                             float *out) {
    const uint8_t *v = (const uint8_t *)a->v + (size_t)h * (size_t)a->G / (size_t)a->H * a->v_stride;
#define VALUES(type) values(type, p, 1, slot, n, v, (size_t)a->EV, out)
    BY_TYPE(a->type, VALUES)
#undef VALUES
}
void NAME(attend_values)(const mt_attend_args *a, int32_t h, const float *p, const int32_t *slot, int32_t n,
                         float *out) {
    memset(out, 0, (size_t)a->EV * sizeof(float));
    int32_t used[MT_ATTEND_BLOCK];
    float weight[MT_ATTEND_BLOCK];
    int k = 0;
    for (int32_t j = 0; j < n; j++) {
        if (slot[j] < 0 || p[j] == 0) continue;
        used[k] = slot[j];
        weight[k++] = p[j];
        if (k < MT_ATTEND_BLOCK) continue;
        NAME(add_values)(a, h, weight, used, k, out);
        k = 0;
    }
    NAME(add_values)(a, h, weight, used, k, out);
}
#undef BY_TYPE
#endif
