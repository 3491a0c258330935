/* Kernels over rows, four floats at a time: see ref_rows.c for what they compute. Tails are read as lanes of zero (or
 * -inf under a softmax) that do not change any sum. */
#include "simd.h"
#ifdef MT_HAVE_SIMD
#include "kernel.h"

#include <math.h>

#include "simd_math.h"

typedef struct sums { /* four double lanes */
    v128_t low, high;
} sums;
INLINE sums zero(void) {
    return (sums){wasm_f64x2_splat(0), wasm_f64x2_splat(0)};
}
INLINE double total(sums s) {
    return (wasm_f64x2_extract_lane(s.low, 0) + wasm_f64x2_extract_lane(s.low, 1)) +
           (wasm_f64x2_extract_lane(s.high, 0) + wasm_f64x2_extract_lane(s.high, 1));
}
INLINE v128_t upper(v128_t v) {
    return wasm_i32x4_shuffle(v, v, 2, 3, 2, 3);
}
INLINE v128_t low2(v128_t v) {
    return wasm_f64x2_promote_low_f32x4(v);
}
INLINE v128_t high2(v128_t v) {
    return wasm_f64x2_promote_low_f32x4(upper(v));
}
INLINE void add4(sums *s, v128_t v) {
    s->low = wasm_f64x2_add(s->low, low2(v));
    s->high = wasm_f64x2_add(s->high, high2(v));
}
INLINE int rest(size_t n, size_t i) {
    return n - i < 4 ? (int)(n - i) : 4;
}
/* Lanes from n on become `fill`. */
INLINE v128_t keep(v128_t v, int n, float fill) {
    if (n >= 4) return v;
    v128_t index = wasm_i32x4_make(0, 1, 2, 3);
    return wasm_v128_bitselect(v, wasm_f32x4_splat(fill), wasm_i32x4_lt(index, wasm_i32x4_splat(n)));
}

float mt_simd_rms_norm(const float *x, const float *gain, float eps, float *y, int32_t D) {
    size_t n = (size_t)D;
    sums s = zero();
    for (size_t i = 0; i < n; i += 4) {
        v128_t v = mt_load_lanes(x + i, rest(n, i)), a = low2(v), b = high2(v);
        s.low = wasm_f64x2_add(s.low, wasm_f64x2_mul(a, a));
        s.high = wasm_f64x2_add(s.high, wasm_f64x2_mul(b, b));
    }
    double root = sqrt(total(s) / D + (double)eps);
    v128_t inverse = wasm_f32x4_splat((float)(1 / root));
    for (size_t i = 0; i < n; i += 4) {
        v128_t v = wasm_f32x4_mul(mt_load_lanes(x + i, rest(n, i)), inverse);
        if (gain) v = wasm_f32x4_mul(v, mt_load_lanes(gain + i, rest(n, i)));
        mt_store_lanes(y + i, v, rest(n, i));
    }
    return (float)root;
}

float mt_simd_layer_norm(const float *x, const float *gain, const float *bias, float eps, float *y, int32_t D) {
    size_t n = (size_t)D, whole = n & ~(size_t)3;
    sums s = zero(), q = zero();
    for (size_t i = 0; i < n; i += 4) add4(&s, mt_load_lanes(x + i, rest(n, i)));
    double mean = total(s) / D;
    v128_t centre = wasm_f64x2_splat(mean);
    for (size_t i = 0; i < whole; i += 4) {
        v128_t v = wasm_v128_load(x + i), a = wasm_f64x2_sub(low2(v), centre), b = wasm_f64x2_sub(high2(v), centre);
        q.low = wasm_f64x2_add(q.low, wasm_f64x2_mul(a, a));
        q.high = wasm_f64x2_add(q.high, wasm_f64x2_mul(b, b));
    }
    double last[4] = {0};
    for (size_t i = whole; i < n; i++) last[i & 3] = (x[i] - mean) * (x[i] - mean);
    q.low = wasm_f64x2_add(q.low, wasm_v128_load(last));
    q.high = wasm_f64x2_add(q.high, wasm_v128_load(last + 2));
    double root = sqrt(total(q) / D + (double)eps);
    v128_t inverse = wasm_f64x2_splat(1 / root);
    for (size_t i = 0; i < n; i += 4) {
        v128_t v = mt_load_lanes(x + i, rest(n, i));
        v128_t a = wasm_f32x4_demote_f64x2_zero(wasm_f64x2_mul(wasm_f64x2_sub(low2(v), centre), inverse));
        v128_t b = wasm_f32x4_demote_f64x2_zero(wasm_f64x2_mul(wasm_f64x2_sub(high2(v), centre), inverse));
        v = wasm_i32x4_shuffle(a, b, 0, 1, 4, 5);
        if (gain) v = wasm_f32x4_mul(v, mt_load_lanes(gain + i, rest(n, i)));
        if (bias) v = wasm_f32x4_add(v, mt_load_lanes(bias + i, rest(n, i)));
        mt_store_lanes(y + i, v, rest(n, i));
    }
    return (float)root;
}

static float largest(const float *x, size_t n) {
    v128_t top = wasm_f32x4_splat(-INFINITY);
    for (size_t i = 0; i < n; i += 4)
        top = wasm_f32x4_max(top, keep(mt_load_lanes(x + i, rest(n, i)), rest(n, i), -INFINITY));
    top = wasm_f32x4_max(top, wasm_i32x4_shuffle(top, top, 2, 3, 0, 1));
    top = wasm_f32x4_max(top, wasm_i32x4_shuffle(top, top, 1, 0, 3, 2));
    return wasm_f32x4_extract_lane(top, 0);
}

