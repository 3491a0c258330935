/* The functions of ref_math.h on four floats (two doubles) at once, operation for operation. */
#ifndef MT_SIMD_MATH_H
#define MT_SIMD_MATH_H

#include "ref_math.h"
#include "simd.h"

#define SPLAT(c)        wasm_f32x4_splat(c)
#define HORNER(p, x, c) wasm_f32x4_add(wasm_f32x4_mul(p, x), SPLAT(c))

INLINE v128_t mt_expf2_x4(v128_t x, v128_t low) {
    x = wasm_f32x4_pmin(x, SPLAT(89.0f)); /* pmin and pmax keep a NaN in their first operand */
    x = wasm_f32x4_pmax(x, SPLAT(-104.0f));
    v128_t n = wasm_f32x4_nearest(wasm_f32x4_mul(x, SPLAT(MT_LOG2E)));
    v128_t r = wasm_f32x4_sub(x, wasm_f32x4_mul(n, SPLAT(MT_LN2_HIGH)));
    r = wasm_f32x4_sub(r, wasm_f32x4_mul(n, SPLAT(MT_LN2_LOW)));
    r = wasm_f32x4_add(r, low);
    v128_t p = SPLAT(MT_EXP_P4);
    p = HORNER(p, r, MT_EXP_P3);
    p = HORNER(p, r, MT_EXP_P2);
    p = HORNER(p, r, MT_EXP_P1);
    p = HORNER(p, r, MT_EXP_P0);
    p = wasm_f32x4_add(wasm_f32x4_mul(p, wasm_f32x4_mul(r, r)), r);
    p = wasm_f32x4_add(p, SPLAT(1.0f));
    v128_t i = wasm_i32x4_trunc_sat_f32x4(n), half = wasm_i32x4_shr(i, 1), bias = wasm_i32x4_splat(127);
    p = wasm_f32x4_mul(p, wasm_i32x4_shl(wasm_i32x4_add(half, bias), 23));
    return wasm_f32x4_mul(p, wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_sub(i, half), bias), 23));
}
INLINE v128_t mt_expf_x4(v128_t x) {
    return mt_expf2_x4(x, SPLAT(0.0f));
}

INLINE v128_t mt_tanhf_x4(v128_t x) {
    v128_t a = wasm_f32x4_abs(x), u = wasm_f32x4_mul(x, x), p = SPLAT(MT_TANH_P4);
    p = HORNER(p, u, MT_TANH_P3);
    p = HORNER(p, u, MT_TANH_P2);
    p = HORNER(p, u, MT_TANH_P1);
    p = HORNER(p, u, MT_TANH_P0);
    v128_t near = wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_mul(p, u), x), x);
    v128_t e = wasm_f32x4_add(mt_expf_x4(wasm_f32x4_add(a, a)), SPLAT(1.0f));
    v128_t far = wasm_f32x4_sub(SPLAT(1.0f), wasm_f32x4_div(SPLAT(2.0f), e));
    far = wasm_v128_bitselect(x, far, wasm_i32x4_splat(INT32_MIN));
    return wasm_v128_bitselect(near, far, wasm_f32x4_lt(a, SPLAT(0.625f)));
}

