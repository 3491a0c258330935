/* The first GPT (Radford et al. 2018): GPT-2 with norms behind each block. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "transformer.tokens_embed"},
                                {MT_ROLE_POSITION_EMBED, "transformer.positions_embed"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "transformer.h.%d.ln_1"},
                                {MT_ROLE_QKV, "transformer.h.%d.attn.c_attn"},
                                {MT_ROLE_ATTN_OUT, "transformer.h.%d.attn.c_proj"},
                                {MT_ROLE_FFN_NORM, "transformer.h.%d.ln_2"},
                                {MT_ROLE_UP, "transformer.h.%d.mlp.c_fc"},
                                {MT_ROLE_DOWN, "transformer.h.%d.mlp.c_proj"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    mt_hyper_tied(m, meta, 1);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    mt_str act = mt_meta_string(meta, NULL, "afn"); /* its "gelu" is the tanh form */
    h->act = mt_str_is(act, "relu")                              ? MT_ACT_RELU
             : mt_str_is(act, "silu") || mt_str_is(act, "swish") ? MT_ACT_SILU
                                                                 : MT_ACT_GELU_TANH;
    h->norm = MT_NORM_LAYER;
    h->flow = MT_FLOW_POST_NORM;
    h->gated = h->final_norm = false;
    h->transposed = true;
    h->qkv = MT_QKV_CONCAT;
    h->position_rows = h->context;
    return MT_OK;
}

const mt_arch mt_arch_openai_gpt = {.name = "openai-gpt",
                                    .model_types = "openai-gpt",
                                    .names = names,
                                    .prefix = "transformer.",
                                    .ignored = "*.attn.bias *.position_ids",
                                    .configure = configure,
                                    .declare = mt_declare_decoder,
                                    .build = mt_build_decoder};
