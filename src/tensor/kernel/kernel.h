/* What the kernel files share: the list of kernels with their prototypes, and the scalar functions that fix the
 * rounding. Only src/tensor includes it (and the tests and benchmarks, which walk the table).
 *
 * Every kernel exists as mt_ref_NAME and, in SIMD builds, mt_simd_NAME of the same signature; those marked
 * OWN also as mt_relaxed_NAME. How their results may differ:
 *
 *   ref == simd                  bit for bit, everywhere: the scalar code adds in the order of the vector lanes
 *   relaxed == simd              bit for bit for all integer work; the float matrix products and attention use fused
 *                                multiply-adds: each product is exact, so the error only shrinks (bounds in the tests)
 */
#ifndef MT_KERNEL_H
#define MT_KERNEL_H

#include "../kernels.h"

enum {
    MT_PANEL_F = 8,      /* rows of a panel of float weights */
    MT_PANEL_Q = 4,      /* rows of a panel of quantised weights */
    MT_K_BLOCK = 256,    /* float products are summed in blocks of this many inputs, then block sums are added */
    MT_Q_BLOCK = 32,     /* activations share one scale per this many inputs */
    MT_ATTEND_BLOCK = 64 /* slots that the online softmax takes at once */
};

/* One product y = x W^T as the panel kernels see it. Layouts (drawn in weight.c) keep the rows of a panel interleaved.
 */
typedef struct mt_mm {
    const uint8_t *w;
    const float *scale, *min; /* quantised: [panel][K / group][4]; min NULL: none */
    int32_t N, K, group;      /* group: inputs that share a scale, 16 or 32 */
    int32_t offset;           /* nibbles: the value is nibble - offset */
    const float *x;           /* [T] rows, for float weights */
    size_t x_stride;
    const int16_t *q;     /* [T][K] quantised activations, for quantised weights */
    const int8_t *bytes;  /* the same as bytes, for nibbles */
    const float *d;       /* [T][K / 32] their scales */
    const int32_t *shift; /* [T][K / group] offset * sum of the group's q; NULL when offset is 0 */
    const float *low;     /* [T][K / group] sum of the group's q, times d; NULL without min */
    const float *bias;
    float *y;
    size_t y_stride;
} mt_mm;

/* One block of a product of two float matrices: C[M][N] (+)= alpha * A B over at most MT_K_BLOCK of the sum's terms.
 * Each sum runs over k in order and is then multiplied by alpha and added to C. */
typedef struct mt_gemm_block {
    int32_t M, N, K;
    const float *a; /* A(m, k) = a[m * a_row + k * a_step], one of the two is 1 */
    size_t a_row, a_step;
    const float *b; /* B(k, n) = b[n / 8 * b_panel + k * b_step + n % 8] */
    size_t b_panel, b_step;
    bool padded; /* the last panel may be read to its end */
    bool add;
    float alpha;
    float *c;
    size_t ldc;
} mt_gemm_block;

