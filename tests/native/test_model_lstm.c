/* A tiny LSTM and a tiny GRU that the test writes itself, float and quantised: pieces, trees, forks, patches in pieces.
 */
#include "recurrent_common.h"

enum { E = 16, H = 32 };

/* Two layers over windows of 4. */
static void tiny_window(gguf_file *f, uint32_t type) {
    char name[64];
    *f = (gguf_file){0};
    mt_rng_seed(&f->rng, 41);
    key_text(f, "general.architecture", "textgenrnn");
    key_u32(f, "textgenrnn.block_count", 2);
    key_u32(f, "textgenrnn.embedding_length", 2 * E);
    key_u32(f, "textgenrnn.hidden_length", H);
    key_u32(f, "textgenrnn.window_length", 4);
    tensor(f, "token_embd.weight", type, V, 2 * E, 1, 0);
    for (int l = 0; l < 2; l++) {
        snprintf(name, sizeof name, "blk.%d.lstm_ih.weight", l);
        tensor(f, name, type, 4 * H, l ? H : 2 * E, 0.3f, 0);
        snprintf(name, sizeof name, "blk.%d.lstm_hh.weight", l);
        tensor(f, name, type, 4 * H, H, 0.3f, 0);
        snprintf(name, sizeof name, "blk.%d.lstm_ih.bias", l);
        tensor(f, name, MT_F32, 0, 4 * H, 0.3f, 0);
    }
    tensor(f, "blk.1.attn_pool.weight", MT_F32, 0, 2 * E + 2 * H, 0.5f, 0);
    tensor(f, "output.weight", type, V, 2 * E + 2 * H, 0.5f, 0);
    tensor(f, "output.bias", MT_F32, 0, V, 0.5f, 0);
    finish_file(f);
}

static void tiny(gguf_file *f, bool lstm, uint32_t type) {
    const char *kind = lstm ? "lstm" : "gru";
    uint64_t gates = lstm ? 4 : 3;
    char name[64];
    *f = (gguf_file){0};
    mt_rng_seed(&f->rng, 37);
    key_text(f, "general.architecture", kind);
    snprintf(name, sizeof name, "%s.block_count", kind);
    key_u32(f, name, 2);
    snprintf(name, sizeof name, "%s.embedding_length", kind);
    key_u32(f, name, 2 * E);
    snprintf(name, sizeof name, "%s.hidden_length", kind);
    key_u32(f, name, H);
    tensor(f, "token_embd.weight", type, V, 2 * E, 1, 0);
    for (int l = 0; l < 2; l++) {
        snprintf(name, sizeof name, "blk.%d.%s_ih.weight", l, kind);
        tensor(f, name, type, gates * H, l ? H : 2 * E, 0.3f, 0);
        snprintf(name, sizeof name, "blk.%d.%s_hh.weight", l, kind);
        tensor(f, name, type, gates * H, H, 0.3f, 0);
        snprintf(name, sizeof name, "blk.%d.%s_ih.bias", l, kind);
        tensor(f, name, MT_F32, 0, gates * H, 0.3f, 0);
        snprintf(name, sizeof name, "blk.%d.%s_hh.bias", l, kind);
        tensor(f, name, MT_F32, 0, gates * H, 0.3f, 0);
    }
    tensor(f, "output.weight", type, V, H, 0.5f, 0);
    tensor(f, "output.bias", MT_F32, 0, V, 0.5f, 0);
    finish_file(f);
}

