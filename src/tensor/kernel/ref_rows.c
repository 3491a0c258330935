/* Scalar kernels over rows: norms, softmax, activations, elementwise, rotation. Sums run in four lanes, element i in
 * lane i % 4, added as (0 + 1) + (2 + 3): the order of the SIMD kernels. Norms and normalisers add in double. */
#include "kernel.h"

#include <math.h>

#include "ref_math.h"

static double lanes_sum(const double lane[4]) {
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

float mt_ref_rms_norm(const float *x, const float *gain, float eps, float *y, int32_t D) {
    double lane[4] = {0};
    for (int32_t i = 0; i < D; i++) lane[i & 3] += (double)x[i] * x[i];
    double root = sqrt(lanes_sum(lane) / D + (double)eps);
    float inverse = (float)(1 / root);
    for (int32_t i = 0; i < D; i++) y[i] = gain ? x[i] * inverse * gain[i] : x[i] * inverse;
    return (float)root;
}

float mt_ref_layer_norm(const float *x, const float *gain, const float *bias, float eps, float *y, int32_t D) {
    double lane[4] = {0}, square[4] = {0};
    for (int32_t i = 0; i < D; i++) lane[i & 3] += x[i];
    double mean = lanes_sum(lane) / D;
    for (int32_t i = 0; i < D; i++) square[i & 3] += (x[i] - mean) * (x[i] - mean);
    double root = sqrt(lanes_sum(square) / D + (double)eps), inverse = 1 / root;
    for (int32_t i = 0; i < D; i++) {
        float v = (float)((x[i] - mean) * inverse);
        if (gain) v = v * gain[i];
        y[i] = bias ? v + bias[i] : v;
    }
    return (float)root;
}

static float largest(const float *x, size_t n) { /* NaN if there is one, -inf if n is 0 */
    float top = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (x[i] > top || x[i] != x[i])
            top = x[i];
        else if (top != top)
            break;
    return top;
}

void mt_ref_softmax(float *x, size_t n) {
    float top = largest(x, n);
    if (top == -INFINITY) top = 0; /* nothing to choose from: all zero */
    double lane[4] = {0};
    for (size_t i = 0; i < n; i++) lane[i & 3] += x[i] = mt_expf(x[i] - top);
    double sum = lanes_sum(lane);
    float inverse = sum == 0 ? 0 : (float)(1 / sum);
    for (size_t i = 0; i < n; i++) x[i] = x[i] * inverse;
}

void mt_ref_log_softmax(const float *x, double *out, size_t n) {
    double top = (double)largest(x, n), lane[4] = {0};
    if (top == -INFINITY) top = 0;
    for (size_t i = 0; i < n; i++) lane[i & 3] += mt_exp64(x[i] - top);
    double log_sum = log(lanes_sum(lane));
    for (size_t i = 0; i < n; i++) out[i] = (x[i] - top) - log_sum;
}

#define ELEMENTWISE(name, f)                                                                                           \
    void mt_ref_##name(const float *x, float *y, size_t n) {                                                           \
        for (size_t i = 0; i < n; i++) y[i] = f(x[i]);                                                                 \
    }
ELEMENTWISE(exp, mt_expf)
ELEMENTWISE(tanh, mt_tanhf)
ELEMENTWISE(silu, mt_siluf)
ELEMENTWISE(gelu_tanh, mt_gelu_tanhf)
ELEMENTWISE(gelu_erf, mt_gelu_erff)

void mt_ref_add(const float *a, const float *b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}
void mt_ref_mul(const float *a, const float *b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

void mt_ref_angles(double position, const float *inv_freq, float mscale, float *cosine, float *sine, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double s, c;
        mt_sincos(position * (double)inv_freq[i], &s, &c);
        cosine[i] = (float)c * mscale;
        sine[i] = (float)s * mscale;
    }
}

/* (a, b) -> (a cos - b sin, a sin + b cos); pairs are neighbours when half is 0, else half apart. */
void mt_ref_rotate(const float *x, float *y, const float *cosine, const float *sine, size_t n, size_t half) {
    for (size_t i = 0; i < n; i++) {
        size_t p = half ? i : 2 * i, q = half ? i + half : 2 * i + 1;
        float a = x[p], b = x[q];
        y[p] = a * cosine[i] - b * sine[i];
        y[q] = a * sine[i] + b * cosine[i];
    }
}
