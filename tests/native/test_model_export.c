/* Export: the tensors of a model are those of the file that it came from; hub layouts become GGUF's; failures. */
#include "gguf_common.h"

static mt_error err;

/* Index of a tensor in the description, by its place there; -1. */
static int32_t find(const mt_buf *json, const char *name) {
    char quoted[96];
    int32_t n = 0;
    snprintf(quoted, sizeof quoted, "{\"name\":\"%s\"", name);
    const char *text = (const char *)json->data, *at = strstr(text, quoted);
    if (!at) return -1;
    for (const char *p = strstr(text, "{\"name\":"); p && p < at; p = strstr(p + 1, "{\"name\":")) n++;
    return n;
}

static mt_buf describe(const mt_export *x) {
    mt_buf json = {0};
    CHECK_OK(mt_export_describe(x, &json, &err));
    CHECK_OK(mt_buf_byte(&json, 0, &err));
    return json;
}

static mt_status hub(const char *config, const uint8_t *p, size_t n, mt_model **out) {
    mt_loader *l;
    MT_TRY(mt_loader_new(n, &l, &err));
    mt_status status = mt_loader_config(l, (const uint8_t *)config, strlen(config), &err);
    if (status == MT_OK) status = mt_loader_push(l, p, n, &err);
    if (status != MT_OK) {
        mt_loader_free(l);
        return status;
    }
    return mt_loader_finish(l, out, &err);
}

/* A Llama of one layer in a hub folder, every value its own index. */
static void write_hub(mt_buf *file) {
    static const struct {
        const char *name;
        int rows, cols;
    } tensors[] = {{"model.embed_tokens.weight", 6, 8},
                   {"model.layers.0.input_layernorm.weight", 1, 8},
                   {"model.layers.0.self_attn.q_proj.weight", 8, 8},
                   {"model.layers.0.self_attn.k_proj.weight", 4, 8},
                   {"model.layers.0.self_attn.v_proj.weight", 4, 8},
                   {"model.layers.0.self_attn.o_proj.weight", 8, 8},
                   {"model.layers.0.post_attention_layernorm.weight", 1, 8},
                   {"model.layers.0.mlp.gate_proj.weight", 12, 8},
                   {"model.layers.0.mlp.up_proj.weight", 12, 8},
                   {"model.layers.0.mlp.down_proj.weight", 8, 12},
                   {"model.norm.weight", 1, 8}};
    mt_buf json = {0}, data = {0};
    mt_buf_printf(&json, NULL, "{");
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        size_t n = (size_t)(tensors[i].rows * tensors[i].cols), begin = data.len;
        for (size_t k = 0; k < n; k++) {
            float v = (float)k + (float)i * 1000;
            mt_buf_add(&data, &v, 4, NULL);
        }
        mt_buf_printf(&json, NULL, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", i ? "," : "", tensors[i].name);
        if (tensors[i].rows > 1) mt_buf_printf(&json, NULL, "%d,", tensors[i].rows);
        mt_buf_printf(&json, NULL, "%d],\"data_offsets\":[%zu,%zu]}", tensors[i].cols, begin, data.len);
    }
    mt_buf_printf(&json, NULL, "}");
    put64(file, json.len);
    mt_buf_add(file, json.data, json.len, NULL);
    mt_buf_add(file, data.data, data.len, NULL);
    mt_buf_free(&json);
    mt_buf_free(&data);
}
static const char config[] =
    "{\"model_type\":\"llama\",\"hidden_size\":8,\"intermediate_size\":12,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"vocab_size\":6,\"max_position_embeddings\":16,"
    "\"rms_norm_eps\":1e-05,\"tie_word_embeddings\":true%s}";

static mt_status export_all(const mt_model *m, mt_error *e) {
    mt_export *x = NULL;
    mt_buf json = {0};
    float row[64];
    mt_status status = mt_export_new(m, &x, e);
    if (status == MT_OK) status = mt_export_describe(x, &json, e);
    if (status == MT_OK) status = mt_export_rows(x, NULL, 1, 0, 1, MT_F32, row, e);
    mt_buf_free(&json);
    mt_export_free(x);
    return status;
}

