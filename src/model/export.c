/* A loaded model as the content of a GGUF file: its keys, and its tensors by GGUF's names, row by row, in any storage
 * type.
 *
 * The tensors are found by running arch->declare once more, for GGUF: it says which tensors such a file holds and which
 * rows of which parameter each consists of, so reading it backwards gives the file.
 *
 * The keys are llama.cpp's. Whether they say everything is not assumed: they are read back by arch->configure and the
 * hyper-parameters compared. Where something is missing (architectures that llama.cpp does not have, rare options of
 * those that it has), the file also gets the model's config.json under the key microtome.config, which our reader then
 * follows instead. */
#include "arch/arch.h"

#include <math.h>
#include <stdio.h>

typedef struct out_tensor {
    const char *name;
    int32_t source; /* in declare.sources */
    uint32_t type;  /* F32, F16 or BF16 as the model keeps it, else F32 */
    int64_t rows, cols;
} out_tensor;

struct mt_export {
    const mt_model *m;
    mt_model frame; /* what declare filled for GGUF: parameters without values */
    mt_declare declare;
    int32_t *own; /* frame parameter -> the model's */
    out_tensor *tensors;
    size_t count, capacity;
    mt_buf keys;
    size_t key_count;
    const char *prefix;
    bool complete;     /* the keys say everything */
    float *rope_freqs; /* divisors of the inverse frequencies, where a tensor has to give them */
    bool permute;      /* rows of q and k */
    mt_arena arena;
};

/* ---- keys ---- */

static mt_status put_name(mt_export *x, const char *key, mt_gguf_type type, mt_error *err) {
    char full[128];
    if (*key == '.')
        snprintf(full, sizeof full, "%s", key + 1);
    else
        snprintf(full, sizeof full, "%s.%s", x->prefix, key);
    uint64_t n = strlen(full);
    uint32_t t = type;
    MT_TRY(mt_buf_add(&x->keys, &n, 8, err));
    MT_TRY(mt_buf_add(&x->keys, full, (size_t)n, err));
    x->key_count++;
    return mt_buf_add(&x->keys, &t, 4, err);
}

static mt_status put_u32(mt_export *x, const char *key, int64_t value, mt_error *err) {
    uint32_t v = (uint32_t)value;
    MT_TRY(put_name(x, key, MT_GGUF_U32, err));
    return mt_buf_add(&x->keys, &v, 4, err);
}

static mt_status put_f32(mt_export *x, const char *key, float v, mt_error *err) {
    MT_TRY(put_name(x, key, MT_GGUF_F32, err));
    return mt_buf_add(&x->keys, &v, 4, err);
}

static mt_status put_bool(mt_export *x, const char *key, bool v, mt_error *err) {
    MT_TRY(put_name(x, key, MT_GGUF_BOOL, err));
    return mt_buf_byte(&x->keys, v, err);
}

static mt_status put_text(mt_export *x, const char *key, mt_str v, mt_error *err) {
    uint64_t n = v.n;
    MT_TRY(put_name(x, key, MT_GGUF_STRING, err));
    MT_TRY(mt_buf_add(&x->keys, &n, 8, err));
    return mt_buf_add(&x->keys, v.p, v.n, err);
}

static mt_status rope_keys(mt_export *x, const mt_hyper *h, mt_error *err) {
    static const char *const types[] = {"none", "linear", "dynamic", "yarn", "none"};
    const mt_rope_set *r = &h->ropes[0];
    if (!h->rope_count) return MT_OK;
    MT_TRY(put_u32(x, "rope.dimension_count", r->dims, err));
    MT_TRY(put_f32(x, "rope.freq_base", r->base, err));
    if (h->rope_count > 1) MT_TRY(put_f32(x, "rope.freq_base_swa", h->ropes[1].base, err));
    if (r->scaling == MT_ROPE_PLAIN || r->scaling == MT_ROPE_OTHER) return MT_OK;
    MT_TRY(put_text(x, "rope.scaling.type", mt_str_of(types[r->scaling]), err));
    MT_TRY(put_f32(x, "rope.scaling.factor", r->factor, err));
    if (r->original > 0) MT_TRY(put_u32(x, "rope.scaling.original_context_length", (int64_t)r->original, err));
    if (r->scaling == MT_ROPE_YARN) {
        MT_TRY(put_f32(x, "rope.scaling.yarn_beta_fast", r->fast, err));
        MT_TRY(put_f32(x, "rope.scaling.yarn_beta_slow", r->slow, err));
    }
    return MT_OK;
}

