/* Parameters by role, and where the rows of each file tensor go. */
#include "arch/arch.h"

#include <stdio.h>

const char *const mt_gguf_names[MT_ROLE_COUNT] = {
    [MT_ROLE_TOKEN_EMBED] = "token_embd",
    [MT_ROLE_POSITION_EMBED] = "position_embd",
    [MT_ROLE_EMBED_NORM] = "token_embd_norm",
    [MT_ROLE_OUTPUT_NORM] = "output_norm",
    [MT_ROLE_OUTPUT] = "output",
    [MT_ROLE_ROPE_FREQS] = "rope_freqs",
    [MT_ROLE_TYPE_EMBED] = "token_types",
    [MT_ROLE_HEAD] = "cls",
    [MT_ROLE_HEAD_NORM] = "cls.norm",
    [MT_ROLE_RELATIVE] = "blk.0.attn_rel_b|relative_bias|blk.%d.attn_rel_b",
    [MT_ROLE_RELATIVE_NORM] = "relative_norm",
    [MT_ROLE_POSITION_Q] = "blk.%d.position_q",
    [MT_ROLE_POSITION_K] = "blk.%d.position_k",
    [MT_ROLE_CONTENT_BIAS] = "blk.%d.content_bias",
    [MT_ROLE_POSITION_BIAS] = "blk.%d.position_bias",
    [MT_ROLE_EMBED_IN] = "embed_in",
    [MT_ROLE_EMBED_OUT] = "embed_out",
    [MT_ROLE_ATTN_NORM] = "blk.%d.attn_norm|blk.%d.attn_output_norm",
    [MT_ROLE_Q] = "blk.%d.attn_q",
    [MT_ROLE_K] = "blk.%d.attn_k",
    [MT_ROLE_V] = "blk.%d.attn_v",
    [MT_ROLE_QKV] = "blk.%d.attn_qkv",
    [MT_ROLE_ATTN_OUT] = "blk.%d.attn_output|blk.%d.attn_o",
    [MT_ROLE_Q_NORM] = "blk.%d.attn_q_norm",
    [MT_ROLE_K_NORM] = "blk.%d.attn_k_norm",
    [MT_ROLE_ATTN_POST_NORM] = "blk.%d.post_attention_norm",
    [MT_ROLE_ATTN_SUB_NORM] = "blk.%d.attn_sub_norm",
    [MT_ROLE_FFN_SUB_NORM] = "blk.%d.ffn_sub_norm",
    [MT_ROLE_CROSS_NORM] = "blk.%d.cross_attn_norm",
    [MT_ROLE_CROSS_Q] = "blk.%d.cross_attn_q",
    [MT_ROLE_CROSS_K] = "blk.%d.cross_attn_k",
    [MT_ROLE_CROSS_V] = "blk.%d.cross_attn_v",
    [MT_ROLE_CROSS_OUT] = "blk.%d.cross_attn_o|blk.%d.cross_attn_output",
    [MT_ROLE_FFN_NORM] = "blk.%d.ffn_norm|blk.%d.layer_output_norm",
    [MT_ROLE_GATE] = "blk.%d.ffn_gate",
    [MT_ROLE_UP] = "blk.%d.ffn_up",
    [MT_ROLE_DOWN] = "blk.%d.ffn_down",
    [MT_ROLE_GATE_UP] = "blk.%d.ffn_up", /* phi3: gate and up in one */
    [MT_ROLE_FFN_POST_NORM] = "blk.%d.post_ffw_norm",
    [MT_ROLE_SSM_IN] = "blk.%d.ssm_in",
    [MT_ROLE_SSM_CONV] = "blk.%d.ssm_conv1d",
    [MT_ROLE_SSM_X] = "blk.%d.ssm_x",
    [MT_ROLE_SSM_DT] = "blk.%d.ssm_dt",
    [MT_ROLE_SSM_DT_BIAS] = "blk.%d.ssm_dt.bias!",
    [MT_ROLE_SSM_A] = "blk.%d.ssm_a!",
    [MT_ROLE_SSM_D] = "blk.%d.ssm_d!",
    [MT_ROLE_SSM_NORM] = "blk.%d.ssm_norm",
    [MT_ROLE_SSM_OUT] = "blk.%d.ssm_out",
    [MT_ROLE_SSM_Z] = "blk.%d.attn_gate",
    [MT_ROLE_SSM_BETA] = "blk.%d.ssm_beta",
    [MT_ROLE_SSM_ALPHA] = "blk.%d.ssm_alpha",
    [MT_ROLE_ATTN_GATE] = "blk.%d.attn_out_gate",
    [MT_ROLE_SINKS] = "blk.%d.attn_sinks",
    [MT_ROLE_GATE_UP_EXPERTS] = "blk.%d.ffn_gate_up_exps",
    [MT_ROLE_MIX_K] = "blk.%d.time_mix_k",
    [MT_ROLE_MIX_V] = "blk.%d.time_mix_v",
    [MT_ROLE_MIX_R] = "blk.%d.time_mix_r",
    [MT_ROLE_DECAY] = "blk.%d.time_mix_decay",
    [MT_ROLE_BONUS] = "blk.%d.time_mix_first",
    [MT_ROLE_RECEPTANCE] = "blk.%d.time_mix_receptance",
    [MT_ROLE_FFN_MIX_K] = "blk.%d.channel_mix_lerp_k",
    [MT_ROLE_FFN_MIX_R] = "blk.%d.channel_mix_lerp_r",
    [MT_ROLE_FFN_RECEPTANCE] = "blk.%d.channel_mix_receptance",
    [MT_ROLE_CELL_IH] = "blk.%d.lstm_ih|blk.%d.gru_ih",
    [MT_ROLE_CELL_HH] = "blk.%d.lstm_hh|blk.%d.gru_hh",
    [MT_ROLE_CELL_IH_BIAS] = "blk.%d.lstm_ih.bias!|blk.%d.gru_ih.bias!",
    [MT_ROLE_CELL_HH_BIAS] = "blk.%d.lstm_hh.bias!|blk.%d.gru_hh.bias!",
    [MT_ROLE_POOL] = "blk.%d.attn_pool",
    [MT_ROLE_ROUTER] = "blk.%d.ffn_gate_inp",
    [MT_ROLE_GATE_EXPERTS] = "blk.%d.ffn_gate_exps|blk.%d.ffn_gate.%d",
    [MT_ROLE_UP_EXPERTS] = "blk.%d.ffn_up_exps|blk.%d.ffn_up.%d",
    [MT_ROLE_DOWN_EXPERTS] = "blk.%d.ffn_down_exps|blk.%d.ffn_down.%d",
};

