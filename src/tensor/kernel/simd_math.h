/* The functions of ref_math.h on four floats (two doubles) at once, operation for operation. */
#ifndef MT_SIMD_MATH_H
#define MT_SIMD_MATH_H

#include "ref_math.h"
#include "simd.h"
#include "simd_constants.h"

#define HORNER(p, x, c) wasm_f32x4_add(wasm_f32x4_mul(p, x), c)

INLINE v128_t mt_expf2_x4(v128_t x, v128_t low) {
    x = wasm_f32x4_pmin(x, F(EXP_TOP)); /* pmin and pmax keep a NaN in their first operand */
    x = wasm_f32x4_pmax(x, F(EXP_BOTTOM));
    v128_t n = wasm_f32x4_nearest(wasm_f32x4_mul(x, F(LOG2E)));
    v128_t r = wasm_f32x4_sub(x, wasm_f32x4_mul(n, F(LN2_HIGH)));
    r = wasm_f32x4_sub(r, wasm_f32x4_mul(n, F(LN2_LOW)));
    r = wasm_f32x4_add(r, low);
    v128_t p = F(EXP_P4);
    p = HORNER(p, r, F(EXP_P3));
    p = HORNER(p, r, F(EXP_P2));
    p = HORNER(p, r, F(EXP_P1));
    p = HORNER(p, r, F(EXP_P0));
    p = wasm_f32x4_add(wasm_f32x4_mul(p, wasm_f32x4_mul(r, r)), r);
    p = wasm_f32x4_add(p, F(ONE));
    v128_t i = wasm_i32x4_trunc_sat_f32x4(n), half = wasm_i32x4_shr(i, 1), bias = F(BIAS);
    p = wasm_f32x4_mul(p, wasm_i32x4_shl(wasm_i32x4_add(half, bias), 23));
    return wasm_f32x4_mul(p, wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_sub(i, half), bias), 23));
}
INLINE v128_t mt_expf_x4(v128_t x) {
    return mt_expf2_x4(x, wasm_f32x4_splat(0));
}

INLINE v128_t mt_tanhf_x4(v128_t x) {
    v128_t a = wasm_f32x4_abs(x), u = wasm_f32x4_mul(x, x), p = F(TANH_P4);
    p = HORNER(p, u, F(TANH_P3));
    p = HORNER(p, u, F(TANH_P2));
    p = HORNER(p, u, F(TANH_P1));
    p = HORNER(p, u, F(TANH_P0));
    v128_t near = wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_mul(p, u), x), x);
    v128_t e = wasm_f32x4_add(mt_expf_x4(wasm_f32x4_add(a, a)), F(ONE));
    v128_t far = wasm_f32x4_sub(F(ONE), wasm_f32x4_div(F(TWO), e));
    far = wasm_v128_bitselect(x, far, F(SIGN));
    return wasm_v128_bitselect(near, far, wasm_f32x4_lt(a, F(TANH_NEAR)));
}

INLINE v128_t mt_times_sigmoid_x4(v128_t x, v128_t z) {
    v128_t one = F(ONE), e = mt_expf_x4(wasm_f32x4_neg(wasm_f32x4_abs(z)));
    v128_t top = wasm_v128_bitselect(e, one, wasm_f32x4_lt(z, wasm_f32x4_splat(0)));
    return wasm_f32x4_mul(x, wasm_f32x4_div(top, wasm_f32x4_add(one, e)));
}
INLINE v128_t mt_siluf_x4(v128_t x) {
    return mt_times_sigmoid_x4(x, x);
}
INLINE v128_t mt_gelu_tanhf_x4(v128_t x) {
    v128_t cube = wasm_f32x4_mul(wasm_f32x4_mul(x, x), x);
    v128_t u = wasm_f32x4_add(x, wasm_f32x4_mul(F(GELU_CUBE), cube));
    return mt_times_sigmoid_x4(x, wasm_f32x4_mul(F(GELU_SLOPE), u));
}
INLINE v128_t mt_gelu_erff_x4(v128_t x) {
    v128_t a = wasm_f32x4_pmin(wasm_f32x4_abs(x), F(ERFC_TOP));
    v128_t high = wasm_v128_and(a, F(HIGH_BITS)), rest = wasm_f32x4_sub(a, high);
    v128_t square = wasm_f32x4_mul(a, a);
    v128_t low = wasm_f32x4_sub(wasm_f32x4_mul(high, high), square);
    low = wasm_f32x4_add(low, wasm_f32x4_mul(wasm_f32x4_add(high, high), rest));
    low = wasm_f32x4_add(low, wasm_f32x4_mul(rest, rest));
    v128_t e = mt_expf2_x4(wasm_f32x4_mul(F(MINUS_HALF), square), wasm_f32x4_mul(F(MINUS_HALF), low));
    v128_t t = wasm_f32x4_add(F(ONE), wasm_f32x4_mul(F(ERFCX_STEP), a));
    t = wasm_f32x4_div(F(ONE), t);
    v128_t p = F(ERFCX_P9);
    p = HORNER(p, t, F(ERFCX_P8));
    p = HORNER(p, t, F(ERFCX_P7));
    p = HORNER(p, t, F(ERFCX_P6));
    p = HORNER(p, t, F(ERFCX_P5));
    p = HORNER(p, t, F(ERFCX_P4));
    p = HORNER(p, t, F(ERFCX_P3));
    p = HORNER(p, t, F(ERFCX_P2));
    p = HORNER(p, t, F(ERFCX_P1));
    p = HORNER(p, t, F(ERFCX_P0));
    v128_t tail = wasm_f32x4_mul(wasm_f32x4_mul(p, t), e);
    tail = wasm_f32x4_mul(wasm_f32x4_mul(F(HALF), a), tail);
    return wasm_v128_bitselect(wasm_f32x4_neg(tail), wasm_f32x4_sub(x, tail), wasm_f32x4_lt(x, wasm_f32x4_splat(0)));
}

