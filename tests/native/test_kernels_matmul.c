/* Matrix products of every storage type: against a double model, between implementations, one token or many, one
 * thread or several. */
#include "kernels_common.h"

/* Random blocks of a type whose half-float fields are sane. */
static void random_blocks(uint32_t type, uint8_t *p, size_t rows, size_t cols) {
    const mt_dtype_info *info = mt_dtype_find(type);
    size_t blocks = rows * cols / info->block;
    if (info->from_float && type != MT_Q8_0) {
        float *x = normals(rows * cols, 0.1f);
        info->from_float(x, p, rows * cols);
        free(x);
        return;
    }
    static const struct {
        uint32_t type;
        int half[2];
    } halves[] = {{MT_Q8_0, {0, -1}}, {MT_Q2_K, {80, 82}},  {MT_Q3_K, {108, -1}}, {MT_Q4_K, {0, 2}},
                  {MT_Q5_K, {0, 2}},  {MT_Q6_K, {208, -1}}, {MT_IQ4_NL, {0, -1}}};
    for (size_t b = 0; b < blocks; b++, p += info->bytes) {
        for (size_t i = 0; i < info->bytes; i++) p[i] = (uint8_t)(mt_rng_next(&rng) >> 30);
        for (size_t h = 0; h < sizeof halves / sizeof *halves; h++)
            for (int j = 0; j < 2; j++)
                if (halves[h].type == type && halves[h].half[j] >= 0) {
                    uint16_t d = mt_float_to_half(0.01f * normal());
                    memcpy(p + halves[h].half[j], &d, 2);
                }
    }
}

enum { T = 7, STRIDE_SLACK = 5 };
static mt_pool *pools[2];

