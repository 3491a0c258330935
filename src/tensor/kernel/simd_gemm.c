/* Product of two float matrices: tiles of 4 rows x 8 columns whose sums stay in registers; an element of A is splatted
 * against a vector of B's columns, so that every sum runs over k in order, in a lane of its own.
 *
 * The tile's shape and its code are what today's engines can keep in registers: they move all loads of a loop's body to
 * its front, so that 8 sums, 2 vectors of B and 4 of A fill the 16 registers and unrolled bodies spill. For the same
 * reason the loop is a function of its own. */
#include "simd.h"
#ifdef MT_HAVE_SIMD
#include "kernel.h"

enum {
    TILE_ROWS = 4,
    NEAR = 4096,      /* floats of A that pass over a panel of B while both are in the nearest cache */
    NEAR_ROWS = 64,   /* at most */
    PACK_COLUMNS = 24 /* of B from which on it pays to copy A's rows to where they are read in order */
};

/* Four rows of four, turned; `apart` floats from one result to the next. */
INLINE void turn4(const float *p, size_t ld, float *to, size_t apart) {
    v128_t r0 = wasm_v128_load(p), r1 = wasm_v128_load(p + ld), r2 = wasm_v128_load(p + 2 * ld),
           r3 = wasm_v128_load(p + 3 * ld);
    v128_t a = wasm_i32x4_shuffle(r0, r1, 0, 4, 1, 5), b = wasm_i32x4_shuffle(r2, r3, 0, 4, 1, 5),
           c = wasm_i32x4_shuffle(r0, r1, 2, 6, 3, 7), d = wasm_i32x4_shuffle(r2, r3, 2, 6, 3, 7);
    wasm_v128_store(to, wasm_i64x2_shuffle(a, b, 0, 2));
    wasm_v128_store(to + apart, wasm_i64x2_shuffle(a, b, 1, 3));
    wasm_v128_store(to + 2 * apart, wasm_i64x2_shuffle(c, d, 0, 2));
    wasm_v128_store(to + 3 * apart, wasm_i64x2_shuffle(c, d, 1, 3));
}

#ifndef MT_RELAXED
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
                for (; k + 4 <= depth; k += 4) turn4(from + k, ldb, to + MT_PANEL_F * k, MT_PANEL_F);
            for (; k < depth; k++)
                for (int32_t i = 0; i < 4; i++)
                    to[MT_PANEL_F * k + (size_t)i] = half + i < width ? from[(size_t)i * ldb + k] : 0;
        }
    }
}
#endif

/* Tiles of 4 rows below each other. */
typedef struct gemm_column {
    size_t K;
    int32_t tiles;
    bool add;
    float alpha;
    const float *a;
    size_t a_step, a_tile; /* floats from one term, or else one row, to the next; from one tile to the next */
    const float *b;
    size_t b_step;
    float *c;
    size_t ldc;
} gemm_column;

/* The compiler may not follow this pointer: else it turns each constant offset from it into an addition per load. */
#define OPAQUE(p) __asm__("" : "+r"(p))

INLINE void column_of_tiles(const bool across, const gemm_column *g) {
    const size_t K = g->K, a_step = g->a_step, b_step = g->b_step;
    const float *a0 = g->a;
    float *c = g->c;
    for (int32_t tile = 0; tile < g->tiles; tile++, a0 += g->a_tile) {
        const float *a = a0, *b = g->b;
        v128_t sum[2 * TILE_ROWS];
        for (size_t i = 0; i < 2 * TILE_ROWS; i++) sum[i] = wasm_f32x4_splat(0);
        for (size_t k = 0; k < K; k++) {
            OPAQUE(a);
            OPAQUE(b);
            v128_t left = wasm_v128_load(b), right = wasm_v128_load(b + 4);
            for (size_t i = 0; i < TILE_ROWS; i++) {
                v128_t s = wasm_v128_load32_splat(across ? a + i : a + i * a_step);
                sum[2 * i] = MADD(s, left, sum[2 * i]);
                sum[2 * i + 1] = MADD(s, right, sum[2 * i + 1]);
            }
            a += across ? a_step : 1;
            b += b_step;
        }
        v128_t alpha = wasm_f32x4_splat(g->alpha);
        for (size_t i = 0; i < TILE_ROWS; i++, c += g->ldc) {
            v128_t left = wasm_f32x4_mul(alpha, sum[2 * i]), right = wasm_f32x4_mul(alpha, sum[2 * i + 1]);
            if (g->add) {
                left = wasm_f32x4_add(left, wasm_v128_load(c));
                right = wasm_f32x4_add(right, wasm_v128_load(c + 4));
            }
            wasm_v128_store(c, left);
            wasm_v128_store(c + 4, right);
        }
    }
}
/* A's rows lie side by side (also: copied), or its terms do. */
static __attribute__((noinline)) void column_across(const gemm_column *g) {
    column_of_tiles(true, g);
}
static __attribute__((noinline)) void column_along(const gemm_column *g) {
    column_of_tiles(false, g);
}

