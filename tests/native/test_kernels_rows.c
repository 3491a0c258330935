/* Kernels over rows and elementary functions, every implementation against a double model and against each other. */
#include "kernels_common.h"

static double units(float got, double want) { /* error in units of the last place of want, as a normal float */
    if (isnan(got) && isnan(want)) return 0;
    if ((double)got == want) return 0;
    int e;
    frexp(want, &e);
    double unit = ldexp(1, (e - 24 < -149 ? -149 : e - 24));
    return fabs(got - want) / unit;
}

static double gelu_tanh(double x) {
    return x / (1 + exp(-2 * 0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
static double gelu_erf(double x) {
    return x * 0.5 * erfc(-x * 0.7071067811865476);
}
static double silu(double x) {
    return x / (1 + exp(-x));
}

typedef void (*elementwise)(const float *x, float *y, size_t n);
typedef struct function_case {
    const char *name;
    elementwise run;
    double (*model)(double);
    double low, high; /* range in which the bound is promised */
    double bound;     /* relative */
} function_case;

static void check_functions(void) {
    static const function_case cases[] = {
        {"exp", mt_exp, exp, -87, 88.7, 1.1 * 0x1p-23},
        {"tanh", mt_tanh, tanh, -100, 100, 2 * 0x1p-23},
        {"silu", mt_silu, silu, -80, 100, 1e-6},
        {"gelu_tanh", mt_gelu_tanh, gelu_tanh, -5, 100, 5e-6},
        {"gelu_erf", mt_gelu_erf, gelu_erf, -12, 100, 1e-6},
    };
    enum { N = 1 << 16 };
    static float x[N], y[N], first[N];
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const function_case *f = &cases[c];
        for (int i = 0; i < N; i++) /* half of them evenly over the range, half over all bit patterns */
            x[i] = i & 1 ? (float)(f->low + (f->high - f->low) * mt_rng_double(&rng))
                         : of_bits((uint32_t)mt_rng_next(&rng));
        static const float edges[] = {0,      -0.0f,   1e-45f,   -1e-45f,   88.72f, 88.73f,  89,
                                      -87.3f, -103.9f, -104,     -104.1f,   0.625f, -0.625f, 0.62499994f,
                                      16,     -16,     INFINITY, -INFINITY, NAN,    3e38f,   -3e38f};
        memcpy(x, edges, sizeof edges);
        for (size_t s = 0; s < 3; s++) {
            mt_kernels_use(all_isas[s], NULL);
            memset(y, 0, sizeof y);
            f->run(x, y, N - 3);
            double worst = 0;
            float at = 0;
            for (int i = 0; i < N - 3; i++) {
                if (!(x[i] >= f->low && x[i] <= f->high)) continue;
                double want = f->model(x[i]), e = want == 0 ? fabs(y[i]) : fabs(y[i] - want) / fabs(want);
                if (fabs(want) < 0x1p-126) e = fabs(y[i] - want) / 0x1p-126;
                if (e > worst) worst = e, at = x[i];
            }
            if (s == 0) printf("# %s: largest relative error %.3g at %.9g\n", f->name, worst, at);
            CHECK(worst <= f->bound, "%s %s: %g at %.9g", mt_isa_name(all_isas[s]), f->name, worst, at);
            if (s == 0)
                memcpy(first, y, sizeof y);
            else
                CHECK(differs(first, y, N) == N, "%s %s(%.9g): %.9g, ref %.9g", mt_isa_name(all_isas[s]), f->name,
                      x[differs(first, y, N) % N], y[differs(first, y, N) % N], first[differs(first, y, N) % N]);
        }
    }
    float limits[6] = {-INFINITY, INFINITY, NAN, 100, -150, -100};
    mt_exp(limits, y, 6);
    CHECK(y[0] == 0 && y[1] == INFINITY && isnan(y[2]) && y[3] == INFINITY && y[4] == 0, "exp limits");
    CHECK(units(y[5], exp(-100)) <= 1, "subnormal e^-100 %g", y[5]);
    mt_tanh(limits, y, 3);
    CHECK(y[0] == -1 && y[1] == 1 && isnan(y[2]), "tanh limits");
    mt_gelu_erf(limits, y, 3);
    CHECK(y[0] == 0 && y[1] == INFINITY && isnan(y[2]), "gelu limits");
}

static const int32_t widths[] = {1, 2, 3, 4, 5, 7, 8, 31, 64, 100, 255, 576, 1025};
enum { WIDTHS = sizeof widths / sizeof *widths };

static void check_norms(void) {
    for (int w = 0; w < WIDTHS; w++) {
        int32_t D = widths[w], T = 3;
        size_t n = (size_t)(D * T);
        float *x = normals(n, 3), *gain = normals((size_t)D, 1), *bias = normals((size_t)D, 1);
        float *y = calloc(n, 4), *z = calloc(n, 4), scale[3], eps = 1e-5f;
        if (D > 8)
            for (int32_t i = 0; i < D; i++) x[i] += 1000; /* far from zero: two passes are needed */
        for (size_t s = 0; s < 3; s++) {
            mt_kernels_use(all_isas[s], NULL);
            mt_rms_norm(x, gain, eps, y, scale, T, D);
            for (int32_t t = 0; t < T; t++) {
                double sum = 0;
                for (int32_t i = 0; i < D; i++) sum += (double)x[t * D + i] * x[t * D + i];
                double root = sqrt(sum / D + (double)eps);
                CHECK(units(scale[t], root) <= 0.51, "scale");
                for (int32_t i = 0; i < D; i++)
                    CHECK(units(y[t * D + i], x[t * D + i] / root * gain[i]) <= 2.1, "rms D %d, %d", D, i);
            }
            if (s == 0) memcpy(z, y, n * 4);
            CHECK(differs(y, z, n) == n, "%s rms_norm of %d", mt_isa_name(all_isas[s]), D);
        }
        for (size_t s = 0; s < 3; s++) {
            mt_kernels_use(all_isas[s], NULL);
            mt_layer_norm(x, gain, bias, eps, y, scale, T, D);
            for (int32_t t = 0; t < T; t++) {
                double mean = 0, sum = 0;
                for (int32_t i = 0; i < D; i++) mean += x[t * D + i];
                mean /= D;
                for (int32_t i = 0; i < D; i++) sum += (x[t * D + i] - mean) * (x[t * D + i] - mean);
                double root = sqrt(sum / D + (double)eps);
                CHECK(units(scale[t], root) <= 0.51, "scale");
                for (int32_t i = 0; i < D; i++) {
                    double want = (x[t * D + i] - mean) / root * gain[i];
                    CHECK(fabs(y[t * D + i] - (want + bias[i])) <= 2e-7 * (fabs(want) + fabs(bias[i])) + 1e-12,
                          "layer_norm D %d, %d: %.9g, expected %.9g", D, i, y[t * D + i], want + bias[i]);
                }
            }
            if (s == 0) memcpy(z, y, n * 4);
            CHECK(differs(y, z, n) == n, "%s layer_norm of %d", mt_isa_name(all_isas[s]), D);
        }
        mt_rms_norm(x, NULL, eps, x, NULL, T, D); /* in place, no gain */
        mt_layer_norm(x, NULL, NULL, eps, x, NULL, T, D);
        free(x), free(gain), free(bias), free(y), free(z);
    }
}

static void check_softmax(void) {
    for (int w = 0; w < WIDTHS; w++) {
        int32_t N = widths[w], T = 4;
        size_t stride = (size_t)N + 3, n = stride * (size_t)T;
        float *x = normals(n, 4), *y = malloc(n * 4), *z = malloc(n * 4);
        double *out = malloc((size_t)N * sizeof(double)), *out2 = malloc((size_t)N * sizeof(double));
        for (int32_t i = 0; i < N; i += 2) x[stride + (size_t)i] = -INFINITY;
        for (int32_t i = 0; i < N; i++) x[2 * stride + (size_t)i] = -INFINITY;
        x[3 * stride + (size_t)(N / 2)] = 1e30f;
        for (size_t s = 0; s < 3; s++) {
            mt_kernels_use(all_isas[s], NULL);
            memcpy(y, x, n * 4);
            mt_softmax(y, T, N, stride);
            for (size_t t = 0; t < 4; t++) {
                double sum = 0, top = -INFINITY, total = 0;
                for (int32_t i = 0; i < N; i++) top = fmax(top, x[t * stride + (size_t)i]);
                if (top == -INFINITY) top = 0;
                for (int32_t i = 0; i < N; i++) sum += exp(x[t * stride + (size_t)i] - top);
                for (int32_t i = 0; i < N; i++) {
                    double want = sum == 0 ? 0 : exp(x[t * stride + (size_t)i] - top) / sum;
                    total += y[t * stride + (size_t)i];
                    CHECK(fabs(y[t * stride + (size_t)i] - want) <=
                              (3e-7 + 0x1p-24 * fmin(fabs(x[t * stride + (size_t)i] - top), 110)) * want + 1e-37,
                          "softmax N %d row %zu, %d", N, t, i);
                }
                CHECK(fabs(total - (sum != 0)) < 1e-6, "sums to one: %g", total);
                CHECK(bits_of(y[t * stride + (size_t)N]) == bits_of(x[t * stride + (size_t)N]), "writes past the row");
            }
            if (s == 0) memcpy(z, y, n * 4);
            CHECK(differs(y, z, n) == n, "%s softmax of %d", mt_isa_name(all_isas[s]), N);

            mt_log_softmax_f64(x, out, (size_t)N);
            double sum = 0, all = 0;
            for (int32_t i = 0; i < N; i++) sum += exp((double)x[i]);
            for (int32_t i = 0; i < N; i++) {
                all += exp(out[i]);
                CHECK(fabs(out[i] - (x[i] - log(sum))) < 1e-13 * (1 + fabs(out[i])), "log_softmax N %d: %.17g, %.17g",
                      N, out[i], x[i] - log(sum));
            }
            CHECK(fabs(all - 1) < 1e-13, "sums to one: %.17g", all);
            if (s == 0) memcpy(out2, out, (size_t)N * sizeof(double));
            CHECK(memcmp(out, out2, (size_t)N * sizeof(double)) == 0, "%s log_softmax", mt_isa_name(all_isas[s]));
        }
        free(x), free(y), free(z), free(out), free(out2);
    }
    float nan[9] = {1, 2, NAN, 3, 4, 5, 6, 7, 8}, empty[1] = {7};
    for (size_t s = 0; s < 3; s++) {
        float row[9];
        mt_kernels_use(all_isas[s], NULL);
        memcpy(row, nan, sizeof row);
        mt_softmax(row, 1, 9, 9);
        for (int i = 0; i < 9; i++) CHECK(isnan(row[i]), "NaN spreads, %s %d", mt_isa_name(all_isas[s]), i);
        mt_softmax(empty, 1, 0, 1);
        CHECK(empty[0] == 7, "an empty row");
    }
}

static void check_rope(void) {
    static const struct {
        int32_t E, dims;
    } shapes[] = {{2, 2}, {8, 8}, {8, 4}, {64, 64}, {64, 32}, {80, 32}, {10, 6}, {256, 256}, {300, 290}};
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        int32_t E = shapes[c].E, dims = shapes[c].dims, H = 3, T = 4, position[4] = {0, 1, 131071, 0};
        position[3] = c % 2 ? 77 : 2000000011; /* the last ones are beyond the fast reduction */
        size_t n = (size_t)(T * H * E);
        float *x = normals(n, 1), *y = malloc(n * 4), *z = malloc(n * 4), *inv = malloc((size_t)dims * 2);
        for (int m = 0; m < dims / 2; m++) inv[m] = (float)pow(10000, -2.0 * m / dims);
        for (int interleaved = 0; interleaved < 2; interleaved++)
            for (size_t s = 0; s < 3; s++) {
                mt_kernels_use(all_isas[s], NULL);
                mt_rope(x, y, position, inv, interleaved, 1.25f, T, H, E, dims);
                for (int t = 0; t < T; t++)
                    for (int h = 0; h < H; h++) {
                        const float *from = x + (t * H + h) * E, *to = y + (t * H + h) * E;
                        for (int m = 0; m < dims / 2; m++) {
                            int p = interleaved ? 2 * m : m, q = interleaved ? 2 * m + 1 : m + dims / 2;
                            double angle = (double)position[t] * (double)inv[m], a = from[p], b = from[q];
                            double u = 1.25 * (a * cos(angle) - b * sin(angle)),
                                   v = 1.25 * (a * sin(angle) + b * cos(angle));
                            CHECK(fabs(to[p] - u) < 1e-6 * (fabs(a) + fabs(b)), "t %d m %d: %g, %g", t, m, to[p], u);
                            CHECK(fabs(to[q] - v) < 1e-6 * (fabs(a) + fabs(b)), "t %d m %d: %g, %g", t, m, to[q], v);
                        }
                        for (int e = dims; e < E; e++) CHECK(to[e] == from[e], "beyond dims");
                    }
                if (s == 0) memcpy(z, y, n * 4);
                CHECK(differs(y, z, n) == n, "%s rope of %d", mt_isa_name(all_isas[s]), E);
                memcpy(z, x, n * 4);
                mt_rope(z, z, position, inv, interleaved, 1.25f, T, H, E, dims);
                CHECK(differs(y, z, n) == n, "in place");
                memcpy(z, y, n * 4);
            }
        free(x), free(y), free(z), free(inv);
    }
}

int main(void) {
    mt_rng_seed(&rng, 2);
    CASE("exp, tanh, silu, gelu: bounds, limits, same bits in every implementation");
    check_functions();
    CASE("rms_norm and layer_norm");
    check_norms();
    CASE("softmax and log_softmax_f64");
    check_softmax();
    CASE("rope");
    check_rope();
    CASE("add and mul on odd lengths and places");
    for (size_t n = 0; n < 20; n++)
        for (size_t at = 0; at < 4; at++)
            for (size_t s = 0; s < 3; s++) {
                float a[24], b[24], sum[25] = {0}, product[25] = {0};
                mt_kernels_use(all_isas[s], NULL);
                for (int i = 0; i < 24; i++) a[i] = normal(), b[i] = normal();
                mt_add(a + at, b + at, sum + at, n);
                mt_mul(a + at, b + at, product + at, n);
                for (size_t i = 0; i < 25; i++) {
                    bool in = i >= at && i < at + n;
                    CHECK(sum[i] == (in ? a[i] + b[i] : 0) && product[i] == (in ? a[i] * b[i] : 0), "n %zu, %zu", n, i);
                }
            }
    return test_end();
}
