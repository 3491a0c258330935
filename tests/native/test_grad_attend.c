/* Attention's gradients in single precision, with every set of kernels, against the formulas in double precision. */
#include "grad_common.h"

enum { B = 3, T = 40, H = 6, G = 2, E = 12, EV = 20, N = B * T };
typedef struct gradients {
    double q[N * H * E], k[N * G * E], v[N * G * EV], slope[H], sink[H];
} gradients;

typedef struct inputs {
    const float *q, *k, *v, *dy, *slope, *sink;
    float scale, softcap;
} inputs;

/* Rows of a sequence see all before them and themselves. */
static void formulas(const inputs *x, gradients *d) {
    memset(d, 0, sizeof *d);
    for (int t = 0; t < N; t++)
        for (int h = 0; h < H; h++) {
            int first = t / T * T, n = t - first + 1, g = h * G / H;
            const float *q = x->q + (t * H + h) * E, *dy = x->dy + (t * H + h) * EV;
            double s[T], cap[T], dp[T], top = x->sink[h], sum, row = 0;
            for (int j = 0; j < n; j++) {
                const float *k = x->k + ((first + j) * G + g) * E, *v = x->v + ((first + j) * G + g) * EV;
                s[j] = dp[j] = 0;
                for (int e = 0; e < E; e++) s[j] += (double)q[e] * k[e];
                for (int e = 0; e < EV; e++) dp[j] += (double)dy[e] * v[e];
                double bent = tanh(s[j] * x->scale / x->softcap);
                cap[j] = 1 - bent * bent;
                s[j] = x->softcap * bent + x->slope[h] * (j - n + 1);
                top = fmax(top, s[j]);
            }
            sum = exp(x->sink[h] - top);
            for (int j = 0; j < n; j++) sum += s[j] = exp(s[j] - top);
            for (int j = 0; j < n; j++) row += s[j] / sum * dp[j];
            d->sink[h] -= exp(x->sink[h] - top) / sum * row;
            for (int j = 0; j < n; j++) {
                const float *k = x->k + ((first + j) * G + g) * E;
                double p = s[j] / sum, ds = p * (dp[j] - row);
                d->slope[h] += ds * (j - n + 1);
                for (int e = 0; e < EV; e++) d->v[((first + j) * G + g) * EV + e] += p * dy[e];
                ds *= cap[j] * x->scale;
                for (int e = 0; e < E; e++) d->q[(t * H + h) * E + e] += ds * k[e];
                for (int e = 0; e < E; e++) d->k[((first + j) * G + g) * E + e] += ds * q[e];
            }
        }
}

static double distance(const float *found, const double *expected, size_t n) {
    double most = 0, error = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs(expected[i]));
        error = fmax(error, fabs(found[i] - expected[i]));
    }
    return error / most;
}

int main(void) {
    static gradients exact;
    for (int isa = MT_ISA_REF; isa <= MT_ISA_RELAXED; isa++) {
        mt_error err;
        grad_case c;
        mt_tape *t = NULL;
        CASE(mt_isa_name((mt_isa)isa));
        CHECK_OK(mt_kernels_use((mt_isa)isa, &err));
        gc_begin(&c);
        gc_sequences(&c, B, T, 1, G, E, EV, 0, 0, 0);
        inputs x = {.scale = 0.7f, .softcap = 3};
        mt_attention a = {.kv_heads = G, .key_width = E, .value_width = EV, .scale = x.scale, .softcap = x.softcap};
        a.alibi = gc_leaf(&c, 0.1f, 1, H), x.slope = gc_values(&c);
        a.sink = gc_leaf(&c, 1, 1, H), x.sink = gc_values(&c);
        int32_t k = gc_leaf(&c, 1, 3, N, G, E);
        x.k = gc_values(&c);
        int32_t v = gc_leaf(&c, 1, 3, N, G, EV);
        x.v = gc_values(&c);
        mt_g_kv_store(c.g, k, v, 0);
        int32_t y = mt_g_attend(c.g, gc_leaf(&c, 1, 3, N, H, E), &a);
        x.q = gc_values(&c);
        y = mt_g_mul(c.g, y, gc_const(&c, 1, 3, N, H, EV));
        x.dy = gc_values(&c);
        CHECK_OK(mt_tape_new(c.g, &(mt_tape_options){.loss = y, .grad = gc_grad_of, .arg = &c, .slots = N}, &t, &err));
        float *scratch = mt_alloc_aligned(mt_tape_scratch(t) * sizeof *scratch, 64);
        mt_tape_forward(t, NULL, scratch, &c.feed);
        mt_tape_backward(t, NULL, scratch, &c.feed);
        formulas(&x, &exact);
        const double *expected[] = {exact.slope, exact.sink, exact.k, exact.v, exact.q};
        for (int i = 0; i < 5; i++) {
            double d = distance(c.s[i].grad, expected[i], c.s[i].count);
            CHECK(d < 2e-6, "storage %d: %.2g of the largest gradient", i, d);
        }
        mt_free_aligned(scratch);
        mt_tape_free(t);
        gc_end(&c);
    }
    return test_end();
}
