/* Hub folders: config.json and safetensors, whole, in shards, damaged; fused and transposed tensors, old names. */
#include "gguf_common.h"

static mt_error err;

/* ---- a writer ---- */
typedef struct folder {
    mt_buf header, data, file;
    mt_rng rng;
    int count;
} folder;

static void shape_text(char *out, size_t cap, int a, int b) {
    if (a)
        snprintf(out, cap, "[%d,%d]", a, b);
    else
        snprintf(out, cap, "[%d]", b);
}
static void put(folder *f, const char *name, int rows, int cols) {
    char shape[32];
    size_t n = (size_t)(rows ? rows : 1) * (size_t)cols, at = f->data.len;
    shape_text(shape, sizeof shape, rows, cols);
    for (size_t i = 0; i < n; i++) {
        float v = (float)mt_rng_normal(&f->rng) * 0.3f;
        mt_buf_add(&f->data, &v, 4, NULL);
    }
    mt_buf_printf(&f->header, NULL, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                  f->count++ ? "," : "", name, shape, at, f->data.len);
}
static void seal(folder *f) {
    mt_buf_free(&f->file);
    f->file = (mt_buf){0};
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

static const char gpt2_config[] =
    "{\"model_type\":\"gpt2\",\"n_embd\":16,\"n_head\":2,\"n_layer\":1,\"n_positions\":16,"
    "\"vocab_size\":20,\"layer_norm_epsilon\":1e-5,\"n_inner\":null}";
static void gpt2(folder *f, const char *prefix) {
    static const struct {
        const char *name;
        int rows, cols;
    } t[] = {{"wte.weight", 20, 16},
             {"wpe.weight", 16, 16},
             {"h.0.ln_1.weight", 0, 16},
             {"h.0.ln_1.bias", 0, 16},
             {"h.0.attn.c_attn.weight", 16, 48},
             {"h.0.attn.c_attn.bias", 0, 48},
             {"h.0.attn.bias", 16, 16},
             {"h.0.attn.c_proj.weight", 16, 16},
             {"h.0.attn.c_proj.bias", 0, 16},
             {"h.0.ln_2.weight", 0, 16},
             {"h.0.ln_2.bias", 0, 16},
             {"h.0.mlp.c_fc.weight", 16, 64},
             {"h.0.mlp.c_fc.bias", 0, 64},
             {"h.0.mlp.c_proj.weight", 64, 16},
             {"h.0.mlp.c_proj.bias", 0, 16},
             {"ln_f.weight", 0, 16},
             {"ln_f.bias", 0, 16}};
    *f = (folder){0};
    mt_rng_seed(&f->rng, 21);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s%s", prefix, t[i].name);
        put(f, name, t[i].rows, t[i].cols);
    }
    seal(f);
}

static mt_status load(const char *config, const uint8_t *p, size_t n, uint64_t size, size_t piece, mt_model **out) {
    mt_loader *l;
    mt_status status = mt_loader_new(size, &l, &err);
    if (status != MT_OK) return status;
    if (config) status = mt_loader_config(l, (const uint8_t *)config, strlen(config), &err);
    for (size_t i = 0; i < n && status == MT_OK; i += piece)
        status = mt_loader_push(l, p + i, n - i < piece ? n - i : piece, &err);
    if (status != MT_OK) {
        mt_loader_free(l);
        return status;
    }
    return mt_loader_finish(l, out, &err);
}

static void logits(mt_model *m, float *out) {
    mt_session *s = NULL;
    int32_t ids[5] = {3, 1, 4, 1, 5};
    CHECK_OK(mt_session_new(m, NULL, NULL, &s, &err));
    CHECK_OK(mt_session_eval(s, &(mt_batch){5, ids, NULL, NULL, NULL, NULL}, &err));
    if (mt_session_logits(s, 4)) memcpy(out, mt_session_logits(s, 4), 20 * sizeof *out);
    mt_session_free(s);
}