static void check_product(uint32_t type, int32_t N, int32_t K, bool with_bias) {
    const mt_dtype_info *info = mt_dtype_find(type);
    size_t row_bytes = (size_t)K / info->block * info->bytes, xs = (size_t)K + 3, ys = (size_t)N + STRIDE_SLACK;
    uint8_t *source = malloc(row_bytes * (size_t)N);
    random_blocks(type, source, (size_t)N, (size_t)K);
    mt_weight w;
    CHECK_OK(mt_weight_new(&w, type, N, K, &err));
    int32_t cut = N / 3; /* rows arrive in pieces */
    mt_weight_put_rows(NULL, &w, cut, N - cut, source + (size_t)cut * row_bytes);
    mt_weight_put_rows(NULL, &w, 0, cut, source);

    float *W = malloc((size_t)N * (size_t)K * 4), *row = malloc((size_t)K * 4);
    info->to_float(source, W, (size_t)N * (size_t)K);
    for (int32_t n = 0; n < N; n++) {
        mt_weight_row(&w, n, row);
        CHECK(differs(row, W + (size_t)n * (size_t)K, (size_t)K) == (size_t)K, "%s row %d of %d", info->name, n, N);
    }

    float *x = normals(xs * T, 1), *bias = with_bias ? normals((size_t)N, 1) : NULL;
    for (int32_t k = 0; k < K; k++) x[xs + (size_t)k] = 0;                          /* a row of zeros */
    for (int32_t k = 0; k < K; k++) x[2 * xs + (size_t)k] *= k % 37 ? 1e-3f : 1e3f; /* a row with outliers */
    float *y = malloc(ys * T * 4), *z = malloc(ys * T * 4), *first = malloc(ys * T * 4);
    size_t scratch_bytes = mt_matmul_scratch(&w, T);
    void *scratch = malloc(scratch_bytes), *small = malloc(mt_matmul_scratch(&w, 1));
    CHECK((scratch_bytes == 0) == (info->block == 1), "scratch");

    /* The model multiplies what the kernels multiply: quantised weights meet quantised activations. */
    float *xm = malloc(xs * T * 4);
    memcpy(xm, x, xs * T * 4);
    if (info->block > 1) {
        int16_t *q = malloc((size_t)K * 2);
        float *d = malloc((size_t)K / 32 * 4);
        int32_t *s = malloc((size_t)K / 16 * 4);
        int8_t *bytes = w.nibbles ? malloc((size_t)K) : NULL;
        for (int t = 0; t < T; t++) {
            mt_ref_quantize(x + (size_t)t * xs, K, q, bytes, d, s);
            for (int32_t k = 0; k < K; k++) {
                xm[(size_t)t * xs + (size_t)k] = d[k / 32] * q[k];
                CHECK(fabs((double)d[k / 32] * q[k] - x[(size_t)t * xs + (size_t)k]) <= d[k / 32] * 0.51, "rounding");
            }
        }
        free(q), free(d), free(s), free(bytes);
    }

    for (size_t s = 0; s < 3; s++) {
        mt_kernels_use(all_isas[s], NULL);
        const char *isa = mt_isa_name(all_isas[s]);
        for (size_t i = 0; i < ys * T; i++) y[i] = z[i] = 12345;
        mt_matmul(NULL, &w, x, xs, T, bias, y, ys, scratch);
        for (int t = 0; t < T; t++) {
            for (int32_t n = 0; n < N; n++) {
                double sum = 0, size = 0, got = y[(size_t)t * ys + (size_t)n];
                for (int32_t k = 0; k < K; k++) {
                    double p = (double)xm[(size_t)t * xs + (size_t)k] * W[(size_t)n * (size_t)K + (size_t)k];
                    sum += p;
                    size += fabs(p);
                }
                if (bias) sum += bias[n], size += fabs(bias[n]);
                /* Types with minima also sum the two parts of each value; their sizes may exceed that of their
                 * difference. */
                double terms = info->block == 1 ? (K < 256 ? K : 256) + K / 256.0 + 3 : 2.0 * K / 16 + 6;
                if (w.minima) {
                    for (int32_t k = 0; k < K; k += w.group) {
                        double sx = 0;
                        for (int32_t i = k; i < k + w.group; i++) sx += xm[(size_t)t * xs + (size_t)i];
                        size_t at =
                            ((size_t)(n / 4) * (size_t)(K / w.group) + (size_t)(k / w.group)) * 4 + (size_t)(n % 4);
                        size += 2 * fabs(sx * w.minima[at]);
                    }
                }
                CHECK(fabs(got - sum) <= terms * 0x1p-24 * size + 1e-37,
                      "%s %s %dx%d t %d n %d: %.9g, expected %.9g +- %g", isa, info->name, N, K, t, n, got, sum,
                      terms * 0x1p-24 * size);
            }
            for (size_t i = (size_t)N; i < ys; i++) CHECK(y[(size_t)t * ys + i] == 12345, "writes past the row");
        }
        if (s == 0) memcpy(first, y, ys * T * 4);
        if (s == 1 || info->block > 1)
            CHECK(differs(y, first, ys * T) == ys * T, "%s %s %dx%d has other bits than ref", isa, info->name, N, K);
        for (int t = 0; t < T; t++) mt_matmul(NULL, &w, x + (size_t)t * xs, xs, 1, bias, z + (size_t)t * ys, ys, small);
        CHECK(differs(y, z, ys * T) == ys * T, "%s %s %dx%d: one token and %d tokens differ", isa, info->name, N, K, T);
        for (int32_t count = 2; count < T; count++) {
            mt_matmul(NULL, &w, x, xs, count, bias, z, ys, scratch);
            CHECK(differs(y, z, ys * (size_t)count) == ys * (size_t)count, "%s %s: %d tokens differ", isa, info->name,
                  count);
        }
        for (size_t p = 0; p < 2; p++) {
            for (size_t i = 0; i < ys * T; i++) z[i] = 12345;
            mt_matmul(pools[p], &w, x, xs, T, bias, z, ys, scratch);
            CHECK(differs(y, z, ys * T) == ys * T, "%s %s: %d threads differ", isa, info->name,
                  mt_pool_threads(pools[p]));
        }
    }
    mt_weight_free(&w);
    free(source), free(W), free(row), free(x), free(bias), free(y), free(z), free(first), free(scratch), free(small),
        free(xm);
}

