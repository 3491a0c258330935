/* Granite: Llama with four multipliers (embeddings, scores, residual branches, logits). */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    float divisor;
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    mt_hyper_tied(m, meta, 1);
    h->rope_interleaved = meta->gguf != NULL;
    MT_TRY(mt_meta_float(meta, "embedding_scale", "embedding_multiplier", 1, &h->embed_scale, err));
    MT_TRY(mt_meta_float(meta, "attention.scale", "attention_multiplier", meta->gguf ? h->attn_scale : 1,
                         &h->attn_scale, err));
    MT_TRY(mt_meta_float(meta, "residual_scale", "residual_multiplier", 1, &h->residual_scale, err));
    MT_TRY(mt_meta_float(meta, "logit_scale", "logits_scaling", 1, &divisor, err));
    if (!(divisor != 0)) return mt_fail(err, MT_ERANGE, "logits_scaling is 0");
    h->logit_scale = 1 / divisor;
    if (mt_meta_bool(meta, NULL, "attention_bias", false)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    if (mt_meta_bool(meta, NULL, "mlp_bias", false)) h->mlp_bias = MT_BIAS_NEEDED;
    return MT_OK;
}

const mt_arch mt_arch_granite = {.name = "granite",
                                 .model_types = "granite",
                                 .names = mt_llama_names,
                                 .prefix = "model.",
                                 .ignored = "*.rotary_emb.inv_freq",
                                 .permuted = true,
                                 .configure = configure,
                                 .declare = mt_declare_decoder,
                                 .build = mt_build_decoder};