void mt_simd_softmax(float *x, size_t n) {
    float top = largest(x, n);
    if (top == -INFINITY) top = 0;
    v128_t shift = wasm_f32x4_splat(top);
    sums s = zero();
    for (size_t i = 0; i < n; i += 4) {
        v128_t v = keep(mt_load_lanes(x + i, rest(n, i)), rest(n, i), -INFINITY);
        v = mt_expf_x4(wasm_f32x4_sub(v, shift));
        mt_store_lanes(x + i, v, rest(n, i));
        add4(&s, v);
    }
    double sum = total(s);
    v128_t inverse = wasm_f32x4_splat(sum == 0 ? 0 : (float)(1 / sum));
    for (size_t i = 0; i < n; i += 4)
        mt_store_lanes(x + i, wasm_f32x4_mul(mt_load_lanes(x + i, rest(n, i)), inverse), rest(n, i));
}

void mt_simd_log_softmax(const float *x, double *out, size_t n) {
    float top = largest(x, n);
    if (top == -INFINITY) top = 0;
    v128_t shift = wasm_f64x2_splat((double)top);
    sums s = zero();
    for (size_t i = 0; i < n; i += 4) {
        v128_t v = keep(mt_load_lanes(x + i, rest(n, i)), rest(n, i), -INFINITY);
        s.low = wasm_f64x2_add(s.low, mt_exp64_x2(wasm_f64x2_sub(low2(v), shift)));
        s.high = wasm_f64x2_add(s.high, mt_exp64_x2(wasm_f64x2_sub(high2(v), shift)));
    }
    double log_sum = log(total(s));
    for (size_t i = 0; i < n; i++) out[i] = ((double)x[i] - (double)top) - log_sum;
}

#define ELEMENTWISE(name, f)                                                                                           \
    void mt_simd_##name(const float *x, float *y, size_t n) {                                                          \
        size_t i = 0;                                                                                                  \
        for (; i + 4 <= n; i += 4) wasm_v128_store(y + i, f(wasm_v128_load(x + i)));                                   \
        if (i < n) mt_store_lanes(y + i, f(mt_load_lanes(x + i, rest(n, i))), rest(n, i));                             \
    }
ELEMENTWISE(exp, mt_expf_x4)
ELEMENTWISE(tanh, mt_tanhf_x4)
ELEMENTWISE(silu, mt_siluf_x4)
ELEMENTWISE(gelu_tanh, mt_gelu_tanhf_x4)
ELEMENTWISE(gelu_erf, mt_gelu_erff_x4)

void mt_simd_add(const float *a, const float *b, float *y, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) wasm_v128_store(y + i, wasm_f32x4_add(wasm_v128_load(a + i), wasm_v128_load(b + i)));
    for (; i < n; i++) y[i] = a[i] + b[i];
}
void mt_simd_mul(const float *a, const float *b, float *y, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) wasm_v128_store(y + i, wasm_f32x4_mul(wasm_v128_load(a + i), wasm_v128_load(b + i)));
    for (; i < n; i++) y[i] = a[i] * b[i];
}

void mt_simd_angles(double position, const float *inv_freq, float mscale, float *cosine, float *sine, size_t n) {
    size_t i = 0;
    v128_t at = wasm_f64x2_splat(position), by = wasm_f32x4_splat(mscale);
    for (; i + 2 <= n; i += 2) {
        v128_t angle = wasm_f64x2_mul(at, wasm_f64x2_promote_low_f32x4(wasm_v128_load64_zero(inv_freq + i))), s, c;
        v128_t small = wasm_f64x2_le(wasm_f64x2_abs(angle), D(SINCOS_TOP));
        if (!wasm_i64x2_all_true(small)) {
            mt_ref_angles(position, inv_freq + i, mscale, cosine + i, sine + i, 2);
            continue;
        }
        mt_sincos_x2(angle, &s, &c);
        wasm_v128_store64_lane(cosine + i, wasm_f32x4_mul(wasm_f32x4_demote_f64x2_zero(c), by), 0);
        wasm_v128_store64_lane(sine + i, wasm_f32x4_mul(wasm_f32x4_demote_f64x2_zero(s), by), 0);
    }
    if (i < n) mt_ref_angles(position, inv_freq + i, mscale, cosine + i, sine + i, n - i);
}

void mt_simd_rotate(const float *x, float *y, const float *cosine, const float *sine, size_t n, size_t half) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        v128_t c = wasm_v128_load(cosine + i), s = wasm_v128_load(sine + i), a, b;
        const float *at = half ? x + i : x + 2 * i;
        v128_t u = wasm_v128_load(at), v = wasm_v128_load(half ? at + half : at + 4);
        if (half) {
            a = u;
            b = v;
        } else {
            a = wasm_i32x4_shuffle(u, v, 0, 2, 4, 6);
            b = wasm_i32x4_shuffle(u, v, 1, 3, 5, 7);
        }
        u = wasm_f32x4_sub(wasm_f32x4_mul(a, c), wasm_f32x4_mul(b, s));
        v = wasm_f32x4_add(wasm_f32x4_mul(a, s), wasm_f32x4_mul(b, c));
        if (half) {
            wasm_v128_store(y + i, u);
            wasm_v128_store(y + i + half, v);
        } else {
            wasm_v128_store(y + 2 * i, wasm_i32x4_shuffle(u, v, 0, 4, 1, 5));
            wasm_v128_store(y + 2 * i + 4, wasm_i32x4_shuffle(u, v, 2, 6, 3, 7));
        }
    }
    if (i < n) mt_ref_rotate(half ? x + i : x + 2 * i, half ? y + i : y + 2 * i, cosine + i, sine + i, n - i, half);
}
#endif
