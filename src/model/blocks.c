/* What architectures share: embeddings, norms, attention, feed-forward, the head; and the decoder made of them.
 *
 * Names are TransformerLens's. hook_normalized is the norm's output (after gain and bias). Where a fused operation
 * would hide a name that somebody asked for, the same value is computed in steps:
 *
 *   attention   q -> scores -> softmax -> pattern -> mix    instead of one pass with an online softmax
 *   result      one output per head, then their sum         instead of one product with W_O
 *   norm        divisor, then division                      instead of one pass */
#include "arch/arch.h"

#include <stdio.h>

static const mt_param *param(const mt_build *b, const int32_t *table, int32_t layer, mt_role role) {
    if (layer >= 0) layer = b->h->layer[layer].set;
    int32_t i = table[mt_param_at(b->scope, layer, role)];
    return i < 0 || b->m->params[i].filled == 0 ? NULL : &b->m->params[i];
}

int32_t mt_b_weight(mt_build *b, int32_t layer, mt_role role) {
    const mt_param *p = param(b, b->m->weight_of, layer, role);
    if (!p) return -1;
    return p->vector ? mt_g_vector(b->g, p->values, p->rows) : mt_g_weight(b->g, p->weight);
}

int32_t mt_b_bias(mt_build *b, int32_t layer, mt_role role) {
    const mt_param *p = param(b, b->m->bias_of, layer, role);
    return p ? mt_g_vector(b->g, p->values, p->rows) : -1;
}

const float *mt_b_values(mt_build *b, int32_t layer, mt_role role) {
    const mt_param *p = param(b, b->m->weight_of, layer, role);
    return p ? p->values : NULL;
}

int32_t mt_b_linear(mt_build *b, int32_t x, int32_t layer, mt_role role) {
    return mt_g_matmul(b->g, x, mt_b_weight(b, layer, role), mt_b_bias(b, layer, role));
}

/* "blocks.3.ln1" or, for layer -1, "ln_final"; name NULL: not traceable. */
static int32_t norm(mt_build *b, int32_t x, int32_t gain, int32_t bias, mt_norm_kind kind, int32_t layer,
                    const char *name) {
    mt_graph *g = b->g;
    bool centre = kind == MT_NORM_LAYER;
    float eps = b->h->eps;
    char full[64] = "";
    if (name && layer >= 0)
        snprintf(full, sizeof full, "blocks.%d.%s", layer, name);
    else if (name)
        snprintf(full, sizeof full, "%s", name);
    if (name && mt_g_wanted(g, "%s.hook_scale", full)) {
        int32_t scale = mt_g_name(g, mt_g_norm_scale(g, x, centre, eps), "%s.hook_scale", full);
        x = mt_g_norm_apply(g, x, scale, centre, gain, bias);
    } else {
        x = centre ? mt_g_layer_norm(g, x, gain, bias, eps) : mt_g_rms_norm(g, x, gain, eps);
    }
    return name ? mt_g_name(g, x, "%s.hook_normalized", full) : x;
}

int32_t mt_b_norm(mt_build *b, int32_t x, int32_t layer, mt_role role, const char *name) {
    return norm(b, x, mt_b_weight(b, layer, role), mt_b_bias(b, layer, role), b->h->norm, layer, name);
}

/* ---- attention ---- */

/* RMSNorm or LayerNorm of a query or key: of every head, or of all heads as one vector. */
static int32_t qk_norm(mt_build *b, int32_t x, int32_t layer, mt_role role, int32_t heads, int32_t width) {
    const mt_hyper *h = b->h;
    int32_t dims[3] = {b->T, heads, width}, flat[2] = {b->T, heads * width};
    if (h->qk_norm == MT_QK_NORM_FULL) x = mt_g_view(b->g, x, 2, flat);
    x = norm(b, x, mt_b_weight(b, layer, role), mt_b_bias(b, layer, role), h->qk_norm_kind, layer, NULL);
    return h->qk_norm == MT_QK_NORM_FULL ? mt_g_view(b->g, x, 3, dims) : x;
}