#define HORNER64(p, x, c) wasm_f64x2_add(wasm_f64x2_mul(p, x), c)
INLINE v128_t mt_exp64_x2(v128_t x) {
    v128_t low = wasm_f64x2_lt(x, D(LOWEST));
    x = wasm_f64x2_pmax(x, D(LOWEST));
    v128_t n = wasm_f64x2_nearest(wasm_f64x2_mul(x, D(LOG2E)));
    v128_t r = wasm_f64x2_sub(x, wasm_f64x2_mul(n, D(HIGH)));
    r = wasm_f64x2_sub(r, wasm_f64x2_mul(n, D(LOW)));
    v128_t p = D(P9);
    p = HORNER64(p, r, D(P8));
    p = HORNER64(p, r, D(P7));
    p = HORNER64(p, r, D(P6));
    p = HORNER64(p, r, D(P5));
    p = HORNER64(p, r, D(P4));
    p = HORNER64(p, r, D(P3));
    p = HORNER64(p, r, D(P2));
    p = HORNER64(p, r, D(P1));
    p = HORNER64(p, r, D(P0));
    p = wasm_f64x2_add(wasm_f64x2_mul(p, wasm_f64x2_mul(r, r)), r);
    p = wasm_f64x2_add(p, D(ONE));
    /* n + 1023 as a 64-bit integer: adding 2^52 + 2^51 leaves it in the low bits of the mantissa. */
    v128_t bits = wasm_f64x2_add(n, D(ALIGN));
    p = wasm_f64x2_mul(p, wasm_i64x2_shl(bits, 52));
    return wasm_v128_andnot(p, low);
}

/* |x| at most MT_SINCOS_TOP. */
INLINE void mt_sincos_x2(v128_t x, v128_t *sine, v128_t *cosine) {
    v128_t n = wasm_f64x2_nearest(wasm_f64x2_mul(x, D(TWO_OVER_PI)));
    v128_t r = wasm_f64x2_sub(x, wasm_f64x2_mul(n, D(HALF_PI_HIGH)));
    r = wasm_f64x2_sub(r, wasm_f64x2_mul(n, D(HALF_PI_LOW)));
    v128_t u = wasm_f64x2_mul(r, r), s = D(SIN_P4), c = D(COS_P4);
    s = HORNER64(s, u, D(SIN_P3));
    s = HORNER64(s, u, D(SIN_P2));
    s = HORNER64(s, u, D(SIN_P1));
    s = HORNER64(s, u, D(SIN_P0));
    s = HORNER64(s, wasm_f64x2_mul(u, r), r);
    c = HORNER64(c, u, D(COS_P3));
    c = HORNER64(c, u, D(COS_P2));
    c = HORNER64(c, u, D(COS_P1));
    c = HORNER64(c, u, D(COS_P0));
    c = HORNER64(c, wasm_f64x2_mul(u, u), wasm_f64x2_sub(D(ONE), wasm_f64x2_mul(D(HALF), u)));
    v128_t quarter = wasm_f64x2_add(n, D(INTEGER)); /* n in the low bits of the mantissa */
    v128_t one = wasm_i64x2_splat(1), odd = wasm_i64x2_eq(wasm_v128_and(quarter, one), one);
    v128_t a = wasm_v128_bitselect(c, s, odd), b = wasm_v128_bitselect(s, c, odd);
    v128_t two = wasm_i64x2_splat(2);
    *sine = wasm_v128_xor(a, wasm_i64x2_shl(wasm_v128_and(quarter, two), 62));
    *cosine = wasm_v128_xor(b, wasm_i64x2_shl(wasm_v128_and(wasm_i64x2_add(quarter, one), two), 62));
}

#endif
