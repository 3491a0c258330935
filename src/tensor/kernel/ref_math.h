/* Elementary functions in float, written so that the vector twin (simd_math.h) does the same operations in the same
 * order: only + - * /, comparisons and bit moves, no fused operations, so both round alike on every machine.
 *
 *   expf     x = n ln 2 + r, |r| <= ln 2 / 2 (Cody & Waite reduction in two steps); e^r by a degree-6 polynomial
 *            (minimax, relative error 3.1e-9); times 2^n in two factors so that subnormal results are right. <= 1.1 ulp
 *   tanhf    |x| < 0.625: odd polynomial (relative error 4.2e-9); else 1 - 2 / (e^2|x| + 1). <= 2 ulp
 *   erfcx    e^(z^2) erfc(z) = t P(t), t = 1 / (1 + 0.35 z), degree 9 (relative error 7.8e-9)
 *   exp      the same reduction in double, degree 11 (relative error 3.6e-18)
 * The coefficients were fitted by Remez exchange in 40-digit arithmetic. */
#ifndef MT_REF_MATH_H
#define MT_REF_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MT_LOG2E      1.44269504f
#define MT_LN2_HIGH   0.693359375f /* 9 bits: n * high is exact */
#define MT_LN2_LOW    (-2.12194440e-4f)
#define MT_EXP_P0     0.499999934478f
#define MT_EXP_P1     0.166665206317f
#define MT_EXP_P2     0.0416683880453f
#define MT_EXP_P3     0.00836871687973f
#define MT_EXP_P4     0.00138145986467f
#define MT_TANH_P0    (-0.333332838823f)
#define MT_TANH_P1    0.133314900273f
#define MT_TANH_P2    (-0.0537433860249f)
#define MT_TANH_P3    0.0206502011935f
#define MT_TANH_P4    (-0.00571659260444f)
#define MT_GELU_CUBE  0.044715f
#define MT_GELU_SLOPE 1.59576912f            /* 2 sqrt(2 / pi) */
#define MT_ERFCX_STEP (0.35f * 0.707106781f) /* z = |x| / sqrt 2 */
#define MT_ERFCX_P0   0.197479722527f
#define MT_ERFCX_P1   0.197212891501f
#define MT_ERFCX_P2   0.187314484889f
#define MT_ERFCX_P3   0.153801269922f
#define MT_ERFCX_P4   0.138802728559f
#define MT_ERFCX_P5   0.0999757461775f
#define MT_ERFCX_P6   (-0.0427255790172f)
#define MT_ERFCX_P7   0.192355760115f
#define MT_ERFCX_P8   (-0.163423224947f)
#define MT_ERFCX_P9   0.0392062079903f

