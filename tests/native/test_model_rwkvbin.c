/* A small RWKV-4 in rwkv.cpp's format that the test writes itself: pieces of every size, cuts, failing allocations. */
#include "gguf_common.h"

static mt_error err;
enum { V = 20, D = 16, F = 32, L = 2, T = 6 };

static void put(mt_buf *b, mt_rng *rng, const char *name, uint32_t rows, uint32_t cols, float centre) {
    put32(b, rows ? 2 : 1);
    put32(b, (uint32_t)strlen(name));
    put32(b, 0);
    put32(b, cols);
    if (rows) put32(b, rows);
    mt_buf_add(b, name, strlen(name), NULL);
    for (uint32_t i = 0; i < cols * (rows ? rows : 1); i++) {
        float v = centre + 0.3f * (float)mt_rng_normal(rng);
        mt_buf_add(b, &v, 4, NULL);
    }
}

static void write(mt_buf *b) {
    static const struct {
        const char *name;
        uint32_t rows, cols;
        float centre;
    } layer[] = {{"ln1.weight", 0, D, 1},        {"ln1.bias", 0, D, 0},          {"ln2.weight", 0, D, 1},
                 {"ln2.bias", 0, D, 0},          {"att.time_decay", 0, D, -1},   {"att.time_first", 0, D, 0},
                 {"att.time_mix_k", 0, D, 0.5f}, {"att.time_mix_v", 0, D, 0.5f}, {"att.time_mix_r", 0, D, 0.5f},
                 {"att.key.weight", D, D, 0},    {"att.value.weight", D, D, 0},  {"att.receptance.weight", D, D, 0},
                 {"att.output.weight", D, D, 0}, {"ffn.time_mix_k", 0, D, 0.5f}, {"ffn.time_mix_r", 0, D, 0.5f},
                 {"ffn.key.weight", F, D, 0},    {"ffn.value.weight", D, F, 0},  {"ffn.receptance.weight", D, D, 0}};
    mt_rng rng;
    char name[64];
    mt_rng_seed(&rng, 11);
    put32(b, 0x67676d66);
    put32(b, 101);
    put32(b, V);
    put32(b, D);
    put32(b, L);
    put32(b, 0);
    put(b, &rng, "emb.weight", V, D, 0);
    for (int l = 0; l < L; l++) {
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            snprintf(name, sizeof name, "blocks.%d.%s", l, layer[i].name);
            put(b, &rng, name, layer[i].rows, layer[i].cols, layer[i].centre);
        }
        if (l == 0) {
            put(b, &rng, "blocks.0.ln0.weight", 0, D, 1);
            put(b, &rng, "blocks.0.ln0.bias", 0, D, 0);
        }
    }
    put(b, &rng, "ln_out.weight", 0, D, 1);
    put(b, &rng, "ln_out.bias", 0, D, 0);
    put(b, &rng, "head.weight", V, D, 0);
}

static void logits(mt_model *m, float *out) {
    static const int32_t ids[T] = {3, 1, 4, 1, 5, 9};
    mt_session *s = NULL;
    CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){16, 0, MT_CACHE_F32}, &s, &err));
    CHECK_OK(mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, NULL, NULL}, &err));
    if (mt_session_logits(s, T - 1)) memcpy(out, mt_session_logits(s, T - 1), V * sizeof *out);
    mt_session_free(s);
}

int main(void) {
    mt_buf file = {0};
    mt_model *m = NULL;
    float whole[V] = {0}, other[V];
    write(&file);
    CASE("in pieces of any size, with and without a known length");
    CHECK_OK(load_bytes(file.data, file.len, file.len, file.len, &m, &err));
    if (m) logits(m, whole);
    mt_model_free(m);
    for (size_t piece = 1; piece < 400; piece += piece < 30 ? 1 : 37) {
        m = NULL;
        CHECK_OK(load_bytes(file.data, file.len, piece % 2 ? file.len : UINT64_MAX, piece, &m, &err));
        if (!m) break;
        logits(m, other);
        CHECK(memcmp(whole, other, sizeof whole) == 0, "pieces of %zu", piece);
        mt_model_free(m);
    }
    CASE("cut anywhere: an error");
    for (size_t n = 0; n < file.len; n += n < 2000 ? 1 : 97) {
        m = NULL;
        mt_status status = load_bytes(file.data, n, n, 4096, &m, &err);
        CHECK(status != MT_OK && err.text[0], "%zu bytes are accepted", n);
        status = load_bytes(file.data, n, UINT64_MAX, 4096, &m, &err);
        CHECK(status != MT_OK, "%zu bytes are accepted when the length is not known", n);
    }
    CASE("damaged numbers: no crash");
    for (size_t i = 0; i < 3000; i++) {
        uint8_t kept = file.data[i];
        m = NULL;
        file.data[i] ^= (uint8_t)(i % 7 ? 0xFF : 0x81);
        if (load_bytes(file.data, file.len, file.len, 1000, &m, &err) == MT_OK) mt_model_free(m);
        file.data[i] = kept;
    }
    CASE("every failing allocation is reported, nothing leaks");
    size_t before = mt_live_allocations();
    for (int64_t n = 0; n < 5000; n++) {
        mt_fail_allocation_after(n);
        m = NULL;
        mt_status status = load_bytes(file.data, file.len, file.len, 500, &m, &err);
        mt_fail_allocation_after(-1);
        mt_model_free(m);
        CHECK(mt_live_allocations() == before, "allocation %lld leaks", (long long)n);
        if (status == MT_OK) break;
        CHECK(status == MT_ENOMEM, "allocation %lld: %s", (long long)n, err.text);
    }
    mt_buf_free(&file);
    return test_end();
}