/* One of q, k, v: projected, shaped [T][heads][width], named; q and k may be normalised and are rotated. */
static int32_t project(mt_build *b, int32_t x, int32_t layer, mt_role role, mt_role norm_role, char letter) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    int32_t heads = role == MT_ROLE_Q ? h->heads : h->kv_heads;
    int32_t width = role == MT_ROLE_V ? h->value_width : h->head_width;
    int32_t dims[3] = {b->T, heads, width};
    x = mt_b_linear(b, x, layer, role);
    if (h->clip_qkv > 0) x = mt_g_clamp(g, x, h->clip_qkv);
    x = mt_g_name(g, mt_g_view(g, x, 3, dims), "blocks.%d.attn.hook_%c", layer, letter);
    if (role == MT_ROLE_V) return x;
    if (h->qk_norm != MT_QK_NORM_NONE && !h->qk_norm_rotated) x = qk_norm(b, x, layer, norm_role, heads, width);
    int rope = h->layer[layer].rope;
    if (rope >= 0) {
        const mt_rope_set *r = &h->ropes[rope];
        x = mt_g_rope(g, x, mt_g_vector(g, r->inv_freq, r->dims / 2), rope, r->dims, h->rope_interleaved, r->mscale);
        x = mt_g_name(g, x, "blocks.%d.attn.hook_rot_%c", layer, letter);
    }
    if (h->qk_norm != MT_QK_NORM_NONE && h->qk_norm_rotated) x = qk_norm(b, x, layer, norm_role, heads, width);
    return x;
}

/* x is the block's input; each of q, k, v may have an input of its own (path patching). */
static int32_t input_of(mt_build *b, int32_t x, int32_t n, int32_t layer, char letter) {
    if (!mt_g_wanted(b->g, "blocks.%d.hook_%c_input", layer, letter)) return n;
    x = mt_g_name(b->g, mt_g_copy(b->g, x), "blocks.%d.hook_%c_input", layer, letter);
    return b->h->pre_norm && b->h->flow != MT_FLOW_POST_NORM ? mt_b_norm(b, x, layer, MT_ROLE_ATTN_NORM, NULL) : x;
}

/* A vector over all heads, added to every query. */
static int32_t plus_bias(mt_build *b, int32_t q, int32_t layer, mt_role role) {
    int32_t flat[2] = {b->T, b->h->heads * b->h->head_width}, dims[3] = {b->T, b->h->heads, b->h->head_width};
    return mt_g_view(b->g, mt_g_add_row(b->g, mt_g_view(b->g, q, 2, flat), mt_b_weight(b, layer, role)), 3, dims);
}

/* What relative positions add to the scores: products of queries and keys with representations of positions. */
static int32_t relation(mt_build *b, int32_t scores, int32_t q, const mt_attention *a, int32_t layer) {
    const mt_hyper *h = b->h;
    int32_t to = -1, from = -1;
    if (h->relation == MT_RELATION_SINUSOID || h->to_position)
        to = mt_b_linear(b, b->relative, layer, h->shared_relation ? MT_ROLE_K : MT_ROLE_POSITION_K);
    if (h->from_position)
        from = mt_b_linear(b, b->relative, layer, h->shared_relation ? MT_ROLE_Q : MT_ROLE_POSITION_Q);
    return mt_g_add_relation(b->g, scores, q, to, from, a, h->relation, h->buckets_log, h->bucket_distance);
}

/* Queries over the cache, or over an encoder's output: scores, pattern, mix, output. `part`: "attn" or "cross_attn". */
static int32_t attend(mt_build *b, int32_t q, int32_t to_position, int32_t gate, const mt_attention *a, int32_t layer,
                      const char *part, mt_role out) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    int32_t z, columns = a->runs == MT_RUNS_MEMORY ? b->memory : b->columns;
    bool relative = h->buckets && a->runs != MT_RUNS_MEMORY;
    bool related = h->relation != MT_RELATION_NONE;
    if (relative || related || mt_g_wanted(g, "blocks.%d.%s.hook_attn_scores", layer, part) ||
        mt_g_wanted(g, "blocks.%d.%s.hook_pattern", layer, part)) {
        int32_t s = mt_g_scores(g, q, a, columns);
        if (relative) {
            int32_t table = mt_b_weight(b, h->own_relative ? layer : -1, MT_ROLE_RELATIVE);
            s = mt_g_add_relative(g, s, table, h->bucket_distance, h->bidirectional);
        }
        if (related) s = relation(b, s, to_position, a, layer);
        s = mt_g_name(g, s, "blocks.%d.%s.hook_attn_scores", layer, part);
        int32_t p = mt_g_name(g, mt_g_attn_softmax(g, s, a), "blocks.%d.%s.hook_pattern", layer, part);
        z = mt_g_mix(g, p, a);
    } else {
        z = mt_g_attend(g, q, a);
    }
    z = mt_g_name(g, z, "blocks.%d.%s.hook_z", layer, part);
    if (gate >= 0) z = mt_g_mul(g, z, mt_g_act(g, gate, MT_ACT_SIGMOID));
    if (h->sub_norms) {
        int32_t flat[2] = {b->T, h->heads * h->value_width}, dims[3] = {b->T, h->heads, h->value_width};
        z = mt_b_norm(b, mt_g_view(g, z, 2, flat), layer, MT_ROLE_ATTN_SUB_NORM, NULL);
        z = mt_g_view(g, z, 3, dims);
    }
    if (!mt_g_wanted(g, "blocks.%d.%s.hook_result", layer, part)) return mt_b_linear(b, z, layer, out);
    int32_t r = mt_g_head_result(g, z, mt_b_weight(b, layer, out));
    r = mt_g_name(g, r, "blocks.%d.%s.hook_result", layer, part);
    return mt_g_sum_heads(g, r, mt_b_bias(b, layer, out));
}

