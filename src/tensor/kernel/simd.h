/* 128-bit vectors under WASM's names, in both worlds: the compiler's intrinsics for wasm, simde's for the native
 * sanitizer builds, so that the code that ships is the code that is checked.
 *
 * MT_HAVE_SIMD, MT_HAVE_RELAXED say what this build can compile. A file that is compiled twice (plain and relaxed)
 * uses MADD and NAME below; the relaxed twin defines MT_RELAXED and includes the plain one. */
#ifndef MT_SIMD_H
#define MT_SIMD_H

#if defined(MT_SIMDE)
#define MT_HAVE_SIMD    1
#define MT_HAVE_RELAXED 1
#elif defined(__wasm_simd128__)
#define MT_HAVE_SIMD 1
#if defined(__wasm_relaxed_simd__)
#define MT_HAVE_RELAXED 1
#endif
#endif

#if defined(MT_SIMDE)
#define SIMDE_ENABLE_NATIVE_ALIASES
/* simde's own code is not written for our warnings; its few function names that newer headers renamed are below. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wpsabi"
#include <simde/wasm/simd128.h>
#pragma GCC diagnostic pop
#include <stdint.h>
#include <string.h>

/* What the relaxed instructions may do is pinned here to what x86 does: a fused multiply-add, and the dot product with
 * an unsigned second operand (equal to the signed one within the 7 bits that are allowed). */
typedef float mt_f32x4 __attribute__((vector_size(16)));
static inline v128_t wasm_f32x4_relaxed_madd(v128_t a, v128_t b, v128_t c) {
    mt_f32x4 x, y, z;
    memcpy(&x, &a, 16);
    memcpy(&y, &b, 16);
    memcpy(&z, &c, 16);
    z = __builtin_elementwise_fma(x, y, z);
    memcpy(&c, &z, 16);
    return c;
}
static inline v128_t wasm_i16x8_relaxed_dot_i8x16_i7x16(v128_t a, v128_t b) {
    int8_t x[16];
    uint8_t y[16];
    int16_t z[8];
    memcpy(x, &a, 16);
    memcpy(y, &b, 16);
    for (int i = 0; i < 8; i++) {
        int sum = x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1];
        z[i] = (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
    }
    memcpy(&a, z, 16);
    return a;
}
#elif defined(MT_HAVE_SIMD)
#include <wasm_simd128.h>
#endif

#if defined(MT_HAVE_SIMD)
#define INLINE static inline __attribute__((always_inline))
#ifdef MT_RELAXED
#define NAME(kernel)  mt_relaxed_##kernel
#define MADD(a, b, c) wasm_f32x4_relaxed_madd(a, b, c) /* a * b + c */
#else
#define NAME(kernel)  mt_simd_##kernel
#define MADD(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#endif

/* Reads and writes the first n lanes, n = 0..4; the other lanes read as 0. */
INLINE v128_t mt_load_lanes(const float *p, int n) {
    if (n >= 4) return wasm_v128_load(p);
    float lane[4] = {0, 0, 0, 0};
    for (int i = 0; i < n; i++) lane[i] = p[i];
    return wasm_v128_load(lane);
}
INLINE void mt_store_lanes(float *p, v128_t v, int n) {
    if (n >= 4) {
        wasm_v128_store(p, v);
        return;
    }
    float lane[4];
    wasm_v128_store(lane, v);
    for (int i = 0; i < n; i++) p[i] = lane[i];
}
#endif

#endif
