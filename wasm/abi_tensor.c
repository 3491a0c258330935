/* ABI of src/tensor: the choice of kernels, threads. */
#include "abi.h"

#include "../src/tensor/kernels.h"

ABI_LAYOUT(tensor, ABI_ENUM(MT_ISA_REF), ABI_ENUM(MT_ISA_SIMD), ABI_ENUM(MT_ISA_RELAXED))

/* ---- kernels ---- */

MT_EXPORT(kernels_use) mt_status abi_kernels_use(int32_t isa) {
    return mt_kernels_use((mt_isa)isa, &abi_error);
}
MT_EXPORT(kernels_isa) int32_t abi_kernels_isa(void) {
    return (int32_t)mt_kernels_isa();
}

/* ---- threads: JavaScript starts the workers, then each calls pool_worker on a stack of its own ---- */

MT_EXPORT(pool_new) mt_status abi_pool_new(int32_t threads, mt_pool **out) {
    MT_TRY(mt_pool_new(threads, out, &abi_error));
    mt_pool_may_block(*out, true); /* models live in workers, which may */
    return MT_OK;
}
MT_EXPORT(pool_free) void abi_pool_free(mt_pool *pool) {
    if (pool) mt_pool_free(pool);
}
MT_EXPORT(pool_worker) void abi_pool_worker(mt_pool *pool, int32_t index) {
    mt_pool_worker(pool, index);
}

MT_EXPORT(log_softmax) void abi_log_softmax(const float *logits, double *out, size_t n) {
    mt_log_softmax_f64(logits, out, n);
}