typedef void (*gemm_run)(const gemm_column *g);

/* One tile of which only `rows` x `width` are C's. */
static void gemm_edge(gemm_run run, gemm_column g, int32_t rows, int32_t width) {
    float sums[TILE_ROWS * MT_PANEL_F], *c = g.c;
    const size_t ldc = g.ldc;
    const bool add = g.add;
    g.tiles = 1, g.c = sums, g.ldc = MT_PANEL_F, g.add = false;
    run(&g);
    for (int32_t m = 0; m < rows; m++, c += ldc)
        for (int32_t n = 0; n < width; n++) {
            float s = sums[MT_PANEL_F * m + n];
            c[n] = add ? s + c[n] : s;
        }
}

/* Rows m0.. of A as tiles [rows / 4][K][4] with zeros after the last row. */
static void copy_rows(const mt_gemm_block *g, int32_t m0, int32_t rows, float *to) {
    const size_t K = (size_t)g->K;
    for (int32_t m = 0; m < rows; m += TILE_ROWS, to += TILE_ROWS * K) {
        const float *a = g->a + (size_t)(m0 + m) * g->a_row;
        int32_t height = rows - m < TILE_ROWS ? rows - m : TILE_ROWS;
        size_t k = 0;
        if (g->a_row == 1)
            for (; k < K; k++) wasm_v128_store(to + TILE_ROWS * k, mt_load_lanes(a + k * g->a_step, height));
        else if (height == TILE_ROWS)
            for (; k + 4 <= K; k += 4) turn4(a + k, g->a_row, to + TILE_ROWS * k, TILE_ROWS);
        for (; k < K; k++)
            for (int32_t i = 0; i < TILE_ROWS; i++)
                to[TILE_ROWS * k + (size_t)i] = i < height ? a[(size_t)i * g->a_row + k] : 0;
    }
}

void NAME(gemm)(const mt_gemm_block *g) {
    float tail[MT_K_BLOCK * MT_PANEL_F]; /* the last columns of a matrix that cannot be read further */
    float near[NEAR];
    const int32_t whole = g->padded ? g->N : g->N & ~(MT_PANEL_F - 1);
    if (whole < g->N)
        mt_simd_gemm_pack(g->b + (size_t)(whole / MT_PANEL_F) * g->b_panel, g->b_step, false, g->K, g->N - whole, tail);
    const int32_t fit = NEAR / g->K & ~(TILE_ROWS - 1), most = fit < NEAR_ROWS ? fit : NEAR_ROWS;
    for (int32_t m0 = 0; m0 < g->M; m0 += most) {
        const int32_t rows = g->M - m0 < most ? g->M - m0 : most;
        const bool copied = g->N >= PACK_COLUMNS || rows % TILE_ROWS, across = copied || g->a_row == 1;
        const gemm_run run = across ? column_across : column_along;
        gemm_column t = {.K = (size_t)g->K, .add = g->add, .alpha = g->alpha, .ldc = g->ldc};
        const float *a = near;
        if (copied) {
            copy_rows(g, m0, rows, near);
            t.a_step = TILE_ROWS, t.a_tile = TILE_ROWS * t.K;
        } else {
            a = g->a + (size_t)m0 * g->a_row;
            t.a_step = across ? g->a_step : g->a_row, t.a_tile = TILE_ROWS * g->a_row;
        }
        for (int32_t n = 0; n < g->N; n += MT_PANEL_F) {
            const int32_t width = g->N - n < MT_PANEL_F ? g->N - n : MT_PANEL_F;
            t.b = n < whole ? g->b + (size_t)(n / MT_PANEL_F) * g->b_panel : tail;
            t.b_step = n < whole ? g->b_step : MT_PANEL_F;
            t.tiles = width == MT_PANEL_F ? rows / TILE_ROWS : 0;
            t.a = a, t.c = g->c + (size_t)m0 * g->ldc + (size_t)n;
            if (t.tiles) run(&t);
            for (int32_t m = t.tiles * TILE_ROWS; m < rows; m += TILE_ROWS) {
                gemm_column last = t;
                last.a += (size_t)(m / TILE_ROWS) * t.a_tile, last.c += (size_t)m * t.ldc;
                gemm_edge(run, last, rows - m < TILE_ROWS ? rows - m : TILE_ROWS, width);
            }
        }
    }
}
#endif
