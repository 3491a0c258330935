/* ABI of what writes models: data types (src/tensor/dtype.c), a loaded model as rows of a file (src/model/export.c). */
#include "abi.h"

#include "../src/model/model.h"
#include "../src/tensor/kernels.h"

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

MT_EXPORT(export_new) mt_status abi_export_new(const mt_model *model, mt_export **out) {
    ABI_NEED(model);
    return mt_export_new(model, out, &abi_error);
}
MT_EXPORT(export_free) void abi_export_free(mt_export *x) {
    mt_export_free(x);
}
MT_EXPORT(export_describe) mt_status abi_export_describe(const mt_export *x, mt_buf *json) {
    ABI_NEED(x);
    json->len = 0;
    return mt_export_describe(x, json, &abi_error);
}
MT_EXPORT(export_keys) mt_status abi_export_keys(const mt_export *x, const uint8_t **data, size_t *length) {
    ABI_NEED(x);
    *data = mt_export_keys(x)->data;
    *length = mt_export_keys(x)->len;
    return MT_OK;
}
MT_EXPORT(export_rows)
mt_status abi_export_rows(const mt_export *x, mt_pool *pool, int32_t tensor, double row, double count, uint32_t type,
                          void *target) {
    ABI_NEED(x);
    ABI_NEED(target);
    return mt_export_rows(x, pool, tensor, (int64_t)row, (int64_t)count, type, target, &abi_error);
}