static int32_t attention(mt_build *b, int32_t x, int32_t n, int32_t layer) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    int32_t q = project(b, input_of(b, x, n, layer, 'q'), layer, MT_ROLE_Q, MT_ROLE_Q_NORM, 'q');
    int32_t k = project(b, input_of(b, x, n, layer, 'k'), layer, MT_ROLE_K, MT_ROLE_K_NORM, 'k');
    int32_t v = project(b, input_of(b, x, n, layer, 'v'), layer, MT_ROLE_V, MT_ROLE_V, 'v');
    int32_t plane = layer;
    if (b->scope) plane = b->m->h.layers + (b->own_planes ? layer : 0); /* else an encoder's layers share one */
    mt_attention a = {.layer = plane,
                      .runs = h->layer[layer].visible,
                      .kv_heads = h->kv_heads,
                      .key_width = h->head_width,
                      .value_width = h->value_width,
                      .scale = h->attn_scale,
                      .softcap = h->attn_softcap,
                      .alibi = h->alibi ? mt_g_vector(g, h->alibi_slopes, h->heads) : -1,
                      .sink = h->sinks ? mt_b_weight(b, layer, MT_ROLE_SINKS) : -1};
    mt_g_kv_store(g, k, v, a.layer);
    int32_t to_position = q;
    if (h->relation == MT_RELATION_SINUSOID) {
        to_position = plus_bias(b, q, layer, MT_ROLE_POSITION_BIAS);
        q = plus_bias(b, q, layer, MT_ROLE_CONTENT_BIAS);
    }
    int32_t gate = h->gated_attention ? mt_b_linear(b, n, layer, MT_ROLE_ATTN_GATE) : -1;
    return attend(b, q, to_position, gate, &a, layer, "attn", MT_ROLE_ATTN_OUT);
}

/* Keys and values are those that mt_build_memory stored. */
static int32_t cross_attention(mt_build *b, int32_t x, int32_t layer) {
    const mt_hyper *h = b->h;
    int32_t dims[3] = {b->T, h->heads, h->head_width};
    int32_t q = mt_g_view(b->g, mt_b_linear(b, x, layer, MT_ROLE_CROSS_Q), 3, dims);
    q = mt_g_name(b->g, q, "blocks.%d.cross_attn.hook_q", layer);
    mt_attention a = {.layer = layer,
                      .runs = MT_RUNS_MEMORY,
                      .kv_heads = h->kv_heads,
                      .key_width = h->head_width,
                      .value_width = h->value_width,
                      .scale = h->attn_scale,
                      .alibi = -1,
                      .sink = -1};
    return attend(b, q, -1, -1, &a, layer, "cross_attn", MT_ROLE_CROSS_OUT);
}

/* ---- feed-forward ---- */

static const float *bias_values(const mt_build *b, int32_t layer, mt_role role) {
    const mt_param *p = param(b, b->m->bias_of, layer, role);
    return p ? p->values : NULL;
}

