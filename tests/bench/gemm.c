/* What the training benchmark runs of the float matrix product: linked with the core's objects for WASM. */
#include "tensor/kernel/kernel.h"

#include <stdlib.h>
#include <wasm_simd128.h>

#define EXPORT __attribute__((visibility("default"), used))

static mt_gemm_args g;
static float *a, *b, *c, *work;
static size_t a_step, b_step, c_step;
static int32_t count;

static float *noise(size_t n) {
    uint32_t s = 1;
    float *p = mt_alloc_aligned(n * sizeof(float) + 16, 64);
    for (size_t i = 0; p && i < n; i++) p[i] = (float)(int32_t)(s = s * 1664525 + 1013904223) * 0x1p-31f;
    return p;
}

EXPORT int bench_isa(int isa) {
    return mt_kernels_use((mt_isa)isa, NULL) == MT_OK;
}

EXPORT int bench_gemm_new(int M, int N, int K, int ta, int tb, int items) {
    size_t m = (size_t)M, n = (size_t)N, k = (size_t)K, all = (size_t)items, need = mt_gemm_work(M, N, K);
    a = noise(all * m * k), b = noise(all * k * n), c = noise(all * m * n), work = noise(need);
    count = items, a_step = m * k, b_step = k * n, c_step = m * n;
    g = (mt_gemm_args){.ta = ta, .tb = tb, .M = M, .N = N, .K = K, .alpha = 1, .a = a, .b = b, .c = c, .ldc = n};
    g.lda = ta ? m : k, g.ldb = tb ? k : n;
    return a && b && c && work;
}
EXPORT void bench_gemm(int times) {
    for (int i = 0; i < times; i++) mt_gemm_batch(NULL, &g, count, a_step, b_step, c_step, work);
}
EXPORT void bench_gemm_free(void) {
    mt_free_aligned(a), mt_free_aligned(b), mt_free_aligned(c), mt_free_aligned(work);
}

/* The ceiling: multiply-adds on registers alone, in twelve chains. Returns the operations of a call, a multiplication
 * and an addition being two. */
EXPORT double bench_peak(int times) {
    enum { CHAINS = 12, STEPS = 256 };
    static volatile float factor = 0.999f, term = 1e-3f, sink; /* not constants, which would be loaded each time */
    v128_t sum[CHAINS], x = wasm_f32x4_splat(factor), y = wasm_f32x4_splat(term);
    for (int i = 0; i < CHAINS; i++) sum[i] = wasm_f32x4_splat((float)i);
    for (int step = 0; step < times * STEPS; step++)
        for (int i = 0; i < CHAINS; i++)
#ifdef __wasm_relaxed_simd__
            sum[i] = wasm_f32x4_relaxed_madd(x, y, sum[i]);
#else
            sum[i] = wasm_f32x4_add(wasm_f32x4_mul(sum[i], x), y);
#endif
    for (int i = 1; i < CHAINS; i++) sum[0] = wasm_f32x4_add(sum[0], sum[i]);
    sink = wasm_f32x4_extract_lane(sum[0], 0);
    return 2.0 * 4 * CHAINS * STEPS * times;
}