int main(void) {
    folder f;
    mt_model *m = NULL;
    float expected[20] = {0}, found[20] = {0};
    gpt2(&f, "");

    CASE("with and without the base model's prefix, in pieces of any size");
    CHECK_OK(load(gpt2_config, f.file.data, f.file.len, f.file.len, f.file.len, &m));
    logits(m, expected);
    mt_model_free(m);
    for (size_t piece = 1; piece < 6000; piece = piece * 5 + 2) {
        CHECK_OK(load(gpt2_config, f.file.data, f.file.len, piece == 2 ? UINT64_MAX : f.file.len, piece, &m));
        logits(m, found);
        CHECK(memcmp(expected, found, sizeof found) == 0, "pieces of %zu", piece);
        mt_model_free(m);
    }
    folder g;
    gpt2(&g, "transformer.");
    CHECK_OK(load(gpt2_config, g.file.data, g.file.len, g.file.len, 4096, &m));
    logits(m, found);
    CHECK(memcmp(expected, found, sizeof found) == 0, "prefix");
    mt_model_free(m);
    free_folder(&g);

    CASE("shards: any number of files, together complete");
    /* The same tensors in three files, the last one first. */
    mt_loader *l;
    size_t header = 8 + (size_t)mt_le64(f.file.data);
    CHECK_OK(mt_loader_new(UINT64_MAX, &l, &err));
    CHECK_OK(mt_loader_config(l, (const uint8_t *)gpt2_config, strlen(gpt2_config), &err));
    /* Cut the directory at tensor borders: each shard gets a header with offsets of its own. */
    const char *p = (const char *)f.file.data + 9;
    for (int shard = 0; shard < 3; shard++) {
        mt_buf head = {0}, data = {0}, file = {0};
        const char *q = p;
        int wanted = 0;
        for (int i = 0; q < (const char *)f.file.data + header - 1; i++) {
            char name[96], shape[64];
            size_t begin, end;
            int used = 0;
            if (sscanf(q, "\"%95[^\"]\":{\"dtype\":\"F32\",\"shape\":%63[^\"]\"data_offsets\":[%zu,%zu]}%n", name,
                       shape, &begin, &end, &used) != 4)
                break;
            q += used + 1;
            if (i % 3 != 2 - shard) continue;
            mt_buf_printf(&head, NULL, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":%s\"data_offsets\":[%zu,%zu]}",
                          wanted++ ? "," : "{", name, shape, data.len, data.len + end - begin);
            mt_buf_add(&data, f.file.data + header + begin, end - begin, NULL);
        }
        mt_buf_byte(&head, '}', NULL);
        put64(&file, head.len);
        mt_buf_add(&file, head.data, head.len, NULL);
        mt_buf_add(&file, data.data, data.len, NULL);
        if (shard) CHECK_OK(mt_loader_next_file(l, file.len, &err));
        CHECK_OK(mt_loader_push(l, file.data, file.len, &err));
        CHECK(wanted >= 5, "%d tensors", wanted);
        mt_buf_free(&head);
        mt_buf_free(&data);
        mt_buf_free(&file);
    }
    m = NULL;
    CHECK_OK(mt_loader_finish(l, &m, &err));
    if (m) logits(m, found);
    CHECK(memcmp(expected, found, sizeof found) == 0, "shards");
    mt_model_free(m);

    CASE("a truncated file, a missing configuration and a wrong one are errors");
    size_t before = mt_live_allocations();
    for (size_t n = 0; n < f.file.len; n += n < header ? 1 : 61) {
        err = (mt_error){0};
        CHECK(load(gpt2_config, f.file.data, n, n, 4096, &m) != MT_OK && err.text[0], "%zu bytes", n);
        CHECK(load(gpt2_config, f.file.data, n, f.file.len, 4096, &m) != MT_OK, "%zu of %zu bytes", n, f.file.len);
        CHECK(load(gpt2_config, f.file.data, n, UINT64_MAX, 4096, &m) != MT_OK, "%zu bytes of unknown", n);
    }
    CHECK(load(NULL, f.file.data, f.file.len, f.file.len, 4096, &m) == MT_ESTATE && strstr(err.text, "config.json"),
          "%s", err.text);
    CHECK(load("{\"model_type\":\"elephant\"}", f.file.data, f.file.len, f.file.len, 4096, &m) == MT_EUNKNOWN &&
              strstr(err.text, "gpt2"),
          "%s", err.text);
    CHECK(load("{}", f.file.data, f.file.len, f.file.len, 4096, &m) == MT_EMISSING && strstr(err.text, "model_type"),
          "%s", err.text);
    CHECK(load("{\"model_type\":\"gpt2\"}", f.file.data, f.file.len, f.file.len, 4096, &m) == MT_EMISSING &&
              strstr(err.text, "n_layer"),
          "%s", err.text);
    for (size_t n = 0; n < strlen(gpt2_config); n++) {
        char cut[sizeof gpt2_config];
        memcpy(cut, gpt2_config, n);
        cut[n] = 0;
        CHECK(load(cut, f.file.data, f.file.len, f.file.len, 4096, &m) != MT_OK, "config of %zu bytes", n);
    }
    static const char *const absurd[] = {"\"n_embd\":0",
                                         "\"n_embd\":17",
                                         "\"n_embd\":1e300",
                                         "\"n_head\":3",
                                         "\"n_layer\":100000",
                                         "\"n_layer\":-1",
                                         "\"n_layer\":\"1\"",
                                         "\"vocab_size\":2147483648",
                                         "\"n_positions\":1000000000000",
                                         "\"n_inner\":0.5",
                                         "\"layer_norm_epsilon\":\"x\"",
                                         "\"activation_function\":\"unheard\"",
                                         "\"n_layer\":2",
                                         "\"n_inner\":128"};
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        char config[512]; /* later keys win */
        snprintf(config, sizeof config, "%.*s,%s}", (int)strlen(gpt2_config) - 1, gpt2_config, absurd[i]);
        err = (mt_error){0};
        CHECK(load(config, f.file.data, f.file.len, f.file.len, 4096, &m) != MT_OK && err.text[0], "%s", absurd[i]);
    }
    CHECK(mt_live_allocations() == before, "a leak");

    CASE("damage never crashes");
    mt_rng rng;
    mt_rng_seed(&rng, 4);
    uint8_t *copy = malloc(f.file.len);
    char config[sizeof gpt2_config];
    for (int round = 0; round < 6000; round++) {
        memcpy(copy, f.file.data, f.file.len);
        memcpy(config, gpt2_config, sizeof config);
        if (round % 2) {
            size_t bit = mt_rng_below(&rng, header * 8);
            copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        } else {
            size_t at = mt_rng_below(&rng, sizeof config - 1);
            config[at] = (char)(1 + mt_rng_below(&rng, 255));
        }
        m = NULL;
        if (load(config, copy, f.file.len, f.file.len, 1 << 20, &m) == MT_OK) {
            mt_session *s = NULL;
            int32_t id = 1;
            if (mt_session_new(m, NULL, &(mt_session_options){8, 8, MT_CACHE_F32}, &s, &err) == MT_OK)
                mt_session_eval(s, &(mt_batch){1, &id, NULL, NULL, NULL, NULL}, &err);
            mt_session_free(s);
        }
        mt_model_free(m);
    }
    free(copy);
    CHECK(mt_live_allocations() == before, "a leak");

    CASE("every failing allocation is reported, nothing leaks");
    for (int64_t n = 0; n < 3000; n++) {
        m = NULL;
        mt_fail_allocation_after(n);
        mt_status status = load(gpt2_config, f.file.data, f.file.len, f.file.len, 700, &m);
        mt_fail_allocation_after(-1);
        mt_model_free(m);
        CHECK(mt_live_allocations() == before, "allocation %lld leaks", (long long)n);
        if (status == MT_OK) break;
        CHECK(status == MT_ENOMEM, "allocation %lld: %s %s", (long long)n, mt_status_name(status), err.text);
    }
    free_folder(&f);
    CHECK(mt_live_allocations() == 0, "%zu blocks are left", mt_live_allocations());
    return test_end();
}
