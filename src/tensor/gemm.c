/* C (+)= alpha * op(A) op(B) of floats, for training: small products as they lie in memory, large ones in blocks.
 *
 *   sums      over blocks of 256 terms in order; the sum of a block, times alpha, is added to C
 *   small     a part of the work is some rows of some of the products; B is repacked into panels of 8 columns on the
 *             stack, or is read where it lies when there are few rows
 *   large     B is repacked a block at a time by all threads: 256 terms x up to 256 columns stay in the second cache
 *             while the rows of A pass over them */
#include "kernel/kernel.h"

enum {
    COLUMNS = 256,       /* of a packed block */
    STACK_B = 1 << 13,   /* floats of B that are repacked on the stack */
    PACK_ROWS = 16,      /* from which on it pays to repack B */
    PART_WORK = 1 << 16, /* multiplications below which waking threads costs more than it saves */
    CALL_WORK = 1 << 22, /* multiplications per kernel call: engines optimise a function between calls */
    ROW_STEP = 16,       /* rows of a part are a multiple of this */
    MOST_PARTS = 0xFFFF
};

typedef struct gemm_job {
    mt_gemm_args g;
    int32_t count; /* products; those of one part follow each other when they share C */
    size_t a_step, b_step, c_step;
    int32_t bands, row_step;      /* parts that share a product have row_step rows each */
    int32_t k0, depth, n0, width; /* large: the block in work */
    float *work;
} gemm_job;

static size_t packed_floats(int32_t N, int32_t K) { /* of a block of B */
    size_t columns = N < COLUMNS ? ((size_t)N + MT_PANEL_F - 1) / MT_PANEL_F * MT_PANEL_F : COLUMNS;
    return columns * (size_t)(K < MT_K_BLOCK ? K : MT_K_BLOCK);
}
static bool is_large(int32_t M, int32_t N, int32_t K) {
    return M >= 2 * ROW_STEP && N > 0 && K > 0 && packed_floats(N, K) > STACK_B;
}

size_t mt_gemm_work(int32_t M, int32_t N, int32_t K) {
    return is_large(M, N, K) ? packed_floats(N, K) : 0;
}

static int32_t least(int64_t a, int64_t b) {
    return (int32_t)(a < b ? a : b);
}

/* A block of rows m0.. and terms k0.., without B. */
static mt_gemm_block block_of(const mt_gemm_args *g, int32_t m0, int32_t rows, int32_t k0, int32_t n0, int32_t width) {
    size_t a_row = g->ta ? 1 : g->lda, a_step = g->ta ? g->lda : 1;
    return (mt_gemm_block){.M = rows,
                           .N = width,
                           .K = least(MT_K_BLOCK, g->K - k0),
                           .a = g->a + (size_t)m0 * a_row + (size_t)k0 * a_step,
                           .a_row = a_row,
                           .a_step = a_step,
                           .add = g->add || k0 > 0,
                           .alpha = g->alpha,
                           .c = g->c + (size_t)m0 * g->ldc + (size_t)n0,
                           .ldc = g->ldc};
}

/* The kernel over as many rows at a time as one call should have. */
static void multiply(mt_gemm_block b) {
    int64_t step = CALL_WORK / ((int64_t)b.N * b.K) & ~(int64_t)(ROW_STEP - 1);
    if (step < ROW_STEP) step = ROW_STEP;
    for (int32_t left = b.M; left > 0; left -= b.M) {
        b.M = least(left, step);
        mt_kernels->gemm(&b);
        b.a += (size_t)b.M * b.a_row;
        b.c += (size_t)b.M * b.ldc;
    }
}

/* ---- small ---- */

static void small_rows(const mt_gemm_args *g, int32_t m0, int32_t rows) {
    _Alignas(16) float panels[STACK_B];
    const bool packed = g->tb || rows >= PACK_ROWS;
    for (int32_t k0 = 0; k0 < g->K; k0 += MT_K_BLOCK) {
        int32_t most = packed ? STACK_B / least(MT_K_BLOCK, g->K - k0) & ~(MT_PANEL_F - 1) : g->N;
        for (int32_t n0 = 0; n0 < g->N; n0 += most) {
            mt_gemm_block b = block_of(g, m0, rows, k0, n0, least(most, g->N - n0));
            const float *from = g->b + (g->tb ? (size_t)n0 * g->ldb + (size_t)k0 : (size_t)k0 * g->ldb + (size_t)n0);
            if (packed) {
                mt_kernels->gemm_pack(from, g->ldb, g->tb, b.K, b.N, panels);
                b.b = panels, b.b_panel = MT_PANEL_F * (size_t)b.K, b.b_step = MT_PANEL_F, b.padded = true;
            } else {
                b.b = from, b.b_panel = MT_PANEL_F, b.b_step = g->ldb;
            }
            multiply(b);
        }
    }
}

