/* Kernels: pure functions on raw memory, each with a scalar reference and SIMD versions of the same signature.
 * T rows (tokens), N outputs, K inputs, H query heads, G key/value heads, E head width.
 *
 *   kernel/kernel.h     the list of kernels and how ref, simd and relaxed may differ
 *   kernel/ref_*.c      scalar, short, obviously right, in every build
 *   kernel/simd_*.c     WASM SIMD128 (native sanitizer builds compile them against simde)
 *   kernel/relaxed.c    + relaxed SIMD, only where the result is the same or the bound is proven
 *   table.c             {name, ref, simd, relaxed}: the test, the benchmark and the run-time choice walk the same table
 *   dtype.c weight.c rows.c cache.c attend.c pool.c   storage types, repacked matrices, and the functions below over
 * rows
 *   gemm.c              products of two float matrices, for training
 */
#ifndef MT_KERNELS_H
#define MT_KERNELS_H

#include "../base/base.h"

/* Numbers are ggml's, so that GGUF files can be read without a table. */
typedef enum mt_dtype {
    MT_F32 = 0,
    MT_F16 = 1,
    MT_Q4_0 = 2,
    MT_Q4_1 = 3,
    MT_Q5_0 = 6,
    MT_Q5_1 = 7,
    MT_Q8_0 = 8,
    MT_Q2_K = 10,
    MT_Q3_K = 11,
    MT_Q4_K = 12,
    MT_Q5_K = 13,
    MT_Q6_K = 14,
    MT_IQ4_NL = 20,
    MT_BF16 = 30
} mt_dtype;
typedef struct mt_dtype_info {
    const char *name;
    uint32_t type, block, bytes;                                     /* elements and bytes of a block */
    void (*to_float)(const void *blocks, float *out, size_t count);  /* count: multiple of block */
    void (*from_float)(const float *in, void *blocks, size_t count); /* NULL: cannot be written */
} mt_dtype_info;
const mt_dtype_info *mt_dtype_find(uint32_t type); /* NULL: unknown */
const char *mt_dtype_names(void);                  /* "F32 F16 Q8_0 ...", for messages */

/* ---- thread pool: T workers including the caller. Results never depend on T: work is split over outputs only. ---- */
typedef struct mt_pool mt_pool;
typedef void (*mt_task)(void *arg, int part, int parts);
/* Builds without threads give a pool of one. wasm: the host starts threads - 1 workers that call mt_pool_worker on
 * stacks of their own, at any time; one that never starts costs nothing, the others do its work. */
mt_status mt_pool_new(int threads, mt_pool **out, mt_error *err);
void mt_pool_free(mt_pool *p);
int mt_pool_threads(const mt_pool *p);
/* Whether the calling thread may sleep while the last parts finish; otherwise it spins (needed on a page's main
 * thread). Native: true from the start; wasm: false. */
void mt_pool_may_block(mt_pool *p, bool yes);
/* Runs all parts and returns. One caller at a time, tasks must not run the pool themselves. p == NULL: all here. */
void mt_pool_run(mt_pool *p, mt_task task, void *arg); /* as many parts as threads */
void mt_pool_run_parts(mt_pool *p, mt_task task, void *arg, int parts);
void mt_pool_worker(mt_pool *p, int index); /* wasm: returns after mt_pool_free */

/* `count` values of one type as another (a multiple of both blocks); equal types are copied. */
mt_status mt_recode(mt_pool *pool, uint32_t from, uint32_t to, const void *source, void *target, size_t count,
                    mt_error *err);

/* ---- weights: matrices [N rows][K] repacked once for the kernels ---- */
/* A matrix maps x[K] -> y[N]. Layouts keep several rows interleaved so that all reductions over K run in the same order
 * for one row of x as for many: incremental and batched evaluation agree to the last bit. */
