/* StarCoder and SantaCoder (GPT-BigCode): GPT-2 with one key/value head for all queries. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "transformer.wte"},
                                {MT_ROLE_POSITION_EMBED, "transformer.wpe"},
                                {MT_ROLE_OUTPUT_NORM, "transformer.ln_f"},
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
    MT_TRY(mt_hyper_act(m, meta, "gelu_pytorch_tanh", err));
    mt_hyper_tied(m, meta, 1);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    bool multi_query = mt_meta_bool(meta, NULL, "multi_query", true);
    if (!meta->gguf) h->kv_heads = multi_query ? 1 : h->heads;
    h->norm = MT_NORM_LAYER;
    h->gated = false;
    h->qkv = multi_query ? MT_QKV_CONCAT : MT_QKV_PER_HEAD;
    h->position_rows = h->context;
    if (!mt_meta_bool(meta, NULL, "scale_attn_weights", true)) h->attn_scale = 1;
    return MT_OK;
}

const mt_arch mt_arch_gpt_bigcode = {.name = "starcoder",
                                     .model_types = "gpt_bigcode",
                                     .names = names,
                                     .prefix = "transformer.",
                                     .ignored = "*.attn.bias *.attn.masked_bias",
                                     .configure = configure,
                                     .declare = mt_declare_decoder,
                                     .build = mt_build_decoder};
