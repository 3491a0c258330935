/* GPT-NeoX and Pythia (Black et al. 2022): attention and feed-forward in parallel on two norms of the same input, a
 * quarter of each head is rotated; the fused matrix holds q, k and v head by head. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "gpt_neox.embed_in"},
                                {MT_ROLE_OUTPUT_NORM, "gpt_neox.final_layer_norm"},
                                {MT_ROLE_OUTPUT, "embed_out"},
                                {MT_ROLE_ATTN_NORM, "gpt_neox.layers.%d.input_layernorm"},
                                {MT_ROLE_FFN_NORM, "gpt_neox.layers.%d.post_attention_layernorm"},
                                {MT_ROLE_QKV, "gpt_neox.layers.%d.attention.query_key_value"},
                                {MT_ROLE_ATTN_OUT, "gpt_neox.layers.%d.attention.dense"},
                                {MT_ROLE_UP, "gpt_neox.layers.%d.mlp.dense_h_to_4h"},
                                {MT_ROLE_DOWN, "gpt_neox.layers.%d.mlp.dense_4h_to_h"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "gelu", err));
    mt_hyper_tied(m, meta, 0);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    if (!mt_meta_bool(meta, NULL, "attention_bias", true)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NONE;
    h->norm = MT_NORM_LAYER;
    h->qkv = MT_QKV_PER_HEAD;
    h->gated = false;
    h->flow = mt_meta_bool(meta, "use_parallel_residual", "use_parallel_residual", true) ? MT_FLOW_PARALLEL
                                                                                         : MT_FLOW_SEQUENTIAL;
    return MT_OK;
}

const mt_arch mt_arch_gpt_neox = {.name = "gptneox",
                                  .model_types = "gpt_neox",
                                  .names = names,
                                  .prefix = "gpt_neox.",
                                  .ignored = "*.rotary_emb.inv_freq *.attention.bias *.attention.masked_bias",
                                  .configure = configure,
                                  .declare = mt_declare_decoder,
                                  .build = mt_build_decoder};