typedef struct mt_weight {
    uint32_t type; /* dtype of the values kept */
    int32_t rows, cols;
    uint8_t *data; /* repacked quants or floats, 64-byte aligned */
    float *scales; /* quantised types: scales of groups, stored apart; after them the minima of types that have them */
    float *minima; /* inside scales, or NULL */
    int32_t group; /* inputs that share a scale: 16 or 32; 0 for floats */
    bool nibbles;  /* values are kept in 4 bits, as value + offset */
    int32_t offset;
    bool infinite; /* F16 with infinities or NaN: takes the slow exact path */
    size_t bytes;  /* of data and scales */
} mt_weight;
/* Allocates for `rows` x `cols` of `type` (cols must be a multiple of the block). All rows must be written. */
mt_status mt_weight_new(mt_weight *w, uint32_t type, int64_t rows, int64_t cols, mt_error *err);
void mt_weight_free(mt_weight *w);
size_t mt_weight_room(uint32_t type, int64_t rows, int64_t cols); /* bytes that it will have; 0: it cannot be */
/* Repacks rows [row, row+count) given as the file holds them (contiguous blocks of w->type). */
void mt_weight_put_rows(mt_pool *pool, mt_weight *w, int32_t row, int32_t count, const void *source);
void mt_weight_row(const mt_weight *w, int32_t row, float *out); /* dequantised row, e.g. an embedding look-up */
/* The transposed matrix in floats: y = x W instead of y = x W'. room: so many floats, 64-byte aligned, the caller's for
 * as long as `out` is used. */
size_t mt_weight_turned_size(const mt_weight *w);
void mt_weight_turn(const mt_weight *w, mt_weight *out, float *room);
/* y[t][n] = sum_k x[t][k] W[n][k] (+ bias[n]); x, y row-major with strides in floats. scratch: mt_matmul_scratch bytes,
 * 16-byte aligned (0 bytes: NULL will do). Quantised weights: x is first rounded to 8 bits per block of 32. */
size_t mt_matmul_scratch(const mt_weight *w, int32_t T);
void mt_matmul(mt_pool *pool, const mt_weight *w, const float *x, size_t x_stride, int32_t T, const float *bias,
               float *y, size_t y_stride, void *scratch);
/* Up to MT_TOGETHER products of the same x by matrices that are alike: x is rounded once, threads are woken once. Each
 * result is that of mt_matmul to the last bit. */
enum { MT_TOGETHER = 4 };
typedef struct mt_product {
    const mt_weight *w;
    const float *bias;
    float *y;
    size_t y_stride;
} mt_product;
bool mt_weight_alike(const mt_weight *a, const mt_weight *b); /* x is rounded for both in the same way */
void mt_matmul_together(mt_pool *pool, const mt_product *product, int32_t count, const float *x, size_t x_stride,
                        int32_t T, void *scratch);

/* ---- products of two float matrices ---- */
/* C[M][N] (+)= alpha * op(A) op(B); op transposes when asked: A is [M][K], or [K][M] with ta; B is [K][N], or [N][K]
 * with tb. lda, ldb, ldc: floats from one row in memory to the next. add: to what C holds, which is else not read. C
 * must not overlap A or B. M, N or K may be 0. The order of each sum depends on K alone, neither on threads nor on the
 * other rows and columns. */
typedef struct mt_gemm_args {
    bool ta, tb, add;
    int32_t M, N, K;
    float alpha;
    const float *a;
    size_t lda;
    const float *b;
    size_t ldb;
    float *c;
    size_t ldc;
} mt_gemm_args;
size_t mt_gemm_work(int32_t M, int32_t N, int32_t K); /* floats of working memory, 16-byte aligned; 0: NULL will do */
void mt_gemm(mt_pool *pool, const mt_gemm_args *g, float *work);
/* `count` products of one shape; the steps are the floats from one matrix to the next. Step 0: the same one, and for C
 * that the products are summed into it in order. work as for one. */
void mt_gemm_batch(mt_pool *pool, const mt_gemm_args *g, int32_t count, size_t a_step, size_t b_step, size_t c_step,
                   float *work);

/* ---- rows ---- */
void mt_rms_norm(const float *x, const float *gain, float eps, float *y, float *scale, int32_t T,
                 int32_t D); /* gain, scale may be NULL; scale[t] = sqrt(mean x^2 + eps) */
void mt_layer_norm(const float *x, const float *gain, const float *bias, float eps, float *y, float *scale, int32_t T,
                   int32_t D);
void mt_softmax(float *x, int32_t T, int32_t N, size_t stride); /* in place; a row of nothing but -inf becomes 0 */
void mt_exp(const float *x, float *y, size_t n);                /* here and below y may be x */
void mt_tanh(const float *x, float *y, size_t n); /* exp <= 1.1 ulp, tanh <= 2 ulp, silu and gelu ~1e-6 relative */
void mt_silu(const float *x, float *y, size_t n);
void mt_gelu_tanh(const float *x, float *y, size_t n);
void mt_gelu_erf(const float *x, float *y, size_t n);
void mt_add(const float *a, const float *b, float *y, size_t n);
void mt_mul(const float *a, const float *b, float *y, size_t n);
/* log-softmax of one row of logits into doubles: out[i] = x[i] - ln sum exp x, accumulated in double. */
void mt_log_softmax_f64(const float *x, double *out, size_t n);

