/* Attention over runs of slots: against a double model, between implementations, free of where slots lie; rows of the
 * cache in full and rounded precision. */
#include "kernels_common.h"

typedef struct setup {
    int32_t T, H, G, E, EV, slots;
    bool softcap, alibi, sink;
    mt_cache_type type;
} setup;

static mt_pool *pool;

static float at(const mt_attend_args *a, bool value, size_t g, int32_t slot, size_t e) {
    int32_t width = value ? a->EV : a->E;
    const uint8_t *rows = value ? (const uint8_t *)a->v + g * a->v_stride : (const uint8_t *)a->k + g * a->k_stride;
    return mt_cache_value(a->type, rows + (size_t)slot * mt_cache_row(a->type, width), width, (int32_t)e);
}

static void model(const mt_attend_args *a, int32_t t, int32_t h, double *out, double *size) {
    size_t E = (size_t)a->E, EV = (size_t)a->EV, g = (size_t)(h * a->G / a->H);
    const float *q = a->q + (size_t)(t * a->H + h) * E;
    double top = a->sink ? a->sink[h] : -INFINITY, sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            sum = a->sink ? exp(a->sink[h] - top) : 0;
            for (size_t e = 0; e < EV; e++) out[e] = 0;
            *size = 0;
        }
        for (int32_t r = a->run_start[t]; r < a->run_start[t + 1]; r++)
            for (int32_t s = a->runs[r].start; s < a->runs[r].start + a->runs[r].count; s++) {
                double dot = 0;
                for (size_t e = 0; e < E; e++) dot += (double)q[e] * at(a, false, g, s, e);
                dot *= a->scale;
                if (a->softcap != 0) dot = a->softcap * tanh(dot / a->softcap);
                if (a->alibi) dot += (double)a->alibi[h] * (a->slot_position[s] - a->position[t]);
                if (pass == 0) {
                    top = fmax(top, dot);
                    continue;
                }
                double p = exp(dot - top);
                sum += p;
                for (size_t e = 0; e < EV; e++) {
                    double v = at(a, true, g, s, e);
                    out[e] += p * v;
                    *size = fmax(*size, fabs(v));
                }
            }
    }
    for (size_t e = 0; e < EV; e++) out[e] = sum == 0 ? 0 : out[e] / sum;
}

/* G planes of random rows, `stride` bytes apart. */
static uint8_t *planes(mt_cache_type type, int32_t G, size_t slots, int32_t width, size_t stride) {
    uint8_t *out = malloc(stride * (size_t)G);
    for (int32_t g = 0; g < G; g++)
        for (size_t s = 0; s < slots; s++) {
            float *x = normals((size_t)width, 1);
            mt_cache_put(type, x, width, out + (size_t)g * stride + s * mt_cache_row(type, width));
            free(x);
        }
    return out;
}

