/* GLM-4 (0414): norms before and after each block, half of each head rotated in adjacent pairs, fused gate and up. */
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
                                {MT_ROLE_GATE_UP, "model.layers.%d.mlp.gate_up_proj"},
                                {MT_ROLE_ATTN_POST_NORM, "model.layers.%d.post_self_attn_layernorm"},
                                {MT_ROLE_FFN_POST_NORM, "model.layers.%d.post_mlp_layernorm"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    mt_hyper_tied(m, meta, 0);
    h->post_norm = h->gate_up_fused = h->rope_interleaved = true;
    h->qkv_bias = meta->gguf                                          ? MT_BIAS_IF_PRESENT
                  : mt_meta_bool(meta, NULL, "attention_bias", false) ? MT_BIAS_NEEDED
                                                                      : MT_BIAS_NONE;
    return MT_OK;
}

const mt_arch mt_arch_glm4 = {.name = "glm4",
                              .model_types = "glm4",
                              .names = names,
                              .prefix = "model.",
                              .ignored = "*.rotary_emb.inv_freq",
                              .configure = configure,
                              .declare = mt_declare_decoder,
                              .build = mt_build_decoder};