/* Rotary embedding (Su et al. 2021) on the first `dims` of each head of x[T][heads][E]; angle = pos * inv_freq[m], m <
 * dims/2. interleaved: pairs (2m, 2m+1); otherwise pairs (m, m + dims/2). mscale multiplies cos and sin. */
void mt_rope(const float *x, float *y, const int32_t *position, const float *inv_freq, bool interleaved, float mscale,
             int32_t T, int32_t heads, int32_t E, int32_t dims);

/* ---- rows of the key/value cache (cache.c): one head of one token ---- */
typedef enum mt_cache_type { MT_CACHE_F32, MT_CACHE_F16, MT_CACHE_Q8 } mt_cache_type;
enum { MT_CACHE_BLOCK = 32 };                                          /* values of a Q8 row that share a scale */
static inline size_t mt_cache_row(mt_cache_type type, int32_t width) { /* bytes */
    size_t padded = ((size_t)width + 3) & ~(size_t)3;
    if (type == MT_CACHE_F16) return 2 * padded;
    if (type == MT_CACHE_Q8) return 4 * (((size_t)width + MT_CACHE_BLOCK - 1) / MT_CACHE_BLOCK) + padded;
    return sizeof(float) * (size_t)width;
}
const char *mt_cache_name(mt_cache_type type); /* "f32", "f16", "q8" */
void mt_cache_put(mt_cache_type type, const float *x, int32_t width, void *row);
void mt_cache_get(mt_cache_type type, const void *row, int32_t width, float *x);

/* ---- attention over cache slots ---- */
/* What one query sees: runs of consecutive slots, in order. A chain is one run; a token tree has one run per branch. */
typedef struct mt_run {
    int32_t start, count;
} mt_run;
typedef struct mt_attend_args {
    int32_t T, H, G, E, EV; /* EV: width of a value head (usually E) */
    const float *q;         /* [T][H][E] */
    mt_cache_type type;
    const void *k, *v;            /* [G][slots] rows of E, of EV */
    size_t k_stride, v_stride;    /* bytes between the planes of two heads */
    const mt_run *runs;           /* query t sees runs[run_start[t] .. run_start[t+1]) */
    const int32_t *run_start;     /* T + 1 entries */
    const int32_t *position;      /* of each query */
    const int32_t *slot_position; /* of each slot */
    float scale, softcap;         /* softcap 0: none */
    const float *alibi;           /* [H] slopes, score += slope * (slot position - query position); NULL: none */
    const float *sink;            /* [H] learnt logits that take part in the softmax only; NULL: none */
    float *out;                   /* [T][H][EV] */
} mt_attend_args;
void mt_attend(mt_pool *pool, const mt_attend_args *a); /* fused: online softmax, nothing of size T x slots is stored */
/* The same in three steps through stored scores and probabilities, for tracing and patching; a differs from mt_attend
 * in rounding only. Rows have `width` columns; visible slot s is shown in column[s], slot[j] is the slot of column j
 * (-1: none). Every slot in a->runs needs a column of its own. scores   [H][T][width]: scale q.k, soft-capped, with
 * alibi; pairs that are not visible are -inf softmax  scores -> probabilities of the same shape (may be the same
 * memory); the sinks take their share values   a->out from probabilities: every column counts, visible or not, so a
 * patched pattern does what it says */
void mt_attend_scores(mt_pool *pool, const mt_attend_args *a, const int32_t *column, int32_t width, float *scores);
void mt_attend_softmax(mt_pool *pool, const mt_attend_args *a, int32_t width, const float *scores, float *p);
void mt_attend_values(mt_pool *pool, const mt_attend_args *a, const int32_t *slot, int32_t width, const float *p);

/* ---- choice of implementation ---- */
typedef enum mt_isa { MT_ISA_REF, MT_ISA_SIMD, MT_ISA_RELAXED } mt_isa;
mt_status mt_kernels_use(mt_isa isa,
                         mt_error *err); /* the best one of the build is the default; tests go through all */
mt_isa mt_kernels_isa(void);
const char *mt_isa_name(mt_isa isa);

#endif
