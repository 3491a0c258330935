/* ABI of src/base: memory, the error slot, random numbers, the layout table itself, the GGUF container. */
#include "abi.h"

#include "../src/base/gguf.h"

mt_error abi_error;

MT_EXPORT(error) mt_error *abi_error_slot(void) {
    return &abi_error;
}
MT_EXPORT(status_name) const char *abi_status_name(int32_t status) {
    return mt_status_name((mt_status)status);
}
MT_EXPORT(alloc) void *abi_alloc(size_t bytes) {
    return mt_malloc(bytes);
}
MT_EXPORT(calloc) void *abi_calloc(size_t bytes) {
    return mt_calloc(1, bytes);
}
MT_EXPORT(release) void abi_release(void *p) {
    mt_free(p);
}
MT_EXPORT(alloc_aligned) void *abi_alloc_aligned(size_t bytes, size_t align) {
    return mt_alloc_aligned(bytes, align);
}
MT_EXPORT(release_aligned) void abi_release_aligned(void *p) {
    mt_free_aligned(p);
}
MT_EXPORT(buf_free) void abi_buf_free(mt_buf *b) {
    if (b) mt_buf_free(b);
}

char *abi_layout(const abi_row *rows, size_t count) {
    mt_buf out = {0};
    mt_status status = MT_OK;
    for (size_t i = 0; i < count && status == MT_OK; i++)
        status = mt_buf_printf(&out, &abi_error, "%s\t%s\t%s\t%u\t%u\n", rows[i].kind, rows[i].name, rows[i].type,
                               (unsigned)rows[i].at, (unsigned)rows[i].count);
    if (status == MT_OK) status = mt_buf_byte(&out, 0, &abi_error);
    if (status != MT_OK) mt_buf_free(&out);
    return (char *)out.data;
}

ABI_LAYOUT(base, ABI_STRUCT(mt_error), ABI_FIELD(mt_error, code), ABI_FIELD(mt_error, where), ABI_ARRAY(mt_error, text),
           ABI_STRUCT(mt_buf), ABI_FIELD(mt_buf, data), ABI_FIELD(mt_buf, len), ABI_STRUCT(mt_ids),
           ABI_FIELD(mt_ids, data), ABI_FIELD(mt_ids, len), ABI_STRUCT(mt_rng), ABI_ARRAY(mt_rng, s),
           ABI_STRUCT(mt_gguf), ABI_FIELD(mt_gguf, version), ABI_FIELD(mt_gguf, alignment),
           ABI_FIELD(mt_gguf, data_start), ABI_FIELD(mt_gguf, key_count), ABI_FIELD(mt_gguf, tensor_count),
           ABI_FIELD(mt_gguf, keys), ABI_FIELD(mt_gguf, tensors), ABI_STRUCT(mt_gguf_key),
           ABI_FIELD(mt_gguf_key, name.p), ABI_FIELD(mt_gguf_key, name.n), ABI_FIELD(mt_gguf_key, type),
           ABI_FIELD(mt_gguf_key, element), ABI_FIELD(mt_gguf_key, count), ABI_FIELD(mt_gguf_key, data),
           ABI_FIELD(mt_gguf_key, bytes), ABI_STRUCT(mt_gguf_tensor), ABI_FIELD(mt_gguf_tensor, name.p),
           ABI_FIELD(mt_gguf_tensor, name.n), ABI_FIELD(mt_gguf_tensor, n_dims), ABI_ARRAY(mt_gguf_tensor, dims),
           ABI_FIELD(mt_gguf_tensor, type), ABI_FIELD(mt_gguf_tensor, offset), ABI_ENUM(MT_OK), ABI_ENUM(MT_ENOMEM),
           ABI_ENUM(MT_STATUS_COUNT), ABI_ENUM(MT_GGUF_U8), ABI_ENUM(MT_GGUF_I8), ABI_ENUM(MT_GGUF_U16),
           ABI_ENUM(MT_GGUF_I16), ABI_ENUM(MT_GGUF_U32), ABI_ENUM(MT_GGUF_I32), ABI_ENUM(MT_GGUF_F32),
           ABI_ENUM(MT_GGUF_BOOL), ABI_ENUM(MT_GGUF_STRING), ABI_ENUM(MT_GGUF_ARRAY), ABI_ENUM(MT_GGUF_U64),
           ABI_ENUM(MT_GGUF_I64), ABI_ENUM(MT_GGUF_F64))

