/* Writes small GGUF files in memory: keys, tensors of random values, a tiny Llama. */
#ifndef GGUF_COMMON_H
#define GGUF_COMMON_H

#include "model/model.h"
#include "test.h"

typedef struct file_tensor {
    char name[64];
    uint32_t n_dims, type;
    uint64_t dims[4];
    size_t at, bytes;
} file_tensor;
typedef struct gguf_file {
    mt_buf keys, data, all;
    uint64_t key_count;
    file_tensor tensors[128];
    uint64_t tensor_count;
    mt_rng rng;
    bool reversed; /* directory in the opposite order of the data */
} gguf_file;

static inline void put32(mt_buf *b, uint32_t v) {
    mt_buf_add(b, &v, 4, NULL);
}
static inline void put64(mt_buf *b, uint64_t v) {
    mt_buf_add(b, &v, 8, NULL);
}
static inline void put_text(mt_buf *b, const char *s) {
    put64(b, strlen(s));
    mt_buf_add(b, s, strlen(s), NULL);
}
static inline void key_u32(gguf_file *f, const char *name, uint32_t v) {
    put_text(&f->keys, name);
    put32(&f->keys, MT_GGUF_U32);
    put32(&f->keys, v);
    f->key_count++;
}
static inline void key_f32(gguf_file *f, const char *name, float v) {
    put_text(&f->keys, name);
    put32(&f->keys, MT_GGUF_F32);
    mt_buf_add(&f->keys, &v, 4, NULL);
    f->key_count++;
}
static inline void key_text(gguf_file *f, const char *name, const char *v) {
    put_text(&f->keys, name);
    put32(&f->keys, MT_GGUF_STRING);
    put_text(&f->keys, v);
    f->key_count++;
}
/* Random normal values * scale + centre, written as `type`; cols is contiguous; rows 0: a vector. */
static inline void tensor(gguf_file *f, const char *name, uint32_t type, uint64_t rows, uint64_t cols, float scale,
                          float centre) {
    file_tensor *t = &f->tensors[f->tensor_count++];
    size_t n = (size_t)(rows ? rows * cols : cols);
    const mt_dtype_info *info = mt_dtype_find(type);
    snprintf(t->name, sizeof t->name, "%s", name);
    t->n_dims = rows ? 2 : 1;
    t->dims[0] = cols;
    t->dims[1] = rows ? rows : 1;
    t->type = type;
    t->at = f->data.len;
    t->bytes = n / info->block * info->bytes;
    float *values = malloc(n * sizeof *values);
    uint8_t *blocks = malloc(t->bytes);
    for (size_t i = 0; i < n; i++) values[i] = (float)mt_rng_normal(&f->rng) * scale + centre;
    info->from_float(values, blocks, n);
    mt_buf_add(&f->data, blocks, t->bytes, NULL);
    while (f->data.len % 32) mt_buf_byte(&f->data, 0, NULL);
    free(values);
    free(blocks);
}
/* Puts the file together in f->all. */
static inline void finish_file(gguf_file *f) {
    mt_buf_free(&f->all);
    f->all = (mt_buf){0};
    mt_buf_add(&f->all, "GGUF", 4, NULL);
    put32(&f->all, 3);
    put64(&f->all, f->tensor_count);
    put64(&f->all, f->key_count);
    mt_buf_add(&f->all, f->keys.data, f->keys.len, NULL);
    for (uint64_t k = 0; k < f->tensor_count; k++) {
        const file_tensor *t = &f->tensors[f->reversed ? f->tensor_count - 1 - k : k];
        put_text(&f->all, t->name);
        put32(&f->all, t->n_dims);
        for (uint32_t d = 0; d < t->n_dims; d++) put64(&f->all, t->dims[d]);
        put32(&f->all, t->type);
        put64(&f->all, t->at);
    }
    while (f->all.len % 32) mt_buf_byte(&f->all, 0, NULL);
    mt_buf_add(&f->all, f->data.data, f->data.len, NULL);
}
static inline void free_file(gguf_file *f) {
    mt_buf_free(&f->keys);
    mt_buf_free(&f->data);
    mt_buf_free(&f->all);
}

enum { TINY_VOCAB = 48, TINY_CONTEXT = 64, TINY_LAYERS = 2 };
/* width 32, 4 heads, 2 key/value heads, feed-forward 64, vocabulary 48, 2 layers, context 64. `skip`: a tensor to leave
 * out; `type`: of the matrices. */
static inline void tiny_llama(gguf_file *f, uint32_t type, const char *skip) {
    static const struct {
        const char *name;
        int rows, cols;
    } layer[] = {{"attn_norm", 0, 32}, {"attn_q", 32, 32},      {"attn_k", 16, 32},
                 {"attn_v", 16, 32},   {"attn_output", 32, 32}, {"ffn_norm", 0, 32},
                 {"ffn_gate", 64, 32}, {"ffn_up", 64, 32},      {"ffn_down", 32, 64}};
    *f = (gguf_file){0};
    mt_rng_seed(&f->rng, 7);
    key_text(f, "general.architecture", "llama");
    key_text(f, "general.name", "tiny \"quoted\" \xc3\xa9");
    key_u32(f, "llama.context_length", TINY_CONTEXT);
    key_u32(f, "llama.embedding_length", 32);
    key_u32(f, "llama.block_count", TINY_LAYERS);
    key_u32(f, "llama.feed_forward_length", 64);
    key_u32(f, "llama.attention.head_count", 4);
    key_u32(f, "llama.attention.head_count_kv", 2);
    key_f32(f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    tensor(f, "token_embd.weight", type, TINY_VOCAB, 32, 1, 0);
    for (int l = 0; l < TINY_LAYERS; l++)
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, layer[i].name);
            if (skip && strcmp(skip, name) == 0) continue;
            bool vector = layer[i].rows == 0;
            tensor(f, name, vector ? MT_F32 : type, (uint64_t)layer[i].rows, (uint64_t)layer[i].cols,
                   vector ? 0.1f : 0.3f, vector ? 1 : 0);
        }
    if (!skip || strcmp(skip, "output_norm.weight")) tensor(f, "output_norm.weight", MT_F32, 0, 32, 0.1f, 1);
    finish_file(f);
}

/* Loads bytes in pieces of `piece`. */
static inline mt_status load_bytes(const uint8_t *p, size_t n, uint64_t size, size_t piece, mt_model **out,
                                   mt_error *err) {
    mt_loader *l;
    mt_status status = mt_loader_new(size, &l, err);
    if (status != MT_OK) return status;
    for (size_t i = 0; i < n && status == MT_OK; i += piece)
        status = mt_loader_push(l, p + i, n - i < piece ? n - i : piece, err);
    if (status != MT_OK) {
        mt_loader_free(l);
        return status;
    }
    return mt_loader_finish(l, out, err);
}

/* A patch of a flat range; a scale has one value, zero none. */
static inline mt_status flat_patch(mt_session *s, const char *name, mt_patch_kind kind, size_t offset,
                                   const float *value, size_t count, mt_error *err) {
    mt_patch p = {.name = name, .kind = kind, .offset = offset, .count = count, .value = value, .values = count};
    return mt_patch_add(s, &p, err);
}

#endif
