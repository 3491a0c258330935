/* The .bin files of llama2.c: seven 32-bit numbers (width, feed-forward width, layers, heads, key/value heads,
 * vocabulary, context; a negative vocabulary says that the output has a matrix of its own), then all weights as floats,
 * each kind for all layers before the next. There is no magic number: what the numbers say must be as long as the file
 * is.
 *
 * The rest of the loader sees a config.json and a directory as hubs have them; rotary pairs are neighbours. */
#include "container.h"

#include <stdio.h>

typedef struct numbers {
    int32_t width, ffn, layers, heads, kv_heads, vocab, context;
    bool tied;
} numbers;

static bool read(const uint8_t *p, numbers *n) {
    int32_t v[7];
    for (int i = 0; i < 7; i++) v[i] = (int32_t)mt_le32(p + 4 * i);
    if (v[5] == INT32_MIN) return false;
    *n = (numbers){v[0], v[1], v[2], v[3], v[4], v[5] < 0 ? -v[5] : v[5], v[6], v[5] > 0};
    for (int i = 0; i < 7; i++) {
        int32_t least = i == 5 ? n->vocab : v[i];
        if (least < 1 || least > 1 << 24) return false;
    }
    return n->layers <= 4096 && n->width % n->heads == 0 && n->heads % n->kv_heads == 0 && n->width / n->heads % 2 == 0;
}

typedef struct kind {
    const char *name;
    int64_t rows, cols; /* cols 0: a vector */
    bool layered;
} kind;
enum { KINDS = 12 };

/* In the order of the file; no name: cosines and sines, which are not needed. */
static void kinds(const numbers *n, kind out[KINDS]) {
    int64_t D = n->width, F = n->ffn, head = D / n->heads, K = head * n->kv_heads;
    const kind list[KINDS] = {{"model.embed_tokens.weight", n->vocab, D, false},
                              {"model.layers.%d.input_layernorm.weight", D, 0, true},
                              {"model.layers.%d.self_attn.q_proj.weight", D, D, true},
                              {"model.layers.%d.self_attn.k_proj.weight", K, D, true},
                              {"model.layers.%d.self_attn.v_proj.weight", K, D, true},
                              {"model.layers.%d.self_attn.o_proj.weight", D, D, true},
                              {"model.layers.%d.post_attention_layernorm.weight", D, 0, true},
                              {"model.layers.%d.mlp.gate_proj.weight", F, D, true},
                              {"model.layers.%d.mlp.down_proj.weight", D, F, true},
                              {"model.layers.%d.mlp.up_proj.weight", F, D, true},
                              {"model.norm.weight", D, 0, false},
                              {NULL, n->context, head, false}};
    memcpy(out, list, sizeof list);
}

static uint64_t bytes_of(const kind *k) {
    return 4 * (uint64_t)k->rows * (uint64_t)(k->cols ? k->cols : 1); /* at most 2^50 */
}

bool mt_llama2c_plausible(const uint8_t p[MT_LLAMA2C_HEADER], uint64_t file_size) {
    numbers n;
    kind k[KINDS];
    uint64_t at = MT_LLAMA2C_HEADER;
    if (!read(p, &n)) return false;
    kinds(&n, k);
    for (int i = 0; i < KINDS; i++) at += bytes_of(&k[i]) * (uint64_t)(k[i].layered ? n.layers : 1);
    if (!n.tied) at += bytes_of(&k[0]);
    return at < UINT64_MAX / 4 && at == file_size;
}

mt_status mt_llama2c_config(const uint8_t p[MT_LLAMA2C_HEADER], mt_config **out, mt_error *err) {
    numbers n;
    char json[512];
    if (!read(p, &n)) return mt_fail(err, MT_EFORMAT, "these are not the first bytes of a llama2.c file");
    int length =
        snprintf(json, sizeof json,
                 "{\"model_type\":\"llama\",\"hidden_size\":%d,\"intermediate_size\":%d,\"num_hidden_layers\":%d,"
                 "\"num_attention_heads\":%d,\"num_key_value_heads\":%d,\"vocab_size\":%d,"
                 "\"max_position_embeddings\":%d,\"rms_norm_eps\":1e-05,\"rope_theta\":10000,"
                 "\"rope_interleaved\":true,\"tie_word_embeddings\":%s}",
                 n.width, n.ffn, n.layers, n.heads, n.kv_heads, n.vocab, n.context, n.tied ? "true" : "false");
    return mt_config_parse((const uint8_t *)json, (size_t)length, out, err);
}

static mt_status put(mt_arena *arena, mt_entry *e, const kind *k, const char *name, int32_t layer, uint64_t begin,
                     mt_error *err) {
    char text[96];
    snprintf(text, sizeof text, name, layer);
    const uint8_t *kept = mt_arena_copy(arena, text, strlen(text));
    if (!kept) return mt_nomem(err, strlen(text), "a tensor's name");
    *e = (mt_entry){.name = {kept, strlen(text)},
                    .n_dims = k->cols ? 2 : 1,
                    .dims = {k->rows, k->cols},
                    .type = MT_F32,
                    .type_name = "F32",
                    .begin = begin,
                    .bytes = bytes_of(k),
                    .source = -1};
    return MT_OK;
}

mt_status mt_llama2c_entries(const uint8_t p[MT_LLAMA2C_HEADER], mt_arena *arena, mt_entry **entries, size_t *count,
                             mt_error *err) {
    numbers n;
    kind k[KINDS];
    uint64_t at = MT_LLAMA2C_HEADER;
    if (!read(p, &n)) return mt_fail(err, MT_EFORMAT, "these are not the first bytes of a llama2.c file");
    kinds(&n, k);
    size_t most = (size_t)n.layers * KINDS + KINDS;
    *count = 0;
    *entries = mt_array(most, sizeof **entries);
    if (!*entries) return mt_nomem(err, most * sizeof **entries, "the directory");
    for (int i = 0; i < KINDS; i++)
        for (int32_t l = 0; l < (k[i].layered ? n.layers : 1); l++, at += bytes_of(&k[i]))
            if (k[i].name) MT_TRY(put(arena, &(*entries)[(*count)++], &k[i], k[i].name, l, at, err));
    if (!n.tied) MT_TRY(put(arena, &(*entries)[(*count)++], &k[0], "lm_head.weight", 0, at, err));
    return MT_OK;
}
