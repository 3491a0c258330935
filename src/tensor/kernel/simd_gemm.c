/* Product of two float matrices: tiles of rows x 8 columns whose sums stay in registers; an element of A is splatted
 * against a vector of B's columns, so that every sum runs over k in order, in a lane of its own. */
#include "simd.h"
#ifdef MT_HAVE_SIMD
#include "kernel.h"

enum {
    GEMM_TILE = 4,
    GEMM_ROWS = 16
}; /* rows of a tile; rows that pass over a panel of B while it is in the nearest cache */

#ifndef MT_RELAXED
/* Four columns of B^T, four k at once. */
INLINE void turn4(const float *b, size_t ldb, float *to) {
    v128_t r0 = wasm_v128_load(b), r1 = wasm_v128_load(b + ldb), r2 = wasm_v128_load(b + 2 * ldb),
           r3 = wasm_v128_load(b + 3 * ldb);
    v128_t a = wasm_i32x4_shuffle(r0, r1, 0, 4, 1, 5), b2 = wasm_i32x4_shuffle(r2, r3, 0, 4, 1, 5),
           c = wasm_i32x4_shuffle(r0, r1, 2, 6, 3, 7), d = wasm_i32x4_shuffle(r2, r3, 2, 6, 3, 7);
    wasm_v128_store(to, wasm_i64x2_shuffle(a, b2, 0, 2));
    wasm_v128_store(to + MT_PANEL_F, wasm_i64x2_shuffle(a, b2, 1, 3));
    wasm_v128_store(to + 2 * MT_PANEL_F, wasm_i64x2_shuffle(c, d, 0, 2));
    wasm_v128_store(to + 3 * MT_PANEL_F, wasm_i64x2_shuffle(c, d, 1, 3));
}

void mt_simd_gemm_pack(const float *b, size_t ldb, bool transposed, int32_t K, int32_t N, float *panels) {
    const size_t depth = (size_t)K;
    for (int32_t n0 = 0; n0 < N; n0 += MT_PANEL_F, panels += MT_PANEL_F * depth) {
        int32_t width = N - n0 < MT_PANEL_F ? N - n0 : MT_PANEL_F;
        if (!transposed) {
            const float *from = b + n0;
            for (size_t k = 0; k < depth; k++, from += ldb) {
                wasm_v128_store(panels + MT_PANEL_F * k, mt_load_lanes(from, width));
                wasm_v128_store(panels + MT_PANEL_F * k + 4, mt_load_lanes(from + 4, width - 4));
            }
            continue;
        }
        for (int32_t half = 0; half < MT_PANEL_F; half += 4) {
            const float *from = b + (size_t)(n0 + half) * ldb;
            float *to = panels + half;
            size_t k = 0;
            if (width - half >= 4)
                for (; k + 4 <= depth; k += 4) turn4(from + k, ldb, to + MT_PANEL_F * k);
            for (; k < depth; k++)
                for (int32_t i = 0; i < 4; i++)
                    to[MT_PANEL_F * k + (size_t)i] = half + i < width ? from[(size_t)i * ldb + k] : 0;
        }
    }
}
#endif

/* MR rows by 4 NV columns, of which n are stored. With `across` the rows of A lie side by side (a_row is 1), else the
 * terms (a_step is 1). */
INLINE void gemm_tile(const int MR, const int NV, const bool across, const mt_gemm_block *g, const float *a,
                      size_t step, const float *b, size_t b_step, float *c, int32_t n) {
    const size_t K = (size_t)g->K;
    v128_t sum[2 * GEMM_TILE];
    for (int i = 0; i < MR * NV; i++) sum[i] = wasm_f32x4_splat(0);
    for (size_t k = 0; k < K; k++) {
        v128_t w[2];
        for (int j = 0; j < NV; j++) w[j] = wasm_v128_load(b + k * b_step + 4 * j);
        for (int i = 0; i < MR; i++) {
            v128_t s = wasm_v128_load32_splat(across ? a + k * step + i : a + (size_t)i * step + k);
            for (int j = 0; j < NV; j++) sum[i * NV + j] = MADD(s, w[j], sum[i * NV + j]);
        }
    }
    v128_t alpha = wasm_f32x4_splat(g->alpha);
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++) {
            float *to = c + (size_t)i * g->ldc + 4 * j;
            v128_t s = sum[i * NV + j];
            s = g->add ? MADD(alpha, s, mt_load_lanes(to, n - 4 * j)) : wasm_f32x4_mul(alpha, s);
            mt_store_lanes(to, s, n - 4 * j);
        }
}

/* Rows m0..m1 of one panel. */
INLINE void gemm_panel(const int NV, const bool across, const mt_gemm_block *g, int32_t m0, int32_t m1, const float *b,
                       size_t b_step, float *c, int32_t n) {
    const size_t step = across ? g->a_step : g->a_row;
    const float *a = g->a + (size_t)m0 * g->a_row;
    c += (size_t)m0 * g->ldc;
    for (; m0 + GEMM_TILE <= m1; m0 += GEMM_TILE, a += GEMM_TILE * g->a_row, c += GEMM_TILE * g->ldc)
        gemm_tile(GEMM_TILE, NV, across, g, a, step, b, b_step, c, n);
    if (m1 - m0 == 3) gemm_tile(3, NV, across, g, a, step, b, b_step, c, n);
    if (m1 - m0 == 2) gemm_tile(2, NV, across, g, a, step, b, b_step, c, n);
    if (m1 - m0 == 1) gemm_tile(1, NV, across, g, a, step, b, b_step, c, n);
}

INLINE void gemm_rows(const bool across, const mt_gemm_block *g) {
    float tail[MT_K_BLOCK * MT_PANEL_F]; /* the last columns of a matrix that cannot be read further */
    const int32_t whole = g->padded ? g->N : g->N & ~(MT_PANEL_F - 1);
    const int32_t rest = g->N - whole;
    if (rest) mt_simd_gemm_pack(g->b + (size_t)(whole / MT_PANEL_F) * g->b_panel, g->b_step, false, g->K, rest, tail);
    for (int32_t m0 = 0; m0 < g->M; m0 += GEMM_ROWS) {
        int32_t m1 = g->M - m0 < GEMM_ROWS ? g->M : m0 + GEMM_ROWS;
        const float *b = g->b;
        float *c = g->c;
        for (int32_t n = 0; n < g->N; n += MT_PANEL_F, b += g->b_panel, c += MT_PANEL_F) {
            int32_t width = g->N - n;
            const float *from = n < whole ? b : tail;
            size_t step = n < whole ? g->b_step : MT_PANEL_F;
            if (width > 4)
                gemm_panel(2, across, g, m0, m1, from, step, c, width);
            else
                gemm_panel(1, across, g, m0, m1, from, step, c, width);
        }
    }
}

void NAME(gemm)(const mt_gemm_block *g) {
    if (g->a_row == 1)
        gemm_rows(true, g);
    else
        gemm_rows(false, g);
}
#endif