/* Before anything else: see mt_hash_key. */
MT_EXPORT(keep_secret) void abi_keep_secret(uint64_t a, uint64_t b) {
    mt_map_keep_secret(a, b);
}

/* ---- random numbers ---- */

MT_EXPORT(rng_seed) void abi_rng_seed(mt_rng *r, uint32_t low, uint32_t high) {
    mt_rng_seed(r, (uint64_t)high << 32 | low);
}
MT_EXPORT(rng_double) double abi_rng_double(mt_rng *r) {
    return mt_rng_double(r);
}

/* ---- GGUF: a header to look at ---- */

/* Parses a prefix p[0..n) of a file of `file_size` bytes. *need > 0: give that many bytes. Else *out is the header,
 * which borrows p; free it before p. */
MT_EXPORT(gguf_open)
mt_status abi_gguf_open(const uint8_t *p, size_t n, double file_size, uint32_t *need, mt_gguf **out) {
    ABI_NEED(p);
    *out = NULL;
    mt_gguf *g = mt_calloc(1, sizeof *g);
    if (!g) return mt_nomem(&abi_error, sizeof *g, "a GGUF header");
    size_t more = 0;
    mt_status status = mt_gguf_parse(g, p, n, abi_size(file_size), &more, &abi_error);
    *need = (uint32_t)more;
    if (status == MT_OK && !more) {
        *out = g;
    } else {
        mt_gguf_free(g);
        mt_free(g);
    }
    return status;
}
MT_EXPORT(gguf_free) void abi_gguf_free(mt_gguf *g) {
    if (!g) return;
    mt_gguf_free(g);
    mt_free(g);
}
/* The header's bytes as they were given to the parser, from the magic to the end of the last tensor's entry: enough for
 * another module to open it. Keys come first in the file, after 24 bytes of counts; a name follows its 8-byte length.
 */
MT_EXPORT(gguf_header) mt_status abi_gguf_header(const mt_gguf *gguf, const uint8_t **start, uint32_t *size) {
    ABI_NEED(gguf);
    if (!gguf->key_count) return mt_fail(&abi_error, MT_EMISSING, "GGUF: no metadata");
    const mt_gguf_key *last = &gguf->keys[gguf->key_count - 1];
    const uint8_t *end = last->data + last->bytes;
    if (gguf->tensor_count) {
        const mt_gguf_tensor *tensor = &gguf->tensors[gguf->tensor_count - 1];
        end = tensor->name.p + tensor->name.n + 4 + 8 * (size_t)tensor->n_dims + 4 + 8;
    }
    *start = gguf->keys[0].name.p - 8 - 24;
    *size = (uint32_t)(end - *start);
    return MT_OK;
}
/* Elements [first, first + count) of an array of numbers (or the one value). */
MT_EXPORT(gguf_numbers)
mt_status abi_gguf_numbers(const mt_gguf_key *key, double first, uint32_t count, double *out) {
    ABI_NEED(key);
    uint64_t from = abi_size(first);
    if (from > key->count || count > key->count - from)
        return mt_fail(&abi_error, MT_ERANGE, "gguf_numbers: %u elements from %llu of %llu", (unsigned)count,
                       (unsigned long long)from, (unsigned long long)key->count);
    for (uint32_t i = 0; i < count; i++) out[i] = mt_gguf_number_at(key, from + i);
    return MT_OK;
}
