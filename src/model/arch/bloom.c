/* BLOOM (Scao et al. 2022): ALiBi instead of positions, a norm on the embeddings, q, k and v fused head by head. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "transformer.word_embeddings"},
                                {MT_ROLE_EMBED_NORM, "transformer.word_embeddings_layernorm"},
                                {MT_ROLE_OUTPUT_NORM, "transformer.ln_f"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "transformer.h.%d.input_layernorm"},
                                {MT_ROLE_FFN_NORM, "transformer.h.%d.post_attention_layernorm"},
                                {MT_ROLE_QKV, "transformer.h.%d.self_attention.query_key_value"},
                                {MT_ROLE_ATTN_OUT, "transformer.h.%d.self_attention.dense"},
                                {MT_ROLE_UP, "transformer.h.%d.mlp.dense_h_to_4h"},
                                {MT_ROLE_DOWN, "transformer.h.%d.mlp.dense_4h_to_h"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    mt_hyper_tied(m, meta, 1);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    h->act = MT_ACT_GELU_TANH;
    h->norm = MT_NORM_LAYER;
    h->gated = false;
    h->embed_norm = true;
    h->qkv = MT_QKV_PER_HEAD;
    h->residual_from_norm = mt_meta_bool(meta, NULL, "apply_residual_connection_post_layernorm", false);
    MT_TRY(mt_hyper_alibi(m, 8, err));
    return MT_OK;
}

const mt_arch mt_arch_bloom = {.name = "bloom",
                               .model_types = "bloom",
                               .names = names,
                               .prefix = "transformer.",
                               .ignored = NULL,
                               .configure = configure,
                               .declare = mt_declare_decoder,
                               .build = mt_build_decoder};
