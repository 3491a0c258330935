/* GPT-Neo (Black et al. 2021): GPT-2 with unscaled scores, no biases on q, k and v, and a window in every other layer.
 */
#include "arch.h"

#include <stdio.h>

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "transformer.wte"},
                                {MT_ROLE_POSITION_EMBED, "transformer.wpe"},
                                {MT_ROLE_OUTPUT_NORM, "transformer.ln_f"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "transformer.h.%d.ln_1"},
                                {MT_ROLE_FFN_NORM, "transformer.h.%d.ln_2"},
                                {MT_ROLE_Q, "transformer.h.%d.attn.attention.q_proj"},
                                {MT_ROLE_K, "transformer.h.%d.attn.attention.k_proj"},
                                {MT_ROLE_V, "transformer.h.%d.attn.attention.v_proj"},
                                {MT_ROLE_ATTN_OUT, "transformer.h.%d.attn.attention.out_proj"},
                                {MT_ROLE_UP, "transformer.h.%d.mlp.c_fc"},
                                {MT_ROLE_DOWN, "transformer.h.%d.mlp.c_proj"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    int32_t window;
    MT_TRY(mt_hyper_act(m, meta, "gelu_new", err));
    mt_hyper_tied(m, meta, 1);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    h->qkv_bias = MT_BIAS_NONE;
    h->norm = MT_NORM_LAYER;
    h->gated = false;
    h->attn_scale = 1;
    h->position_rows = h->context;
    MT_TRY(mt_meta_int(meta, NULL, "window_size", 1, INT32_MAX, 256, &window, err));
    /* "attention_layers" lists the kinds; "attention_types" [[kinds, repeats]] is what it is made from. */
    int64_t kinds = mt_meta_count(meta, NULL, "attention_types.0.0");
    for (int32_t l = 0; l < h->layers; l++) {
        char path[64];
        mt_str kind = mt_meta_string_at(meta, "attention_layers", l);
        snprintf(path, sizeof path, "attention_types.0.0.%d", kinds > 0 ? (int)(l % kinds) : 0);
        if (!kind.n) kind = mt_meta_string(meta, NULL, path);
        h->layer[l].visible = mt_str_is(kind, "local") ? mt_hyper_window(m, window) : 0;
    }
    return MT_OK;
}

const mt_arch mt_arch_gpt_neo = {.name = "gptneo",
                                 .model_types = "gpt_neo",
                                 .names = names,
                                 .prefix = "transformer.",
                                 .ignored = "*.attn.attention.bias *.attn.attention.masked_bias",
                                 .configure = configure,
                                 .declare = mt_declare_decoder,
                                 .build = mt_build_decoder};
