/* The safetensors header (format document of huggingface/safetensors):
 *
 *   u64 N | N bytes of JSON: {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [begin, end]}, ...} | data
 *
 * Offsets count from the byte after the header; tensors tile the data without holes or overlaps. */
#include "container.h"

#include "../base/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_HEADER = 100000000 };

static const struct {
    const char *name;
    uint32_t type, bits;
} dtypes[] = {{"F32", MT_F32, 32},     {"F16", MT_F16, 16},        {"BF16", MT_BF16, 16},      {"F64", UINT32_MAX, 64},
              {"I64", UINT32_MAX, 64}, {"I32", UINT32_MAX, 32},    {"I16", UINT32_MAX, 16},    {"I8", UINT32_MAX, 8},
              {"U64", UINT32_MAX, 64}, {"U32", UINT32_MAX, 32},    {"U16", UINT32_MAX, 16},    {"U8", UINT32_MAX, 8},
              {"BOOL", UINT32_MAX, 8}, {"F8_E4M3", UINT32_MAX, 8}, {"F8_E5M2", UINT32_MAX, 8}, {"C64", UINT32_MAX, 64}};

uint64_t mt_safetensors_header(const uint8_t p[8], uint64_t file_size, mt_error *err) {
    uint64_t n = mt_le64(p);
    if (n < 2 || n > MAX_HEADER || (file_size != UINT64_MAX && (file_size < 8 || n > file_size - 8))) {
        mt_fail_at(err, MT_EFORMAT, 0,
                   "safetensors: the header's length is %llu, expected 2 to %d and no more than the "
                   "file (which neither starts with \"GGUF\")",
                   (unsigned long long)n, MAX_HEADER);
        return 0;
    }
    return n + 8;
}

static mt_status read_entry(mt_json *j, mt_entry *e) {
    char shown[96];
    mt_str key, dtype = {0};
    int64_t offsets[2] = {-1, -1};
    bool has_shape = false;
    mt_str_show(e->name, shown, sizeof shown);
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "dtype")) {
            dtype = mt_json_string(j);
        } else if (mt_str_is(key, "shape")) {
            has_shape = true;
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) {
                int64_t v = mt_json_int(j);
                if (j->status != MT_OK) return j->status;
                if (e->n_dims == 4)
                    return mt_json_fail(j, MT_ELIMIT, "tensor \"%s\" has more than 4 dimensions", shown);
                if (v < 0 || v > INT32_MAX)
                    return mt_json_fail(j, MT_ERANGE, "tensor \"%s\": dimension %d is %lld, expected 0 to %d", shown,
                                        e->n_dims, (long long)v, INT32_MAX);
                e->dims[e->n_dims++] = v;
            }
        } else if (mt_str_is(key, "data_offsets")) {
            int i = 0;
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) {
                int64_t v = mt_json_int(j);
                if (i < 2) offsets[i] = v;
                i++;
            }
            if (i != 2)
                return mt_json_fail(j, MT_EFORMAT, "tensor \"%s\": data_offsets has %d numbers, expected 2", shown, i);
        } else {
            MT_TRY(mt_json_skip(j));
        }
    }
    if (j->status != MT_OK) return j->status;
    if (!dtype.n || !has_shape || offsets[0] < 0 || offsets[1] < offsets[0])
        return mt_json_fail(j, MT_EFORMAT, "tensor \"%s\" needs dtype, shape and data_offsets [begin, end]", shown);
    uint64_t bits = 0, elements = 1;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (mt_str_is(dtype, dtypes[i].name)) e->type = dtypes[i].type, bits = dtypes[i].bits;
    mt_str_show(dtype, e->type_name, sizeof e->type_name);
    if (!bits)
        return mt_json_fail(j, MT_EUNKNOWN, "tensor \"%s\" has dtype \"%s\" (known: F32 F16 BF16)", shown,
                            e->type_name);
    for (int32_t d = 0; d < e->n_dims; d++)
        if (!mt_mul_u64(elements, (uint64_t)e->dims[d], &elements) || elements > (uint64_t)1 << 48)
            return mt_json_fail(j, MT_ERANGE, "tensor \"%s\" has more than 2^48 elements", shown);
    e->begin = (uint64_t)offsets[0];
    e->bytes = (uint64_t)(offsets[1] - offsets[0]);
    if (e->bytes != elements * bits / 8)
        return mt_json_fail(j, MT_EFORMAT, "tensor \"%s\": data_offsets span %llu bytes, but its shape needs %llu",
                            shown, (unsigned long long)e->bytes, (unsigned long long)(elements * bits / 8));
    return MT_OK;
}

static int by_place(const void *a, const void *b) {
    const mt_entry *x = a, *y = b;
    return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

mt_status mt_safetensors_parse(const uint8_t *p, size_t n, uint64_t file_size, mt_arena *arena, mt_entry **entries,
                               size_t *count, mt_error *err) {
    mt_json j;
    mt_str name;
    size_t capacity = 0;
    mt_entry *list = NULL;
    mt_map names = {0};
    *count = 0;
    mt_json_open(&j, p + 8, n - 8, err);
    mt_status status = mt_json_object(&j);
    while (status == MT_OK && mt_json_key(&j, &name)) {
        if (mt_str_is(name, "__metadata__")) {
            status = mt_json_skip(&j);
            continue;
        }
        char shown[96];
        int32_t old;
        mt_entry e = {.source = -1, .type = UINT32_MAX};
        e.name.n = name.n;
        e.name.p = mt_arena_copy(arena, name.p, name.n);
        if (!e.name.p) {
            status = mt_nomem(err, name.n, "a tensor's name");
            break;
        }
        if (mt_map_get(&names, e.name, &old)) {
            status =
                mt_json_fail(&j, MT_EFORMAT, "tensor \"%s\" is listed twice", mt_str_show(name, shown, sizeof shown));
            break;
        }
        status = read_entry(&j, &e);
        void *grown = list;
        if (status == MT_OK) status = mt_grow(&grown, &capacity, *count + 1, sizeof e, err);
        list = grown;
        if (status == MT_OK) status = mt_map_set(&names, e.name, (int32_t)*count, err);
        if (status == MT_OK) list[(*count)++] = e;
    }
    mt_map_free(&names);
    mt_error first = err ? *err : (mt_error){0};
    mt_status closed = mt_json_close(&j);
    if (status == MT_OK)
        status = closed;
    else if (err)
        *err = first;
    if (status == MT_OK) {
        uint64_t at = 0;
        if (*count) qsort(list, *count, sizeof *list, by_place);
        for (size_t i = 0; i < *count && status == MT_OK; i++) {
            char shown[96];
            if (list[i].begin != at)
                status = mt_fail_at(err, MT_EFORMAT, n + list[i].begin,
                                    "tensor \"%s\" begins at %llu of the data, but the "
                                    "tensor before it ends at %llu",
                                    mt_str_show(list[i].name, shown, sizeof shown), (unsigned long long)list[i].begin,
                                    (unsigned long long)at);
            at += list[i].bytes;
            list[i].begin += n;
        }
        if (status == MT_OK && file_size != UINT64_MAX && at + n != file_size)
            status = mt_fail_at(err, MT_EFORMAT, n, "the header describes a file of %llu bytes, but it has %llu",
                                (unsigned long long)(at + n), (unsigned long long)file_size);
    }
    if (status != MT_OK) {
        mt_fail_in(err, "safetensors");
        mt_free(list);
        *count = 0;
        return status;
    }
    *entries = list;
    return MT_OK;
}
