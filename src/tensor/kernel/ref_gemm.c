/* Scalar product of two float matrices, one output at a time. The SIMD kernels add in this order. */
#include "kernel.h"

void mt_ref_gemm_pack(const float *b, size_t ldb, bool transposed, int32_t K, int32_t N, float *panels) {
    for (int32_t n0 = 0; n0 < N; n0 += MT_PANEL_F)
        for (int32_t k = 0; k < K; k++)
            for (int32_t n = n0; n < n0 + MT_PANEL_F; n++)
                *panels++ = n >= N ? 0 : transposed ? b[(size_t)n * ldb + (size_t)k] : b[(size_t)k * ldb + (size_t)n];
}

void mt_ref_gemm(const mt_gemm_block *g) {
    for (size_t m = 0; m < (size_t)g->M; m++)
        for (size_t n = 0; n < (size_t)g->N; n++) {
            const float *a = g->a + m * g->a_row, *b = g->b + n / MT_PANEL_F * g->b_panel + n % MT_PANEL_F;
            float sum = 0, *c = g->c + m * g->ldc + n;
            for (size_t k = 0; k < (size_t)g->K; k++) sum = a[k * g->a_step] * b[k * g->b_step] + sum;
            *c = g->add ? g->alpha * sum + *c : g->alpha * sum;
        }
}
