/* A tiny T5 that the test writes itself: the encoder's output as memory of the decoder, pieces, misuse, damage; and a
 * tiny Qwen 3.5, whose layers keep a state or keys and values. */
#include "gguf_common.h"

static mt_error err;
enum { N = 9, V = 24 };
static const int32_t source[N] = {5, 9, 2, 6, 5, 3, 5, 8, 9}, ids[N] = {0, 3, 1, 4, 1, 5, 9, 2, 6};

typedef struct folder {
    const char *config;
    mt_buf header, data, file;
    mt_rng rng;
    int count;
} folder;

static void put(folder *f, const char *name, int rows, int cols, int extra) {
    size_t at = f->data.len;
    for (int i = 0; i < (rows ? rows : 1) * cols; i++) {
        float v = (float)mt_rng_normal(&f->rng) * 0.3f + (rows ? 0 : 1);
        mt_buf_add(&f->data, &v, 4, NULL);
    }
    mt_buf_printf(&f->header, NULL, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", f->count++ ? "," : "", name);
    if (rows) mt_buf_printf(&f->header, NULL, "%d,", rows);
    if (extra) mt_buf_printf(&f->header, NULL, "1,");
    mt_buf_printf(&f->header, NULL, "%d],\"data_offsets\":[%zu,%zu]}", cols, at, f->data.len);
}
static void seal(folder *f) {
    put64(&f->file, f->header.len + 2);
    mt_buf_byte(&f->file, '{', NULL);
    mt_buf_add(&f->file, f->header.data, f->header.len, NULL);
    mt_buf_byte(&f->file, '}', NULL);
    mt_buf_add(&f->file, f->data.data, f->data.len, NULL);
}
static void free_folder(folder *f) {
    mt_buf_free(&f->header);
    mt_buf_free(&f->data);
    mt_buf_free(&f->file);
}
static mt_status load(const folder *f, size_t n, mt_model **out) {
    mt_loader *l;
    mt_status status = mt_loader_new(UINT64_MAX, &l, &err);
    if (status != MT_OK) return status;
    status = mt_loader_config(l, (const uint8_t *)f->config, strlen(f->config), &err);
    for (size_t i = 0; i < n && status == MT_OK; i += 1000)
        status = mt_loader_push(l, f->file.data + i, n - i < 1000 ? n - i : 1000, &err);
    if (status == MT_OK) return mt_loader_finish(l, out, &err);
    mt_loader_free(l);
    return status;
}

typedef struct piece {
    const char *name;
    int rows, cols;
} piece;
static void put_all(folder *f, const char *prefix, const piece *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s%s.weight", prefix, p[i].name);
        put(f, name, p[i].rows, p[i].cols, 0);
    }
}
#define PUT(F, PREFIX, ...)                                                                                            \
    put_all(F, PREFIX, (const piece[]){__VA_ARGS__}, sizeof((const piece[]){__VA_ARGS__}) / sizeof(piece))

static void tiny_t5(folder *f) {
    *f = (folder){.config =
                      "{\"model_type\":\"t5\",\"d_model\":12,\"d_kv\":5,\"d_ff\":20,\"num_heads\":3,\"num_layers\":2,"
                      "\"num_decoder_layers\":1,\"vocab_size\":24,\"relative_attention_num_buckets\":8,"
                      "\"relative_attention_max_distance\":16,\"feed_forward_proj\":\"gated-gelu\","
                      "\"decoder_start_token_id\":0}"};
    mt_rng_seed(&f->rng, 5);
    PUT(f, "", {"shared", V, 12}, {"encoder.final_layer_norm", 0, 12}, {"decoder.final_layer_norm", 0, 12});
    for (int block = 0; block < 3; block++) { /* two of the encoder, one of the decoder */
        char prefix[96];
        bool decoder = block == 2;
        snprintf(prefix, sizeof prefix, "%s.block.%d.layer.", decoder ? "decoder" : "encoder", decoder ? 0 : block);
        PUT(f, prefix, {"0.layer_norm", 0, 12}, {"0.SelfAttention.q", 15, 12}, {"0.SelfAttention.k", 15, 12},
            {"0.SelfAttention.v", 15, 12}, {"0.SelfAttention.o", 12, 15});
        if (block != 1) PUT(f, prefix, {"0.SelfAttention.relative_attention_bias", 8, 3});
        if (decoder)
            PUT(f, prefix, {"1.layer_norm", 0, 12}, {"1.EncDecAttention.q", 15, 12}, {"1.EncDecAttention.k", 15, 12},
                {"1.EncDecAttention.v", 15, 12}, {"1.EncDecAttention.o", 12, 15});
        snprintf(prefix + strlen(prefix), 8, "%d.", decoder ? 2 : 1);
        PUT(f, prefix, {"layer_norm", 0, 12}, {"DenseReluDense.wi_0", 20, 12}, {"DenseReluDense.wi_1", 20, 12},
            {"DenseReluDense.wo", 12, 20});
    }
    seal(f);
}

