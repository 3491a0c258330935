/* What the kernel benchmark runs: linked with the core's objects for WASM, or with the core's sources natively.
 * One operation is prepared with bench_new and then run in short slices, because engines optimise between calls. */
#include "tensor/kernel/kernel.h"

#include <math.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default"), used))

static mt_weight w;
static float *x, *y;
static void *scratch;
static int32_t T;
static mt_attend_args attend;
static mt_pool *pool;
static double *wide;

static float noise(uint32_t *s) {
    *s = *s * 1664525 + 1013904223;
    return (float)(int32_t)*s * 0x1p-31f;
}

EXPORT int bench_isa(int isa) {
    return mt_kernels_use((mt_isa)isa, NULL) == MT_OK;
}

/* A product of N outputs, K inputs, T tokens. Returns the bytes of the weights, 0 when something failed. */
EXPORT double bench_matmul_new(int type, int N, int K, int tokens) {
    uint32_t s = 1;
    const mt_dtype_info *info = mt_dtype_find((uint32_t)type);
    if (!info || mt_weight_new(&w, (uint32_t)type, N, K, NULL) != MT_OK) return 0;
    size_t bytes = (size_t)K / info->block * info->bytes;
    uint8_t *row = malloc(bytes);
    float *in = malloc((size_t)K * 4);
    for (int n = 0; n < N; n++) {
        for (int k = 0; k < K; k++) in[k] = noise(&s);
        if (info->from_float)
            info->from_float(in, row, (size_t)K);
        else
            for (size_t i = 0; i < bytes; i++) row[i] = (uint8_t)(noise(&s) * 40); /* halves stay finite */
        mt_weight_put_rows(NULL, &w, n, 1, row);
    }
    free(row);
    free(in);
    T = tokens;
    x = malloc((size_t)K * (size_t)T * 4);
    y = malloc((size_t)N * (size_t)T * 4);
    for (size_t i = 0; i < (size_t)K * (size_t)T; i++) x[i] = noise(&s);
    scratch = malloc(mt_matmul_scratch(&w, T));
    return (double)w.bytes;
}
/* Repacks rows, as a loader does: 64 rows at a time from one buffer. */
EXPORT void bench_pack(int count) {
    static uint8_t *source;
    if (!source) source = calloc(64, 65536);
    for (int i = 0; i < count; i++)
        for (int32_t row = 0; row + 64 <= w.rows; row += 64) mt_weight_put_rows(NULL, &w, row, 64, source);
}
EXPORT void bench_matmul(int count) {
    for (int i = 0; i < count; i++) mt_matmul(pool, &w, x, (size_t)w.cols, T, NULL, y, (size_t)w.rows, scratch);
}
EXPORT void bench_free(void) {
    if (w.data) mt_weight_free(&w);
    free(x), free(y), free(scratch), free(wide);
    if (attend.q)
        free((void *)attend.q), free((void *)attend.k), free((void *)attend.v), free((void *)attend.runs),
            free((void *)attend.run_start), free((void *)attend.position);
    memset(&attend, 0, sizeof attend);
    x = y = NULL, scratch = NULL, wide = NULL;
}

/* Threads: the host starts workers that call bench_worker on stacks of their own. */
EXPORT void *bench_pool_new(int threads, int may_block) {
    if (mt_pool_new(threads, &pool, NULL) != MT_OK) return NULL;
    mt_pool_may_block(pool, may_block);
    return pool;
}
EXPORT void bench_pool_free(void) {
    mt_pool_free(pool);
    pool = NULL;
}
EXPORT void bench_worker(void *p) {
    mt_pool_worker(p, 1);
}
EXPORT void *bench_stack(int bytes) {
    return (char *)mt_alloc_aligned((size_t)bytes, 16) + bytes;
}
EXPORT uint32_t bench_result(void) { /* a hash of the last result */
    uint64_t h = mt_hash_bytes(y, (size_t)w.rows * (size_t)T * sizeof(float));
    return (uint32_t)(h ^ h >> 32);
}