/* clang-format off */
/* OWN: has a relaxed version of its own; SAME: the SIMD version serves relaxed builds too */
#define MT_KERNELS(X) \
    /* x[K] -> q[K] in -32767..32767, or in -127..127 and also as bytes (unless NULL), d per 32, sums of q per 16; K multiple of 32 */ \
    X(SAME, quantize, void, (const float *x, int32_t K, int16_t *q, int8_t *bytes, float *d, int32_t *s)) \
    /* panels p0..p1 of tokens t0..t1 */ \
    X(OWN, mm_f32, void, (const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1)) \
    X(OWN, mm_f16, void, (const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1)) \
    X(OWN, mm_bf16, void, (const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1)) \
    X(SAME, mm_i8, void, (const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1)) \
    X(OWN, mm_nibble, void, (const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1)) \
    /* B[K][N], or its transpose [N][K], as panels [N / 8][K][8] with zeros after the last column */ \
    X(SAME, gemm_pack, void, (const float *b, size_t ldb, bool transposed, int32_t K, int32_t N, float *panels)) \
    X(OWN, gemm, void, (const mt_gemm_block *g)) \
    /* one row of D */ \
    X(SAME, rms_norm, float, (const float *x, const float *gain, float eps, float *y, int32_t D)) \
    X(SAME, layer_norm, float, (const float *x, const float *gain, const float *bias, float eps, float *y, int32_t D)) \
    X(SAME, softmax, void, (float *x, size_t n)) \
    X(SAME, log_softmax, void, (const float *x, double *out, size_t n)) \
    X(SAME, exp, void, (const float *x, float *y, size_t n)) \
    X(SAME, tanh, void, (const float *x, float *y, size_t n)) \
    X(SAME, silu, void, (const float *x, float *y, size_t n)) \
    X(SAME, gelu_tanh, void, (const float *x, float *y, size_t n)) \
    X(SAME, gelu_erf, void, (const float *x, float *y, size_t n)) \
    X(SAME, add, void, (const float *a, const float *b, float *y, size_t n)) \
    X(SAME, mul, void, (const float *a, const float *b, float *y, size_t n)) \
    /* cosine[i], sine[i] = mscale times those of position * inv_freq[i] */ \
    X(SAME, angles, void, (double position, const float *inv_freq, float mscale, float *cosine, float *sine, size_t n)) \
    /* n pairs at (a[i], b[i]) = (x[2i], x[2i+1]) or (x[i], x[i+half]) */ \
    X(SAME, rotate, void, (const float *x, float *y, const float *cosine, const float *sine, size_t n, size_t half)) \
    /* query t, heads h..h+count-1 of one group of mt_attend */ \
    X(OWN, attend, void, (const mt_attend_args *a, int32_t t, int32_t h, int32_t count)) \
    X(OWN, attend_scores, void, (const mt_attend_args *a, int32_t t, int32_t h, const int32_t *column, float *row)) \
    /* out[EV] of head h = the values of slot[0..n) by p */ \
    X(OWN, attend_values, void, (const mt_attend_args *a, int32_t h, const float *p, const int32_t *slot, int32_t n, float *out))
/* clang-format on */

#define X(how, name, result, arguments)                                                                                \
    result mt_ref_##name arguments;                                                                                    \
    result mt_simd_##name arguments;                                                                                   \
    result mt_relaxed_##name arguments;
MT_KERNELS(X)
#undef X

typedef struct mt_kernel_set {
#define X(how, name, result, arguments) result(*name) arguments;
    MT_KERNELS(X)
#undef X
} mt_kernel_set;
extern const mt_kernel_set *mt_kernels; /* the set in use, see mt_kernels_use */

typedef void (*mt_any_kernel)(void);
typedef struct mt_kernel_row {
    const char *name;
    mt_any_kernel ref, simd, relaxed; /* NULL: not in this build, or no relaxed version of its own */
} mt_kernel_row;
extern const mt_kernel_row mt_kernel_table[];
extern const int mt_kernel_count;

/* Value e of a row of the cache. */
static inline float mt_cache_value(mt_cache_type type, const void *row, int32_t width, int32_t e) {
    if (type == MT_CACHE_F16) {
        uint16_t h = ((const uint16_t *)row)[e];
        if ((h & 0x7C00) != 0x7C00) return mt_half_to_float(h);
        float x = 64 * (float)(1024 + (h & 0x3FF)); /* the next binade, since nothing infinite is stored */
        return h & 0x8000 ? -x : x;
    }
    if (type == MT_CACHE_F32) return ((const float *)row)[e];
    const float *scale = row;
    const int8_t *q = (const int8_t *)(scale + (width + MT_CACHE_BLOCK - 1) / MT_CACHE_BLOCK);
    return (float)q[e] * scale[e / MT_CACHE_BLOCK];
}

/* ---- quantised blocks (dtype.c; quantize.c) ---- */
void mt_q4_k_from_float(const float *in, void *blocks, size_t count);
void mt_q5_k_from_float(const float *in, void *blocks, size_t count);
void mt_q6_k_from_float(const float *in, void *blocks, size_t count);

/* Block types decode to value[i] = scale[i / group] * q[i] - min[i / group], rounded after each operation. */
typedef struct mt_block_codec {
    int32_t group; /* 16 or 32 */
    bool min;
    void (*unpack)(const uint8_t *block, int8_t *q, float *scale, float *min);
} mt_block_codec;
const mt_block_codec *mt_block_codec_find(uint32_t type); /* NULL: not a block type */
enum { MT_BLOCK_MAX = 256, MT_GROUPS_MAX = 16 };

#endif
