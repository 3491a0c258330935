/* GGUF header parser (the format document of ggml, versions 2 and 3, little-endian).
 *
 * The input is a prefix of the file. A read beyond the prefix is not an error while the file may still hold those
 * bytes: parsing stops and asks for more. A read beyond the file's size is an error that names the field. Numbers are
 * believed only after the bytes that they count are there, so a hostile count costs nothing. */
#include "gguf.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_NAME = 65535, MAX_NESTING = 4, MAX_ALIGNMENT = 1 << 20 };

static const uint8_t type_size[MT_GGUF_TYPE_COUNT] = {
    [MT_GGUF_U8] = 1,  [MT_GGUF_I8] = 1,   [MT_GGUF_U16] = 2, [MT_GGUF_I16] = 2, [MT_GGUF_U32] = 4, [MT_GGUF_I32] = 4,
    [MT_GGUF_F32] = 4, [MT_GGUF_BOOL] = 1, [MT_GGUF_U64] = 8, [MT_GGUF_I64] = 8, [MT_GGUF_F64] = 8};
static const char type_names[] = "0 u8, 1 i8, 2 u16, 3 i16, 4 u32, 5 i32, 6 f32, 7 bool, 8 string, 9 array, 10 u64, 11 "
                                 "i64, 12 f64";

/* Elements and bytes of a block of each tensor type that ggml has defined, so that the extent of every tensor can be
 * checked here, whether or not the engine can compute with it. */
static const struct {
    uint16_t block, bytes;
} tensor_type[] = {[0] = {1, 4},      [1] = {1, 2},      [2] = {32, 18},    [3] = {32, 20},    [6] = {32, 22},
                   [7] = {32, 24},    [8] = {32, 34},    [9] = {32, 36},    [10] = {256, 84},  [11] = {256, 110},
                   [12] = {256, 144}, [13] = {256, 176}, [14] = {256, 210}, [15] = {256, 292}, [16] = {256, 66},
                   [17] = {256, 74},  [18] = {256, 98},  [19] = {256, 50},  [20] = {32, 18},   [21] = {256, 110},
                   [22] = {256, 82},  [23] = {256, 136}, [24] = {1, 1},     [25] = {1, 2},     [26] = {1, 4},
                   [27] = {1, 8},     [28] = {1, 8},     [29] = {256, 56},  [30] = {1, 2},     [34] = {256, 54},
                   [35] = {256, 66},  [39] = {32, 17}};

typedef struct reader {
    const uint8_t *p;
    size_t n, at;
    uint64_t file_size;
    size_t need; /* > 0: stopped, this many bytes are wanted */
    mt_error *err;
} reader;

/* Makes sure that p[at .. at + count) is there. False: out of bytes (r->need set, *status MT_OK) or an error. */
static bool have(reader *r, uint64_t count, const char *what, mt_status *status) {
    *status = MT_OK;
    if (count <= r->n - r->at) return true;
    uint64_t end;
    if (!mt_add_u64(r->at, count, &end) || end > r->file_size) {
        uint64_t left = r->file_size == UINT64_MAX ? 0 : r->file_size - r->at;
        *status = mt_fail_at(r->err, MT_EFORMAT, r->at, "GGUF: %s needs %llu bytes, but the file ends after %llu", what,
                             (unsigned long long)count, (unsigned long long)left);
        return false;
    }
    if (end > SIZE_MAX / 2) {
        *status = mt_fail_at(r->err, MT_ELIMIT, r->at, "GGUF: %s of %llu bytes does not fit the address space", what,
                             (unsigned long long)count);
        return false;
    }
    /* Half as much again, so that parsing again and again stays linear in total. */
    uint64_t want = (uint64_t)r->n + r->n / 2;
    if (want > r->file_size) want = r->file_size;
    r->need = (size_t)(end > want ? end : want);
    return false;
}

static bool read_u32(reader *r, const char *what, uint32_t *out, mt_status *status) {
    if (!have(r, 4, what, status)) return false;
    *out = mt_le32(r->p + r->at);
    r->at += 4;
    return true;
}

static bool read_u64(reader *r, const char *what, uint64_t *out, mt_status *status) {
    if (!have(r, 8, what, status)) return false;
    *out = mt_le64(r->p + r->at);
    r->at += 8;
    return true;
}

static bool read_name(reader *r, const char *what, mt_str *out, mt_status *status) {
    uint64_t n;
    if (!read_u64(r, what, &n, status)) return false;
    if (n == 0 || n > MAX_NAME) {
        *status = mt_fail_at(r->err, MT_EFORMAT, r->at - 8, "GGUF: %s has length %llu, expected 1 to %d", what,
                             (unsigned long long)n, MAX_NAME);
        return false;
    }
    if (!have(r, n, what, status)) return false;
    *out = (mt_str){r->p + r->at, (size_t)n};
    r->at += (size_t)n;
    return true;
}