static int32_t experts(mt_build *b, int32_t x, int32_t layer) {
    const mt_hyper *h = b->h;
    const mt_param *gate = param(b, b->m->weight_of, layer, MT_ROLE_GATE_EXPERTS);
    const mt_param *up = param(b, b->m->weight_of, layer, MT_ROLE_UP_EXPERTS);
    const mt_param *down = param(b, b->m->weight_of, layer, MT_ROLE_DOWN_EXPERTS);
    if (!up || !down) return -1;
    mt_experts e = {.gate = gate ? gate->weight : NULL,
                    .up = up->weight,
                    .down = down->weight,
                    .count = h->experts,
                    .used = h->experts_used,
                    .gate_bias = h->experts_bias ? bias_values(b, layer, MT_ROLE_GATE_EXPERTS) : NULL,
                    .up_bias = h->experts_bias ? bias_values(b, layer, MT_ROLE_UP_EXPERTS) : NULL,
                    .down_bias = h->experts_bias ? bias_values(b, layer, MT_ROLE_DOWN_EXPERTS) : NULL,
                    .limit = h->experts_limit,
                    .normalise = h->experts_normalise,
                    .act = h->act};
    int32_t router =
        mt_g_name(b->g, mt_b_linear(b, x, layer, MT_ROLE_ROUTER), "blocks.%d.mlp.hook_router_logits", layer);
    return mt_g_experts(b->g, x, router, &e);
}

int32_t mt_b_mlp(mt_build *b, int32_t x, int32_t layer) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    if (h->experts) return experts(b, x, layer);
    int32_t post;
    if (h->gated) {
        int32_t gate = mt_g_name(g, mt_b_linear(b, x, layer, MT_ROLE_GATE), "blocks.%d.mlp.hook_pre", layer);
        gate = mt_g_name(g, mt_g_act(g, gate, h->act), "blocks.%d.mlp.hook_gate", layer);
        int32_t up = mt_g_name(g, mt_b_linear(b, x, layer, MT_ROLE_UP), "blocks.%d.mlp.hook_pre_linear", layer);
        post = mt_g_mul(g, gate, up);
    } else {
        int32_t pre = mt_g_name(g, mt_b_linear(b, x, layer, MT_ROLE_UP), "blocks.%d.mlp.hook_pre", layer);
        post = mt_g_act(g, pre, h->act);
    }
    post = mt_g_name(g, post, "blocks.%d.mlp.hook_post", layer);
    if (h->sub_norms) post = mt_b_norm(b, post, layer, MT_ROLE_FFN_SUB_NORM, NULL);
    return mt_b_linear(b, post, layer, MT_ROLE_DOWN);
}

/* ---- the decoder ---- */

int32_t mt_b_embed(mt_build *b) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    int32_t x = mt_g_embed(g, mt_b_weight(b, -1, MT_ROLE_TOKEN_EMBED), b->T, h->embed_scale);
    if (h->embed_width != h->width) x = mt_b_linear(b, x, -1, MT_ROLE_EMBED_IN);
    if (h->embed_norm && !h->embed_norm_last) x = mt_b_norm(b, x, -1, MT_ROLE_EMBED_NORM, NULL);
    x = mt_g_name(g, x, "hook_embed");
    if (h->position_rows) {
        int32_t p = mt_g_position_embed(g, mt_b_weight(b, -1, MT_ROLE_POSITION_EMBED), b->T, h->position_first);
        x = mt_g_add(g, x, mt_g_name(g, p, "hook_pos_embed"));
    }
    if (h->sinusoids) x = mt_g_sinusoid(g, x);
    return h->embed_norm && h->embed_norm_last ? mt_b_norm(b, x, -1, MT_ROLE_EMBED_NORM, NULL) : x;
}

void mt_b_head(mt_build *b, int32_t x) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    bool early = b->rows < b->T && !b->all_rows;
    if (b->rows == 0 && !b->all_rows) return;
    if (early) x = mt_g_gather_rows(g, x, b->rows);
    if (h->final_norm) x = mt_b_norm(b, x, -1, MT_ROLE_OUTPUT_NORM, "ln_final");
    if (b->rows == 0) return;
    if (!early && b->rows < b->T) x = mt_g_gather_rows(g, x, b->rows);
    if (h->embed_width != h->width) x = mt_b_linear(b, x, -1, MT_ROLE_EMBED_OUT);
    int32_t w = mt_b_weight(b, -1, MT_ROLE_OUTPUT);
    if (w < 0) w = mt_b_weight(b, -1, MT_ROLE_TOKEN_EMBED);
    x = mt_g_matmul(g, x, w, mt_b_bias(b, -1, MT_ROLE_OUTPUT));
    x = mt_g_softcap(g, mt_g_scale(g, x, h->logit_scale), h->final_softcap);
    mt_g_output(g, x);
}