/* Rows of n floats for the elementwise kernels. */
EXPORT void bench_row_new(int n) {
    uint32_t s = 1;
    T = n;
    x = malloc((size_t)n * 4);
    y = malloc((size_t)n * 4);
    wide = malloc((size_t)n * 8);
    scratch = malloc((size_t)n * 8);
    for (int i = 0; i < n; i++) x[i] = 4 * noise(&s);
}
EXPORT void bench_row(int which, int count) {
    static const int32_t position[1] = {100};
    static float inv_freq[32];
    for (int i = 0; i < 32; i++) inv_freq[i] = 1.0f / (float)(i + 1);
    size_t n = (size_t)T;
    for (int i = 0; i < count; i++) switch (which) {
        case 0:
            mt_exp(x, y, n);
            break;
        case 1:
            mt_silu(x, y, n);
            break;
        case 2:
            mt_gelu_tanh(x, y, n);
            break;
        case 3:
            mt_gelu_erf(x, y, n);
            break;
        case 4:
            mt_rms_norm(x, x, 1e-5f, y, NULL, 1, T);
            break;
        case 5:
            mt_layer_norm(x, x, x, 1e-5f, y, NULL, 1, T);
            break;
        case 6:
            memcpy(y, x, n * 4);
            mt_softmax(y, 1, T, n);
            break;
        case 7:
            mt_log_softmax_f64(x, wide, n);
            break;
        case 8:
            mt_kernels->quantize(x, T, scratch, NULL, y, (int32_t *)wide);
            break;
        case 9:
            mt_mul(x, x, y, n);
            break;
        case 10:
            mt_rope(x, y, position, inv_freq, true, 1, 1, T / 64, 64, 64);
            break;
        }
}

/* H heads of width 64 over G groups; `tokens` queries, each sees all `slots`. */
EXPORT void bench_attend_new(int type, int tokens, int H, int G, int slots) {
    uint32_t s = 1;
    size_t q = (size_t)tokens * (size_t)H * 64, kv = (size_t)G * (size_t)slots * 64;
    size_t row = mt_cache_row((mt_cache_type)type, 64);
    float *qp = malloc(q * 4), x[64];
    uint8_t *kp = malloc(kv / 64 * row), *vp = malloc(kv / 64 * row);
    mt_run *runs = malloc((size_t)tokens * sizeof *runs);
    int32_t *start = malloc(((size_t)tokens + 1) * 4), *position = calloc((size_t)tokens + 1, 4);
    for (size_t i = 0; i < q; i++) qp[i] = noise(&s);
    for (size_t i = 0; i < 2 * kv / 64; i++) {
        for (int e = 0; e < 64; e++) x[e] = noise(&s);
        mt_cache_put((mt_cache_type)type, x, 64, (i & 1 ? vp : kp) + i / 2 * row);
    }
    for (int t = 0; t <= tokens; t++) start[t] = t;
    for (int t = 0; t < tokens; t++) runs[t] = (mt_run){0, slots};
    y = malloc(q * 4);
    attend = (mt_attend_args){.T = tokens,
                              .H = H,
                              .G = G,
                              .E = 64,
                              .EV = 64,
                              .q = qp,
                              .type = (mt_cache_type)type,
                              .k = kp,
                              .v = vp,
                              .k_stride = (size_t)slots * row,
                              .v_stride = (size_t)slots * row,
                              .runs = runs,
                              .run_start = start,
                              .position = position,
                              .slot_position = position,
                              .scale = 0.125f,
                              .out = y};
}
EXPORT void bench_attend(int count) {
    for (int i = 0; i < count; i++) mt_attend(pool, &attend);
}

/* Ceilings of this machine and engine: reading memory in four streams; multiply-adds on registers. */
EXPORT double bench_read(int megabytes, int count) {
    typedef int v4 __attribute__((vector_size(16)));
    size_t n = (size_t)megabytes << 16, quarter = n / 4;
    static v4 *memory;
    if (!memory) {
        memory = malloc(n * 16); /* pages that were never written share one page of zeros */
        if (!memory) return 0;
        memset(memory, 1, n * 16);
    }
    v4 a = {0}, b = a, c = a, d = a;
    for (int r = 0; r < count; r++)
        for (size_t i = 0; i < quarter; i++) {
            a += memory[i];
            b += memory[i + quarter];
            c += memory[i + 2 * quarter];
            d += memory[i + 3 * quarter];
        }
    a += b + c + d;
    return (double)(a[0] + a[1] + a[2] + a[3]);
}

#ifdef __wasm__
#include <wasm_simd128.h>
/* Integer multiply-adds on registers alone, eight chains: 16-bit pairs, or with relaxed SIMD byte fours. Returns how
 * many operations (a multiply and an add are two) a call with `count` makes. */
EXPORT double bench_peak(int count) {
    v128_t sum[8] = {0}, a = wasm_i16x8_splat(3), b = wasm_i16x8_splat(5);
    for (int r = 0; r < count; r++) {
        for (int i = 0; i < 8; i++)
#ifdef __wasm_relaxed_simd__
            sum[i] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, b, sum[i]);
#else
            sum[i] = wasm_i32x4_add(sum[i], wasm_i32x4_dot_i16x8(a, b));
#endif
        a = wasm_v128_xor(a, sum[7]); /* nothing is constant */
    }
    for (int i = 1; i < 8; i++) sum[0] = wasm_i32x4_add(sum[0], sum[i]);
    static volatile int sink;
    sink = wasm_i32x4_extract_lane(sum[0], 0);
