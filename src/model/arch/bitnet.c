/* BitNet b1.58 (Ma et al. 2024) with unpacked weights: Llama with squared ReLU and norms before both output
 * projections. */
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
                                {MT_ROLE_ATTN_SUB_NORM, "model.layers.%d.self_attn.attn_sub_norm"},
                                {MT_ROLE_FFN_SUB_NORM, "model.layers.%d.mlp.ffn_sub_norm"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "relu2", err));
    if (mt_meta_bool(meta, NULL, "attention_bias", false)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    mt_hyper_tied(m, meta, 1);
    if (mt_meta_has(meta, NULL, "quantization_config"))
        return mt_fail(err, MT_EUNKNOWN, "config.json: packed ternary weights (\"quantization_config\") are not known");
    h->sub_norms = true;
    if (meta->gguf) h->act = MT_ACT_RELU2;
    return MT_OK;
}

const mt_arch mt_arch_bitnet = {.name = "bitnet",
                                .model_types = "bitnet",
                                .names = names,
                                .prefix = "model.",
                                .ignored = "*.rotary_emb.inv_freq",
                                .configure = configure,
                                .declare = mt_declare_decoder,
                                .build = mt_build_decoder};
