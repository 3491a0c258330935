/* BioGPT (Luo et al. 2022): OPT with scaled embeddings and exact GELU. */
#include "arch.h"

#include <math.h>

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "biogpt.embed_tokens"},
                                {MT_ROLE_POSITION_EMBED, "biogpt.embed_positions"},
                                {MT_ROLE_OUTPUT_NORM, "biogpt.layer_norm"},
                                {MT_ROLE_OUTPUT, "output_projection"},
                                {MT_ROLE_ATTN_NORM, "biogpt.layers.%d.self_attn_layer_norm"},
                                {MT_ROLE_FFN_NORM, "biogpt.layers.%d.final_layer_norm"},
                                {MT_ROLE_Q, "biogpt.layers.%d.self_attn.q_proj"},
                                {MT_ROLE_K, "biogpt.layers.%d.self_attn.k_proj"},
                                {MT_ROLE_V, "biogpt.layers.%d.self_attn.v_proj"},
                                {MT_ROLE_ATTN_OUT, "biogpt.layers.%d.self_attn.out_proj"},
                                {MT_ROLE_UP, "biogpt.layers.%d.fc1"},
                                {MT_ROLE_DOWN, "biogpt.layers.%d.fc2"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_act(m, meta, "gelu", err));
    mt_hyper_tied(m, meta, 1);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    h->norm = MT_NORM_LAYER;
    h->gated = false;
    h->eps = 1e-5f; /* whatever "layer_norm_eps" says */
    h->position_first = 2;
    h->position_rows = h->context + 2;
    if (mt_meta_bool(meta, NULL, "scale_embedding", true)) h->embed_scale = sqrtf((float)h->width);
    return MT_OK;
}

const mt_arch mt_arch_biogpt = {.name = "biogpt",
                                .model_types = "biogpt",
                                .names = names,
                                .prefix = "biogpt.",
                                .ignored = "",
                                .configure = configure,
                                .declare = mt_declare_decoder,
                                .build = mt_build_decoder};