/* Replaces the first %d by the layer and the second by the expert; false when there is a second one and expert < 0, or
 * none and expert >= 0. */
static bool fill(const char *pattern, int32_t layer, int32_t expert, const char *suffix, char *out, size_t cap) {
    size_t o = 0;
    int seen = 0;
    for (const char *p = pattern; *p && o + 16 < cap; p++) {
        if (p[0] == '%' && p[1] == 'd') {
            int32_t v = seen == 0 && layer >= 0 ? layer : expert;
            seen++;
            if (v < 0) return false;
            o += (size_t)snprintf(out + o, cap - o, "%d", v);
            p++;
        } else {
            out[o++] = *p;
        }
    }
    snprintf(out + o, cap - o, "%s", suffix);
    return expert < 0 || seen == (layer >= 0 ? 2 : 1);
}

static const char *names_of(const mt_declare *d, mt_role role) {
    if (!d->hub) return mt_gguf_names[role];
    for (const mt_name *n = d->names; n->name; n++)
        if (n->role == role) return n->name;
    return NULL;
}

static bool bad(mt_declare *d, mt_status status) {
    if (d->status == MT_OK) d->status = status;
    return d->status != MT_OK;
}

static const char *keep(mt_declare *d, const char *text) {
    const char *kept = mt_arena_copy(&d->m->arena, text, strlen(text) + 1);
    if (!kept) bad(d, mt_nomem(d->err, strlen(text) + 1, "a tensor's name"));
    return kept;
}

