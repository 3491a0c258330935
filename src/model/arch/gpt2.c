/* GPT-2 (Radford et al. 2019): LayerNorm before each block, learned positions, fused query-key-value with bias,
 * tanh-GELU, tied output. Hub files keep linear weights as [in][out]. A feed-forward width of 0 leaves those blocks
 * out: the attention-only models of Elhage et al. 2021. */
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
    MT_TRY(mt_hyper_act(m, meta, "gelu_new", err));
    mt_hyper_tied(m, meta, 1);
    h->norm = MT_NORM_LAYER;
    h->norm_bias = h->qkv_bias = h->attn_out_bias = h->mlp_bias = MT_BIAS_NEEDED;
    h->gated = false;
    h->transposed = true;
    h->qkv = MT_QKV_CONCAT;
    h->position_rows = h->context;
    if (!mt_meta_bool(meta, NULL, "scale_attn_weights", true)) h->attn_scale = 1;
    if (mt_meta_bool(meta, NULL, "scale_attn_by_inverse_layer_idx", false))
        return mt_fail(err, MT_EUNKNOWN, "config.json: \"scale_attn_by_inverse_layer_idx\": true is not known");
    return MT_OK;
}

const mt_arch mt_arch_gpt2 = {.name = "gpt2",
                              .model_types = "gpt2",
                              .names = names,
                              .prefix = "transformer.",
                              .attention_only = true,
                              .ignored = "*.attn.bias *.attn.masked_bias",
                              .configure = configure,
                              .declare = mt_declare_decoder,
                              .build = mt_build_decoder};