static mt_status attention_keys(mt_export *x, const mt_hyper *h, mt_error *err) {
    MT_TRY(put_u32(x, "attention.head_count", h->heads, err));
    MT_TRY(put_u32(x, "attention.head_count_kv", h->kv_heads, err));
    MT_TRY(put_u32(x, "attention.key_length", h->head_width, err));
    MT_TRY(put_u32(x, "attention.value_length", h->value_width, err));
    MT_TRY(put_u32(x, "feed_forward_length", h->ffn, err));
    if (h->bidirectional || x->m->encoder.layers) MT_TRY(put_bool(x, "attention.causal", !h->bidirectional, err));
    if (h->flow != MT_FLOW_POST_NORM && (h->flow == MT_FLOW_PARALLEL || h->flow == MT_FLOW_PARALLEL_SHARED))
        MT_TRY(put_bool(x, "use_parallel_residual", true, err));
    else if (x->m->arch->prefix && strcmp(x->m->arch->name, "gptneox") == 0)
        MT_TRY(put_bool(x, "use_parallel_residual", false, err));
    for (int32_t w = 1; w < h->window_count && w < 2; w++)
        MT_TRY(put_u32(x, "attention.sliding_window", h->windows[w], err));
    if (h->attn_softcap > 0) MT_TRY(put_f32(x, "attn_logit_softcapping", h->attn_softcap, err));
    if (h->final_softcap > 0) MT_TRY(put_f32(x, "final_logit_softcapping", h->final_softcap, err));
    if (h->attn_scale != 1 / sqrtf((float)h->head_width)) MT_TRY(put_f32(x, "attention.scale", h->attn_scale, err));
    if (h->clip_qkv > 0) MT_TRY(put_f32(x, "attention.clamp_kqv", h->clip_qkv, err));
    if (h->buckets) MT_TRY(put_u32(x, "attention.relative_buckets_count", h->buckets, err));
    if (h->experts) {
        MT_TRY(put_u32(x, "expert_count", h->experts, err));
        MT_TRY(put_u32(x, "expert_used_count", h->experts_used, err));
        MT_TRY(put_u32(x, "expert_feed_forward_length", h->ffn, err));
    }
    return rope_keys(x, h, err);
}

static mt_status state_keys(mt_export *x, const mt_hyper *h, mt_error *err) {
    if (h->cell_width) {
        MT_TRY(put_name(x, "hidden_length", MT_GGUF_ARRAY, err));
        uint32_t type = MT_GGUF_U32;
        uint64_t n = (uint64_t)h->layers;
        MT_TRY(mt_buf_add(&x->keys, &type, 4, err));
        MT_TRY(mt_buf_add(&x->keys, &n, 8, err));
        MT_TRY(mt_buf_add(&x->keys, h->cell_width, (size_t)n * sizeof *h->cell_width, err));
        return h->embed_width == h->width ? MT_OK : put_u32(x, "projection_length", h->embed_width, err);
    }
    if (!h->state) return MT_OK;
    MT_TRY(put_u32(x, "ssm.conv_kernel", h->taps, err));
    MT_TRY(put_u32(x, "ssm.inner_size", h->inner, err));
    MT_TRY(put_u32(x, "ssm.state_size", h->state, err));
    MT_TRY(put_u32(x, "ssm.time_step_rank", h->rank ? h->rank : h->ssm_heads, err));
    return put_u32(x, "ssm.group_count", h->groups, err);
}

