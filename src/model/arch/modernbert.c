/* ModernBERT (Warner et al. 2024): an encoder with rotary positions, pre-norms without biases, a gated feed-forward
 * part, and a narrow window in two of three layers. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "model.embeddings.tok_embeddings"},
                                {MT_ROLE_EMBED_NORM, "model.embeddings.norm"},
                                {MT_ROLE_OUTPUT_NORM, "model.final_norm"},
                                {MT_ROLE_ATTN_NORM, "model.layers.%d.attn_norm"},
                                {MT_ROLE_FFN_NORM, "model.layers.%d.mlp_norm"},
                                {MT_ROLE_QKV, "model.layers.%d.attn.Wqkv"},
                                {MT_ROLE_ATTN_OUT, "model.layers.%d.attn.Wo"},
                                {MT_ROLE_GATE_UP, "model.layers.%d.mlp.Wi"},
                                {MT_ROLE_DOWN, "model.layers.%d.mlp.Wo"},
                                {MT_ROLE_HEAD, "head.dense"},
                                {MT_ROLE_HEAD_NORM, "head.norm"},
                                {MT_ROLE_OUTPUT, "decoder"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    int32_t every, window;
    bool nested = mt_meta_has(meta, NULL, "rope_parameters.full_attention.rope_theta");
    MT_TRY(mt_hyper_rope(m, meta,
                         (mt_rope_source){.path = nested ? "rope_parameters.full_attention" : NULL,
                                          .hub_base = "global_rope_theta",
                                          .base = 160000},
                         err));
    MT_TRY(mt_hyper_rope(
        m, meta,
        (mt_rope_source){.path = "rope_parameters.sliding_attention", .hub_base = "local_rope_theta", .unscaled = true},
        err));
    MT_TRY(mt_hyper_act(m, meta, "gelu", err));
    mt_hyper_tied(m, meta, 1);
    h->norm = MT_NORM_LAYER;
    h->norm_bias = mt_meta_bool(meta, NULL, "norm_bias", false) ? MT_BIAS_NEEDED : MT_BIAS_NONE;
    h->qkv_bias = h->attn_out_bias = mt_meta_bool(meta, NULL, "attention_bias", false) ? MT_BIAS_NEEDED : MT_BIAS_NONE;
    h->mlp_bias = mt_meta_bool(meta, NULL, "mlp_bias", false) ? MT_BIAS_NEEDED : MT_BIAS_NONE;
    h->bidirectional = h->embed_norm = h->gate_up_fused = h->bare_first_norm = true;
    h->qkv = MT_QKV_CONCAT;
    h->head_act = h->act;
    MT_TRY(mt_meta_int(meta, NULL, "local_attention", 2, INT32_MAX, 128, &window, err));
    MT_TRY(mt_meta_int(meta, NULL, "global_attn_every_n_layers", 1, INT32_MAX, 3, &every, err));
    mt_hyper_layer_types(m, meta, window / 2, 0);
    for (int32_t l = 0; l < h->layers; l++) {
        if (mt_meta_count(meta, NULL, "layer_types") <= l && l % every)
            h->layer[l].visible = mt_hyper_window(m, window / 2);
        h->layer[l].rope = h->layer[l].visible ? 1 : 0;
    }
    return MT_OK;
}

const mt_arch mt_arch_modernbert = {.name = "modernbert",
                                    .model_types = "modernbert",
                                    .names = names,
                                    .prefix = "model.",
                                    .ignored = "",
                                    .configure = configure,
                                    .declare = mt_declare_encoder,
                                    .build = mt_build_encoder};
