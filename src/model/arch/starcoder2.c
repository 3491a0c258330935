/* StarCoder 2: Llama with LayerNorm, a plain tanh-GELU feed-forward part and biases. */
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
                                {MT_ROLE_UP, "model.layers.%d.mlp.c_fc"},
                                {MT_ROLE_DOWN, "model.layers.%d.mlp.c_proj"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    int32_t window;
    MT_TRY(mt_hyper_act(m, meta, "gelu_pytorch_tanh", err));
    if (meta->gguf) h->act = MT_ACT_GELU_TANH;
    mt_hyper_tied(m, meta, 1);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    if (!mt_meta_bool(meta, NULL, "use_bias", true)) h->qkv_bias = h->attn_out_bias = h->mlp_bias = MT_BIAS_NONE;
    h->norm = MT_NORM_LAYER;
    h->gated = false;
    MT_TRY(mt_meta_int(meta, "attention.sliding_window", "sliding_window", 0, INT32_MAX, 0, &window, err));
    for (int32_t l = 0; l < h->layers; l++) h->layer[l].visible = mt_hyper_window(m, window);
    return MT_OK;
}

const mt_arch mt_arch_starcoder2 = {.name = "starcoder2",
                                    .model_types = "starcoder2",
                                    .names = names,
                                    .prefix = "model.",
                                    .ignored = "*.rotary_emb.inv_freq",
                                    .configure = configure,
                                    .declare = mt_declare_decoder,
                                    .build = mt_build_decoder};