/* The decoder's look at the encoder's output, between the other two parts of a layer. */
static int32_t cross(mt_build *b, int32_t x, int32_t l) {
    bool pre = b->h->pre_norm && b->h->flow != MT_FLOW_POST_NORM;
    x = mt_g_name(b->g, x, "blocks.%d.hook_resid_cross", l);
    int32_t n = pre ? mt_b_norm(b, x, l, MT_ROLE_CROSS_NORM, "ln_cross") : x;
    n = mt_g_name(b->g, cross_attention(b, n, l), "blocks.%d.hook_cross_attn_out", l);
    x = mt_g_add(b->g, x, n);
    return pre ? x : mt_b_norm(b, x, l, MT_ROLE_CROSS_NORM, "ln_cross");
}

int32_t mt_b_layer(mt_build *b, int32_t x, int32_t l) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    bool pre = h->pre_norm && h->flow != MT_FLOW_POST_NORM;
    x = mt_g_name(g, x, "blocks.%d.hook_resid_pre", l);
    int32_t in = x, n, attn, mid, mlp;
    if (mt_g_wanted(g, "blocks.%d.hook_attn_in", l)) in = mt_g_name(g, mt_g_copy(g, x), "blocks.%d.hook_attn_in", l);
    n = pre && !(l == 0 && h->bare_first_norm) ? mt_b_norm(b, in, l, MT_ROLE_ATTN_NORM, "ln1") : in;
    attn = h->layer[l].recurrent ? b->m->arch->mixer(b, n, l) : attention(b, in, n, l);
    if (h->post_norm && h->flow != MT_FLOW_POST_NORM) attn = mt_b_norm(b, attn, l, MT_ROLE_ATTN_POST_NORM, NULL);
    attn = mt_g_name(g, mt_g_scale(g, attn, h->residual_scale), "blocks.%d.hook_attn_out", l);
    if (h->flow == MT_FLOW_PARALLEL || h->flow == MT_FLOW_PARALLEL_SHARED) {
        in = x;
        if (mt_g_wanted(g, "blocks.%d.hook_mlp_in", l)) in = mt_g_name(g, mt_g_copy(g, x), "blocks.%d.hook_mlp_in", l);
        if (h->flow == MT_FLOW_PARALLEL) n = mt_b_norm(b, in, l, MT_ROLE_FFN_NORM, "ln2");
        mlp = mt_g_name(g, mt_g_scale(g, mt_b_mlp(b, n, l), h->residual_scale), "blocks.%d.hook_mlp_out", l);
        x = mt_g_add(g, mt_g_add(g, attn, mlp), x);
        return mt_g_name(g, x, "blocks.%d.hook_resid_post", l);
    }
    mid = mt_g_add(g, h->residual_from_norm ? n : x, attn);
    if (h->flow == MT_FLOW_POST_NORM) mid = mt_b_norm(b, mid, l, MT_ROLE_ATTN_NORM, "ln1");
    if (h->cross) mid = cross(b, mid, l);
    if (!h->ffn) return mt_g_name(g, mid, "blocks.%d.hook_resid_post", l);
    mid = mt_g_name(g, mid, "blocks.%d.hook_resid_mid", l);
    in = mid;
    if (mt_g_wanted(g, "blocks.%d.hook_mlp_in", l)) in = mt_g_name(g, mt_g_copy(g, mid), "blocks.%d.hook_mlp_in", l);
    n = pre ? mt_b_norm(b, in, l, MT_ROLE_FFN_NORM, "ln2") : in;
    mlp = mt_b_mlp(b, n, l);
    if (h->post_norm && h->flow != MT_FLOW_POST_NORM) mlp = mt_b_norm(b, mlp, l, MT_ROLE_FFN_POST_NORM, NULL);
    mlp = mt_g_name(g, mt_g_scale(g, mlp, h->residual_scale), "blocks.%d.hook_mlp_out", l);
    x = mt_g_add(g, h->residual_from_norm ? n : mid, mlp);
    if (h->flow == MT_FLOW_POST_NORM) x = mt_b_norm(b, x, l, MT_ROLE_FFN_NORM, "ln2");
    return mt_g_name(g, x, "blocks.%d.hook_resid_post", l);
}