/* A parameter of the model, without saying where it comes from. */
static int32_t add_param(mt_declare *d, int32_t layer, mt_role role, bool vector, int32_t rows, int32_t cols,
                         int32_t count, bool needed, bool bias) {
    if (d->status != MT_OK) return -1;
    mt_model *m = d->m;
    char first[96], name[128];
    mt_alternative(mt_gguf_names[role], 0, '|', first, sizeof first);
    size_t encoder = d->scope ? (size_t)snprintf(name, sizeof name, "encoder.") : 0;
    fill(first, layer, -1, bias ? ".bias" : ".weight", name + encoder, sizeof name - encoder);
    void *params = m->params;
    mt_status status = mt_grow(&params, &m->param_capacity, m->param_count + 1, sizeof *m->params, d->err);
    m->params = params;
    if (bad(d, status)) return -1;
    const char *kept = keep(d, name);
    if (!kept) return -1;
    m->params[m->param_count] = (mt_param){.name = kept,
                                           .role = role,
                                           .layer = layer,
                                           .rows = rows,
                                           .cols = cols,
                                           .count = count,
                                           .vector = vector,
                                           .needed = needed};
    (bias ? m->bias_of : m->weight_of)[mt_param_at(d->scope, layer, role)] = (int32_t)m->param_count;
    return (int32_t)m->param_count++;
}

static void add_source(mt_declare *d, mt_source s) {
    if (d->status != MT_OK || !(s.name = keep(d, s.name))) return;
    void *sources = d->sources;
    mt_status status = mt_grow(&sources, &d->capacity, d->count + 1, sizeof *d->sources, d->err);
    d->sources = sources;
    if (!bad(d, status)) d->sources[d->count++] = s;
}

/* GGUF files of encoder-decoder models say which half a tensor belongs to. */
static size_t put_half(const mt_declare *d, mt_role role, char *name, size_t cap) {
    if (d->hub || !d->m->encoder.layers || role == MT_ROLE_TOKEN_EMBED || role == MT_ROLE_OUTPUT) return 0;
    return (size_t)snprintf(name, cap, d->scope ? "enc." : "dec.");
}

/* One source for each of the names that the role has in this container. */
static void add_sources(mt_declare *d, int32_t layer, mt_role role, const char *suffix, mt_source s) {
    char pattern[128], name[160];
    const char *names = names_of(d, role);
    for (int i = 0; mt_alternative(names, i, '|', pattern, sizeof pattern); i++) {
        size_t n = strlen(pattern);
        bool whole_name = n && pattern[n - 1] == '!';
        if (whole_name) pattern[n - 1] = 0;
        if (layer >= 0 && !strstr(pattern, "%d")) continue; /* a name of the whole model's */
        size_t half = put_half(d, role, name, sizeof name);
        if (fill(pattern, layer, -1, whole_name ? "" : suffix, name + half, sizeof name - half)) {
            s.name = name;
            add_source(d, s);
        }
    }
}

static mt_part whole(int32_t param, int32_t rows) {
    return (mt_part){param, rows, 0, rows, 0};
}

static void add_bias(mt_declare *d, int32_t layer, mt_role role, int32_t rows, mt_bias bias, bool own_source) {
    if (bias == MT_BIAS_NONE) return;
    int32_t p = add_param(d, layer, role, true, rows, 1, 1, bias == MT_BIAS_NEEDED, true);
    if (own_source)
        add_sources(d, layer, role, ".bias",
                    (mt_source){.n_dims = 1, .dims = {rows}, .parts_count = 1, .parts = {whole(p, rows)}});
}

void mt_declare_linear(mt_declare *d, int32_t layer, mt_role role, int32_t rows, int32_t cols, mt_bias bias) {
    int32_t p = add_param(d, layer, role, false, rows, cols, 1, true, false);
    mt_source s = {.n_dims = 2, .dims = {rows, cols}, .parts_count = 1, .parts = {whole(p, rows)}};
    s.merged = d->merged;
    if (d->hub && (d->transposed || (d->h->transposed && layer >= 0))) {
        s.transposed = true;
        s.dims[0] = cols, s.dims[1] = rows;
    }
    add_sources(d, layer, role, ".weight", s);
    add_bias(d, layer, role, rows, bias, true);
}