static mt_status put_keys(mt_export *x, mt_error *err) {
    const mt_model *m = x->m;
    const mt_hyper *h = &m->h;
    bool attends = false;
    for (int32_t l = 0; l < h->layers; l++) attends |= !h->layer[l].recurrent;
    const mt_rope_set *r = &h->ropes[0];
    int32_t context = h->rope_count && (r->scaling == MT_ROPE_LINEAR || r->scaling == MT_ROPE_GROWING) && r->factor > 1
                          ? r->limit
                          : h->context;
    MT_TRY(put_text(x, ".general.architecture", mt_str_of(x->prefix), err));
    if (m->name && m->name[0]) MT_TRY(put_text(x, ".general.name", mt_str_of(m->name), err));
    MT_TRY(put_u32(x, "context_length", context, err));
    MT_TRY(put_u32(x, "embedding_length", h->cell_width ? h->inner : h->width, err));
    MT_TRY(put_u32(x, "block_count", m->encoder.layers ? m->encoder.layers : h->layers, err));
    if (m->encoder.layers) {
        MT_TRY(put_u32(x, "decoder_block_count", h->layers, err));
        if (h->decoder_start >= 0) MT_TRY(put_u32(x, "decoder_start_token_id", h->decoder_start, err));
    }
    MT_TRY(put_u32(x, "vocab_size", h->vocab, err));
    MT_TRY(put_f32(x, h->norm == MT_NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
                   h->eps, err));
    if (h->types) MT_TRY(put_u32(x, ".tokenizer.ggml.token_type_count", h->types, err));
    if (h->embed_scale != 1) MT_TRY(put_f32(x, "embedding_scale", h->embed_scale, err));
    if (h->residual_scale != 1) MT_TRY(put_f32(x, "residual_scale", h->residual_scale, err));
    if (h->logit_scale != 1) MT_TRY(put_f32(x, "logit_scale", 1 / h->logit_scale, err));
    if (h->recurrent) MT_TRY(state_keys(x, h, err));
    return attends ? attention_keys(x, h, err) : MT_OK;
}

/* ---- do the keys say everything? ---- */

/* Biases that the file decides about, and what differs between containers by itself, are made equal before. */
static bool same_bias(mt_bias ours, mt_bias theirs) {
    return ours == theirs || theirs == MT_BIAS_IF_PRESENT;
}

static bool close(float a, float b) {
    return fabsf(a - b) <= 1e-6f * fabsf(a);
}

static bool same_ropes(mt_export *x, const mt_hyper *a, const mt_hyper *b, mt_error *err) {
    for (int32_t s = 0; s < a->rope_count; s++) {
        const mt_rope_set *r = &a->ropes[s], *q = &b->ropes[s];
        bool same = r->rule == q->rule && r->dims == q->dims && close(r->mscale, q->mscale) && r->rule != MT_ROPE_LONG;
        if (r->rule == MT_ROPE_DYNAMIC) same &= r->base == q->base && r->factor == q->factor && r->limit == q->limit;
        if (!same) return false;
        bool equal = true;
        for (int32_t i = 0; i < r->dims / 2; i++) equal &= close(r->inv_freq[i], q->inv_freq[i]);
        if (equal) continue;
        if (s || !b->has_rope_freqs || a != &x->m->h) return false;
        x->rope_freqs = mt_arena_alloc(&x->arena, (size_t)(r->dims / 2) * sizeof(float));
        if (!x->rope_freqs) {
            mt_nomem(err, (size_t)r->dims * 2, "rotary frequencies");
            return false;
        }
        for (int32_t i = 0; i < r->dims / 2; i++) x->rope_freqs[i] = q->inv_freq[i] / r->inv_freq[i];
    }
    return true;
}