static inline float mt_float_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline uint32_t mt_bits_float(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

#ifndef MT_DOUBLE
/* e^(x + low), |low| tiny: the correction joins after the reduction, where it still counts. */
static inline float mt_expf2(float x, float low) {
    if (x != x) return x;
    x = 89.0f < x ? 89.0f : x; /* e^89 overflows, e^-104 underflows to 0 */
    x = x < -104.0f ? -104.0f : x;
    float n = rintf(x * MT_LOG2E);
    float r = (x - n * MT_LN2_HIGH) - n * MT_LN2_LOW;
    r = r + low;
    float p = MT_EXP_P4;
    p = p * r + MT_EXP_P3;
    p = p * r + MT_EXP_P2;
    p = p * r + MT_EXP_P1;
    p = p * r + MT_EXP_P0;
    p = (p * (r * r) + r) + 1.0f;
    int32_t i = (int32_t)n, half = i >> 1;
    return p * mt_float_bits((uint32_t)(half + 127) << 23) * mt_float_bits((uint32_t)(i - half + 127) << 23);
}
static inline float mt_expf(float x) {
    return mt_expf2(x, 0.0f);
}

static inline float mt_tanhf(float x) {
    float a = fabsf(x), u = x * x;
    if (a < 0.625f) {
        float p = MT_TANH_P4;
        p = p * u + MT_TANH_P3;
        p = p * u + MT_TANH_P2;
        p = p * u + MT_TANH_P1;
        p = p * u + MT_TANH_P0;
        return (p * u) * x + x;
    }
    return copysignf(1.0f - 2.0f / (mt_expf(a + a) + 1.0f), x);
}

/* x / (1 + e^-z), relative accuracy in both tails. */
static inline float mt_times_sigmoid(float x, float z) {
    float e = mt_expf(-fabsf(z));
    return x * ((z < 0.0f ? e : 1.0f) / (1.0f + e));
}

static inline float mt_siluf(float x) {
    return mt_times_sigmoid(x, x);
}

/* 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
static inline float mt_gelu_tanhf(float x) {
    return mt_times_sigmoid(x, MT_GELU_SLOPE * (x + MT_GELU_CUBE * (x * x * x)));
}

/* x Phi(x) = x erfc(-x / sqrt 2) / 2, through erfc of |x|. x^2 is kept in two floats: its rounding error would
 * otherwise cost x^2 / 2 units in the last place of e^(-x^2 / 2). */
static inline float mt_gelu_erff(float x) {
    float a = fabsf(x);
    a = 16.0f < a ? 16.0f : a; /* beyond, erfc is 0 in float */
    float high = mt_float_bits(mt_bits_float(a) & 0xFFFFF000), rest = a - high, square = a * a;
    float low = ((high * high - square) + (high + high) * rest) + rest * rest;
    float e = mt_expf2(-0.5f * square, -0.5f * low);
    float t = 1.0f / (1.0f + MT_ERFCX_STEP * a);
    float p = MT_ERFCX_P9;
    p = p * t + MT_ERFCX_P8;
    p = p * t + MT_ERFCX_P7;
    p = p * t + MT_ERFCX_P6;
    p = p * t + MT_ERFCX_P5;
    p = p * t + MT_ERFCX_P4;
    p = p * t + MT_ERFCX_P3;
    p = p * t + MT_ERFCX_P2;
    p = p * t + MT_ERFCX_P1;
    p = p * t + MT_ERFCX_P0;
    float tail = (0.5f * a) * (p * t * e); /* |x| times the smaller side of the normal law */
    return x < 0.0f ? -tail : x - tail;
}

#else /* the gradient tests compile the core with double for float: then these are the platform's */

static inline float mt_expf(float x) {
    return exp(x);
}
static inline float mt_tanhf(float x) {
    return tanh(x);
}
static inline float mt_siluf(float x) {
    return x / (1 + exp(-x));
}
static inline float mt_gelu_tanhf(float x) {
    return x / (1 + exp(-MT_GELU_SLOPE * (x + MT_GELU_CUBE * x * x * x)));
}
static inline float mt_gelu_erff(float x) {
    return 0.5 * x * erfc(-x * 0.70710678118654752440);
}

#endif

#define MT_EXP64_LOG2E  1.4426950408889634
#define MT_EXP64_HIGH   6.93147180369123816490e-01 /* fdlibm's split of ln 2 */
#define MT_EXP64_LOW    1.90821492927058770002e-10
#define MT_EXP64_LOWEST (-708.0) /* below: 0, far under the rounding of any sum that holds e^0 */
#define MT_EXP64_P0     0.5000000000000010627146
#define MT_EXP64_P1     0.1666666666666641252274
#define MT_EXP64_P2     0.04166666666653015849381
#define MT_EXP64_P3     0.008333333333494461663931
#define MT_EXP64_P4     0.001388888894363013416105
#define MT_EXP64_P5     0.0001984126950657872393229
#define MT_EXP64_P6     0.00002480149309888739154466
#define MT_EXP64_P7     0.000002755758637378518095388
#define MT_EXP64_P8     2.763024838532302056044e-7
#define MT_EXP64_P9     2.500006162553127958749e-8

/* e^x for x <= 0. */
static inline double mt_exp64(double x) {
    if (x != x) return x;
    if (x < MT_EXP64_LOWEST) return 0;
    double n = rint(x * MT_EXP64_LOG2E);
    double r = (x - n * MT_EXP64_HIGH) - n * MT_EXP64_LOW;
    double p = MT_EXP64_P9;
    p = p * r + MT_EXP64_P8;
    p = p * r + MT_EXP64_P7;
    p = p * r + MT_EXP64_P6;
    p = p * r + MT_EXP64_P5;
    p = p * r + MT_EXP64_P4;
    p = p * r + MT_EXP64_P3;
    p = p * r + MT_EXP64_P2;
    p = p * r + MT_EXP64_P1;
    p = p * r + MT_EXP64_P0;
    p = (p * (r * r) + r) + 1.0;
    uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, 8);
    return p * scale;
}

#define MT_TWO_OVER_PI 0.63661977236758134308
#define MT_HALF_PI_HIGH                                                                                                \
    1.57079632673412561417e+00 /* fdlibm's split: 33 bits, so that n * high is exact for n < 2^20                      \
                                */
#define MT_HALF_PI_LOW 6.07710050650619224932e-11
#define MT_SIN_P0      (-0.16666666666631589412) /* sin r = r + r^3 P(r^2), relative error 4.7e-15 */
#define MT_SIN_P1      0.0083333333252707458685
#define MT_SIN_P2      (-0.00019841263822263101959)
#define MT_SIN_P3      2.7555357579563007222e-6
#define MT_SIN_P4      (-2.4761638102065937226e-8)
#define MT_COS_P0      0.04166666666660219323 /* cos r = 1 - r^2 / 2 + r^4 P(r^2) */
#define MT_COS_P1      (-0.0013888888878265913617)
#define MT_COS_P2      0.000024801580967906041567
#define MT_COS_P3      (-2.7555566436517986599e-7)
#define MT_COS_P4      2.0647692550507414213e-9
#define MT_SINCOS_TOP  1.0e6 /* beyond, the library's reduction is needed */

/* Sine and cosine to far more than a float's precision, for any finite x. */
static inline void mt_sincos(double x, double *sine, double *cosine) {
    if (!(fabs(x) <= MT_SINCOS_TOP)) {
        *sine = sin(x);
        *cosine = cos(x);
        return;
    }
    double n = rint(x * MT_TWO_OVER_PI);
    double r = (x - n * MT_HALF_PI_HIGH) - n * MT_HALF_PI_LOW, u = r * r;
    double s = MT_SIN_P4, c = MT_COS_P4;
    s = s * u + MT_SIN_P3;
    s = s * u + MT_SIN_P2;
    s = s * u + MT_SIN_P1;
    s = s * u + MT_SIN_P0;
    s = s * (u * r) + r;
    c = c * u + MT_COS_P3;
    c = c * u + MT_COS_P2;
    c = c * u + MT_COS_P1;
    c = c * u + MT_COS_P0;
    c = c * (u * u) + (1.0 - 0.5 * u);
    int quarter = (int)n & 3;
    double a = quarter & 1 ? c : s, b = quarter & 1 ? s : c;
    *sine = quarter & 2 ? -a : a;
    *cosine = (quarter + 1) & 2 ? -b : b;
}

#endif