void mt_declare_norm(mt_declare *d, int32_t layer, mt_role role, int32_t width, mt_bias bias) {
    if (d->h->bare_norms) return;
    int32_t p = add_param(d, layer, role, true, width, 1, 1, true, false);
    add_sources(d, layer, role, ".weight",
                (mt_source){.n_dims = 1,
                            .dims = {width},
                            .plus_one = d->hub && d->h->norm_plus_one,
                            .parts_count = 1,
                            .parts = {whole(p, width)}});
    add_bias(d, layer, role, width, bias, true);
}

void mt_declare_table(mt_declare *d, mt_role role, int32_t rows, int32_t cols, bool needed) {
    int32_t p = add_param(d, -1, role, false, rows, cols, 1, needed, false);
    add_sources(d, -1, role, ".weight",
                (mt_source){.n_dims = 2, .dims = {rows, cols}, .parts_count = 1, .parts = {whole(p, rows)}});
}

void mt_declare_vector(mt_declare *d, int32_t layer, mt_role role, int32_t n, bool needed) {
    int32_t p = add_param(d, layer, role, true, n, 1, 1, needed, false);
    add_sources(d, layer, role, ".weight",
                (mt_source){.n_dims = 1, .dims = {n}, .merged = d->merged, .parts_count = 1, .parts = {whole(p, n)}});
}

void mt_declare_array(mt_declare *d, int32_t layer, mt_role role, int32_t rows, int32_t cols, bool minus_exp) {
    int64_t n = (int64_t)rows * cols;
    if (n > INT32_MAX) {
        bad(d, mt_fail(d->err, MT_ELIMIT, "%d x %d values are more than %d", rows, cols, INT32_MAX));
        return;
    }
    int32_t p = add_param(d, layer, role, true, (int32_t)n, 1, 1, true, false);
    mt_source s = {.n_dims = 2,
                   .dims = {rows, cols},
                   .minus_exp = d->hub && minus_exp,
                   .parts_count = 1,
                   .parts = {whole(p, (int32_t)n)}};
    add_sources(d, layer, role, ".weight", s);
}

void mt_declare_experts(mt_declare *d, int32_t layer, mt_role role, int32_t count, int32_t rows, int32_t cols) {
    int64_t total = (int64_t)rows * count;
    if (total > INT32_MAX) {
        bad(d, mt_fail(d->err, MT_ELIMIT, "%d experts of %d rows are more than %d rows", count, rows, INT32_MAX));
        return;
    }
    int32_t p = add_param(d, layer, role, false, rows, cols, count, true, false);
    char pattern[128], name[160];
    const char *names = names_of(d, role);
    for (int i = 0; mt_alternative(names, i, '|', pattern, sizeof pattern); i++) {
        mt_source s = {.parts_count = 1, .name = name};
        if (fill(pattern, layer, -1, ".weight", name, sizeof name)) { /* stacked */
            s.n_dims = 3, s.dims[0] = count, s.dims[1] = rows, s.dims[2] = cols;
            s.parts[0] = whole(p, (int32_t)total);
            add_source(d, s);
            continue;
        }
        for (int32_t e = 0; e < count; e++) { /* numbered: rows go behind those of the experts before */
            if (!fill(pattern, layer, e, ".weight", name, sizeof name)) continue;
            s.n_dims = 2, s.dims[0] = rows, s.dims[1] = cols;
            s.parts[0] = (mt_part){p, rows, 0, rows, e * rows};
            add_source(d, s);
        }
    }
}

void mt_declare_fused(mt_declare *d, int32_t layer, mt_role fused, int32_t cols, const mt_role *roles,
                      const mt_part *parts, int32_t count, mt_bias bias) {
    for (int b = 0; b < 2; b++) {
        if (b && bias == MT_BIAS_NONE) break;
        mt_source s = {.parts_count = count};
        int32_t rows = 0;
        for (int32_t i = 0; i < count; i++) {
            s.parts[i] = parts[i];
            int32_t own = parts[i].count; /* rows of this part in the whole tensor; the caller gives it per period */
            int32_t periods = parts[i].param;
            s.parts[i].param = add_param(d, layer, roles[i], b != 0, own * periods, b ? 1 : cols, 1,
                                         b == 0 || bias == MT_BIAS_NEEDED, b != 0);
            rows += own * periods;
        }
        s.n_dims = b ? 1 : 2;
        s.dims[0] = rows, s.dims[1] = b ? 0 : cols;
        if (!b && d->hub && d->h->transposed) {
            s.transposed = true;
            s.dims[0] = cols, s.dims[1] = rows;
        }
        add_sources(d, layer, fused, b ? ".bias" : ".weight", s);
    }
}

