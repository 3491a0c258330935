/* Vector constants that are read from memory.
 *
 * A v128.const inside a loop costs four or five instructions wherever the engine does not move it out (V8 since its new
 * back end); a splatting load costs one. Nothing here may be visible as a constant to the compiler, hence a table in
 * a file of its own. F(NAME) and D(NAME) read it; bit patterns are kept as floats' bits. */
#ifndef MT_SIMD_CONSTANTS_H
#define MT_SIMD_CONSTANTS_H

#include "ref_math.h"
#include "simd.h"

/* clang-format off */
#define MT_FLOAT_CONSTANTS(X) \
    X(LOG2E, MT_LOG2E) \
    X(LN2_HIGH, MT_LN2_HIGH) \
    X(LN2_LOW, MT_LN2_LOW) \
    X(EXP_P0, MT_EXP_P0) \
    X(EXP_P1, MT_EXP_P1) \
    X(EXP_P2, MT_EXP_P2) \
    X(EXP_P3, MT_EXP_P3) \
    X(EXP_P4, MT_EXP_P4) \
    X(TANH_P0, MT_TANH_P0) \
    X(TANH_P1, MT_TANH_P1) \
    X(TANH_P2, MT_TANH_P2) \
    X(TANH_P3, MT_TANH_P3) \
    X(TANH_P4, MT_TANH_P4) \
    X(ERFCX_P0, MT_ERFCX_P0) \
    X(ERFCX_P1, MT_ERFCX_P1) \
    X(ERFCX_P2, MT_ERFCX_P2) \
    X(ERFCX_P3, MT_ERFCX_P3) \
    X(ERFCX_P4, MT_ERFCX_P4) \
    X(ERFCX_P5, MT_ERFCX_P5) \
    X(ERFCX_P6, MT_ERFCX_P6) \
    X(ERFCX_P7, MT_ERFCX_P7) \
    X(ERFCX_P8, MT_ERFCX_P8) \
    X(ERFCX_P9, MT_ERFCX_P9) \
    X(EXP_TOP, 89.0f) \
    X(EXP_BOTTOM, -104.0f) \
    X(ONE, 1.0f) \
    X(TWO, 2.0f) \
    X(HALF, 0.5f) \
    X(MINUS_HALF, -0.5f) \
    X(TANH_NEAR, 0.625f) \
    X(GELU_CUBE, MT_GELU_CUBE) \
    X(GELU_SLOPE, MT_GELU_SLOPE) \
    X(ERFC_TOP, 16.0f) \
    X(ERFCX_STEP, MT_ERFCX_STEP) \
    X(HALF_REBIAS, 0x1p112f)
#define MT_BIT_CONSTANTS(X) \
    X(SIGN, 0x80000000) \
    X(MAGNITUDE, 0x7FFFFFFF) \
    X(HIGH_BITS, 0xFFFFF000) \
    X(BIAS, 127) \
    X(HALF_BITS, 0x8FFFE000) \
    X(NIBBLES, 0x0F0F0F0F)
#define MT_DOUBLE_CONSTANTS(X) \
    X(LOG2E, MT_EXP64_LOG2E) \
    X(HIGH, MT_EXP64_HIGH) \
    X(LOW, MT_EXP64_LOW) \
    X(LOWEST, MT_EXP64_LOWEST) \
    X(P0, MT_EXP64_P0) \
    X(P1, MT_EXP64_P1) \
    X(P2, MT_EXP64_P2) \
    X(P3, MT_EXP64_P3) \
    X(P4, MT_EXP64_P4) \
    X(P5, MT_EXP64_P5) \
    X(P6, MT_EXP64_P6) \
    X(P7, MT_EXP64_P7) \
    X(P8, MT_EXP64_P8) \
    X(P9, MT_EXP64_P9) \
    X(ONE, 1.0) \
    X(ALIGN, 6755399441055744.0 + 1023.0) \
    X(INTEGER, 6755399441055744.0) \
    X(TWO_OVER_PI, MT_TWO_OVER_PI) \
    X(HALF_PI_HIGH, MT_HALF_PI_HIGH) \
    X(HALF_PI_LOW, MT_HALF_PI_LOW) \
    X(HALF, 0.5) \
    X(SINCOS_TOP, MT_SINCOS_TOP) \
    X(SIN_P0, MT_SIN_P0) \
    X(SIN_P1, MT_SIN_P1) \
    X(SIN_P2, MT_SIN_P2) \
    X(SIN_P3, MT_SIN_P3) \
    X(SIN_P4, MT_SIN_P4) \
    X(COS_P0, MT_COS_P0) \
    X(COS_P1, MT_COS_P1) \
    X(COS_P2, MT_COS_P2) \
    X(COS_P3, MT_COS_P3) \
    X(COS_P4, MT_COS_P4)
/* clang-format on */

typedef struct mt_simd_constants {
#define X(name, value) float f_##name;
    MT_FLOAT_CONSTANTS(X)
#undef X
#define X(name, value) uint32_t f_##name;
    MT_BIT_CONSTANTS(X)
#undef X
#define X(name, value) double d_##name;
    MT_DOUBLE_CONSTANTS(X)
#undef X
} mt_simd_constants;
extern const mt_simd_constants mt_simd_table;

#define F(name) wasm_v128_load32_splat(&mt_simd_table.f_##name)
#define D(name) wasm_v128_load64_splat(&mt_simd_table.d_##name)

#endif