static void check(setup c) {
    size_t slots = (size_t)c.slots, nq = (size_t)(c.T * c.H * c.E), no = (size_t)(c.T * c.H * c.EV);
    size_t k_row = mt_cache_row(c.type, c.E), v_row = mt_cache_row(c.type, c.EV);
    size_t ks = slots * k_row + 32, vs = slots * v_row + 32;
    float *q = normals(nq, 1);
    uint8_t *k = planes(c.type, c.G, slots, c.E, ks), *v = planes(c.type, c.G, slots, c.EV, vs);
    float *out = malloc(no * 4), *first = malloc(no * 4), *again = malloc(no * 4);
    float *slope = normals((size_t)c.H, 0.1f), *sink = normals((size_t)c.H, 1);
    int32_t *position = malloc((size_t)c.T * 4), *slot_position = malloc(slots * 4),
            *start = malloc((size_t)(c.T + 1) * 4);
    mt_run *runs = malloc((slots + 1) * (size_t)c.T * sizeof(mt_run));
    /* Query t sees a random increasing sequence of runs; query 0 sees nothing at all. */
    int32_t count = 0;
    for (int32_t t = 0; t < c.T; t++) {
        start[t] = count;
        position[t] = c.slots + t;
        for (int32_t at = 0; t > 0 && at < c.slots;) {
            int32_t n = 1 + (int32_t)mt_rng_below(&rng, t % 2 ? 70 : 5), gap = (int32_t)mt_rng_below(&rng, 4);
            if (n > c.slots - at) n = c.slots - at;
            runs[count++] = (mt_run){at, n};
            if (mt_rng_below(&rng, 8) == 0) runs[count++] = (mt_run){at, 0}; /* empty runs are allowed */
            at += n + gap;
        }
    }
    start[c.T] = count;
    for (size_t s = 0; s < slots; s++) slot_position[s] = (int32_t)s;
    mt_attend_args a = {.T = c.T,
                        .H = c.H,
                        .G = c.G,
                        .E = c.E,
                        .EV = c.EV,
                        .q = q,
                        .type = c.type,
                        .k = k,
                        .v = v,
                        .k_stride = ks,
                        .v_stride = vs,
                        .runs = runs,
                        .run_start = start,
                        .position = position,
                        .slot_position = slot_position,
                        .scale = 1 / sqrtf((float)c.E),
                        .softcap = c.softcap ? 5 : 0,
                        .alibi = c.alibi ? slope : NULL,
                        .sink = c.sink ? sink : NULL,
                        .out = out};
    double want[256], size;
    int32_t *column = malloc(slots * 4), *slot = malloc(slots * 4), width = c.slots;
    for (int32_t s = 0; s < c.slots; s++) column[s] = c.slots - 1 - s, slot[c.slots - 1 - s] = s;
    float *scores = malloc((size_t)(c.T * c.H) * slots * 4), *p = malloc((size_t)(c.T * c.H) * slots * 4);

    for (size_t s = 0; s < 3; s++) {
        const char *isa = mt_isa_name(all_isas[s]);
        mt_kernels_use(all_isas[s], NULL);
        a.out = out;
        for (size_t i = 0; i < no; i++) out[i] = 777;
        mt_attend(NULL, &a);
        if (s == 0) memcpy(first, out, no * 4);
        if (s == 1) CHECK(differs(out, first, no) == no, "simd has other bits than ref");
        a.out = again;
        mt_attend(pool, &a);
        CHECK(differs(out, again, no) == no, "%s: threads differ", isa);
        mt_attend_scores(pool, &a, column, width, scores);
        mt_attend_softmax(pool, &a, width, scores, p);
        for (size_t i = 0; i < no; i++) again[i] = 777;
        mt_attend_values(pool, &a, slot, width, p);
        for (int32_t t = 0; t < c.T; t++)
            for (int32_t h = 0; h < c.H; h++) {
                model(&a, t, h, want, &size);
                for (int32_t e = 0; e < c.EV; e++) {
                    size_t i = (size_t)((t * c.H + h) * c.EV + e);
                    CHECK(fabs(out[i] - want[e]) <= 4e-6 * size, "%s t %d h %d e %d: %.9g, expected %.9g", isa, t, h, e,
                          out[i], want[e]);
                    CHECK(fabs(again[i] - want[e]) <= 4e-6 * size, "%s in steps t %d h %d e %d: %.9g, expected %.9g",
                          isa, t, h, e, again[i], want[e]);
                }
                double sum = 0;
                for (int32_t j = 0; j < width; j++) {
                    size_t at = ((size_t)(h * c.T + t)) * (size_t)width + (size_t)j;
                    CHECK((scores[at] == -INFINITY) == (p[at] == 0) || p[at] == 0, "invisible pairs have no share");
                    sum += p[at];
                }
                CHECK(t == 0 ? sum == 0 : c.sink ? sum < 1 : fabs(sum - 1) < 1e-5, "sum of shares %g", sum);
            }
    }

    /* One query alone, its visible slots copied to a new cache where they lie in one run: the same bits. */
    for (size_t s = 0; s < 3; s++) {
        mt_kernels_use(all_isas[s], NULL);
        a.out = out;
        mt_attend(NULL, &a);
        for (int32_t t = 0; t < c.T; t++) {
            uint8_t *k2 = malloc(ks * (size_t)c.G), *v2 = malloc(vs * (size_t)c.G);
            int32_t *position2 = malloc(slots * 4), n = 0;
            for (int32_t r = start[t]; r < start[t + 1]; r++)
                for (int32_t i = 0; i < runs[r].count; i++, n++) {
                    int32_t from = runs[r].start + i;
                    position2[n] = slot_position[from];
                    for (int32_t g = 0; g < c.G; g++) {
                        memcpy(k2 + (size_t)g * ks + (size_t)n * k_row, k + (size_t)g * ks + (size_t)from * k_row,
                               k_row);
                        memcpy(v2 + (size_t)g * vs + (size_t)n * v_row, v + (size_t)g * vs + (size_t)from * v_row,
                               v_row);
                    }
                }
            mt_run one = {0, n};
            int32_t one_start[2] = {0, 1};
            mt_attend_args b = a;
            b.T = 1;
            b.q = q + (size_t)(t * c.H * c.E);
            b.k = k2, b.v = v2, b.runs = &one, b.run_start = one_start;
            b.position = position + t, b.slot_position = position2, b.out = again;
            mt_attend(NULL, &b);
            size_t row = (size_t)(c.H * c.EV);
            CHECK(differs(again, out + (size_t)t * row, row) == row, "%s: query %d depends on where slots lie",
                  mt_isa_name(all_isas[s]), t);
            free(k2), free(v2), free(position2);
        }
    }
    free(q), free(k), free(v), free(out), free(first), free(again), free(slope), free(sink), free(position);
    free(slot_position), free(start), free(runs), free(column), free(slot), free(scores), free(p);
}

