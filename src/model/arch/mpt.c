/* MPT: ALiBi, LayerNorm without bias, a fused matrix [q | k | v], exact GELU, tied output. */
#include "arch.h"

#include <math.h>

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "transformer.wte"},
                                {MT_ROLE_OUTPUT_NORM, "transformer.norm_f"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "transformer.blocks.%d.norm_1"},
                                {MT_ROLE_FFN_NORM, "transformer.blocks.%d.norm_2"},
                                {MT_ROLE_QKV, "transformer.blocks.%d.attn.Wqkv"},
                                {MT_ROLE_ATTN_OUT, "transformer.blocks.%d.attn.out_proj"},
                                {MT_ROLE_UP, "transformer.blocks.%d.ffn.up_proj"},
                                {MT_ROLE_DOWN, "transformer.blocks.%d.ffn.down_proj"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    float max, scale;
    mt_hyper_tied(m, meta, 1);
    h->act = MT_ACT_GELU_ERF;
    h->norm = MT_NORM_LAYER;
    h->gated = false;
    h->qkv = MT_QKV_CONCAT;
    MT_TRY(mt_meta_float(meta, "attention.clamp_kqv", "attn_config.clip_qkv", 0, &h->clip_qkv, err));
    MT_TRY(mt_meta_float(meta, NULL, "attn_config.softmax_scale", h->attn_scale, &scale, err));
    h->attn_scale = scale;
    MT_TRY(mt_meta_float(meta, "attention.max_alibi_bias", "attn_config.alibi_bias_max", 8, &max, err));
    MT_TRY(mt_hyper_alibi(m, max, err));
    /* MPT takes the slopes of the next power of two: first every second one, then those between. */
    int32_t power = 1;
    while (power < h->heads) power *= 2;
    for (int32_t i = 0; i < h->heads && power != h->heads; i++) {
        int32_t at = 2 * i + 2 <= power ? 2 * i + 2 : 2 * (i - power / 2) + 1;
        h->alibi_slopes[i] = powf(2, -max * (float)at / (float)power);
    }
    return MT_OK;
}

const mt_arch mt_arch_mpt = {.name = "mpt",
                             .model_types = "mpt",
                             .names = names,
                             .prefix = "transformer.",
                             .ignored = NULL,
                             .configure = configure,
                             .declare = mt_declare_decoder,
                             .build = mt_build_decoder};
