/* Scalar attention of one query and head over runs of cache slots, with the online softmax (Milakov & Gimelshein 2018;
 * Dao et al. 2022): slots are taken in blocks of 64, counted along the visible sequence and not along the runs, so the
 * result depends on what is seen and in which order, never on where it is stored.
 *
 *     m, l, o = sink, 1, 0  (no sink: -inf, 0, 0)
 *     per block: s_j = score, m' = max(m, max s), o, l *= e^(m - m'), p_j = e^(s_j - m'), l += sum p, o += sum p_j v_j
 *     out = o / l   (nothing seen: 0)
 *
 * Dot products and sums of p run in four lanes, element i in lane i % 4, added as (0 + 1) + (2 + 3). */
#include "kernel.h"

#include <math.h>

#include "ref_math.h"

static float lanes_sum(const float lane[4]) {
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

static float score(const mt_attend_args *a, int32_t t, int32_t h, int32_t slot) {
    size_t E = (size_t)a->E, g = (size_t)h * (size_t)a->G / (size_t)a->H;
    const float *q = a->q + ((size_t)t * (size_t)a->H + (size_t)h) * E;
    const uint8_t *k = (const uint8_t *)a->k + g * a->k_stride + (size_t)slot * mt_cache_row(a->type, a->E);
    float lane[4] = {0};
    for (size_t e = 0; e < E; e++) lane[e & 3] = q[e] * mt_cache_value(a->type, k, a->E, (int32_t)e) + lane[e & 3];
    float s = lanes_sum(lane) * a->scale;
    if (a->softcap != 0) s = mt_tanhf(s / a->softcap) * a->softcap;
    if (a->alibi) s = s + a->alibi[h] * (float)(a->slot_position[slot] - a->position[t]);
    return s;
}

static void attend_head(const mt_attend_args *a, int32_t t, int32_t h) {
    size_t EV = (size_t)a->EV, g = (size_t)h * (size_t)a->G / (size_t)a->H;
    const uint8_t *v = (const uint8_t *)a->v + g * a->v_stride;
    size_t row = mt_cache_row(a->type, a->EV);
    float *out = a->out + ((size_t)t * (size_t)a->H + (size_t)h) * EV;
    float m = a->sink ? a->sink[h] : -INFINITY, l = a->sink ? 1 : 0;
    for (size_t e = 0; e < EV; e++) out[e] = 0;
    int32_t run = a->run_start[t], at = 0; /* the next visible slot is runs[run].start + at */
    for (;;) {
        int32_t slot[MT_ATTEND_BLOCK];
        float p[MT_ATTEND_BLOCK], top = m, lane[4] = {0};
        int n = 0;
        for (; run < a->run_start[t + 1] && n < MT_ATTEND_BLOCK; run++, at = 0)
            for (; at < a->runs[run].count; at++) {
                if (n == MT_ATTEND_BLOCK) goto full;
                slot[n++] = a->runs[run].start + at;
            }
    full:
        if (n == 0) break;
        for (int j = 0; j < n; j++) {
            p[j] = score(a, t, h, slot[j]);
            if (p[j] > top) top = p[j]; /* NaN is skipped here: its share will be NaN and so will l */
        }
        if (top == -INFINITY) {
            for (int j = 0; j < n; j++)
                if (p[j] != p[j]) l = NAN;
            continue; /* nothing to add: all shares are 0 */
        }
        float shrink = mt_expf(m - top);
        if (shrink != 1)
            for (size_t e = 0; e < EV; e++) out[e] = out[e] * shrink;
        for (int j = 0; j < n; j++) lane[j & 3] += p[j] = mt_expf(p[j] - top);
        l = l * shrink + lanes_sum(lane);
        m = top;
        for (int j = 0; j < n; j++)
            for (size_t e = 0; e < EV; e++)
                out[e] = p[j] * mt_cache_value(a->type, v + (size_t)slot[j] * row, a->EV, (int32_t)e) + out[e];
    }
    float inverse = l == 0 ? 0 : 1 / l;
    for (size_t e = 0; e < EV; e++) out[e] = out[e] * inverse;
}

void mt_ref_attend(const mt_attend_args *a, int32_t t, int32_t h, int32_t count) {
    for (int32_t i = 0; i < count; i++) attend_head(a, t, h + i);
}

void mt_ref_attend_scores(const mt_attend_args *a, int32_t t, int32_t h, const int32_t *column, float *row) {
    for (int32_t r = a->run_start[t]; r < a->run_start[t + 1]; r++)
        for (int32_t s = a->runs[r].start; s < a->runs[r].start + a->runs[r].count; s++)
            row[column[s]] = score(a, t, h, s);
}

void mt_ref_attend_values(const mt_attend_args *a, int32_t h, const float *p, const int32_t *slot, int32_t n,
                          float *out) {
    const uint8_t *v = (const uint8_t *)a->v + (size_t)h * (size_t)a->G / (size_t)a->H * a->v_stride;
    size_t row = mt_cache_row(a->type, a->EV);
    for (int32_t e = 0; e < a->EV; e++) out[e] = 0;
    for (int32_t j = 0; j < n; j++) {
        if (slot[j] < 0 || p[j] == 0) continue;
        for (int32_t e = 0; e < a->EV; e++)
            out[e] = p[j] * mt_cache_value(a->type, v + (size_t)slot[j] * row, a->EV, e) + out[e];
    }
}