void mt_build_decoder(mt_build *b) {
    int32_t x = mt_b_embed(b);
    for (int32_t l = 0; l < b->h->layers; l++) x = mt_b_layer(b, x, l);
    mt_b_head(b, x);
}

/* ---- the encoder ---- */

void mt_build_encoder(mt_build *b) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    int32_t x =
        mt_g_name(g, mt_g_embed(g, mt_b_weight(b, -1, MT_ROLE_TOKEN_EMBED), b->T, h->embed_scale), "hook_embed");
    if (h->types) x = mt_g_add(g, x, mt_g_segment_embed(g, mt_b_weight(b, -1, MT_ROLE_TYPE_EMBED), b->T));
    if (h->position_rows) {
        int32_t p = mt_g_position_embed(g, mt_b_weight(b, -1, MT_ROLE_POSITION_EMBED), b->T, h->position_first);
        x = mt_g_add(g, x, mt_g_name(g, p, "hook_pos_embed"));
    }
    if (h->embed_norm) x = mt_b_norm(b, x, -1, MT_ROLE_EMBED_NORM, NULL);
    if (h->embed_width != h->width) x = mt_b_linear(b, x, -1, MT_ROLE_EMBED_IN);
    for (int32_t l = 0; l < h->layers; l++) x = mt_b_layer(b, x, l);
    if (b->rows < b->T && !b->all_rows) x = mt_g_gather_rows(g, x, b->rows);
    if (h->final_norm) x = mt_b_norm(b, x, -1, MT_ROLE_OUTPUT_NORM, "ln_final");
    if (b->rows == 0 || h->headless) return;
    if (b->rows < b->T && b->all_rows) x = mt_g_gather_rows(g, x, b->rows);
    x = mt_b_norm(b, mt_g_act(g, mt_b_linear(b, x, -1, MT_ROLE_HEAD), h->head_act), -1, MT_ROLE_HEAD_NORM, NULL);
    int32_t w = mt_b_weight(b, -1, MT_ROLE_OUTPUT);
    if (w < 0) w = mt_b_weight(b, -1, MT_ROLE_TOKEN_EMBED);
    mt_g_output(g, mt_g_matmul(g, x, w, mt_b_bias(b, -1, MT_ROLE_OUTPUT)));
}

/* ---- the encoder of an encoder-decoder model ---- */

void mt_build_memory(mt_build *b) {
    mt_graph *g = b->g;
    int32_t embed = mt_b_weight(b, -1, MT_ROLE_TOKEN_EMBED); /* both halves share it */
    const mt_hyper *decoder = b->h, *h = b->h = &b->m->encoder;
    b->scope = decoder->layers + 1;
    g->scope = "encoder.";
    int32_t x = mt_g_name(g, mt_g_embed(g, embed, b->T, h->embed_scale), "hook_embed");
    if (h->position_rows) {
        int32_t p = mt_g_position_embed(g, mt_b_weight(b, -1, MT_ROLE_POSITION_EMBED), b->T, h->position_first);
        x = mt_g_add(g, x, mt_g_name(g, p, "hook_pos_embed"));
    }
    if (h->sinusoids) x = mt_g_sinusoid(g, x);
    if (h->embed_norm) x = mt_b_norm(b, x, -1, MT_ROLE_EMBED_NORM, NULL);
    for (int32_t l = 0; l < h->layers; l++) x = mt_b_layer(b, x, l);
    if (h->final_norm) x = mt_b_norm(b, x, -1, MT_ROLE_OUTPUT_NORM, "ln_final");
    b->h = decoder;
    b->scope = 0;
    g->scope = NULL;
    for (int32_t l = 0; l < decoder->layers; l++) {
        int32_t k_dims[3] = {b->T, decoder->kv_heads, decoder->head_width};
        int32_t v_dims[3] = {b->T, decoder->kv_heads, decoder->value_width};
        int32_t k = mt_g_view(g, mt_b_linear(b, x, l, MT_ROLE_CROSS_K), 3, k_dims);
        int32_t v = mt_g_view(g, mt_b_linear(b, x, l, MT_ROLE_CROSS_V), 3, v_dims);
        k = mt_g_name(g, k, "blocks.%d.cross_attn.hook_k", l);
        v = mt_g_name(g, v, "blocks.%d.cross_attn.hook_v", l);
        mt_g_kv_store(g, k, v, l);
    }
}
