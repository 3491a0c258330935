/* EXAONE 4: norms behind each block, queries and keys normalised head by head; layers that see everything have no
 * positions. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "model.embed_tokens"},
                                {MT_ROLE_OUTPUT_NORM, "model.norm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "model.layers.%d.input_layernorm"},
                                {MT_ROLE_Q, "model.layers.%d.self_attn.q_proj"},
                                {MT_ROLE_K, "model.layers.%d.self_attn.k_proj"},
                                {MT_ROLE_V, "model.layers.%d.self_attn.v_proj"},
                                {MT_ROLE_ATTN_OUT, "model.layers.%d.self_attn.o_proj"},
                                {MT_ROLE_FFN_NORM, "model.layers.%d.post_attention_layernorm"},
                                {MT_ROLE_GATE, "model.layers.%d.mlp.gate_proj"},
                                {MT_ROLE_UP, "model.layers.%d.mlp.up_proj"},
                                {MT_ROLE_DOWN, "model.layers.%d.mlp.down_proj"},
                                {MT_ROLE_ATTN_POST_NORM, "model.layers.%d.post_attention_layernorm"},
                                {MT_ROLE_FFN_POST_NORM, "model.layers.%d.post_feedforward_layernorm"},
                                {MT_ROLE_Q_NORM, "model.layers.%d.self_attn.q_norm"},
                                {MT_ROLE_K_NORM, "model.layers.%d.self_attn.k_norm"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    int32_t window, period;
    mt_hyper_tied(m, meta, 0);
    h->pre_norm = false;
    h->post_norm = true;
    h->qk_norm = MT_QK_NORM_HEAD;
    MT_TRY(mt_meta_int(meta, "attention.sliding_window", "sliding_window", 1, INT32_MAX, 0, &window, err));
    MT_TRY(mt_meta_int(meta, NULL, "sliding_window_pattern", 1, INT32_MAX, 4, &period, err));
    mt_hyper_layer_types(m, meta, window, window ? period : 0);
    for (int32_t l = 0; l < h->layers && window; l++) h->layer[l].rope = h->layer[l].visible ? 0 : -1;
    return MT_OK;
}

const mt_arch mt_arch_exaone4 = {.name = "exaone4",
                                 .model_types = "exaone4",
                                 .names = names,
                                 .prefix = "model.",
                                 .ignored = "*.rotary_emb.inv_freq",
                                 .configure = configure,
                                 .declare = mt_declare_decoder,
                                 .build = mt_build_decoder};
