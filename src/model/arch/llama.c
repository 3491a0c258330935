/* Llama 1-3, Mistral, Mixtral (a mixture of experts for the feed-forward part) and models of the same shape (Touvron et
 * al. 2023): RMSNorm before each block, rotary positions, grouped-query attention, SwiGLU. GGUF files keep the rows of
 * W_q and W_k so that rotary pairs are neighbours. */
#include "arch.h"

const mt_name mt_llama_names[] = {
    {MT_ROLE_TOKEN_EMBED, "model.embed_tokens"},
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
    {MT_ROLE_QKV, "model.layers.%d.self_attn.qkv_proj"},
    {MT_ROLE_GATE_UP, "model.layers.%d.mlp.gate_up_proj"},
    {MT_ROLE_Q_NORM, "model.layers.%d.self_attn.q_norm"},
    {MT_ROLE_K_NORM, "model.layers.%d.self_attn.k_norm"},
    {MT_ROLE_ROUTER, "model.layers.%d.block_sparse_moe.gate|model.layers.%d.mlp.gate"},
    {MT_ROLE_GATE_EXPERTS, "model.layers.%d.block_sparse_moe.experts.%d.w1|model.layers.%d.mlp.experts.%d.gate_proj"},
    {MT_ROLE_UP_EXPERTS, "model.layers.%d.block_sparse_moe.experts.%d.w3|model.layers.%d.mlp.experts.%d.up_proj"},
    {MT_ROLE_DOWN_EXPERTS, "model.layers.%d.block_sparse_moe.experts.%d.w2|model.layers.%d.mlp.experts.%d.down_proj"},
    {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    MT_TRY(mt_hyper_experts(m, meta, err));
    mt_hyper_tied(m, meta, 0);
    h->experts_normalise = true;
    h->rope_interleaved = meta->gguf != NULL || mt_meta_bool(meta, NULL, "rope_interleaved", false);
    h->has_rope_freqs = true;
    if (meta->gguf) {
        h->qkv_bias = h->attn_out_bias = h->mlp_bias = MT_BIAS_IF_PRESENT;
    } else {
        bool bias = mt_meta_bool(meta, NULL, "attention_bias", false);
        h->qkv_bias = h->attn_out_bias = bias ? MT_BIAS_NEEDED : MT_BIAS_NONE;
        h->mlp_bias = mt_meta_bool(meta, NULL, "mlp_bias", false) ? MT_BIAS_NEEDED : MT_BIAS_NONE;
        int32_t window;
        MT_TRY(mt_meta_int(meta, NULL, "sliding_window", 1, INT32_MAX, 0, &window, err));
        mt_hyper_layer_types(m, meta, window, -1);
    }
    return MT_OK;
}

const mt_arch mt_arch_llama = {.name = "llama",
                               .model_types = "llama mistral mixtral",
                               .names = mt_llama_names,
                               .prefix = "model.",
                               .ignored = "*.rotary_emb.inv_freq",
                               .permuted = true,
                               .configure = configure,
                               .declare = mt_declare_decoder,
                               .build = mt_build_decoder};
