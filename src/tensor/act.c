/* Activations and their derivatives, a piece at a time: what is computed on the way stays in the first cache.
 *
 *   silu       x s(x), s the sigmoid                     s + x s'
 *   gelu erf   x P(x), P the normal distribution         P + x p               (Hendrycks & Gimpel 2016)
 *   gelu tanh  x s(z), z = 2 sqrt(2 / pi) (x + a x^3)    s + x s' z'
 *   relu2      max(x, 0)^2                               2 max(x, 0)           (So et al. 2021)
 *   softplus   log(1 + e^x), linear beyond 20            s */
#include "grad.h"
#include "kernel/ref_math.h"

enum { PIECE = 256 };

void mt_act_run(mt_act act, const float *x, float *y, size_t n) {
    switch (act) {
    case MT_ACT_SILU:
        mt_silu(x, y, n);
        break;
    case MT_ACT_GELU_TANH:
        mt_gelu_tanh(x, y, n);
        break;
    case MT_ACT_GELU_ERF:
        mt_gelu_erf(x, y, n);
        break;
    case MT_ACT_RELU:
        for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
        break;
    case MT_ACT_RELU2:
        for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] * x[i] : 0;
        break;
    case MT_ACT_SIGMOID:
        for (size_t i = 0; i < n; i++) y[i] = -x[i];
        mt_exp(y, y, n);
        for (size_t i = 0; i < n; i++) y[i] = 1 / (1 + y[i]);
        break;
    case MT_ACT_SOFTPLUS:
        for (size_t k = 0; k < n; k += PIECE) {
            size_t m = n - k < PIECE ? n - k : PIECE;
            float e[PIECE];
            mt_exp(x + k, e, m);
            for (size_t i = 0; i < m; i++) y[k + i] = x[k + i] > 20 ? x[k + i] : log1pf(e[i]); /* like the reference */
        }
        break;
    case MT_ACT_TANH:
        mt_tanh(x, y, n);
        break;
    }
}

/* e = exp(-|z|): the sigmoid of z and its slope without cancellation in either tail. */
static float sigmoid(float z, float e) {
    return (z < 0 ? e : 1) / (1 + e);
}
static float sigmoid_slope(float e) {
    return e / ((1 + e) * (1 + e));
}
static void exp_of_minus(const float *z, float by, float *e, size_t n) {
    for (size_t i = 0; i < n; i++) e[i] = -by * fabsf(z[i]);
    mt_exp(e, e, n);
}

/* At most PIECE elements. */
static void slope(mt_act act, const float *x, float *d, size_t n) {
    float z[PIECE], e[PIECE];
    switch (act) {
    case MT_ACT_SILU:
        exp_of_minus(x, 1, e, n);
        for (size_t i = 0; i < n; i++) d[i] = sigmoid(x[i], e[i]) + x[i] * sigmoid_slope(e[i]);
        break;
    case MT_ACT_GELU_TANH:
        for (size_t i = 0; i < n; i++) z[i] = MT_GELU_SLOPE * (x[i] + MT_GELU_CUBE * (x[i] * x[i] * x[i]));
        exp_of_minus(z, 1, e, n);
        for (size_t i = 0; i < n; i++)
            d[i] = sigmoid(z[i], e[i]) +
                   x[i] * sigmoid_slope(e[i]) * (MT_GELU_SLOPE * (1 + 3 * MT_GELU_CUBE * (x[i] * x[i])));
        break;
    case MT_ACT_GELU_ERF: /* P from the value */
        mt_gelu_erf(x, e, n);
        for (size_t i = 0; i < n; i++) z[i] = -0.5f * x[i] * x[i];
        mt_exp(z, z, n);
        for (size_t i = 0; i < n; i++)
            d[i] = (fabsf(x[i]) < 1e-20f ? 0.5f : e[i] / x[i]) + x[i] * z[i] * 0.398942280401432678f;
        break;
    case MT_ACT_RELU:
        for (size_t i = 0; i < n; i++) d[i] = x[i] > 0 ? 1 : 0;
        break;
    case MT_ACT_RELU2:
        for (size_t i = 0; i < n; i++) d[i] = x[i] > 0 ? 2 * x[i] : 0;
        break;
    case MT_ACT_TANH: /* 1 - tanh^2 x = 4 sigmoid'(2 x) */
        exp_of_minus(x, 2, e, n);
        for (size_t i = 0; i < n; i++) d[i] = 4 * sigmoid_slope(e[i]);
        break;
    case MT_ACT_SIGMOID:
        exp_of_minus(x, 1, e, n);
        for (size_t i = 0; i < n; i++) d[i] = sigmoid_slope(e[i]);
        break;
    case MT_ACT_SOFTPLUS:
        exp_of_minus(x, 1, e, n);
        for (size_t i = 0; i < n; i++) d[i] = x[i] > 20 ? 1 : sigmoid(x[i], e[i]);
        break;
    }
}

void mt_act_slope(mt_act act, const float *x, float *d, size_t n) {
    for (size_t k = 0; k < n; k += PIECE) slope(act, x + k, d + k, n - k < PIECE ? n - k : PIECE);
}
