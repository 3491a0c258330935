/* The GGUF header parser: good files, every truncation, bit flips, absurd values, failing allocations. */
#include "gguf_common.h"

static mt_error err;

/* Parses and reads everything that the parser promises; returns the status. */
static mt_status walk(const uint8_t *p, size_t n, uint64_t size, size_t *need) {
    mt_gguf g;
    mt_status status = mt_gguf_parse(&g, p, n, size, need, &err);
    volatile double sum = 0;
    if (status == MT_OK && *need == 0) {
        for (size_t i = 0; i < g.key_count; i++) {
            const mt_gguf_key *k = &g.keys[i];
            const uint8_t *cursor = k->data;
            mt_gguf_type type = k->type == MT_GGUF_ARRAY ? k->element : k->type;
            for (uint64_t e = 0; e < k->count; e++) {
                if (type == MT_GGUF_STRING) {
                    mt_str s = mt_gguf_next_string(&cursor);
                    for (size_t j = 0; j < s.n; j++) sum += s.p[j];
                } else if (type != MT_GGUF_ARRAY) {
                    sum += mt_gguf_number_at(k, e);
                }
            }
        }
    }
    mt_gguf_free(&g);
    return status;
}

static void build(gguf_file *f) {
    tiny_llama(f, MT_Q8_0, NULL);
    put_text(&f->keys, "a.strings");
    put32(&f->keys, MT_GGUF_ARRAY);
    put32(&f->keys, MT_GGUF_STRING);
    put64(&f->keys, 3);
    put_text(&f->keys, "x");
    put_text(&f->keys, "");
    put_text(&f->keys, "yes");
    f->key_count++;
    put_text(&f->keys, "a.nested");
    put32(&f->keys, MT_GGUF_ARRAY);
    put32(&f->keys, MT_GGUF_ARRAY);
    put64(&f->keys, 1);
    put32(&f->keys, MT_GGUF_I16);
    put64(&f->keys, 2);
    put32(&f->keys, 0xFFFE0001u);
    f->key_count++;
    put_text(&f->keys, "a.i8");
    put32(&f->keys, MT_GGUF_I8);
    mt_buf_byte(&f->keys, 0xFF, NULL);
    f->key_count++;
    put_text(&f->keys, "a.yes");
    put32(&f->keys, MT_GGUF_BOOL);
    mt_buf_byte(&f->keys, 1, NULL);
    f->key_count++;
    put_text(&f->keys, "a.u64");
    put32(&f->keys, MT_GGUF_U64);
    put64(&f->keys, UINT64_MAX);
    f->key_count++;
    finish_file(f);
}

/* A header of one key or one tensor, made by hand. */
static mt_status one_key(uint32_t type, const void *value, size_t n) {
    mt_buf b = {0};
    size_t need;
    mt_buf_add(&b, "GGUF", 4, NULL);
    put32(&b, 3);
    put64(&b, 0);
    put64(&b, 1);
    put_text(&b, "the.key");
    put32(&b, type);
    mt_buf_add(&b, value, n, NULL);
    mt_status status = walk(b.data, b.len, b.len, &need);
    mt_buf_free(&b);
    return status;
}

static mt_status tensors(uint32_t count, uint32_t n_dims, const uint64_t *dims, uint32_t type, const uint64_t *offsets,
                         const char *const *names, size_t data) {
    mt_buf b = {0};
    size_t need;
    mt_buf_add(&b, "GGUF", 4, NULL);
    put32(&b, 3);
    put64(&b, count);
    put64(&b, 0);
    for (uint32_t i = 0; i < count; i++) {
        put_text(&b, names[i]);
        put32(&b, n_dims);
        for (uint32_t d = 0; d < n_dims; d++) put64(&b, dims[d]);
        put32(&b, type);
        put64(&b, offsets[i]);
    }
    while (b.len % 32) mt_buf_byte(&b, 0, NULL);
    for (size_t i = 0; i < data; i++) mt_buf_byte(&b, 0, NULL);
    mt_status status = walk(b.data, b.len, b.len, &need);
    mt_buf_free(&b);
    return status;
}