static void check_quantize(void) {
    enum { K = 32 * 40 };
    static float x[K];
    for (int i = 0; i < K; i++) x[i] = normal();
    for (int i = 0; i < 32; i++) x[i] = 0, x[32 + i] = i == 5 ? NAN : 1, x[64 + i] = i == 7 ? -INFINITY : 1;
    for (int i = 0; i < 32; i++) x[96 + i] = (float)(i - 16) * 1e-45f, x[128 + i] = i & 1 ? 3.4e38f : -3.4e38f;
    for (int i = 0; i < 32; i++) x[160 + i] = (float)i + 0.5f; /* ties, with a scale of exactly 1 */
    x[160] = 127;
    for (int i = 0; i < 32; i++) x[192 + i] = -(float)i - 0.5f;
    x[192] = -127;
    for (int i = 0; i < 32; i++) x[224 + i] = i ? 0.49999997f : 127;
    for (int i = 256; i < K / 2; i++) x[i] = of_bits((uint32_t)mt_rng_next(&rng) & 0xBFFFFFFF); /* all magnitudes */
    int16_t q[2][K];
    float d[2][K / 32];
    int32_t s[2][K / 16];
    int8_t bytes[2][K];
    static const float limit[2] = {32767, 127};
    for (int as_bytes = 0; as_bytes < 2; as_bytes++) { /* 16 bits, then 8: both as the scalar code rounds */
        mt_ref_quantize(x, K, q[0], as_bytes ? bytes[0] : NULL, d[0], s[0]);
        mt_simd_quantize(x, K, q[1], as_bytes ? bytes[1] : NULL, d[1], s[1]);
        CHECK(memcmp(q[0], q[1], sizeof q[0]) == 0 && memcmp(s[0], s[1], sizeof s[0]) == 0, "q and sums, %g",
              limit[as_bytes]);
        CHECK(differs(d[0], d[1], K / 32) == K / 32, "scales, %g", limit[as_bytes]);
        for (int i = K / 2; i < K; i++)
            CHECK(fabs((double)d[0][i / 32] * q[0][i] - x[i]) <= d[0][i / 32] * 0.51, "rounding, %g", limit[as_bytes]);
    }
    mt_ref_quantize(x, K, q[0], bytes[0], d[0], s[0]);
    mt_simd_quantize(x, K, q[1], bytes[1], d[1], s[1]);
    for (int i = 0; i < K; i++) CHECK(bytes[0][i] == q[0][i] && bytes[1][i] == q[0][i], "byte %d", i);
    for (int i = 0; i < K; i++) CHECK(q[0][i] == q[1][i], "q[%d] of %.9g: %d, simd %d", i, x[i], q[0][i], q[1][i]);
    CHECK(differs(d[0], d[1], K / 32) == K / 32 && memcmp(s[0], s[1], sizeof s[0]) == 0, "scales and sums");
    CHECK(isnan(d[0][1]) && isnan(d[0][2]) && d[0][3] == 0, "NaN, infinity, subnormal");
    for (int i = 1; i < 32; i++)
        CHECK(q[0][160 + i] == i + 1 && q[0][192 + i] == -i - 1 && q[0][224 + i] == 0, "ties %d", i);
    for (int g = 0; g < K / 16; g++) {
        int32_t sum = 0;
        for (int i = 0; i < 16; i++) sum += q[0][16 * g + i];
        CHECK(sum == s[0][g], "sum %d", g);
    }
    /* The same integers as the storage type Q8_0 has. */
    uint8_t blocks[K / 32 * 34];
    mt_dtype_find(MT_Q8_0)->from_float(x + K / 2, blocks, K / 2);
    for (int i = 0; i < K / 2; i++) CHECK((int8_t)blocks[i / 32 * 34 + 2 + i % 32] == q[0][K / 2 + i], "Q8_0 %d", i);
}

