/* Products of two float matrices: against a double model, between implementations, with any number of threads, alone
 * or among others. */
#include "kernels_common.h"

enum { THREADS = 4 };
static mt_pool *pools[THREADS]; /* of 1..THREADS threads */
static const float UNTOUCHED = 12345;

/* A matrix of `count` items with rows wider than needed. */
typedef struct matrix {
    int32_t rows, cols;
    size_t ld, step, size;
    float *p;
} matrix;
static matrix matrix_new(int32_t rows, int32_t cols, int32_t count, int pad, bool shared) {
    matrix m = {.rows = rows, .cols = cols, .ld = (size_t)(cols + pad)};
    size_t each = (size_t)rows * m.ld + (pad ? 5 : 0); /* items need not be aligned */
    m.step = shared ? 0 : each;
    m.size = shared ? each : each * (size_t)count;
    m.p = normals(m.size, 1);
    return m;
}

typedef struct shape {
    int32_t M, N, K, count;
    int pad;
    bool ta, tb, add, same_a, same_b, same_c;
    float alpha;
} shape;

static void check(shape s) {
    matrix A = matrix_new(s.ta ? s.K : s.M, s.ta ? s.M : s.K, s.count, s.pad, s.same_a),
           B = matrix_new(s.tb ? s.N : s.K, s.tb ? s.K : s.N, s.count, s.pad, s.same_b),
           C = matrix_new(s.M, s.N, s.count, s.pad, s.same_c);
    size_t bytes = C.size * sizeof(float), floats = mt_gemm_work(s.M, s.N, s.K);
    float *c = malloc(bytes + 4), *first = malloc(bytes + 4), *again = malloc(bytes + 4),
          *work = floats ? mt_alloc_aligned(floats * 4, 16) : NULL;
    char text[120];
    snprintf(text, sizeof text, "%d x %d x %d, %d times, A%s B%s%s, rows + %d", s.M, s.N, s.K, s.count,
             s.ta ? "^T" : "", s.tb ? "^T" : "", s.add ? ", added" : "", s.pad);
    /* Outside of the result nothing may change. NaN where nothing may be read. */
    for (int32_t i = 0; i < (s.same_c ? 1 : s.count); i++)
        for (size_t m = 0; m < C.step + (s.same_c ? C.size : 0); m++) {
            bool inside = m % C.ld < (size_t)s.N && m < (size_t)s.M * C.ld;
            float *at = C.p + (size_t)i * C.step + m;
            *at = !inside ? UNTOUCHED : s.add ? *at : NAN;
        }
    mt_gemm_args g = {.ta = s.ta, .tb = s.tb, .add = s.add, .M = s.M, .N = s.N, .K = s.K, .alpha = s.alpha};
    g.a = A.p, g.lda = A.ld, g.b = B.p, g.ldb = B.ld, g.c = c, g.ldc = C.ld;

    for (size_t isa = 0; isa < 3; isa++) {
        mt_kernels_use(all_isas[isa], NULL);
        const char *name = mt_isa_name(all_isas[isa]);
        memcpy(c, C.p, bytes);
        mt_gemm_batch(NULL, &g, s.count, A.step, B.step, C.step, work);
        for (int32_t i = 0; i < (s.same_c ? 1 : s.count); i++)
            for (int32_t m = 0; m < s.M; m++) {
                const float *row = c + (size_t)i * C.step + (size_t)m * C.ld, *old = C.p + (row - c);
                for (int32_t n = 0; n < s.N; n++) {
                    double sum = s.add ? old[n] : 0, size = fabs(sum);
                    for (int32_t item = i; item < (s.same_c ? s.count : i + 1); item++)
                        for (int32_t k = 0; k < s.K; k++) {
                            size_t a = s.ta ? (size_t)k * A.ld + (size_t)m : (size_t)m * A.ld + (size_t)k,
                                   b = s.tb ? (size_t)n * B.ld + (size_t)k : (size_t)k * B.ld + (size_t)n;
                            double term =
                                (double)s.alpha * A.p[(size_t)item * A.step + a] * B.p[(size_t)item * B.step + b];
                            sum += term, size += fabs(term);
                        }
                    double terms = (s.K < MT_K_BLOCK ? s.K : MT_K_BLOCK) + (s.K / MT_K_BLOCK + 3.0) * s.count + 1;
                    CHECK(fabs(row[n] - sum) <= terms * 0x1p-24 * size,
                          "%s %s: item %d row %d column %d: %.9g, expected %.9g +- %g", name, text, i, m, n, row[n],
                          sum, terms * 0x1p-24 * size);
                }
            }
        for (size_t i = 0; i < C.size; i++)
            if (bits_of(C.p[i]) == bits_of(UNTOUCHED)) CHECK(c[i] == UNTOUCHED, "%s %s: writes outside", name, text);
        if (isa == 0) memcpy(first, c, bytes);
        if (isa == 1) CHECK(differs(c, first, C.size) == C.size, "%s: other bits than ref", text);
        for (int t = isa == 0 ? THREADS - 1 : 0; t < THREADS; t++) { /* the scalar one is slow */
            memcpy(again, C.p, bytes);
            mt_gemm_args h = g;
            h.c = again;
            mt_gemm_batch(pools[t], &h, s.count, A.step, B.step, C.step, work);
            CHECK(differs(again, c, C.size) == C.size, "%s %s: other bits with %d threads", name, text, t + 1);
        }
    }
    free(A.p), free(B.p), free(C.p), free(c), free(first), free(again), mt_free_aligned(work);
}