static bool same_hyper(mt_export *x, const mt_hyper *a, const mt_hyper *b, mt_error *err) {
    if (a->layers != b->layers || a->rope_count != b->rope_count) return false;
    static const size_t biases[] = {offsetof(mt_hyper, norm_bias),   offsetof(mt_hyper, qkv_bias),
                                    offsetof(mt_hyper, mlp_bias),    offsetof(mt_hyper, attn_out_bias),
                                    offsetof(mt_hyper, output_bias), offsetof(mt_hyper, ssm_bias),
                                    offsetof(mt_hyper, conv_bias)};
    mt_hyper p = *a, q = *b;
    for (size_t i = 0; i < sizeof biases / sizeof *biases; i++) {
        mt_bias *mine = (mt_bias *)((char *)&p + biases[i]), *theirs = (mt_bias *)((char *)&q + biases[i]);
        if (!same_bias(*mine, *theirs)) return false;
        *theirs = *mine;
    }
    for (int32_t l = 0; l < a->layers; l++) {
        const mt_layer *k = &a->layer[l], *n = &b->layer[l];
        if (k->rope != n->rope || k->recurrent != n->recurrent || k->set != n->set ||
            a->windows[k->visible] != b->windows[n->visible])
            return false;
        if (a->cell_width && (!b->cell_width || a->cell_width[l] != b->cell_width[l])) return false;
    }
    if (a->alibi && b->alibi)
        for (int32_t i = 0; i < a->heads; i++)
            if (!close(a->alibi_slopes[i], b->alibi_slopes[i])) return false;
    if (!same_ropes(x, a, b, err)) return false;
    /* The layout of fused tensors is one in GGUF; separate ones have other names. */
    if ((p.qkv == MT_QKV_SEPARATE) == (q.qkv == MT_QKV_SEPARATE)) q.qkv = p.qkv;
    if (x->m->arch->permuted) q.rope_interleaved = p.rope_interleaved;
    q.tied = p.tied;
    if (!p.experts && !q.experts) q.experts_normalise = p.experts_normalise;
    q.transposed = p.transposed;
    q.norm_plus_one = p.norm_plus_one;
    q.has_rope_freqs = p.has_rope_freqs;
    q.layer = p.layer, q.alibi_slopes = p.alibi_slopes, q.cell_width = p.cell_width;
    if (close(p.attn_scale, q.attn_scale)) q.attn_scale = p.attn_scale;
    if (close(p.logit_scale, q.logit_scale)) q.logit_scale = p.logit_scale;
    if (close(p.embed_scale, q.embed_scale)) q.embed_scale = p.embed_scale;
    memcpy(q.ropes, p.ropes, sizeof q.ropes);
    memcpy(q.windows, p.windows, sizeof q.windows);
    q.window_count = p.window_count;
    return memcmp(&p, &q, sizeof p) == 0;
}

static mt_status put_header(const mt_export *x, mt_buf *file, mt_error *err) {
    uint32_t version = 3, type = MT_F32;
    uint64_t tensors = x->count, keys = x->key_count, offset = 0;
    MT_TRY(mt_buf_add(file, "GGUF", 4, err));
    MT_TRY(mt_buf_add(file, &version, 4, err));
    MT_TRY(mt_buf_add(file, &tensors, 8, err));
    MT_TRY(mt_buf_add(file, &keys, 8, err));
    MT_TRY(mt_buf_add(file, x->keys.data, x->keys.len, err));
    for (size_t i = 0; i < x->count; i++) {
        const mt_source *s = &x->declare.sources[x->tensors[i].source];
        uint64_t n = strlen(s->name), bytes = (uint64_t)(x->tensors[i].rows * x->tensors[i].cols) * 4;
        uint32_t dims = (uint32_t)s->n_dims;
        MT_TRY(mt_buf_add(file, &n, 8, err));
        MT_TRY(mt_buf_add(file, s->name, (size_t)n, err));
        MT_TRY(mt_buf_add(file, &dims, 4, err));
        for (int32_t d = s->n_dims - 1; d >= 0; d--) MT_TRY(mt_buf_add(file, &s->dims[d], 8, err));
        MT_TRY(mt_buf_add(file, &type, 4, err));
        MT_TRY(mt_buf_add(file, &offset, 8, err));
        offset += (bytes + 31) / 32 * 32;
    }
    return MT_OK;
}