/* Query, key and value: three tensors, or one whose rows interleave them. */
static void declare_qkv(mt_declare *d, int32_t layer) {
    const mt_hyper *h = d->h;
    int32_t Q = h->heads * h->head_width, K = h->kv_heads * h->head_width, V = h->kv_heads * h->value_width;
    mt_qkv_layout layout = h->qkv;
    if (h->gated_attention) {
        static const mt_role both[2] = {MT_ROLE_Q, MT_ROLE_ATTN_GATE};
        int32_t E = h->head_width;
        mt_part parts[2] = {{h->heads, 2 * E, 0, E, 0}, {h->heads, 2 * E, E, E, 0}};
        mt_declare_fused(d, layer, MT_ROLE_Q, h->width, both, parts, 2, h->qkv_bias);
        mt_declare_linear(d, layer, MT_ROLE_K, K, h->width, h->qkv_bias);
        mt_declare_linear(d, layer, MT_ROLE_V, V, h->width, h->qkv_bias);
        return;
    }
    if (layout == MT_QKV_SEPARATE) {
        mt_declare_linear(d, layer, MT_ROLE_Q, Q, h->width, h->qkv_bias);
        mt_declare_linear(d, layer, MT_ROLE_K, K, h->width, h->qkv_bias);
        mt_declare_linear(d, layer, MT_ROLE_V, V, h->width, h->qkv_bias);
        return;
    }
    if (!d->hub) layout = MT_QKV_CONCAT; /* GGUF converters sort the rows */
    static const mt_role roles[3] = {MT_ROLE_Q, MT_ROLE_K, MT_ROLE_V};
    int32_t periods = layout == MT_QKV_CONCAT ? 1 : layout == MT_QKV_PER_HEAD ? h->heads : h->kv_heads;
    if (layout == MT_QKV_QUARTERS) periods = 4;
    int32_t q = Q / periods, k = K / periods, v = V / periods;
    mt_part parts[3] = {
        {periods, q + k + v, 0, q, 0}, {periods, q + k + v, q, k, 0}, {periods, q + k + v, q + k, v, 0}};
    if (layout == MT_QKV_QUARTERS) parts[1].first = q + v, parts[2].first = q;
    mt_declare_fused(d, layer, MT_ROLE_QKV, h->width, roles, parts, 3, h->qkv_bias);
}

void mt_declare_bias(mt_declare *d, int32_t layer, mt_role role, int32_t n, mt_bias bias) {
    add_bias(d, layer, role, n, bias, true);
}

static void declare_cross(mt_declare *d, int32_t layer) {
    const mt_hyper *h = d->h;
    int32_t memory = d->m->encoder.width;
    mt_declare_norm(d, layer, MT_ROLE_CROSS_NORM, h->width, h->norm_bias);
    mt_declare_linear(d, layer, MT_ROLE_CROSS_Q, h->heads * h->head_width, h->width, h->qkv_bias);
    mt_declare_linear(d, layer, MT_ROLE_CROSS_K, h->kv_heads * h->head_width, memory, h->qkv_bias);
    mt_declare_linear(d, layer, MT_ROLE_CROSS_V, h->kv_heads * h->value_width, memory, h->qkv_bias);
    mt_declare_linear(d, layer, MT_ROLE_CROSS_OUT, h->width, h->heads * h->value_width, h->attn_out_bias);
}