INLINE v128_t mt_times_sigmoid_x4(v128_t x, v128_t z) {
    v128_t one = SPLAT(1.0f), e = mt_expf_x4(wasm_f32x4_neg(wasm_f32x4_abs(z)));
    v128_t top = wasm_v128_bitselect(e, one, wasm_f32x4_lt(z, SPLAT(0.0f)));
    return wasm_f32x4_mul(x, wasm_f32x4_div(top, wasm_f32x4_add(one, e)));
}
INLINE v128_t mt_siluf_x4(v128_t x) {
    return mt_times_sigmoid_x4(x, x);
}
INLINE v128_t mt_gelu_tanhf_x4(v128_t x) {
    v128_t cube = wasm_f32x4_mul(wasm_f32x4_mul(x, x), x);
    v128_t u = wasm_f32x4_add(x, wasm_f32x4_mul(SPLAT(0.044715f), cube));
    return mt_times_sigmoid_x4(x, wasm_f32x4_mul(SPLAT(1.59576912f), u));
}
INLINE v128_t mt_gelu_erff_x4(v128_t x) {
    v128_t a = wasm_f32x4_pmin(wasm_f32x4_abs(x), SPLAT(16.0f));
    v128_t high = wasm_v128_and(a, wasm_i32x4_splat((int32_t)0xFFFFF000)), rest = wasm_f32x4_sub(a, high);
    v128_t square = wasm_f32x4_mul(a, a);
    v128_t low = wasm_f32x4_sub(wasm_f32x4_mul(high, high), square);
    low = wasm_f32x4_add(low, wasm_f32x4_mul(wasm_f32x4_add(high, high), rest));
    low = wasm_f32x4_add(low, wasm_f32x4_mul(rest, rest));
    v128_t e = mt_expf2_x4(wasm_f32x4_mul(SPLAT(-0.5f), square), wasm_f32x4_mul(SPLAT(-0.5f), low));
    v128_t t = wasm_f32x4_add(SPLAT(1.0f), wasm_f32x4_mul(SPLAT(MT_ERFCX_STEP * 0.707106781f), a));
    t = wasm_f32x4_div(SPLAT(1.0f), t);
    v128_t p = SPLAT(MT_ERFCX_P9);
    p = HORNER(p, t, MT_ERFCX_P8);
    p = HORNER(p, t, MT_ERFCX_P7);
    p = HORNER(p, t, MT_ERFCX_P6);
    p = HORNER(p, t, MT_ERFCX_P5);
    p = HORNER(p, t, MT_ERFCX_P4);
    p = HORNER(p, t, MT_ERFCX_P3);
    p = HORNER(p, t, MT_ERFCX_P2);
    p = HORNER(p, t, MT_ERFCX_P1);
    p = HORNER(p, t, MT_ERFCX_P0);
    v128_t tail = wasm_f32x4_mul(wasm_f32x4_mul(p, t), e);
    tail = wasm_f32x4_mul(wasm_f32x4_mul(SPLAT(0.5f), a), tail);
    return wasm_v128_bitselect(wasm_f32x4_neg(tail), wasm_f32x4_sub(x, tail), wasm_f32x4_lt(x, SPLAT(0.0f)));
}

#define HORNER64(p, x, c) wasm_f64x2_add(wasm_f64x2_mul(p, x), wasm_f64x2_splat(c))
INLINE v128_t mt_exp64_x2(v128_t x) {
    v128_t low = wasm_f64x2_lt(x, wasm_f64x2_splat(MT_EXP64_LOWEST));
    x = wasm_f64x2_pmax(x, wasm_f64x2_splat(MT_EXP64_LOWEST));
    v128_t n = wasm_f64x2_nearest(wasm_f64x2_mul(x, wasm_f64x2_splat(MT_EXP64_LOG2E)));
    v128_t r = wasm_f64x2_sub(x, wasm_f64x2_mul(n, wasm_f64x2_splat(MT_EXP64_HIGH)));
    r = wasm_f64x2_sub(r, wasm_f64x2_mul(n, wasm_f64x2_splat(MT_EXP64_LOW)));
    v128_t p = wasm_f64x2_splat(MT_EXP64_P9);
    p = HORNER64(p, r, MT_EXP64_P8);
    p = HORNER64(p, r, MT_EXP64_P7);
    p = HORNER64(p, r, MT_EXP64_P6);
    p = HORNER64(p, r, MT_EXP64_P5);
    p = HORNER64(p, r, MT_EXP64_P4);
    p = HORNER64(p, r, MT_EXP64_P3);
    p = HORNER64(p, r, MT_EXP64_P2);
    p = HORNER64(p, r, MT_EXP64_P1);
    p = HORNER64(p, r, MT_EXP64_P0);
    p = wasm_f64x2_add(wasm_f64x2_mul(p, wasm_f64x2_mul(r, r)), r);
    p = wasm_f64x2_add(p, wasm_f64x2_splat(1.0));
    /* n + 1023 as a 64-bit integer: adding 2^52 + 2^51 leaves it in the low bits of the mantissa. */
    v128_t bits = wasm_f64x2_add(n, wasm_f64x2_splat(6755399441055744.0 + 1023.0));
    p = wasm_f64x2_mul(p, wasm_i64x2_shl(bits, 52));
    return wasm_v128_andnot(p, low);
}

#endif