int main(void) {
    gguf_file f;
    size_t need;
    build(&f);
    mt_gguf g;

    CASE("a good file is read");
    CHECK_OK(mt_gguf_parse(&g, f.all.data, f.all.len, f.all.len, &need, &err));
    CHECK(need == 0 && g.version == 3 && g.alignment == 32, "need %zu", need);
    CHECK(g.key_count == f.key_count && g.tensor_count == f.tensor_count, "%zu keys", g.key_count);
    CHECK(g.data_start == f.all.len - f.data.len, "%llu", (unsigned long long)g.data_start);
    uint64_t u;
    int64_t i;
    double d;
    bool yes;
    mt_str s;
    CHECK(mt_gguf_u64(&g, "llama.block_count", &u) && u == TINY_LAYERS, "block_count");
    CHECK(mt_gguf_i64(&g, "a.i8", &i) && i == -1 && !mt_gguf_u64(&g, "a.i8", &u), "negative");
    CHECK(mt_gguf_u64(&g, "a.u64", &u) && u == UINT64_MAX && !mt_gguf_i64(&g, "a.u64", &i), "large");
    CHECK(mt_gguf_bool(&g, "a.yes", &yes) && yes, "bool");
    CHECK(mt_gguf_f64(&g, "llama.attention.layer_norm_rms_epsilon", &d) && d == (double)1e-5f, "float");
    CHECK(mt_gguf_string(&g, "general.architecture", &s) && mt_str_is(s, "llama"), "string");
    CHECK(!mt_gguf_find(&g, "absent") && !mt_gguf_string(&g, "a.i8", &s), "absent");
    const mt_gguf_key *k = mt_gguf_find(&g, "a.strings");
    const uint8_t *cursor = k->data;
    CHECK(k->count == 3 && mt_str_is(mt_gguf_next_string(&cursor), "x") &&
              mt_str_is(mt_gguf_next_string(&cursor), "") && mt_str_is(mt_gguf_next_string(&cursor), "yes"),
          "strings");
    CHECK(mt_gguf_find(&g, "a.nested")->bytes == 4 + 8 + 4, "nested");
    CHECK(g.tensors[0].bytes == TINY_VOCAB * 34 && g.tensors[0].dims[0] == 32 && g.tensors[0].dims[1] == TINY_VOCAB,
          "extent");
    mt_gguf_free(&g);

    CASE("every prefix of the header asks for more, and for no more than the file has");
    size_t header = f.all.len - f.data.len;
    for (size_t n = 0; n < header; n++) {
        uint8_t *exact = malloc(n ? n : 1); /* so that a read beyond the prefix is seen */
        memcpy(exact, f.all.data, n);
        mt_status status = walk(exact, n, f.all.len, &need);
        bool padding = status == MT_OK && need == 0 && n > header - 32;
        CHECK((status == MT_OK && need > n && need <= f.all.len) || padding, "n %zu: %s, need %zu: %s", n,
              mt_status_name(status), need, err.text);
        CHECK(walk(exact, n, UINT64_MAX, &need) == MT_OK, "n %zu, size unknown: %s", n, err.text);
        free(exact);
    }

    CASE("every truncated file is an error that names the place");
    for (size_t n = 0; n < f.all.len; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, f.all.data, n);
        err = (mt_error){0};
        /* The last tensor's padding may be cut. */
        mt_status status = walk(exact, n, n, &need);
        CHECK(status == MT_OK ? n >= f.all.len - 31 : err.text[0] != 0, "n %zu: %s", n, err.text);
        free(exact);
    }

    CASE("bit flips never crash");
    mt_rng rng;
    mt_rng_seed(&rng, 3);
    uint8_t *copy = malloc(f.all.len);
    size_t before = mt_live_allocations();
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, f.all.data, f.all.len);
        for (int flips = 0; flips < 1 + round % 3; flips++) {
            size_t bit = mt_rng_below(&rng, header * 8);
            copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        walk(copy, f.all.len, f.all.len, &need);
    }
    CHECK(mt_live_allocations() == before, "a leak");

    CASE("every failing allocation is reported and nothing leaks");
    for (int64_t n = 0;; n++) {
        mt_fail_allocation_after(n);
        mt_status status = walk(f.all.data, f.all.len, f.all.len, &need);
        mt_fail_allocation_after(-1);
        CHECK(mt_live_allocations() == before, "allocation %lld leaks", (long long)n);
        if (status == MT_OK) break;
        CHECK(status == MT_ENOMEM, "allocation %lld: %s", (long long)n, mt_status_name(status));
        if (n > 1000) break;
    }
    free(copy);

    CASE("absurd values are refused");
    uint8_t big[64] = {0};
    CHECK(one_key(13, big, 8) == MT_EUNKNOWN, "%s", err.text);
    CHECK(strstr(err.text, "the.key") && strstr(err.text, "13"), "%s", err.text);
    memset(big, 0xFF, 8);
    CHECK(one_key(MT_GGUF_STRING, big, 8) == MT_EFORMAT, "%s", err.text);
    CHECK(one_key(MT_GGUF_BOOL, big, 1) == MT_EFORMAT, "%s", err.text);
    uint8_t array[12] = {MT_GGUF_U64};
    memset(array + 4, 0xFF, 8);
    CHECK(one_key(MT_GGUF_ARRAY, array, 12) == MT_EFORMAT, "%s", err.text);
    array[0] = MT_GGUF_STRING;
    CHECK(one_key(MT_GGUF_ARRAY, array, 12) == MT_EFORMAT, "%s", err.text);
    uint8_t deep[12 * 8] = {0};
    for (int level = 0; level < 8; level++) deep[level * 12] = MT_GGUF_ARRAY, deep[level * 12 + 4] = 1;
    CHECK(one_key(MT_GGUF_ARRAY, deep, sizeof deep) == MT_ELIMIT, "%s", err.text);
    const char *ab[] = {"a", "b"}, *aa[] = {"a", "a"};
    CHECK(tensors(2, 2, (uint64_t[]){32, 2}, MT_F32, (uint64_t[]){0, 256}, ab, 512) == MT_OK, "%s", err.text);
    CHECK(tensors(2, 2, (uint64_t[]){32, 2}, MT_F32, (uint64_t[]){256, 0}, ab, 512) == MT_OK, "%s", err.text);
    CHECK(tensors(2, 2, (uint64_t[]){32, 2}, MT_F32, (uint64_t[]){0, 224}, ab, 512) == MT_EFORMAT, "overlap");
    CHECK(strstr(err.text, "overlap"), "%s", err.text);
    CHECK(tensors(2, 2, (uint64_t[]){32, 2}, MT_F32, (uint64_t[]){0, 288}, ab, 512) == MT_EFORMAT, "beyond the end");
    CHECK(tensors(2, 2, (uint64_t[]){32, 2}, MT_F32, (uint64_t[]){0, 260}, ab, 1024) == MT_EFORMAT, "alignment");
    CHECK(tensors(2, 2, (uint64_t[]){32, 2}, MT_F32, (uint64_t[]){0, 256}, aa, 512) == MT_EFORMAT, "twice");
    CHECK(tensors(1, 2, (uint64_t[]){33, 2}, MT_Q8_0, (uint64_t[]){0}, ab, 512) == MT_EFORMAT, "block");
    CHECK(tensors(1, 2, (uint64_t[]){0, 2}, MT_F32, (uint64_t[]){0}, ab, 512) == MT_ERANGE, "dimension 0");
    CHECK(tensors(1, 3, (uint64_t[]){1 << 30, 1 << 30, 1 << 30}, MT_F32, (uint64_t[]){0}, ab, 512) == MT_ERANGE,
          "2^90");
    CHECK(tensors(1, 5, (uint64_t[]){1, 1, 1, 1, 1}, MT_F32, (uint64_t[]){0}, ab, 512) == MT_ERANGE, "5 dimensions");
    CHECK(tensors(1, 1, (uint64_t[]){8}, MT_F32, (uint64_t[]){UINT64_MAX - 31}, ab, 512) == MT_EFORMAT, "offset");
    uint8_t start[24] = "GGUF";
    start[4] = 1;
    CHECK(walk(start, 24, 24, &need) == MT_EUNKNOWN, "version 1");
    start[4] = 3;
    memset(start + 8, 0x7F, 8);
    CHECK(walk(start, 24, 24, &need) == MT_ERANGE, "tensor count");
    CHECK(walk((const uint8_t *)"GGML....", 8, 8, &need) == MT_EFORMAT && strstr(err.text, "GGML"), "%s", err.text);
    free_file(&f);
    return test_end();
}