/* What is stored differs from what was given by at most half a step. */
static void check_rows(void) {
    static const int32_t widths[] = {1, 3, 4, 5, 31, 32, 33, 64, 80, 130};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (int round = 0; round < 30; round++) {
            int32_t n = widths[w];
            float *x = normals((size_t)n, round % 3 == 0   ? 1e-30f
                                          : round % 3 == 1 ? 1
                                                           : 300),
                  *y = malloc((size_t)n * 4);
            if (round % 5 == 0) x[n / 2] = 0;
            if (round % 7 == 0) memset(x, 0, (size_t)n * 4);
            for (int type = MT_CACHE_F32; type <= MT_CACHE_Q8; type++) {
                size_t bytes = mt_cache_row((mt_cache_type)type, n);
                uint8_t *row = malloc(bytes + 16);
                memset(row, 0xEE, bytes + 16);
                mt_cache_put((mt_cache_type)type, x, n, row);
                for (int i = 0; i < 16; i++)
                    CHECK(row[bytes + (size_t)i] == 0xEE, "%s writes past its row", mt_cache_name((mt_cache_type)type));
                mt_cache_get((mt_cache_type)type, row, n, y);
                for (int32_t i = 0; i < n; i++) {
                    double top = 0, bound = 0;
                    for (int32_t j = i / 32 * 32; j < n && j < i / 32 * 32 + 32; j++) top = fmax(top, fabs(x[j]));
                    if (type == MT_CACHE_F16) bound = fabs(x[i]) * 0x1p-11 + 0x1p-25;
                    if (type == MT_CACHE_Q8) bound = top / 254 * 1.00001 + 1e-36;
                    CHECK(fabs((double)y[i] - x[i]) <= bound, "%s: %g became %g", mt_cache_name((mt_cache_type)type),
                          x[i], y[i]);
                }
                free(row);
            }
            free(x), free(y);
        }
    float odd[40] = {0}, back[40];
    uint8_t row[160];
    odd[3] = INFINITY, odd[35] = 1e6f, odd[36] = -1e6f;
    mt_cache_put(MT_CACHE_Q8, odd, 40, row);
    mt_cache_get(MT_CACHE_Q8, row, 40, back);
    CHECK(isnan(back[0]) && fabsf(back[35] - 1e6f) < 1 && fabsf(back[36] + 1e6f) < 1, "%g %g", back[0], back[35]);
    odd[3] = NAN;
    mt_cache_put(MT_CACHE_F16, odd, 40, row);
    mt_cache_get(MT_CACHE_F16, row, 40, back);
    CHECK(back[3] == 98304 && back[35] == 65504 && back[36] == -65504 && back[0] == 0, "%g %g", back[3], back[35]);
    CHECK(mt_cache_row(MT_CACHE_F32, 64) == 256 && mt_cache_row(MT_CACHE_F16, 64) == 128 &&
              mt_cache_row(MT_CACHE_Q8, 64) == 72 && mt_cache_row(MT_CACHE_Q8, 5) == 12 &&
              mt_cache_row(MT_CACHE_F16, 5) == 16,
          "sizes");
}