/* Skips `count` values of `type`, checking all that is in them. */
static bool skip_values(reader *r, uint32_t type, uint64_t count, int depth, const char *what, mt_status *status) {
    if (type < MT_GGUF_TYPE_COUNT && type_size[type]) {
        uint64_t bytes;
        if (!mt_mul_u64(count, type_size[type], &bytes)) {
            *status = mt_fail_at(r->err, MT_EFORMAT, r->at, "GGUF: %s counts %llu values, more than any file holds",
                                 what, (unsigned long long)count);
            return false;
        }
        if (!have(r, bytes, what, status)) return false;
        if (type == MT_GGUF_BOOL)
            for (uint64_t i = 0; i < count; i++)
                if (r->p[r->at + i] > 1) {
                    *status = mt_fail_at(r->err, MT_EFORMAT, r->at + i, "GGUF: %s: bool is %u, expected 0 or 1", what,
                                         r->p[r->at + i]);
                    return false;
                }
        r->at += (size_t)bytes;
        return true;
    }
    if (type == MT_GGUF_STRING || type == MT_GGUF_ARRAY) {
        uint64_t least = type == MT_GGUF_STRING ? 8 : 12; /* bytes that each element takes at least */
        if (r->file_size != UINT64_MAX && count > (r->file_size - r->at) / least) {
            *status = mt_fail_at(r->err, MT_EFORMAT, r->at, "GGUF: %s counts %llu values, but only %llu bytes follow",
                                 what, (unsigned long long)count, (unsigned long long)(r->file_size - r->at));
            return false;
        }
        for (uint64_t i = 0; i < count; i++) {
            uint64_t n;
            if (type == MT_GGUF_STRING) {
                if (!read_u64(r, what, &n, status) || !have(r, n, what, status)) return false;
                r->at += (size_t)n;
                continue;
            }
            uint32_t element;
            if (depth >= MAX_NESTING) {
                *status =
                    mt_fail_at(r->err, MT_ELIMIT, r->at, "GGUF: %s nests arrays more than %d deep", what, MAX_NESTING);
                return false;
            }
            if (!read_u32(r, what, &element, status) || !read_u64(r, what, &n, status) ||
                !skip_values(r, element, n, depth + 1, what, status))
                return false;
        }
        return true;
    }
    *status = mt_fail_at(r->err, MT_EUNKNOWN, r->at, "GGUF: %s has value type %u (known: %s)", what, type, type_names);
    return false;
}

static mt_status read_key(mt_gguf *g, reader *r, uint64_t index, size_t *capacity) {
    mt_status status;
    char what[160], shown[96];
    snprintf(what, sizeof what, "name of key %llu", (unsigned long long)index);
    mt_gguf_key key = {.count = 1};
    uint32_t type;
    uint64_t at = r->at;
    if (!read_name(r, what, &key.name, &status)) return status;
    snprintf(what, sizeof what, "key \"%s\"", mt_str_show(key.name, shown, sizeof shown));
    if (!read_u32(r, what, &type, &status)) return status;
    if (type >= MT_GGUF_TYPE_COUNT)
        return mt_fail_at(r->err, MT_EUNKNOWN, r->at - 4, "GGUF: %s has value type %u (known: %s)", what, type,
                          type_names);
    key.type = (mt_gguf_type)type;
    if (type == MT_GGUF_ARRAY) {
        uint32_t element;
        if (!read_u32(r, what, &element, &status)) return status;
        if (element >= MT_GGUF_TYPE_COUNT)
            return mt_fail_at(r->err, MT_EUNKNOWN, r->at - 4, "GGUF: %s has element type %u (known: %s)", what, element,
                              type_names);
        key.element = (mt_gguf_type)element;
        if (!read_u64(r, what, &key.count, &status)) return status;
    }
    size_t begin = r->at;
    key.data = r->p + begin;
    if (!skip_values(r, type == MT_GGUF_ARRAY ? key.element : type, key.count, 1, what, &status)) return status;
    key.bytes = r->at - begin;
    int32_t old;
    if (mt_map_get(&g->key_index, key.name, &old))
        return mt_fail_at(r->err, MT_EFORMAT, at, "GGUF: %s is given twice (as keys %d and %llu)", what, (int)old,
                          (unsigned long long)index);
    void *keys = g->keys;
    MT_TRY(mt_grow(&keys, capacity, g->key_count + 1, sizeof *g->keys, r->err));
    g->keys = keys;
    g->keys[g->key_count] = key;
    MT_TRY(mt_map_set(&g->key_index, key.name, (int32_t)g->key_count, r->err));
    g->key_count++;
    return MT_OK;
}