static void tiny_qwen(folder *f) {
    *f = (folder){.config =
                      "{\"model_type\":\"qwen3_5_text\",\"hidden_size\":12,\"intermediate_size\":20,\"head_dim\":8,"
                      "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"num_hidden_layers\":2,\"vocab_size\":24,"
                      "\"max_position_embeddings\":64,\"linear_num_key_heads\":1,\"linear_num_value_heads\":3,"
                      "\"linear_key_head_dim\":5,\"linear_value_head_dim\":7,\"partial_rotary_factor\":0.5,"
                      "\"layer_types\":[\"linear_attention\",\"full_attention\"],\"tie_word_embeddings\":true}"};
    mt_rng_seed(&f->rng, 6);
    PUT(f, "model.", {"embed_tokens", V, 12}, {"norm", 0, 12});
    for (int l = 0; l < 2; l++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "model.layers.%d.", l);
        PUT(f, prefix, {"input_layernorm", 0, 12}, {"post_attention_layernorm", 0, 12}, {"mlp.gate_proj", 20, 12},
            {"mlp.up_proj", 20, 12}, {"mlp.down_proj", 12, 20});
    }
    PUT(f, "model.layers.0.linear_attn.", {"in_proj_qkv", 31, 12}, {"in_proj_z", 21, 12}, {"in_proj_a", 3, 12},
        {"in_proj_b", 3, 12}, {"norm", 0, 7}, {"out_proj", 12, 21});
    put(f, "model.layers.0.linear_attn.conv1d.weight", 31, 4, 1);
    put(f, "model.layers.0.linear_attn.dt_bias", 0, 3, 0);
    put(f, "model.layers.0.linear_attn.A_log", 0, 3, 0);
    PUT(f, "model.layers.1.self_attn.", {"q_proj", 32, 12}, {"k_proj", 8, 12}, {"v_proj", 8, 12}, {"o_proj", 12, 16},
        {"q_norm", 0, 8}, {"k_norm", 0, 8});
    seal(f);
}

static void run(mt_session *s, int32_t from, int32_t n, int32_t parent, float *out, int32_t *last) {
    int32_t parents[N], slots[N] = {0};
    uint8_t want[N];
    memset(want, 1, sizeof want);
    for (int32_t i = 0; i < n; i++) parents[i] = i ? MT_IN_BATCH(i - 1) : parent;
    CHECK_OK(mt_session_eval(s, &(mt_batch){n, ids + from, parents, NULL, want, slots}, &err));
    for (int32_t i = 0; i < n; i++)
        if (mt_session_logits(s, i)) memcpy(out + (from + i) * V, mt_session_logits(s, i), V * sizeof *out);
    *last = slots[n - 1];
}

static mt_status whole(mt_model *m, bool encoder, mt_session **s) {
    mt_status status = mt_session_new(m, NULL, &(mt_session_options){32, 4, MT_CACHE_F32}, s, &err);
    if (status == MT_OK && encoder) status = mt_session_encode(*s, source, N, &err);
    if (status == MT_OK) status = mt_session_eval(*s, &(mt_batch){N, ids, NULL, NULL, NULL, NULL}, &err);
    return status;
}