static void declare_attention(mt_declare *d, int32_t l) {
    const mt_hyper *h = d->h;
    declare_qkv(d, l);
    mt_declare_linear(d, l, MT_ROLE_ATTN_OUT, h->width, h->heads * h->value_width, h->attn_out_bias);
    if (h->sinks) mt_declare_vector(d, l, MT_ROLE_SINKS, h->heads, true);
    if (h->own_relative) mt_declare_linear(d, l, MT_ROLE_RELATIVE, h->buckets, h->heads, MT_BIAS_NONE);
    if (h->cross) declare_cross(d, l);
    if (h->qk_norm != MT_QK_NORM_NONE) {
        bool full = h->qk_norm == MT_QK_NORM_FULL;
        mt_bias bias = h->qk_norm_kind == MT_NORM_LAYER ? h->norm_bias : MT_BIAS_NONE;
        mt_declare_norm(d, l, MT_ROLE_Q_NORM, h->head_width * (full ? h->heads : 1), bias);
        mt_declare_norm(d, l, MT_ROLE_K_NORM, h->head_width * (full ? h->kv_heads : 1), bias);
    }
}

/* A tensor of all experts as the first releases of gpt-oss keep it: [expert][in][out], gate and up in turns, with
 * biases. */
static void declare_biased_experts(mt_declare *d, int32_t l) {
    const mt_hyper *h = d->h;
    int32_t E = h->experts, F = h->ffn, D = h->width;
    static const mt_role roles[3] = {MT_ROLE_GATE_EXPERTS, MT_ROLE_UP_EXPERTS, MT_ROLE_DOWN_EXPERTS};
    if (!d->hub) { /* GGUF keeps them apart, and not transposed */
        for (int i = 0; i < 3; i++) {
            int32_t rows = i < 2 ? F : D;
            mt_declare_experts(d, l, roles[i], E, rows, i < 2 ? D : F);
            if (d->status != MT_OK) return;
            int32_t p = add_param(d, l, roles[i], true, E * rows, 1, 1, true, true);
            mt_source s = {.n_dims = 2, .dims = {E, rows}, .parts_count = 1, .parts = {whole(p, E * rows)}};
            add_sources(d, l, roles[i], ".bias", s);
        }
        return;
    }
    if ((int64_t)E * 2 * F > INT32_MAX || (int64_t)E * D > INT32_MAX) {
        bad(d, mt_fail(d->err, MT_ELIMIT, "%d experts of %d rows are more than %d rows", E, 2 * F, INT32_MAX));
        return;
    }
    int32_t weight[3], bias[3];
    for (int i = 0; i < 3; i++) {
        weight[i] = add_param(d, l, roles[i], false, i < 2 ? F : D, i < 2 ? D : F, E, true, false);
        bias[i] = add_param(d, l, roles[i], true, E * (i < 2 ? F : D), 1, 1, true, true);
    }
    mt_source s = {.n_dims = 3, .dims = {E, D, 2 * F}, .transposed = true, .parts_count = 2};
    s.parts[0] = (mt_part){weight[0], 2, 0, 1, 0}, s.parts[1] = (mt_part){weight[1], 2, 1, 1, 0};
    add_sources(d, l, MT_ROLE_GATE_UP_EXPERTS, "", s);
    s = (mt_source){.n_dims = 2, .dims = {E, 2 * F}, .parts_count = 2};
    s.parts[0] = (mt_part){bias[0], 2, 0, 1, 0}, s.parts[1] = (mt_part){bias[1], 2, 1, 1, 0};
    add_sources(d, l, MT_ROLE_GATE_UP_EXPERTS, "_bias", s);
    s = (mt_source){.n_dims = 3, .dims = {E, F, D}, .transposed = true, .parts_count = 1};
    s.parts[0] = whole(weight[2], E * D);
    add_sources(d, l, MT_ROLE_DOWN_EXPERTS, "", s);
    s = (mt_source){.n_dims = 2, .dims = {E, D}, .parts_count = 1};
    s.parts[0] = whole(bias[2], E * D);
    add_sources(d, l, MT_ROLE_DOWN_EXPERTS, "_bias", s);
}