static uint32_t lcg_state;
static double lcg_gauss(void) { /* sum of twelve uniforms minus six */
    double sum = -6;
    for (int i = 0; i < 12; i++) {
        lcg_state = lcg_state * 1664525 + 1013904223;
        sum += lcg_state / 4294967296.0;
    }
    return sum;
}

int main(void) {
    mt_rng_seed(&rng, 3);
    for (int p = 0; p < 2; p++) /* builds without threads make pools of one */
        if (mt_pool_new(2 + 3 * p, &pools[p], &err) != MT_OK) return 1;

    CASE("activations are rounded alike everywhere");
    check_quantize();

    CASE("float products");
    static const uint32_t floats[] = {MT_F32, MT_F16, MT_BF16};
    static const int32_t shapes[][2] = {{1, 1}, {3, 5}, {8, 256}, {9, 257}, {33, 172}, {37, 600}, {64, 31}, {130, 520}};
    for (size_t t = 0; t < 3; t++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_product(floats[t], shapes[i][0], shapes[i][1], i & 1);

    CASE("quantised products");
    static const uint32_t quantised[] = {MT_Q8_0, MT_Q4_0, MT_Q4_1, MT_Q5_0, MT_Q5_1, MT_IQ4_NL};
    static const int32_t shapes32[][2] = {{1, 32}, {3, 64}, {4, 32}, {9, 96}, {13, 288}, {70, 192}, {260, 160}};
    for (size_t t = 0; t < 6; t++)
        for (size_t i = 0; i < sizeof shapes32 / sizeof *shapes32; i++)
            check_product(quantised[t], shapes32[i][0], shapes32[i][1], i & 1);
    static const uint32_t super[] = {MT_Q2_K, MT_Q3_K, MT_Q4_K, MT_Q5_K, MT_Q6_K};
    static const int32_t shapes256[][2] = {{1, 256}, {5, 512}, {70, 256}};
    for (size_t t = 0; t < 5; t++)
        for (size_t i = 0; i < sizeof shapes256 / sizeof *shapes256; i++)
            check_product(super[t], shapes256[i][0], shapes256[i][1], i & 1);

    CASE("a large product, cut into calls and token blocks");
    {
        enum { N = 100, K = 4096, TT = 40 };
        mt_weight w;
        uint8_t *source = malloc(N * K * 4);
        float *x = normals((size_t)K * TT, 1), *y = malloc(N * TT * 4), *z = malloc(N * TT * 4);
        for (int f = 0; f < 2; f++) {
            uint32_t type = f ? MT_F32 : MT_Q8_0;
            random_blocks(type, source, N, K);
            CHECK_OK(mt_weight_new(&w, type, N, K, &err));
            mt_weight_put_rows(NULL, &w, 0, N, source);
            mt_weight shared; /* repacked by threads: the same bytes */
            CHECK_OK(mt_weight_new(&shared, type, N, K, &err));
            mt_weight_put_rows(pools[1], &shared, 0, N - 4, source);
            mt_weight_put_rows(pools[1], &shared, N - 4, 4, source + (size_t)(N - 4) * (f ? K * 4 : K / 32 * 34));
            CHECK(memcmp(w.data, shared.data, w.bytes - (f ? 0 : N * K / 8)) == 0, "type %u: threads", type);
            CHECK(f || memcmp(w.scales, shared.scales, N * K / 8) == 0, "scales: threads");
            mt_weight_free(&shared);
            void *scratch = malloc(mt_matmul_scratch(&w, TT));
            mt_kernels_use(MT_ISA_REF, NULL);
            mt_matmul(NULL, &w, x, K, TT, NULL, y, N, scratch);
            mt_kernels_use(MT_ISA_SIMD, NULL);
            mt_matmul(pools[1], &w, x, K, TT, NULL, z, N, scratch);
            CHECK(differs(y, z, N * TT) == N * TT, "type %u", type);
            free(scratch);
            mt_weight_free(&w);
        }
        free(source), free(x), free(y), free(z);
    }

    CASE("products of one input: together as one by one");
    for (size_t type = 0; type < 3; type++) {
        enum { K = 256, TT = 5 };
        static const int32_t rows[3] = {96, 7, 130};
        uint32_t kind = (uint32_t[]){MT_Q8_0, MT_Q4_0, MT_F32}[type];
        uint8_t *source = malloc(130 * K * 4);
        float *x = normals((size_t)K * TT, 3), *one = malloc(TT * 130 * 4), *all[3];
        mt_weight w[3];
        mt_product product[3];
        random_blocks(kind, source, 130, K);
        for (int i = 0; i < 3; i++) {
            CHECK_OK(mt_weight_new(&w[i], kind, rows[i], K, &err));
            mt_weight_put_rows(NULL, &w[i], 0, rows[i], source);
            all[i] = malloc((size_t)(TT * rows[i]) * 4);
            product[i] = (mt_product){&w[i], i == 1 ? x : NULL, all[i], (size_t)rows[i]};
        }
        CHECK(mt_weight_alike(&w[0], &w[2]), "alike");
        void *scratch = malloc(mt_matmul_scratch(&w[0], TT) + 16);
        for (int p = 0; p < 2; p++) {
            mt_matmul_together(p ? pools[1] : NULL, product, 3, x, K, TT, scratch);
            for (int i = 0; i < 3; i++) {
                mt_matmul(NULL, &w[i], x, K, TT, i == 1 ? x : NULL, one, (size_t)rows[i], scratch);
                size_t n = (size_t)(TT * rows[i]);
                CHECK(differs(one, all[i], n) == n, "type %u, matrix %d, pool %d", kind, i, p);
            }
        }
        for (int i = 0; i < 3; i++) mt_weight_free(&w[i]), free(all[i]);
        free(scratch), free(source), free(x), free(one);
    }

    CASE("half floats with infinities and every finite half");
    {
        uint16_t all[65536], special[8] = {0x7C00, 0xFC00, 0x7E01, 0x3C00, 0, 0x0001, 0x8001, 0x7BFF};
        float one = 1, y[8], *z = malloc(65536 * 4);
        for (int i = 0; i < 65536; i++) all[i] = (i & 0x7C00) == 0x7C00 ? 0 : (uint16_t)i;
        mt_weight w;
        for (size_t s = 0; s < 3; s++) {
            mt_kernels_use(all_isas[s], NULL);
            CHECK_OK(mt_weight_new(&w, MT_F16, 65536, 1, &err));
            mt_weight_put_rows(NULL, &w, 0, 65536, all);
            mt_matmul(NULL, &w, &one, 1, 1, NULL, z, 65536, NULL);
            for (int i = 0; i < 65536; i++) CHECK(z[i] == mt_half_to_float(all[i]), "half %04x: %g", all[i], z[i]);
            mt_weight_free(&w);
            CHECK_OK(mt_weight_new(&w, MT_F16, 8, 1, &err));
            mt_weight_put_rows(NULL, &w, 0, 8, special);
            mt_matmul(NULL, &w, &one, 1, 1, NULL, y, 8, NULL);
            CHECK(y[0] == INFINITY && y[1] == -INFINITY && isnan(y[2]) && y[3] == 1 && y[7] == 65504, "special halves");
            mt_weight_free(&w);
        }
        free(z);
    }

    CASE("NaN in one token stays in that token");
    {
        mt_weight w;
        float x[2 * 64], y[2 * 5], scratch[1024];
        uint8_t source[5 * 2 * 34];
        random_blocks(MT_Q8_0, source, 5, 64);
        for (int i = 0; i < 128; i++) x[i] = i == 70 ? NAN : 1;
        CHECK_OK(mt_weight_new(&w, MT_Q8_0, 5, 64, &err));
        mt_weight_put_rows(NULL, &w, 0, 5, source);
        for (size_t s = 0; s < 3; s++) {
            mt_kernels_use(all_isas[s], NULL);
            mt_matmul(NULL, &w, x, 64, 2, NULL, y, 5, scratch);
            for (int i = 0; i < 5; i++) CHECK(isfinite(y[i]) && isnan(y[5 + i]), "%d", i);
        }
        mt_weight_free(&w);
    }

    CASE("Q8_0, Q4_0: integer products against doubles on the Gaussian fixture");
    {
        enum { N = 16, K = 256 };
        lcg_state = 12345;
        static float W[N * K], x[K], back[N * K], y[N];
        for (int i = 0; i < N * K; i++) W[i] = (float)lcg_gauss();
        for (int i = 0; i < K; i++) x[i] = (float)lcg_gauss();
        CHECK(fabs(W[1] - 1.0) < 100, "fixture");
        static const uint32_t types[] = {MT_Q8_0, MT_Q4_0, MT_Q4_1, MT_Q5_0, MT_Q5_1};
        for (size_t t = 0; t < 5; t++) {
            const mt_dtype_info *info = mt_dtype_find(types[t]);
            uint8_t source[N * K / 32 * 34];
            uint8_t scratch[8192];
            info->from_float(W, source, N * K);
            info->to_float(source, back, N * K);
            int16_t q[K];
            float d[K / 32];
            int32_t s[K / 16];
            mt_weight w;
            CHECK_OK(mt_weight_new(&w, types[t], N, K, &err));
            int8_t bytes[K];
            mt_ref_quantize(x, K, q, w.nibbles ? bytes : NULL, d, s);
            mt_weight_put_rows(NULL, &w, 0, N, source);
            for (size_t i = 0; i < 3; i++) {
                mt_kernels_use(all_isas[i], NULL);
                mt_matmul(NULL, &w, x, K, 1, NULL, y, N, scratch);
                for (int n = 0; n < N; n++) {
                    double sum = 0;
                    for (int k = 0; k < K; k++) sum += (double)back[n * K + k] * ((double)d[k / 32] * q[k]);
                    CHECK(fabs(y[n] - sum) <= 1e-4 * 16, "%s row %d: %g, %g", info->name, n, y[n], sum);
                }
            }
            mt_weight_free(&w);
        }
    }

    CASE("weights: errors, and allocation failures at every point");
    {
        mt_weight w;
        size_t live = mt_live_allocations();
        CHECK(mt_weight_new(&w, 5, 4, 32, &err) == MT_EUNKNOWN && strstr(err.text, "Q8_0"), "%s", err.text);
        CHECK(mt_weight_new(&w, MT_Q8_0, 4, 33, &err) == MT_EFORMAT, "%s", err.text);
        CHECK(mt_weight_new(&w, MT_Q4_K, 4, 128, &err) == MT_EFORMAT, "%s", err.text);
        CHECK(mt_weight_new(&w, MT_F32, 0, 4, &err) == MT_ERANGE, "%s", err.text);
        CHECK(mt_weight_new(&w, MT_F32, 4, INT64_MAX, &err) == MT_ERANGE, "%s", err.text);
#ifdef MT_FAULTS
        for (int64_t n = 0; n < 2; n++) {
            mt_fail_allocation_after(n);
            CHECK(mt_weight_new(&w, MT_Q8_0, 4, 32, &err) == MT_ENOMEM, "failure %d", (int)n);
            mt_fail_allocation_after(-1);
            CHECK(mt_live_allocations() == live, "leak");
        }
#endif
        mt_weight_free(&w);
        CHECK_OK(mt_weight_new(&w, MT_Q4_1, 5, 64, &err));
        float row[64];
        mt_weight_row(&w, 4, row);
        for (int i = 0; i < 64; i++) CHECK(row[i] == 0, "unwritten rows are zero");
        mt_weight_free(&w);
        CHECK(mt_live_allocations() == live, "leak");
    }
    for (int p = 0; p < 2; p++) mt_pool_free(pools[p]);
    return test_end();
}
