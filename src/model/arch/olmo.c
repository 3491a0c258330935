/* OLMo 1: Llama with LayerNorm that has neither gain nor bias. */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    if (mt_meta_bool(meta, NULL, "attention_bias", false)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    mt_hyper_tied(m, meta, 0);
    h->norm = MT_NORM_LAYER;
    h->eps = 1e-5f;
    h->bare_norms = true;
    h->rope_interleaved = meta->gguf != NULL;
    MT_TRY(mt_meta_float(meta, "attention.clamp_kqv", "clip_qkv", 0, &h->clip_qkv, err));
    return MT_OK;
}

const mt_arch mt_arch_olmo = {.name = "olmo",
                              .model_types = "olmo",
                              .names = mt_llama_names,
                              .prefix = "model.",
                              .ignored = "*.rotary_emb.inv_freq",
                              .permuted = true,
                              .configure = configure,
                              .declare = mt_declare_decoder,
                              .build = mt_build_decoder};