int main(void) {
    gguf_file f;
    mt_model *m = NULL;
    mt_export *x = NULL;
    static float values[TINY_VOCAB * 64];

    CASE("a GGUF's tensors come back as they were");
    tiny_llama(&f, MT_F32, NULL);
    CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, 5000, &m, &err));
    CHECK_OK(mt_export_new(m, &x, &err));
    if (!m || !x) return test_end();
    mt_buf json = describe(x);
    CHECK(strstr((char *)json.data, "\"architecture\":\"llama\"") && strstr((char *)json.data, "\"complete\":true"),
          "%s", (char *)json.data);
    for (uint64_t i = 0; i < f.tensor_count; i++) {
        const file_tensor *t = &f.tensors[i];
        int32_t at = find(&json, t->name);
        int64_t rows = t->n_dims > 1 ? (int64_t)t->dims[1] : 1;
        CHECK(at >= 0, "%s", t->name);
        CHECK_OK(mt_export_rows(x, NULL, at, 0, rows, MT_F32, values, &err));
        CHECK(memcmp(values, f.data.data + t->at, t->bytes) == 0, "%s", t->name);
        for (int64_t r = 0; r < rows; r += 5) {
            CHECK_OK(mt_export_rows(x, NULL, at, r, 1, MT_F32, values, &err));
            CHECK(memcmp(values, f.data.data + t->at + (size_t)r * t->dims[0] * 4, t->dims[0] * 4) == 0, "%s, row %lld",
                  t->name, (long long)r);
        }
    }
    uint8_t half[64];
    CHECK_OK(mt_export_rows(x, NULL, find(&json, "token_embd.weight"), 3, 1, MT_Q8_0, half, &err));
    CHECK(mt_export_rows(x, NULL, 0, 0, 1, MT_Q4_K, half, &err) == MT_ERANGE, "rows of 32 as Q4_K");
    CHECK(mt_export_rows(x, NULL, 0, 0, 1, MT_IQ4_NL, half, &err) == MT_EUNKNOWN, "IQ4_NL");
    CHECK(mt_export_rows(x, NULL, 999, 0, 1, MT_F32, half, &err) == MT_ERANGE, "tensor 999");
    CHECK(mt_export_rows(x, NULL, -1, 0, 1, MT_F32, half, &err) == MT_ERANGE, "tensor -1");
    CHECK(mt_export_rows(x, NULL, 0, TINY_VOCAB, 1, MT_F32, half, &err) == MT_ERANGE, "a row too far");
    CHECK(mt_export_rows(x, NULL, 0, INT64_MAX, 2, MT_F32, half, &err) == MT_ERANGE, "a row much too far");
    mt_buf_free(&json);
    mt_export_free(x);
    mt_model_free(m);

    CASE("a hub folder's rows of q and k are sorted; the keys say everything or the configuration is added");
    mt_buf file = {0};
    char text[512];
    write_hub(&file);
    for (int with = 0; with < 2; with++) {
        snprintf(text, sizeof text, config, with ? ",\"sliding_window\":4" : "");
        m = NULL, x = NULL;
        CHECK_OK(hub(text, file.data, file.len, &m));
        CHECK_OK(mt_export_new(m, &x, &err));
        if (!x) break;
        json = describe(x);
        CHECK((strstr((char *)json.data, "\"complete\":true") == NULL) == (with == 1), "%s", (char *)json.data);
        const mt_buf *keys = mt_export_keys(x);
        bool found = false;
        for (size_t i = 0; i + 16 < keys->len; i++) found |= memcmp(keys->data + i, "microtome.config", 16) == 0;
        CHECK(found == (with == 1), "config in the keys: %d", found);
        static const int order[8] = {0, 2, 1, 3, 4, 6, 5, 7};
        CHECK_OK(mt_export_rows(x, NULL, find(&json, "blk.0.attn_q.weight"), 0, 8, MT_F32, values, &err));
        for (int r = 0; r < 8; r++)
            CHECK(values[8 * r + 1] == (float)(8 * order[r] + 1) + 2000, "row %d is %g", r, (double)values[8 * r + 1]);
        CHECK_OK(mt_export_rows(x, NULL, find(&json, "blk.0.attn_v.weight"), 1, 2, MT_F32, values, &err));
        CHECK(values[0] == 4008 && values[15] == 4023, "v: %g %g", (double)values[0], (double)values[15]);
        CHECK(find(&json, "output.weight") < 0, "a tied output is not written");
        mt_buf_free(&json);
        mt_export_free(x);
        size_t before = mt_live_allocations();
        for (int64_t n = 0; n < 3000; n++) {
            mt_fail_allocation_after(n);
            mt_status status = export_all(m, &err);
            mt_fail_allocation_after(-1);
            CHECK(mt_live_allocations() == before, "allocation %lld leaks", (long long)n);
            if (status == MT_OK) break;
            CHECK(status == MT_ENOMEM, "allocation %lld: %s", (long long)n, err.text);
        }
        mt_model_free(m);
    }
    mt_buf_free(&file);
    free_file(&f);
    CHECK(mt_live_allocations() == 0, "%zu blocks are left", mt_live_allocations());
    return test_end();
}