#ifdef __wasm_relaxed_simd__
    return 8.0 * 32 * count;
#else
    return 8.0 * 16 * count;
#endif
}
#endif

#ifndef __wasm__
/* Native comparison: `kernels SECONDS` prints the loops that a plain AVX2 program would have. */
#include <immintrin.h>
#include <stdio.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Q8_0 as the file has it: 34-byte blocks, both sides quantised. */
static float dot_q8(const uint8_t *a, const uint8_t *b, int blocks) {
    __m256 sum = _mm256_setzero_ps();
    for (int i = 0; i < blocks; i++, a += 34, b += 34) {
        __m256i u = _mm256_loadu_si256((const void *)(a + 2)), v = _mm256_loadu_si256((const void *)(b + 2));
        __m256i p = _mm256_maddubs_epi16(_mm256_sign_epi8(u, u), _mm256_sign_epi8(v, u));
        __m256i q = _mm256_madd_epi16(p, _mm256_set1_epi16(1));
        float d = _cvtsh_ss(mt_le16(a)) * _cvtsh_ss(mt_le16(b));
        sum = _mm256_fmadd_ps(_mm256_set1_ps(d), _mm256_cvtepi32_ps(q), sum);
    }
    float lane[8], total = 0;
    _mm256_storeu_ps(lane, sum);
    for (int i = 0; i < 8; i++) total += lane[i];
    return total;
}
static void gemm_tile(const float *a, const float *b, float *c, int K) { /* 4 rows of a, 16 columns of packed b */
    __m256 s[8];
    for (int i = 0; i < 8; i++) s[i] = _mm256_setzero_ps();
    for (int k = 0; k < K; k++) {
        __m256 u = _mm256_loadu_ps(b + 16 * k), v = _mm256_loadu_ps(b + 16 * k + 8);
        for (int i = 0; i < 4; i++) {
            __m256 t = _mm256_broadcast_ss(a + i * K + k);
            s[2 * i] = _mm256_fmadd_ps(t, u, s[2 * i]);
            s[2 * i + 1] = _mm256_fmadd_ps(t, v, s[2 * i + 1]);
        }
    }
    for (int i = 0; i < 8; i++) _mm256_storeu_ps(c + 8 * i, s[i]);
}

int main(void) {
    static const int rows[2] = {256, 49152};
    for (int c = 0; c < 2; c++) {
        int K = 576, N = rows[c];
        uint8_t *m = malloc((size_t)N * (size_t)K / 32 * 34), *v = calloc(1, (size_t)K / 32 * 34);
        float *out = malloc((size_t)N * 4);
        memset(m, 1, (size_t)N * (size_t)K / 32 * 34);
        double best = 1e9, start = now();
        while (now() - start < 0.7) {
            int repeat = c ? 1 : 100;
            double t = now();
            for (int r = 0; r < repeat; r++) {
                __asm__ volatile("" ::"r"(out), "r"(v), "r"(m) : "memory");
                for (int n = 0; n < N; n++) out[n] = dot_q8(m + (size_t)n * (size_t)K / 32 * 34, v, K / 32);
            }
            __asm__ volatile("" ::"r"(out) : "memory");
            t = (now() - t) / repeat;
            if (t < best) best = t;
        }
        printf("{\"name\":\"native AVX2 Q8_0 matvec %s\",\"GBps\":%.2f,\"GOPS\":%.1f}\n",
               c ? "from memory" : "in cache", (double)N * K / 32 * 34 / best / 1e9, 2.0 * N * K / best / 1e9);
        free(m), free(v), free(out);
    }
    int K = 576, M = 128, N = 576;
    float *a = calloc((size_t)M * (size_t)K, 4), *b = calloc((size_t)N * (size_t)K, 4), c[64];
    double best = 1e9, start = now();
    while (now() - start < 0.7) {
        double t = now();
        for (int n = 0; n < N; n += 16)
            for (int i = 0; i < M; i += 4) {
                gemm_tile(a + i * K, b + n * K, c, K);
                __asm__ volatile("" ::"r"(c) : "memory");
            }
        t = now() - t;
        if (t < best) best = t;
    }
    printf("{\"name\":\"native AVX2 f32 GEMM\",\"GOPS\":%.1f}\n", 2.0 * M * N * K / best / 1e9);
    best = 1e9, start = now();
    while (now() - start < 0.7) {
        double t = now();
        double r = bench_read(512, 1);
        __asm__ volatile("" ::"x"(r));
        t = now() - t;
        if (t < best) best = t;
    }
    printf("{\"name\":\"native read, 4 streams\",\"GBps\":%.2f}\n", 512 * 1048576.0 / best / 1e9);
    return 0;
}
#endif