static void all_ways(shape s) {
    for (int way = 0; way < 8; way++) {
        s.ta = way & 1, s.tb = way & 2, s.add = way & 4;
        check(s);
    }
}

int main(void) {
    mt_rng_seed(&rng, 1);
    CASE("every small shape");
    for (int t = 0; t < THREADS; t++) CHECK_OK(mt_pool_new(t + 1, &pools[t], &err));
    for (int32_t M = 1; M <= 6; M++)
        for (int32_t N = 1; N <= 17; N++)
            for (int32_t K = 1; K <= 5; K += 2)
                all_ways((shape){.M = M, .N = N, .K = K, .count = 1, .pad = (M + N) % 3, .alpha = N % 2 ? 1 : -0.3f});
    CASE("shapes of small models, in batches");
    all_ways((shape){.M = 32, .N = 32, .K = 8, .count = 64, .alpha = 0.35f});
    all_ways((shape){.M = 17, .N = 8, .K = 33, .count = 40, .pad = 3, .alpha = 1});
    all_ways((shape){.M = 300, .N = 32, .K = 32, .count = 1, .alpha = 1});
    all_ways((shape){.M = 100, .N = 20, .K = 40, .count = 3, .pad = 1, .alpha = 1});
    all_ways((shape){.M = 24, .N = 40, .K = 270, .count = 5, .alpha = 0.5f});
    CASE("large: several blocks of terms and of columns");
    all_ways((shape){.M = 40, .N = 260, .K = 100, .count = 1, .alpha = 1});
    all_ways((shape){.M = 67, .N = 275, .K = 300, .count = 1, .pad = 2, .alpha = 0.7f});
    all_ways((shape){.M = 33, .N = 130, .K = 257, .count = 2, .pad = 1, .alpha = 1});
    all_ways((shape){.M = 7, .N = 513, .K = 300, .count = 1, .alpha = 1});
    all_ways((shape){.M = 530, .N = 3, .K = 300, .count = 1, .alpha = 1});
    CASE("matrices that products share, sums of products");
    for (int way = 1; way < 8; way++) {
        shape s = {.count = 5, .alpha = -1.5f, .same_a = way & 1, .same_b = way & 2, .same_c = way & 4, .pad = way % 2};
        s.M = 19, s.N = 21, s.K = 11;
        all_ways(s);
        s.M = 70, s.N = 100, s.K = 90;
        all_ways(s);
    }
    CASE("nothing to multiply");
    for (size_t isa = 0; isa < 3; isa++) {
        mt_kernels_use(all_isas[isa], NULL);
        float c[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
        mt_gemm_args g = {.M = 2, .N = 2, .K = 0, .alpha = 1, .add = true, .c = c, .ldc = 3};
        mt_gemm(NULL, &g, NULL);
        for (int i = 0; i < 12; i++) CHECK(c[i] == (float)(i + 1), "added nothing: %g", c[i]);
        g.add = false, g.M = 0;
        mt_gemm(NULL, &g, NULL);
        g.M = 2, g.N = 0;
        mt_gemm(NULL, &g, NULL);
        g.N = 2;
        mt_gemm_batch(NULL, &g, 0, 0, 0, 6, NULL);
        for (int i = 0; i < 12; i++) CHECK(c[i] == (float)(i + 1), "no rows, no columns, no products: %g", c[i]);
        mt_gemm_batch(NULL, &g, 2, 0, 0, 6, NULL);
        for (int i = 0; i < 12; i++) CHECK(c[i] == (i % 3 < 2 ? 0 : (float)(i + 1)), "a sum of nothing is 0: %g", c[i]);
    }
    CASE("infinities and NaN stay in their rows and columns");
    for (size_t isa = 0; isa < 3; isa++) {
        mt_kernels_use(all_isas[isa], NULL);
        enum { N = 13 };
        float a[N * N], b[N * N], c[N * N];
        for (int i = 0; i < N * N; i++) a[i] = b[i] = 1;
        a[4 * N + 2] = INFINITY, b[6 * N + 11] = NAN;
        mt_gemm_args g = {.M = N, .N = N, .K = N, .alpha = 1, .a = a, .lda = N, .b = b, .ldb = N, .c = c, .ldc = N};
        mt_gemm(NULL, &g, NULL);
        for (int m = 0; m < N; m++)
            for (int n = 0; n < N; n++) {
                float v = c[m * N + n];
                CHECK(n == 11 ? isnan(v) : m == 4 ? v == INFINITY : v == N, "row %d column %d: %g", m, n, v);
            }
    }
    CASE("working memory is bounded");
    CHECK(mt_gemm_work(8, 8, 8) == 0 && mt_gemm_work(0, 0, 0) == 0, "small products need none");
    CHECK(mt_gemm_work(INT32_MAX, INT32_MAX, INT32_MAX) == mt_gemm_work(4096, 4096, 4096), "as large as it gets");
    for (int t = 0; t < THREADS; t++) mt_pool_free(pools[t]);
    return test_end();
}