/* Attention over rounded rows against double attention over what was given. With scores off by at most d, shares are
 * off by a factor within exp(2 d): |out - exact| <= (exp(2 d) - 1) max|v| + the error of the values. */
static void check_error(mt_cache_type type) {
    enum { E = 64, S = 100 };
    float *q = normals(E, 1), *k = normals(S * E, 1), *v = normals(S * E, 1), out[E];
    size_t row = mt_cache_row(type, E);
    uint8_t *kr = malloc(S * row), *vr = malloc(S * row);
    double dot[S], top = -INFINITY, sum = 0, d = 0, most = 0, off = 0;
    float scale = 1 / sqrtf(E), back[E];
    for (int s = 0; s < S; s++) {
        mt_cache_put(type, k + s * E, E, kr + (size_t)s * row);
        mt_cache_put(type, v + s * E, E, vr + (size_t)s * row);
        dot[s] = 0;
        double error = 0;
        mt_cache_get(type, kr + (size_t)s * row, E, back);
        for (int e = 0; e < E; e++) {
            dot[s] += (double)q[e] * k[s * E + e] * scale;
            error += fabs((double)q[e] * ((double)back[e] - k[s * E + e])) * scale;
        }
        d = fmax(d, error);
        top = fmax(top, dot[s]);
        mt_cache_get(type, vr + (size_t)s * row, E, back);
        for (int e = 0; e < E; e++) {
            most = fmax(most, fabs(v[s * E + e]));
            off = fmax(off, fabs((double)back[e] - v[s * E + e]));
        }
    }
    for (int s = 0; s < S; s++) sum += dot[s] = exp(dot[s] - top);
    int32_t start[2] = {0, 1}, slot_position[S] = {0}, position = 0;
    mt_run run = {0, S};
    mt_attend_args a = {.T = 1,
                        .H = 1,
                        .G = 1,
                        .E = E,
                        .EV = E,
                        .q = q,
                        .type = type,
                        .k = kr,
                        .v = vr,
                        .runs = &run,
                        .run_start = start,
                        .position = &position,
                        .slot_position = slot_position,
                        .scale = scale,
                        .out = out};
    for (size_t i = 0; i < 3; i++) {
        mt_kernels_use(all_isas[i], NULL);
        mt_attend(NULL, &a);
        double worst = 0, bound = (exp(2 * d) - 1) * most + off + 1e-5;
        for (int e = 0; e < E; e++) {
            double want = 0;
            for (int s = 0; s < S; s++) want += dot[s] / sum * v[s * E + e];
            worst = fmax(worst, fabs(out[e] - want));
        }
        CHECK(worst <= bound, "%s: off by %g, bound %g", mt_cache_name(type), worst, bound);
        CHECK(worst <= (type == MT_CACHE_Q8    ? 0.02
                        : type == MT_CACHE_F16 ? 0.002
                                               : 1e-5),
              "%s: off by %g", mt_cache_name(type), worst);
    }
    free(q), free(k), free(v), free(kr), free(vr);
}

