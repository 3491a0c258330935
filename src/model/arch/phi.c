/* Phi 1, 1.5 and 2: one LayerNorm feeds attention and feed-forward in parallel, part of each head is rotated, biases
 * everywhere, also on the output. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "model.embed_tokens"},
                                {MT_ROLE_OUTPUT_NORM, "model.final_layernorm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "model.layers.%d.input_layernorm"},
                                {MT_ROLE_Q, "model.layers.%d.self_attn.q_proj"},
                                {MT_ROLE_K, "model.layers.%d.self_attn.k_proj"},
                                {MT_ROLE_V, "model.layers.%d.self_attn.v_proj"},
                                {MT_ROLE_ATTN_OUT, "model.layers.%d.self_attn.dense"},
                                {MT_ROLE_FFN_NORM, "model.layers.%d.post_attention_layernorm"},
                                {MT_ROLE_GATE, "model.layers.%d.mlp.gate_proj"},
                                {MT_ROLE_UP, "model.layers.%d.mlp.fc1"},
                                {MT_ROLE_DOWN, "model.layers.%d.mlp.fc2"},
                                {MT_ROLE_Q_NORM, "model.layers.%d.self_attn.q_layernorm"},
                                {MT_ROLE_K_NORM, "model.layers.%d.self_attn.k_layernorm"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "gelu_new", err));
    mt_hyper_tied(m, meta, 0);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    h->output_bias = MT_BIAS_NEEDED;
    h->norm = h->qk_norm_kind = MT_NORM_LAYER;
    h->flow = MT_FLOW_PARALLEL_SHARED;
    h->gated = false;
    if (mt_meta_bool(meta, NULL, "qk_layernorm", false)) h->qk_norm = MT_QK_NORM_HEAD;
    return MT_OK;
}

const mt_arch mt_arch_phi = {.name = "phi2",
                             .model_types = "phi",
                             .names = names,
                             .prefix = "model.",
                             .ignored = "*.rotary_emb.inv_freq",
                             .configure = configure,
                             .declare = mt_declare_decoder,
                             .build = mt_build_decoder};