static void small_part(void *arg, int part, int parts) {
    const gemm_job *j = arg;
    mt_gemm_args g = j->g;
    if (j->bands > 1) { /* rows of one product, or of all when they are summed */
        int32_t item = part / j->bands, m0 = part % j->bands * j->row_step, rows = least(j->row_step, g.M - m0);
        int32_t end = j->c_step ? item + 1 : j->count;
        for (; item < end; item++) {
            mt_gemm_args one = g;
            one.a += (size_t)item * j->a_step, one.b += (size_t)item * j->b_step, one.c += (size_t)item * j->c_step;
            one.add = g.add || (!j->c_step && item > 0);
            small_rows(&one, m0, rows);
        }
        return;
    }
    int32_t from = (int32_t)((int64_t)j->count * part / parts), to = (int32_t)((int64_t)j->count * (part + 1) / parts);
    for (int32_t item = from; item < to; item++) {
        mt_gemm_args one = g;
        one.a += (size_t)item * j->a_step, one.b += (size_t)item * j->b_step, one.c += (size_t)item * j->c_step;
        one.add = g.add || (!j->c_step && item > 0);
        small_rows(&one, 0, g.M);
    }
}

static void small(mt_pool *pool, gemm_job *j) {
    const mt_gemm_args *g = &j->g;
    int threads = mt_pool_threads(pool);
    int64_t each = (int64_t)g->M * g->N * g->K, all = each * j->count;
    int32_t items = j->c_step ? j->count : 1; /* that need not wait for each other */
    int64_t parts = threads == 1 ? 1 : least(4 * threads, all / PART_WORK);
    j->bands = 1;
    if (parts > items) { /* fewer products than parts: their rows are shared out */
        j->bands = least((parts + items - 1) / items, (g->M + ROW_STEP - 1) / ROW_STEP);
        int32_t groups = (g->M + ROW_STEP - 1) / ROW_STEP;
        j->row_step = (groups + j->bands - 1) / j->bands * ROW_STEP;
        j->bands = (g->M + j->row_step - 1) / j->row_step;
        parts = j->bands > 1 ? (int64_t)items * j->bands : items;
    }
    mt_pool_run_parts(pool, small_part, j, parts < 1 ? 1 : (int)parts);
}

/* ---- large ---- */

static void pack_part(void *arg, int part, int parts) {
    const gemm_job *j = arg;
    const mt_gemm_args *g = &j->g;
    int32_t panels = (j->width + MT_PANEL_F - 1) / MT_PANEL_F;
    int32_t p0 = (int32_t)((int64_t)panels * part / parts), p1 = (int32_t)((int64_t)panels * (part + 1) / parts);
    int32_t n = j->n0 + p0 * MT_PANEL_F, end = least(j->n0 + p1 * MT_PANEL_F, g->N);
    const float *b = g->tb ? g->b + (size_t)n * g->ldb + (size_t)j->k0 : g->b + (size_t)j->k0 * g->ldb + (size_t)n;
    mt_kernels->gemm_pack(b, g->ldb, g->tb, j->depth, end - n, j->work + (size_t)p0 * MT_PANEL_F * (size_t)j->depth);
}

static void large_part(void *arg, int part, int parts) {
    const gemm_job *j = arg;
    (void)parts;
    int32_t m0 = part * j->row_step, rows = least(j->row_step, j->g.M - m0);
    mt_gemm_block b = block_of(&j->g, m0, rows, j->k0, j->n0, j->width);
    b.b = j->work, b.b_panel = MT_PANEL_F * (size_t)b.K, b.b_step = MT_PANEL_F;
    b.padded = true;
    multiply(b);
}

static void large(mt_pool *pool, gemm_job *j) {
    const mt_gemm_args *g = &j->g;
    int threads = mt_pool_threads(pool);
    int32_t groups = (g->M + ROW_STEP - 1) / ROW_STEP;
    j->row_step = threads == 1 ? g->M : (groups + 4 * threads - 1) / (4 * threads) * ROW_STEP;
    for (j->n0 = 0; j->n0 < g->N; j->n0 += COLUMNS) {
        j->width = least(COLUMNS, g->N - j->n0);
        for (j->k0 = 0; j->k0 < g->K; j->k0 += MT_K_BLOCK) {
            j->depth = least(MT_K_BLOCK, g->K - j->k0);
            mt_pool_run_parts(pool, pack_part, j, threads);
            mt_pool_run_parts(pool, large_part, j, (g->M + j->row_step - 1) / j->row_step);
        }
    }
}

void mt_gemm_batch(mt_pool *pool, const mt_gemm_args *g, int32_t count, size_t a_step, size_t b_step, size_t c_step,
                   float *work) {
    if (g->M <= 0 || g->N <= 0 || count <= 0) return;
    gemm_job j = {.g = *g, .count = count, .a_step = a_step, .b_step = b_step, .c_step = c_step, .work = work};
    if (g->K <= 0) {
        for (int32_t i = 0; i < count && !g->add; i++)
            for (size_t m = 0; m < (size_t)g->M; m++)
                memset(g->c + (size_t)i * c_step + m * g->ldc, 0, (size_t)g->N * sizeof(float));
        return;
    }
    if (!is_large(g->M, g->N, g->K)) {
        small(pool, &j);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        large(pool, &j);
        j.g.a += a_step, j.g.b += b_step, j.g.c += c_step;
        if (!c_step) j.g.add = true;
    }
}

void mt_gemm(mt_pool *pool, const mt_gemm_args *g, float *work) {
    mt_gemm_batch(pool, g, 1, 0, 0, 0, work);
}
