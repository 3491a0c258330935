/* Nemotron: LayerNorm with gains stored as gain - 1, squared ReLU, part of each head rotated. */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "relu2", err));
    if (mt_meta_bool(meta, NULL, "attention_bias", false)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    if (mt_meta_bool(meta, NULL, "mlp_bias", false)) h->mlp_bias = MT_BIAS_NEEDED;
    mt_hyper_tied(m, meta, 0);
    h->norm = MT_NORM_LAYER;
    h->norm_bias = MT_BIAS_NEEDED;
    h->norm_plus_one = true;
    h->gated = false;
    if (meta->gguf) h->act = MT_ACT_RELU2;
    return MT_OK;
}

const mt_arch mt_arch_nemotron = {.name = "nemotron",
                                  .model_types = "nemotron",
                                  .names = mt_llama_names,
                                  .prefix = "model.",
                                  .ignored = "*.rotary_emb.inv_freq",
                                  .configure = configure,
                                  .declare = mt_declare_decoder,
                                  .build = mt_build_decoder};
