/* The functions of kernels.h over rows: loops over tokens around the kernels in use. */
#include "kernel/kernel.h"

#include <math.h>

void mt_rms_norm(const float *x, const float *gain, float eps, float *y, float *scale, int32_t T, int32_t D) {
    for (size_t t = 0; t < (size_t)T; t++) {
        float s = mt_kernels->rms_norm(x + t * (size_t)D, gain, eps, y + t * (size_t)D, D);
        if (scale) scale[t] = s;
    }
}

void mt_layer_norm(const float *x, const float *gain, const float *bias, float eps, float *y, float *scale, int32_t T,
                   int32_t D) {
    for (size_t t = 0; t < (size_t)T; t++) {
        float s = mt_kernels->layer_norm(x + t * (size_t)D, gain, bias, eps, y + t * (size_t)D, D);
        if (scale) scale[t] = s;
    }
}

void mt_softmax(float *x, int32_t T, int32_t N, size_t stride) {
    for (size_t t = 0; t < (size_t)T; t++) mt_kernels->softmax(x + t * stride, (size_t)N);
}

void mt_log_softmax_f64(const float *x, double *out, size_t n) {
    mt_kernels->log_softmax(x, out, n);
}
void mt_exp(const float *x, float *y, size_t n) {
    mt_kernels->exp(x, y, n);
}
void mt_tanh(const float *x, float *y, size_t n) {
    mt_kernels->tanh(x, y, n);
}
void mt_silu(const float *x, float *y, size_t n) {
    mt_kernels->silu(x, y, n);
}
void mt_gelu_tanh(const float *x, float *y, size_t n) {
    mt_kernels->gelu_tanh(x, y, n);
}
void mt_gelu_erf(const float *x, float *y, size_t n) {
    mt_kernels->gelu_erf(x, y, n);
}
void mt_add(const float *a, const float *b, float *y, size_t n) {
    mt_kernels->add(a, b, y, n);
}
void mt_mul(const float *a, const float *b, float *y, size_t n) {
    mt_kernels->mul(a, b, y, n);
}

/* Angles are exact products in double: position * inv_freq rounded to float would be off by 1e-4 already at position
 * 2,000. One table of cosines per token serves all its heads, in slices that fit the stack. */
void mt_rope(const float *x, float *y, const int32_t *position, const float *inv_freq, bool interleaved, float mscale,
             int32_t T, int32_t heads, int32_t E, int32_t dims) {
    enum { SLICE = 64 };
    float cosine[SLICE], sine[SLICE];
    size_t width = (size_t)E, half = (size_t)dims / 2;
    for (size_t t = 0; t < (size_t)T; t++) {
        const float *from = x + t * (size_t)heads * width;
        float *to = y + t * (size_t)heads * width;
        for (size_t m = 0; m < half; m += SLICE) {
            size_t n = half - m < SLICE ? half - m : SLICE;
            mt_kernels->angles((double)position[t], inv_freq + m, mscale, cosine, sine, n);
            size_t at = interleaved ? 2 * m : m;
            for (size_t h = 0; h < (size_t)heads; h++)
                mt_kernels->rotate(from + h * width + at, to + h * width + at, cosine, sine, n, interleaved ? 0 : half);
        }
        if (from != to)
            for (size_t h = 0; h < (size_t)heads; h++)
                memcpy(to + h * width + 2 * half, from + h * width + 2 * half, (width - 2 * half) * sizeof(float));
    }
}
