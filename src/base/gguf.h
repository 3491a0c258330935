/* GGUF v2/v3, the container only: typed keys and a directory of tensors (decoding of weights is tensor/'s business).
 *
 *   "GGUF" u32 version, u64 tensors, u64 keys | keys: string key, u32 type, value | infos: name, u32 n, u64 dims[n],
 *   u32 type, u64 offset | padding to `alignment` | data
 *
 * Parses a prefix of the file, so that a download can be understood before it has arrived. Everything is checked
 * against the bytes present and the file's size; nothing is allocated from a count before the count is plausible. */
#ifndef MT_GGUF_H
#define MT_GGUF_H

#include "base.h"

typedef enum mt_gguf_type {
    MT_GGUF_U8,
    MT_GGUF_I8,
    MT_GGUF_U16,
    MT_GGUF_I16,
    MT_GGUF_U32,
    MT_GGUF_I32,
    MT_GGUF_F32,
    MT_GGUF_BOOL,
    MT_GGUF_STRING,
    MT_GGUF_ARRAY,
    MT_GGUF_U64,
    MT_GGUF_I64,
    MT_GGUF_F64,
    MT_GGUF_TYPE_COUNT
} mt_gguf_type;

typedef struct mt_gguf_key {
    mt_str name;
    mt_gguf_type type;    /* of the value; MT_GGUF_ARRAY for arrays */
    mt_gguf_type element; /* of arrays */
    uint64_t count;       /* elements of an array, else 1 */
    const uint8_t *data;  /* first value byte (arrays: first element; strings: their u64 length) */
    size_t bytes;         /* value bytes */
} mt_gguf_key;

typedef struct mt_gguf_tensor {
    mt_str name;
    uint32_t n_dims;
    uint64_t dims[4]; /* dims[0] is contiguous; unused are 1 */
    uint32_t type;    /* ggml type number, see tensor/kernels.h mt_dtype */
    uint64_t offset;  /* from the start of the data section */
    uint64_t bytes;   /* of the data; 0: a type whose size we do not know */
} mt_gguf_tensor;

typedef struct mt_gguf {
    uint32_t version;
    uint32_t alignment;
    uint64_t data_start; /* file offset of the data section */
    size_t key_count, tensor_count;
    mt_gguf_key *keys;
    mt_gguf_tensor *tensors;
    mt_map key_index; /* name -> index in keys */
    mt_arena arena;
} mt_gguf;

/* Parses the header in p[0..n), a prefix of a file of `file_size` bytes (UINT64_MAX when unknown). The mt_gguf borrows
 * p. When more bytes are needed: MT_OK with *need > n (a good next amount); otherwise *need = 0 and g is filled.
 * Errors carry the file offset. Free with mt_gguf_free in every case. */
mt_status mt_gguf_parse(mt_gguf *g, const uint8_t *p, size_t n, uint64_t file_size, size_t *need, mt_error *err);
void mt_gguf_free(mt_gguf *g);

const mt_gguf_key *mt_gguf_find(const mt_gguf *g, const char *name);
/* Value accessors: false when absent or of another kind. Integers accept every integer type that fits. */
bool mt_gguf_u64(const mt_gguf *g, const char *name, uint64_t *out);
bool mt_gguf_i64(const mt_gguf *g, const char *name, int64_t *out);
bool mt_gguf_f64(const mt_gguf *g, const char *name, double *out);
bool mt_gguf_bool(const mt_gguf *g, const char *name, bool *out);
bool mt_gguf_string(const mt_gguf *g, const char *name, mt_str *out);
/* Walk an array of strings: *cursor starts at key->data. The bounds were checked by mt_gguf_parse. */
mt_str mt_gguf_next_string(const uint8_t **cursor);
/* Element i of an array of numbers, converted. */
double mt_gguf_number_at(const mt_gguf_key *key, uint64_t i);

#endif