static mt_status read_tensor(mt_gguf *g, reader *r, uint64_t index, mt_map *names, size_t *capacity) {
    mt_status status;
    char what[160], shown[96];
    snprintf(what, sizeof what, "name of tensor %llu", (unsigned long long)index);
    mt_gguf_tensor t = {.dims = {1, 1, 1, 1}};
    uint64_t at = r->at;
    if (!read_name(r, what, &t.name, &status)) return status;
    snprintf(what, sizeof what, "tensor \"%s\"", mt_str_show(t.name, shown, sizeof shown));
    if (!read_u32(r, what, &t.n_dims, &status)) return status;
    if (t.n_dims < 1 || t.n_dims > 4)
        return mt_fail_at(r->err, MT_ERANGE, r->at - 4, "GGUF: %s has %u dimensions, expected 1 to 4", what, t.n_dims);
    uint64_t elements = 1;
    for (uint32_t d = 0; d < t.n_dims; d++) {
        if (!read_u64(r, what, &t.dims[d], &status)) return status;
        if (t.dims[d] == 0 || t.dims[d] > INT32_MAX || !mt_mul_u64(elements, t.dims[d], &elements) ||
            elements > (uint64_t)1 << 48)
            return mt_fail_at(r->err, MT_ERANGE, r->at - 8,
                              "GGUF: %s: dimension %u is %llu, expected 1 to %d and "
                              "less than 2^48 elements in all",
                              what, d, (unsigned long long)t.dims[d], INT32_MAX);
    }
    if (!read_u32(r, what, &t.type, &status) || !read_u64(r, what, &t.offset, &status)) return status;
    if (t.type < sizeof tensor_type / sizeof *tensor_type && tensor_type[t.type].block) {
        uint32_t block = tensor_type[t.type].block;
        if (t.dims[0] % block)
            return mt_fail_at(r->err, MT_EFORMAT, at,
                              "GGUF: %s: rows of %llu elements are no multiple of the block of "
                              "type %u, %u",
                              what, (unsigned long long)t.dims[0], t.type, block);
        t.bytes = elements / block * tensor_type[t.type].bytes;
    }
    int32_t old;
    if (mt_map_get(names, t.name, &old))
        return mt_fail_at(r->err, MT_EFORMAT, at, "GGUF: %s is listed twice (as tensors %d and %llu)", what, (int)old,
                          (unsigned long long)index);
    void *tensors = g->tensors;
    MT_TRY(mt_grow(&tensors, capacity, g->tensor_count + 1, sizeof *g->tensors, r->err));
    g->tensors = tensors;
    g->tensors[g->tensor_count] = t;
    MT_TRY(mt_map_set(names, t.name, (int32_t)g->tensor_count, r->err));
    g->tensor_count++;
    return MT_OK;
}