/* Reads the keys back. Whatever the reader has against them means that they are not enough. */
static mt_status check_keys(mt_export *x, mt_error *err) {
    mt_buf file = {0};
    mt_gguf g;
    size_t need = 0;
    mt_error ignored = {0};
    mt_model *back = mt_calloc(1, sizeof *back);
    if (!back) return mt_nomem(err, sizeof *back, "a model");
    mt_status status = put_header(x, &file, err);
    if (status == MT_OK) {
        status = mt_gguf_parse(&g, file.data, file.len, UINT64_MAX, &need, err);
        back->arch = x->m->arch;
        mt_meta meta = {.gguf = &g, .prefix = x->prefix};
        if (status == MT_OK && need == 0) {
            status = back->arch->configure(back, &meta, &ignored);
            x->complete = status == MT_OK;
            if (status == MT_ENOMEM && err) *err = ignored;
            if (status != MT_ENOMEM) status = MT_OK;
        }
        mt_gguf_free(&g);
    }
    mt_error full = {0};
    x->complete =
        x->complete && back->encoder.layers == x->m->encoder.layers && same_hyper(x, &x->m->h, &back->h, &full);
    if (x->complete && back->encoder.layers) x->complete = same_hyper(x, &x->m->encoder, &back->encoder, &full);
    if (status == MT_OK && full.code == MT_ENOMEM) {
        status = full.code;
        if (err) *err = full;
    }
    if (!x->complete) x->rope_freqs = NULL;
    mt_model_free(back);
    mt_buf_free(&file);
    return status;
}

/* ---- tensors ---- */

static const mt_param *param_of(const mt_export *x, const mt_source *s, int part) {
    return &x->m->params[x->own[s->parts[part].param]];
}

/* Of several names for the same thing: those that llama.cpp has for this kind of model. */
static bool second_best(const mt_export *x, const mt_source *s) {
    mt_role role = x->frame.params[s->parts[0].param].role;
    const mt_model *m = x->m;
    bool other;
    if (role == MT_ROLE_ATTN_NORM || role == MT_ROLE_FFN_NORM) {
        other = strstr(s->name, "_output_norm.") != NULL;
        return other != (m->h.bidirectional && m->h.flow == MT_FLOW_POST_NORM);
    }
    if (role == MT_ROLE_ATTN_OUT) return (strstr(s->name, ".attn_o.") != NULL) != (m->encoder.layers > 0);
    if (role == MT_ROLE_CELL_IH || role == MT_ROLE_CELL_HH || role == MT_ROLE_CELL_IH_BIAS ||
        role == MT_ROLE_CELL_HH_BIAS)
        return (strstr(s->name, ".gru_") != NULL) != (strcmp(m->arch->name, "gru") == 0);
    return false;
}

static mt_status add_tensor(mt_export *x, int32_t source, bool *covered, mt_error *err) {
    const mt_source *s = &x->declare.sources[source];
    bool filled = false, done = true;
    for (int32_t k = 0; k < s->parts_count; k++) {
        filled |= param_of(x, s, k)->filled != 0;
        done &= covered[s->parts[k].param];
    }
    if (!filled || done) return MT_OK;
    for (int32_t k = 0; k < s->parts_count; k++) covered[s->parts[k].param] = true;
    const mt_param *p = param_of(x, s, 0);
    out_tensor t = {.name = s->name, .source = source, .type = MT_F32, .rows = 1, .cols = s->dims[s->n_dims - 1]};
    for (int32_t d = 0; d + 1 < s->n_dims; d++) t.rows *= s->dims[d];
    if (!p->vector && (p->weight[0].type == MT_F16 || p->weight[0].type == MT_BF16)) t.type = p->weight[0].type;
    void *list = x->tensors;
    mt_status status = mt_grow(&list, &x->capacity, x->count + 1, sizeof t, err);
    x->tensors = list;
    if (status == MT_OK) x->tensors[x->count++] = t;
    return status;
}

static mt_status find_tensors(mt_export *x, mt_error *err) {
    MT_TRY(mt_declare_again(x->m, false, &x->frame, &x->declare, &x->own, err));
    bool *covered = mt_calloc(x->frame.param_count + 1, sizeof *covered);
    mt_status status = covered ? MT_OK : mt_nomem(err, x->frame.param_count + 1, "the parameter table");
    for (int best = 1; best >= 0; best--)
        for (size_t i = 0; i < x->declare.count && status == MT_OK; i++)
            if (best == 0 || !second_best(x, &x->declare.sources[i])) status = add_tensor(x, (int32_t)i, covered, err);
    mt_free(covered);
    return status;
}