static void check(folder *f, bool encoder) {
    mt_model *m = NULL;
    mt_session *s = NULL;
    static float first[N * V], other[N * V];
    int32_t last;
    CHECK_OK(load(f, f->file.len, &m));
    if (!m) return;
    CASE("in pieces and at once: equal to the last bit");
    CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){32, 0, MT_CACHE_F32}, &s, &err));
    for (int32_t cut = 0; cut < N; cut++) {
        if (encoder)
            CHECK_OK(mt_session_encode(s, source, N, &err));
        else
            mt_session_reset(s);
        last = MT_ROOT;
        if (cut) run(s, 0, cut, last, other, &last);
        run(s, cut, N - cut, last, other, &last);
        if (cut == 0) memcpy(first, other, sizeof first);
        CHECK(memcmp(first, other, sizeof first) == 0, "cut at %d", cut);
    }
    CASE("traced: the same; all names can be asked for");
    CHECK_OK(mt_trace_want(s, "*", &err));
    if (encoder) CHECK_OK(mt_session_encode(s, source, N, &err));
    if (!encoder) mt_session_reset(s);
    run(s, 0, N, MT_ROOT, other, &last);
    for (int i = 0; i < N * V; i++)
        CHECK(other[i] - first[i] < 1e-4f && first[i] - other[i] < 1e-4f, "logit %d: %g, untraced %g", i,
              (double)other[i], (double)first[i]);
    mt_session_free(s);

    CASE("every failing allocation is reported, nothing leaks");
    size_t before = mt_live_allocations();
    for (int64_t n = 0; n < 5000; n++) {
        mt_fail_allocation_after(n);
        s = NULL;
        mt_status status = whole(m, encoder, &s);
        mt_fail_allocation_after(-1);
        mt_session_free(s);
        CHECK(mt_live_allocations() == before, "allocation %lld leaks", (long long)n);
        if (status == MT_OK) break;
        CHECK(status == MT_ENOMEM, "allocation %lld: %s", (long long)n, err.text);
    }
    mt_model_free(m);

    CASE("a file that ends early is an error");
    for (size_t n = 0; n < f->file.len; n += 97) {
        m = NULL;
        CHECK(load(f, n, &m) != MT_OK && !m, "%zu of %zu bytes", n, f->file.len);
    }
}

int main(void) {
    folder f;
    mt_model *m = NULL;
    mt_session *s = NULL;
    tiny_t5(&f);
    check(&f, true);

    CASE("misuse of an encoder-decoder model");
    CHECK_OK(load(&f, f.file.len, &m));
    if (m) {
        int32_t wrong = V;
        float out[N * V], again[N * V];
        int32_t last;
        mt_model_info info;
        mt_model_info_get(m, &info);
        CHECK(info.encoder_layers == 2 && info.layers == 1 && info.decoder_start == 0, "%d %d %d", info.encoder_layers,
              info.layers, info.decoder_start);
        CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){32, 0, MT_CACHE_F32}, &s, &err));
        mt_batch one = {1, ids, NULL, NULL, NULL, NULL};
        CHECK(mt_session_eval(s, &one, &err) == MT_ESTATE && strstr(err.text, "encode"), "%s", err.text);
        CHECK(mt_session_encode(s, source, 0, &err) == MT_ERANGE, "no source");
        CHECK(mt_session_encode(s, &wrong, 1, &err) == MT_ERANGE && strstr(err.text, "24"), "%s", err.text);
        CHECK_OK(mt_session_encode(s, source, N, &err));
        run(s, 0, N, MT_ROOT, out, &last);
        CHECK_OK(mt_session_encode(s, source, 3, &err));
        CHECK(mt_session_free_slots(s) == 32, "another source empties the cache");
        run(s, 0, N, MT_ROOT, again, &last);
        CHECK(memcmp(out, again, sizeof out) != 0, "another source, other logits");
        CHECK_OK(mt_session_encode(s, source, N, &err));
        run(s, 0, N, MT_ROOT, again, &last);
        CHECK(memcmp(out, again, sizeof out) == 0, "the first source again");
        mt_session_free(s);
        mt_model_free(m);
    }
    free_folder(&f);

    tiny_qwen(&f);
    check(&f, false);
    CASE("a model without an encoder");
    m = NULL;
    CHECK_OK(load(&f, f.file.len, &m));
    if (m) {
        CHECK_OK(mt_session_new(m, NULL, NULL, &s, &err));
        CHECK(mt_session_encode(s, source, N, &err) == MT_ESTATE, "%s", err.text);
        mt_session_free(s);
        mt_model_free(m);
    }
    free_folder(&f);
    CHECK(mt_live_allocations() == 0, "%zu blocks are left", mt_live_allocations());
    return test_end();
}