void mt_declare_layers(mt_declare *d) {
    const mt_hyper *h = d->h;
    for (int32_t l = 0; l < h->layer_sets && d->status == MT_OK; l++) {
        bool second = h->flow != MT_FLOW_PARALLEL_SHARED;
        if (h->pre_norm) {
            if (l > 0 || !h->bare_first_norm) mt_declare_norm(d, l, MT_ROLE_ATTN_NORM, h->width, h->norm_bias);
            if (second && h->ffn) mt_declare_norm(d, l, MT_ROLE_FFN_NORM, h->width, h->norm_bias);
        }
        if (h->post_norm) {
            mt_declare_norm(d, l, MT_ROLE_ATTN_POST_NORM, h->width, h->norm_bias);
            mt_declare_norm(d, l, MT_ROLE_FFN_POST_NORM, h->width, h->norm_bias);
        }
        if (h->layer[l].recurrent)
            d->m->arch->declare_mixer(d, l);
        else
            declare_attention(d, l);
        if (h->sub_norms) {
            mt_declare_norm(d, l, MT_ROLE_ATTN_SUB_NORM, h->heads * h->value_width, h->norm_bias);
            mt_declare_norm(d, l, MT_ROLE_FFN_SUB_NORM, h->ffn, h->norm_bias);
        }
        if (!h->ffn) continue;
        if (h->experts) {
            mt_declare_linear(d, l, MT_ROLE_ROUTER, h->experts, h->width,
                              h->experts_bias ? MT_BIAS_NEEDED : MT_BIAS_NONE);
            if (h->experts_bias) {
                declare_biased_experts(d, l);
                continue;
            }
            if (h->gated) mt_declare_experts(d, l, MT_ROLE_GATE_EXPERTS, h->experts, h->ffn, h->width);
            mt_declare_experts(d, l, MT_ROLE_UP_EXPERTS, h->experts, h->ffn, h->width);
            mt_declare_experts(d, l, MT_ROLE_DOWN_EXPERTS, h->experts, h->width, h->ffn);
            continue;
        }
        if (h->gated && h->gate_up_fused) {
            static const mt_role roles[2] = {MT_ROLE_GATE, MT_ROLE_UP};
            mt_part parts[2] = {{1, 2 * h->ffn, 0, h->ffn, 0}, {1, 2 * h->ffn, h->ffn, h->ffn, 0}};
            mt_declare_fused(d, l, MT_ROLE_GATE_UP, h->width, roles, parts, 2, h->mlp_bias);
        } else {
            if (h->gated) mt_declare_linear(d, l, MT_ROLE_GATE, h->ffn, h->width, h->mlp_bias);
            mt_declare_linear(d, l, MT_ROLE_UP, h->ffn, h->width, h->mlp_bias);
        }
        mt_declare_linear(d, l, MT_ROLE_DOWN, h->width, h->ffn, h->mlp_bias);
    }
}

void mt_declare_decoder(mt_declare *d) {
    const mt_hyper *h = d->h;
    mt_declare_table(d, MT_ROLE_TOKEN_EMBED, h->vocab, h->embed_width, true);
    if (h->position_rows) mt_declare_table(d, MT_ROLE_POSITION_EMBED, h->position_rows, h->width, true);
    if (h->embed_norm) mt_declare_norm(d, -1, MT_ROLE_EMBED_NORM, h->width, h->norm_bias);
    if (h->embed_width != h->width) {
        mt_declare_linear(d, -1, MT_ROLE_EMBED_IN, h->width, h->embed_width, MT_BIAS_NONE);
        mt_declare_linear(d, -1, MT_ROLE_EMBED_OUT, h->embed_width, h->width, MT_BIAS_NONE);
    }
    if (h->buckets && !h->own_relative) mt_declare_table(d, MT_ROLE_RELATIVE, h->buckets, h->heads, true);
    if (h->has_rope_freqs && h->rope_count) mt_declare_vector(d, -1, MT_ROLE_ROPE_FREQS, h->ropes[0].dims / 2, false);
    mt_declare_layers(d);
    if (h->final_norm) mt_declare_norm(d, -1, MT_ROLE_OUTPUT_NORM, h->width, h->norm_bias);
    if (h->tied <= 0) mt_declare_table(d, MT_ROLE_OUTPUT, h->vocab, h->embed_width, h->tied == 0);
    if (h->output_bias != MT_BIAS_NONE) add_bias(d, -1, MT_ROLE_OUTPUT, h->vocab, h->output_bias, true);
}