/* Row r of a tensor that GGUF sorts so that rotary pairs (i, i + half) of each head become neighbours. */
static int32_t unsorted(const mt_export *x, const mt_param *p, int32_t r) {
    bool q = p->role == MT_ROLE_Q, k = p->role == MT_ROLE_K;
    if (!x->permute || (!q && !k)) return r;
    int32_t width = x->m->h.head_width, at = r % width, head = r - at;
    return head + at / 2 + at % 2 * (width / 2);
}

static mt_status read_row(const mt_export *x, const mt_source *s, int64_t r, int64_t cols, float *out, mt_error *err) {
    if (param_of(x, s, 0)->vector) {
        for (int64_t i = 0; i < cols; i++) {
            int64_t at = r * cols + i;
            out[i] = 0;
            for (int32_t k = 0; k < s->parts_count; k++) {
                const mt_part *part = &s->parts[k];
                const mt_param *p = param_of(x, s, k);
                int64_t turn = at / part->period, within = at % part->period;
                if (within < part->first || within >= part->first + part->count) continue;
                int32_t to = (int32_t)(part->base + turn * part->count + within - part->first);
                if (p->values) out[i] = p->values[unsorted(x, p, to)]; /* an absent bias beside a present one is 0 */
            }
        }
        return MT_OK;
    }
    for (int32_t k = 0; k < s->parts_count; k++) {
        const mt_part *part = &s->parts[k];
        const mt_param *p = param_of(x, s, k);
        int64_t turn = r / part->period, within = r % part->period;
        if (within < part->first || within >= part->first + part->count || !p->weight) continue;
        int64_t to = part->base + turn * part->count + within - part->first;
        mt_weight_row(&p->weight[to / p->rows], unsorted(x, p, (int32_t)(to % p->rows)), out);
        return MT_OK;
    }
    return mt_fail(err, MT_ESTATE, "export: row %lld of \"%s\" is nowhere", (long long)r, s->name);
}

/* ---- the public part ---- */

static const char *architecture(const mt_model *m) {
    char name[64];
    for (int i = 0; m->h.experts && mt_alternative(m->arch->gguf_names, i, ' ', name, sizeof name); i++)
        if (strlen(name) > 3 && strcmp(name + strlen(name) - 3, "moe") == 0) return m->arch->gguf_names;
    return m->arch->name;
}

static mt_status open_export(mt_export *x, mt_error *err) {
    x->prefix = architecture(x->m);
    x->permute = x->m->arch->permuted && !x->m->h.rope_interleaved;
    MT_TRY(find_tensors(x, err));
    MT_TRY(put_keys(x, err));
    MT_TRY(check_keys(x, err));
    if (!x->complete) {
        if (!x->m->config)
            return mt_fail(err, MT_EUNKNOWN,
                           "the hyper-parameters of this \"%s\" cannot be written: GGUF has no keys for some of them, "
                           "and there is no config.json",
                           x->m->arch->name);
        MT_TRY(put_text(x, "." MT_CONFIG_KEY, mt_config_text(x->m->config), err));
    }
    return MT_OK;
}

mt_status mt_export_new(const mt_model *m, mt_export **out, mt_error *err) {
    mt_export *x = mt_calloc(1, sizeof *x);
    if (!x) return mt_nomem(err, sizeof *x, "an export");
    x->m = m;
    mt_status status = open_export(x, err);
    if (status != MT_OK) {
        mt_export_free(x);
        return status;
    }
    *out = x;
    return MT_OK;
}

void mt_export_free(mt_export *x) {
    if (!x) return;
    mt_free(x->frame.params);
    mt_arena_free(&x->frame.arena);
    mt_free(x->declare.sources);
    mt_free(x->own);
    mt_free(x->tensors);
    mt_buf_free(&x->keys);
    mt_arena_free(&x->arena);
    mt_free(x);
}

const mt_buf *mt_export_keys(const mt_export *x) {
    return &x->keys;
}