enum kind { LSTM, GRU, WINDOW };
static void check(enum kind kind, uint32_t type) {
    bool lstm = kind == LSTM;
    gguf_file f;
    mt_model *m = NULL;
    static float whole[T * V], other[T * V], tree[T * V];
    if (kind == WINDOW)
        tiny_window(&f, type);
    else
        tiny(&f, lstm, type);
    CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, 777, &m, &err));
    if (!m) {
        free_file(&f);
        return;
    }
    mt_session *s = fresh(m, 0);
    run(s, ids, T, MT_ROOT, whole);
    check_pieces(m, whole);
    mt_session_reset(s);
    int32_t last = run(s, ids, 4, MT_ROOT, other);
    run(s, &ids[4], 1, last, other + 4 * V);
    mt_session_reset(s);
    last = run(s, ids, 1, MT_ROOT, other);
    mt_fail_allocation_after(0);
    for (int32_t i = 1; i < T; i++) last = run(s, &ids[i], 1, last, other + i * V);
    mt_fail_allocation_after(-1);
    CHECK(memcmp(whole, other, sizeof whole) == 0, "one by one, without an allocation");
    mt_session_free(s);
    check_tree(m);

    /* A patched value counts for the rows that follow, also when they come in a later batch. */
    s = fresh(m, 0);
    const float put[2] = {0.5f, -0.25f};
    const char *name = lstm ? "blocks.0.lstm.hook_cell" : "blocks.0.gru.hook_candidate";
    if (kind == WINDOW) name = "hook_weights"; /* of token 3's own window */
    CHECK_OK(flat_patch(s, name, MT_PATCH_REPLACE, kind == WINDOW ? 3 * 4 + 1 : 3 * H + 5, put, 2, &err));
    run(s, ids, T, MT_ROOT, tree);
    CHECK(memcmp(whole, tree, 3 * V * sizeof *whole) == 0, "nothing changes before a patch");
    for (int32_t i = 3; i < (kind == WINDOW ? 4 : 6); i++)
        CHECK(memcmp(whole + i * V, tree + i * V, V * sizeof *whole) != 0, "row %d", i);
    mt_session_reset(s);
    last = run(s, ids, 4, MT_ROOT, other);
    mt_patch_clear(s);
    run(s, ids + 4, T - 4, last, other + 4 * V);
    CHECK(memcmp(tree, other, sizeof tree) == 0, "a patch before a cut");
    mt_session_free(s);

    size_t live = mt_live_allocations();
    for (int64_t n = 0; n < 3000; n++) {
        mt_fail_allocation_after(n);
        s = NULL;
        mt_status status = mt_session_new(m, NULL, &(mt_session_options){64, 3, MT_CACHE_F32}, &s, &err);
        if (status == MT_OK) status = mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, NULL, NULL}, &err);
        mt_fail_allocation_after(-1);
        mt_session_free(s);
        CHECK(mt_live_allocations() == live, "allocation %lld leaks", (long long)n);
        if (status == MT_OK) break;
        CHECK(status == MT_ENOMEM, "allocation %lld: %s", (long long)n, err.text);
    }
    mt_model_free(m);

    live = mt_live_allocations();
    for (int64_t n = 0; n < 3000; n++) {
        mt_fail_allocation_after(n);
        m = NULL;
        mt_status status = load_bytes(f.all.data, f.all.len, f.all.len, 4000, &m, &err);
        mt_fail_allocation_after(-1);
        mt_model_free(m);
        CHECK(mt_live_allocations() == live, "allocation %lld leaks while loading", (long long)n);
        if (status == MT_OK) break;
        CHECK(status == MT_ENOMEM, "allocation %lld: %s", (long long)n, err.text);
    }
    free_file(&f);
    CHECK(mt_live_allocations() == 0, "%zu blocks are left", mt_live_allocations());
}

int main(void) {
    CASE("LSTM, floats: pieces, trees and patches, to the last bit");
    check(LSTM, MT_F32);
    CASE("GRU, floats");
    check(GRU, MT_F32);
    CASE("LSTM, 8 bits");
    check(LSTM, MT_Q8_0);
    CASE("GRU, 4 bits");
    check(GRU, MT_Q4_0);
    CASE("windows of LSTMs, averaged");
    check(WINDOW, MT_F32);
    CASE("windows, 8 bits");
    check(WINDOW, MT_Q8_0);
    return test_end();
}