static int by_offset(const void *a, const void *b) {
    const mt_gguf_tensor *x = *(const mt_gguf_tensor *const *)a, *y = *(const mt_gguf_tensor *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Every tensor lies inside the file, aligned, and no two share a byte. */
static mt_status check_extents(const mt_gguf *g, uint64_t file_size, mt_error *err) {
    char shown[96], other[96];
    if (g->tensor_count == 0) return MT_OK;
    const mt_gguf_tensor **order = mt_array(g->tensor_count, sizeof *order);
    if (!order) return mt_nomem(err, g->tensor_count * sizeof *order, "the order of tensors");
    mt_status status = MT_OK;
    for (size_t i = 0; i < g->tensor_count && status == MT_OK; i++) {
        const mt_gguf_tensor *t = order[i] = &g->tensors[i];
        uint64_t begin, end;
        if (t->offset % g->alignment)
            status = mt_fail_at(err, MT_EFORMAT, t->offset,
                                "GGUF: tensor \"%s\": offset %llu is no multiple of the "
                                "alignment %u",
                                mt_str_show(t->name, shown, sizeof shown), (unsigned long long)t->offset, g->alignment);
        else if (!mt_add_u64(g->data_start, t->offset, &begin) || !mt_add_u64(begin, t->bytes, &end) ||
                 end > file_size || end == UINT64_MAX)
            status = mt_fail_at(err, MT_EFORMAT, g->data_start,
                                "GGUF: tensor \"%s\" needs %llu bytes at offset %llu "
                                "of the data section, which starts at %llu, but the file has %llu bytes",
                                mt_str_show(t->name, shown, sizeof shown), (unsigned long long)t->bytes,
                                (unsigned long long)t->offset, (unsigned long long)g->data_start,
                                (unsigned long long)file_size);
    }
    if (status == MT_OK) {
        qsort(order, g->tensor_count, sizeof *order, by_offset);
        for (size_t i = 1; i < g->tensor_count && status == MT_OK; i++)
            if (order[i - 1]->offset + (order[i - 1]->bytes ? order[i - 1]->bytes : 1) > order[i]->offset)
                status =
                    mt_fail_at(err, MT_EFORMAT, g->data_start + order[i]->offset,
                               "GGUF: tensors \"%s\" (offset %llu, %llu bytes) and \"%s\" (offset %llu) overlap",
                               mt_str_show(order[i - 1]->name, shown, sizeof shown),
                               (unsigned long long)order[i - 1]->offset, (unsigned long long)order[i - 1]->bytes,
                               mt_str_show(order[i]->name, other, sizeof other), (unsigned long long)order[i]->offset);
    }
    mt_free(order);
    return status;
}

static mt_status parse(mt_gguf *g, reader *r) {
    mt_status status;
    uint64_t tensors, keys;
    if (!have(r, 4, "the signature", &status)) return status;
    if (memcmp(r->p, "GGUF", 4) != 0) {
        char shown[32];
        return mt_fail_at(r->err, MT_EFORMAT, 0, "GGUF: the file starts with \"%s\", expected \"GGUF\"",
                          mt_str_show((mt_str){r->p, 4}, shown, sizeof shown));
    }
    r->at = 4;
    if (!read_u32(r, "the version", &g->version, &status)) return status;
    if (g->version != 2 && g->version != 3)
        return mt_fail_at(r->err, MT_EUNKNOWN, 4, "GGUF: version %u (known: 2, 3)%s", g->version,
                          g->version >= 1u << 24 ? "; the file is big-endian" : "");
    if (!read_u64(r, "the tensor count", &tensors, &status) || !read_u64(r, "the key count", &keys, &status))
        return status;
    /* A key takes at least 8 + 1 + 4 + 1 bytes, a tensor's entry 8 + 1 + 4 + 8 + 4 + 8. */
    uint64_t left = r->file_size == UINT64_MAX ? (uint64_t)1 << 40 : r->file_size - r->at;
    if (tensors > INT32_MAX || tensors > left / 33)
        return mt_fail_at(r->err, MT_ERANGE, 8, "GGUF: tensor count %llu cannot fit in the file",
                          (unsigned long long)tensors);
    if (keys > INT32_MAX || keys > left / 14)
        return mt_fail_at(r->err, MT_ERANGE, 16, "GGUF: key count %llu cannot fit in the file",
                          (unsigned long long)keys);
    size_t capacity = 0;
    for (uint64_t i = 0; i < keys && !r->need; i++) MT_TRY(read_key(g, r, i, &capacity));
    if (r->need) return MT_OK;
    g->alignment = 32;
    const mt_gguf_key *key = mt_gguf_find(g, "general.alignment");
    uint64_t alignment = 32;
    if (key && (!mt_gguf_u64(g, "general.alignment", &alignment) || alignment == 0 || alignment % 8 ||
                alignment > MAX_ALIGNMENT))
        return mt_fail_at(r->err, MT_ERANGE, (uint64_t)(key->data - r->p),
                          "GGUF: general.alignment is %llu, expected a "
                          "multiple of 8 up to %d",
                          (unsigned long long)alignment, MAX_ALIGNMENT);
    g->alignment = (uint32_t)alignment;
    mt_map names = {0};
    capacity = 0;
    status = MT_OK;
    for (uint64_t i = 0; i < tensors && !r->need && status == MT_OK; i++)
        status = read_tensor(g, r, i, &names, &capacity);
    mt_map_free(&names);
    if (status != MT_OK || r->need) return status;
    g->data_start = (r->at + g->alignment - 1) / g->alignment * (uint64_t)g->alignment;
    return check_extents(g, r->file_size, r->err);
}

mt_status mt_gguf_parse(mt_gguf *g, const uint8_t *p, size_t n, uint64_t file_size, size_t *need, mt_error *err) {
    *g = (mt_gguf){0};
    *need = 0;
    if (n > file_size)
        return mt_fail_at(err, MT_EFORMAT, file_size, "GGUF: %zu bytes given of a file of %llu", n,
                          (unsigned long long)file_size);
    reader r = {.p = p, .n = n, .file_size = file_size, .err = err};
    mt_status status = parse(g, &r);
    if (status == MT_OK) *need = r.need;
    return status;
}

void mt_gguf_free(mt_gguf *g) {
    mt_free(g->keys);
    mt_free(g->tensors);
    mt_map_free(&g->key_index);
    mt_arena_free(&g->arena);
    *g = (mt_gguf){0};
}

const mt_gguf_key *mt_gguf_find(const mt_gguf *g, const char *name) {
    int32_t i;
    return mt_map_get(&g->key_index, mt_str_of(name), &i) ? &g->keys[i] : NULL;
}

/* A scalar integer as (magnitude, negative). */
static bool integer(const mt_gguf_key *key, uint64_t *value, bool *negative) {
    if (!key) return false;
    int64_t v;
    switch (key->type) {
    case MT_GGUF_U8:
        *value = key->data[0], *negative = false;
        return true;
    case MT_GGUF_U16:
        *value = mt_le16(key->data), *negative = false;
        return true;
    case MT_GGUF_U32:
        *value = mt_le32(key->data), *negative = false;
        return true;
    case MT_GGUF_U64:
        *value = mt_le64(key->data), *negative = false;
        return true;
    case MT_GGUF_I8:
        v = (int8_t)key->data[0];
        break;
    case MT_GGUF_I16:
        v = (int16_t)mt_le16(key->data);
        break;
    case MT_GGUF_I32:
        v = (int32_t)mt_le32(key->data);
        break;
    case MT_GGUF_I64:
        v = (int64_t)mt_le64(key->data);
        break;
    default:
        return false;
    }
    *negative = v < 0;
    *value = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    return true;
}

bool mt_gguf_u64(const mt_gguf *g, const char *name, uint64_t *out) {
    uint64_t v;
    bool negative;
    if (!integer(mt_gguf_find(g, name), &v, &negative) || negative) return false;
    *out = v;
    return true;
}

bool mt_gguf_i64(const mt_gguf *g, const char *name, int64_t *out) {
    uint64_t v;
    bool negative;
    if (!integer(mt_gguf_find(g, name), &v, &negative) || v > (uint64_t)INT64_MAX + negative) return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool mt_gguf_f64(const mt_gguf *g, const char *name, double *out) {
    const mt_gguf_key *key = mt_gguf_find(g, name);
    if (!key || key->type == MT_GGUF_STRING || key->type == MT_GGUF_ARRAY || key->type == MT_GGUF_BOOL) return false;
    *out = mt_gguf_number_at(key, 0);
    return true;
}

bool mt_gguf_bool(const mt_gguf *g, const char *name, bool *out) {
    const mt_gguf_key *key = mt_gguf_find(g, name);
    if (!key || key->type != MT_GGUF_BOOL) return false;
    *out = key->data[0] != 0;
    return true;
}

bool mt_gguf_string(const mt_gguf *g, const char *name, mt_str *out) {
    const mt_gguf_key *key = mt_gguf_find(g, name);
    if (!key || key->type != MT_GGUF_STRING) return false;
    *out = (mt_str){key->data + 8, (size_t)mt_le64(key->data)};
    return true;
}

mt_str mt_gguf_next_string(const uint8_t **cursor) {
    mt_str s = {*cursor + 8, (size_t)mt_le64(*cursor)};
    *cursor += 8 + s.n;
    return s;
}

double mt_gguf_number_at(const mt_gguf_key *key, uint64_t i) {
    mt_gguf_type type = key->type == MT_GGUF_ARRAY ? key->element : key->type;
    if (i >= key->count || type >= MT_GGUF_TYPE_COUNT) return 0;
    const uint8_t *p = key->data + i * type_size[type];
    union {
        uint32_t u;
        float f;
    } f32;
    union {
        uint64_t u;
        double f;
    } f64;
    switch (type) {
    case MT_GGUF_U8:
        return p[0];
    case MT_GGUF_BOOL:
        return p[0] != 0;
    case MT_GGUF_I8:
        return (int8_t)p[0];
    case MT_GGUF_U16:
        return mt_le16(p);
    case MT_GGUF_I16:
        return (int16_t)mt_le16(p);
    case MT_GGUF_U32:
        return mt_le32(p);
    case MT_GGUF_I32:
        return (int32_t)mt_le32(p);
    case MT_GGUF_U64:
        return (double)mt_le64(p);
    case MT_GGUF_I64:
        return (double)(int64_t)mt_le64(p);
    case MT_GGUF_F32:
        f32.u = mt_le32(p);
        return f32.f;
    case MT_GGUF_F64:
        f64.u = mt_le64(p);
        return f64.f;
    default:
        return 0;
    }
}