mt_status mt_export_describe(const mt_export *x, mt_buf *json, mt_error *err) {
    MT_TRY(mt_buf_printf(json, err, "{\"architecture\":\"%s\",\"keys\":%zu,\"complete\":%s,\"tensors\":[", x->prefix,
                         x->key_count, x->complete ? "true" : "false"));
    for (size_t i = 0; i < x->count; i++) {
        const mt_source *s = &x->declare.sources[x->tensors[i].source];
        MT_TRY(mt_buf_printf(json, err, "%s{\"name\":\"%s\",\"type\":%u,\"dims\":[", i ? "," : "", s->name,
                             (unsigned)x->tensors[i].type));
        for (int32_t d = s->n_dims - 1; d >= 0; d--)
            MT_TRY(mt_buf_printf(json, err, "%lld%s", (long long)s->dims[d], d ? "," : ""));
        MT_TRY(mt_buf_printf(json, err, "]}"));
    }
    if (x->rope_freqs)
        MT_TRY(mt_buf_printf(json, err, "%s{\"name\":\"rope_freqs.weight\",\"type\":0,\"dims\":[%d]}",
                             x->count ? "," : "", x->m->h.ropes[0].dims / 2));
    return mt_buf_printf(json, err, "]}");
}

typedef struct rows_job {
    const mt_export *x;
    const mt_source *s;
    const mt_dtype_info *to;
    int64_t row, count, cols;
    uint8_t *out;
    float *work; /* a row for each part */
    int parts;
} rows_job;

static void rows_part(void *arg, int part, int parts) {
    const rows_job *j = arg;
    int64_t from = j->count * part / parts, end = j->count * (part + 1) / parts;
    size_t bytes = (size_t)j->cols / j->to->block * j->to->bytes;
    float *row = j->work + (size_t)part * (size_t)j->cols;
    for (int64_t r = from; r < end; r++) {
        if (read_row(j->x, j->s, j->row + r, j->cols, row, NULL) != MT_OK)
            memset(row, 0, (size_t)j->cols * sizeof *row); /* checked before */
        j->to->from_float(row, j->out + (size_t)r * bytes, (size_t)j->cols);
    }
}

mt_status mt_export_rows(const mt_export *x, mt_pool *pool, int32_t tensor, int64_t row, int64_t count, uint32_t type,
                         void *out, mt_error *err) {
    const mt_dtype_info *to = mt_dtype_find(type);
    if (!to || !to->from_float)
        return mt_fail(err, MT_EUNKNOWN, "type %u cannot be written (known: %s)", (unsigned)type, mt_dtype_names());
    if (x->rope_freqs && tensor == (int32_t)x->count) {
        if (type != MT_F32 || row != 0 || count != 1)
            return mt_fail(err, MT_ERANGE, "rope_freqs.weight is one row of F32");
        memcpy(out, x->rope_freqs, (size_t)(x->m->h.ropes[0].dims / 2) * sizeof(float));
        return MT_OK;
    }
    if (tensor < 0 || (size_t)tensor >= x->count) return mt_fail(err, MT_ERANGE, "tensor %d of %zu", tensor, x->count);
    const out_tensor *t = &x->tensors[tensor];
    const mt_source *s = &x->declare.sources[t->source];
    if (row < 0 || count < 0 || row > t->rows - count)
        return mt_fail(err, MT_ERANGE, "%lld rows from row %lld of \"%s\", which has %lld", (long long)count,
                       (long long)row, s->name, (long long)t->rows);
    if (t->cols % to->block)
        return mt_fail(err, MT_ERANGE, "rows of %lld in \"%s\" are no multiple of the %u of a block of %s",
                       (long long)t->cols, s->name, to->block, to->name);
    float *probe = mt_array((size_t)t->cols, sizeof *probe);
    if (!probe) return mt_nomem(err, (size_t)t->cols * sizeof *probe, "a row");
    mt_status status = MT_OK;
    if (count) status = read_row(x, s, row, t->cols, probe, err);
    mt_free(probe);
    MT_TRY(status);
    rows_job j = {x, s, to, row, count, t->cols, out, NULL, count < 8 ? 1 : mt_pool_threads(pool)};
    j.work = mt_array((size_t)t->cols * (size_t)j.parts, sizeof *j.work);
    if (!j.work) return mt_nomem(err, (size_t)t->cols * (size_t)j.parts * sizeof *j.work, "rows");
    mt_pool_run_parts(j.parts > 1 ? pool : NULL, rows_part, &j, j.parts);
    mt_free(j.work);
    return MT_OK;
}
