/* OPT (Zhang et al. 2022): learned positions from row 2 on, ReLU. The 350M model normalises after each block and has
 * embeddings narrower than the residual stream. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "model.decoder.embed_tokens"},
                                {MT_ROLE_POSITION_EMBED, "model.decoder.embed_positions"},
                                {MT_ROLE_OUTPUT_NORM, "model.decoder.final_layer_norm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_EMBED_IN, "model.decoder.project_in"},
                                {MT_ROLE_EMBED_OUT, "model.decoder.project_out"},
                                {MT_ROLE_ATTN_NORM, "model.decoder.layers.%d.self_attn_layer_norm"},
                                {MT_ROLE_FFN_NORM, "model.decoder.layers.%d.final_layer_norm"},
                                {MT_ROLE_Q, "model.decoder.layers.%d.self_attn.q_proj"},
                                {MT_ROLE_K, "model.decoder.layers.%d.self_attn.k_proj"},
                                {MT_ROLE_V, "model.decoder.layers.%d.self_attn.v_proj"},
                                {MT_ROLE_ATTN_OUT, "model.decoder.layers.%d.self_attn.out_proj"},
                                {MT_ROLE_UP, "model.decoder.layers.%d.fc1"},
                                {MT_ROLE_DOWN, "model.decoder.layers.%d.fc2"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_act(m, meta, "relu", err));
    mt_hyper_tied(m, meta, 1);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    if (!mt_meta_bool(meta, NULL, "enable_bias", true)) h->qkv_bias = h->attn_out_bias = h->mlp_bias = MT_BIAS_NONE;
    if (!mt_meta_bool(meta, NULL, "layer_norm_elementwise_affine", true))
        return mt_fail(err, MT_EUNKNOWN,
                       "config.json: norms without gains (layer_norm_elementwise_affine false) are not known");
    h->norm = MT_NORM_LAYER;
    h->eps = 1e-5f;
    h->gated = false;
    h->position_first = 2;
    h->position_rows = h->context + 2;
    if (!mt_meta_bool(meta, NULL, "do_layer_norm_before", true)) h->flow = MT_FLOW_POST_NORM;
    h->final_norm = h->flow != MT_FLOW_POST_NORM && !mt_meta_bool(meta, NULL, "_remove_final_layer_norm", false);
    MT_TRY(mt_meta_int(meta, NULL, "word_embed_proj_dim", 1, 1 << 24, h->width, &h->embed_width, err));
    return MT_OK;
}

const mt_arch mt_arch_opt = {.name = "opt",
                             .model_types = "opt",
                             .names = names,
                             .prefix = "model.",
                             .ignored = NULL,
                             .configure = configure,
                             .declare = mt_declare_decoder,
                             .build = mt_build_decoder};