void mt_declare_encoder(mt_declare *d) {
    const mt_hyper *h = d->h;
    mt_declare_table(d, MT_ROLE_TOKEN_EMBED, h->vocab, h->embed_width, true);
    if (h->position_rows) mt_declare_table(d, MT_ROLE_POSITION_EMBED, h->position_rows, h->embed_width, true);
    if (h->types) mt_declare_table(d, MT_ROLE_TYPE_EMBED, h->types, h->embed_width, true);
    if (h->embed_norm) mt_declare_norm(d, -1, MT_ROLE_EMBED_NORM, h->embed_width, h->norm_bias);
    if (h->embed_width != h->width)
        mt_declare_linear(d, -1, MT_ROLE_EMBED_IN, h->width, h->embed_width, MT_BIAS_NEEDED);
    if (h->buckets) mt_declare_table(d, MT_ROLE_RELATIVE, h->buckets, h->heads, true);
    mt_declare_layers(d);
    if (h->final_norm) mt_declare_norm(d, -1, MT_ROLE_OUTPUT_NORM, h->width, h->norm_bias);
    size_t trunk = d->m->param_count;
    mt_declare_linear(d, -1, MT_ROLE_HEAD, h->embed_width, h->width, h->norm_bias);
    mt_declare_norm(d, -1, MT_ROLE_HEAD_NORM, h->embed_width, h->norm_bias);
    if (h->tied <= 0) mt_declare_table(d, MT_ROLE_OUTPUT, h->vocab, h->embed_width, h->tied == 0);
    add_bias(d, -1, MT_ROLE_OUTPUT, h->vocab, MT_BIAS_NEEDED, true);
    for (size_t i = trunk; i < d->m->param_count; i++) {
        d->m->params[i].head = d->m->params[i].needed;
        d->m->params[i].needed = false;
    }
}

/* The decoder with the token embeddings, which both halves share; then what is the encoder's own. */
void mt_declare_encoder_decoder(mt_declare *d) {
    mt_declare_decoder(d);
    const mt_hyper *h = d->h = &d->m->encoder;
    d->scope = d->m->h.layers + 1;
    d->names = d->m->arch->encoder_names;
    if (h->position_rows) mt_declare_table(d, MT_ROLE_POSITION_EMBED, h->position_rows, h->width, true);
    if (h->embed_norm) mt_declare_norm(d, -1, MT_ROLE_EMBED_NORM, h->width, h->norm_bias);
    if (h->buckets && !h->own_relative) mt_declare_table(d, MT_ROLE_RELATIVE, h->buckets, h->heads, true);
    mt_declare_layers(d);
    if (h->final_norm) mt_declare_norm(d, -1, MT_ROLE_OUTPUT_NORM, h->width, h->norm_bias);
}

mt_status mt_declare_again(const mt_model *m, bool hub, mt_model *frame, mt_declare *d, int32_t **own, mt_error *err) {
    size_t slots = mt_param_at(m->h.layers + 1, m->encoder.layers, 0);
    frame->arch = m->arch;
    frame->h = m->h;
    frame->encoder = m->encoder;
    frame->weight_of = mt_arena_alloc(&frame->arena, slots * sizeof(int32_t));
    frame->bias_of = mt_arena_alloc(&frame->arena, slots * sizeof(int32_t));
    if (!frame->weight_of || !frame->bias_of) return mt_nomem(err, 2 * slots * sizeof(int32_t), "the parameter table");
    for (size_t i = 0; i < slots; i++) frame->weight_of[i] = frame->bias_of[i] = -1;
    *d = (mt_declare){.m = frame, .h = &frame->h, .names = m->arch->names, .hub = hub, .err = err};
    m->arch->declare(d);
    MT_TRY(d->status);
    *own = mt_array(frame->param_count + 1, sizeof **own);
    if (!*own) return mt_nomem(err, (frame->param_count + 1) * sizeof **own, "the parameter table");
    for (size_t i = 0; i < slots; i++)
        for (int b = 0; b < 2; b++) {
            int32_t mine = (b ? frame->bias_of : frame->weight_of)[i], theirs = (b ? m->bias_of : m->weight_of)[i];
            if (mine < 0) continue;
            if (theirs < 0)
                return mt_fail(err, MT_ESTATE, "parameter \"%s\" is not in the model", frame->params[mine].name);
            (*own)[mine] = theirs;
        }
    return MT_OK;
}