int main(void) {
    mt_rng_seed(&rng, 4);
    if (mt_pool_new(3, &pool, &err) != MT_OK) return 1;
    CASE("shapes: head widths, groups, lengths around the blocks of 8 and 64");
    static const int32_t lengths[] = {1, 2, 5, 8, 9, 31, 63, 64, 65, 128, 200};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        check((setup){.T = 4, .H = 2, .G = 1, .E = 8, .EV = 8, .slots = lengths[i]});
        check((setup){.T = 3, .H = 3, .G = 3, .E = 5, .EV = 7, .slots = lengths[i]});
    }
    check((setup){.T = 5, .H = 9, .G = 3, .E = 64, .EV = 64, .slots = 150});
    check((setup){.T = 2, .H = 1, .G = 1, .E = 1, .EV = 1, .slots = 40});
    check((setup){.T = 3, .H = 4, .G = 2, .E = 18, .EV = 130, .slots = 77});
    CASE("softcap, alibi, sinks");
    for (int m = 1; m < 8; m++)
        check((setup){
            .T = 4, .H = 4, .G = 2, .E = 16, .EV = 16, .slots = 70, .softcap = m & 1, .alibi = m & 2, .sink = m & 4});
    CASE("halves and bytes: the same shapes");
    for (int type = MT_CACHE_F16; type <= MT_CACHE_Q8; type++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i += 2) {
            check((setup){.T = 4, .H = 2, .G = 1, .E = 8, .EV = 8, .slots = lengths[i], .type = (mt_cache_type)type});
            check((setup){.T = 3, .H = 3, .G = 3, .E = 5, .EV = 7, .slots = lengths[i], .type = (mt_cache_type)type});
        }
        check((setup){.T = 5, .H = 9, .G = 3, .E = 64, .EV = 64, .slots = 150, .type = (mt_cache_type)type});
        check((setup){.T = 3, .H = 4, .G = 2, .E = 18, .EV = 130, .slots = 77, .type = (mt_cache_type)type});
        check((setup){.T = 4,
                      .H = 4,
                      .G = 2,
                      .E = 80,
                      .EV = 33,
                      .slots = 70,
                      .softcap = true,
                      .alibi = true,
                      .sink = true,
                      .type = (mt_cache_type)type});
    }
    CASE("rows keep their values within half a step");
    check_rows();
    CASE("what rounding does to attention stays within its bound");
    for (int type = MT_CACHE_F32; type <= MT_CACHE_Q8; type++) check_error((mt_cache_type)type);
    CASE("huge scores neither overflow nor lose the rest");
    for (size_t s = 0; s < 3; s++) {
        mt_kernels_use(all_isas[s], NULL);
        float q[4] = {1e18f, 0, 0, 0}, k[4 * 40] = {0}, v[4 * 40], out[4], zero = 0;
        int32_t start[2] = {0, 1}, slot_position[40] = {0}, position = 0;
        mt_run run = {0, 40};
        for (int i = 0; i < 160; i++) v[i] = (float)i;
        k[4 * 3] = 1e18f, k[4 * 36] = 2e18f;
        mt_attend_args a = {.T = 1,
                            .H = 1,
                            .G = 1,
                            .E = 4,
                            .EV = 4,
                            .q = q,
                            .k = k,
                            .v = v,
                            .runs = &run,
                            .run_start = start,
                            .position = &position,
                            .slot_position = slot_position,
                            .scale = 1,
                            .out = out};
        mt_attend(NULL, &a);
        for (int e = 0; e < 4; e++) CHECK(out[e] == v[4 * 36 + e], "%g", out[e]);
        k[5] = NAN, q[1] = 1;
        mt_attend(NULL, &a);
        CHECK(isnan(out[0]), "NaN shows");
        k[5] = 0, q[0] = 0, q[1] = 0;
        mt_attend(NULL, &a);
        CHECK(fabsf(out[0] - 78) < 1e-4f, "equal scores average: %g", out[0]);
        (void)zero;
    }
    mt_pool_free(pool);
    return test_end();
}
