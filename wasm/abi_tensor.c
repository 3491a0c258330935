/* ABI of src/tensor: data types, the choice of kernels, threads. */
#include "abi.h"

#include "../src/tensor/kernels.h"

ABI_LAYOUT(tensor, ABI_ENUM(MT_ISA_REF), ABI_ENUM(MT_ISA_SIMD), ABI_ENUM(MT_ISA_RELAXED))

/* ---- data types and kernels ---- */

/* Name of a tensor type, or 0; elements and bytes of a block. */
MT_EXPORT(dtype) const char *abi_dtype(uint32_t type, uint32_t *block, uint32_t *bytes) {
    const mt_dtype_info *info = mt_dtype_find(type);
    if (!info) return NULL;
    *block = info->block;
    *bytes = info->bytes;
    return info->name;
}
/* `count` values of type `from` at source as type `to` at target. */
MT_EXPORT(recode)
mt_status abi_recode(mt_pool *pool, uint32_t from, uint32_t to, const void *source, void *target, size_t count) {
    ABI_NEED(source);
    ABI_NEED(target);
    return mt_recode(pool, from, to, source, target, count, &abi_error);
}
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
