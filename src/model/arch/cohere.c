/* Command R (Cohere): LayerNorm without bias feeds both parts in parallel, rotary pairs next to each other, logits
 * scaled. */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    if (mt_meta_bool(meta, NULL, "attention_bias", false)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    mt_hyper_tied(m, meta, 1);
    h->norm = MT_NORM_LAYER;
    h->flow = MT_FLOW_PARALLEL_SHARED;
    h->rope_interleaved = true;
    MT_TRY(mt_meta_float(meta, "logit_scale", "logit_scale", 0.0625, &h->logit_scale, err));
    if (mt_meta_bool(meta, NULL, "use_qk_norm", false))
        return mt_fail(err, MT_EUNKNOWN,
                       "config.json: \"use_qk_norm\": true (gains of their own for each head) is not known");
    return MT_OK;
}

const mt_arch mt_arch_cohere = {.name = "command-r",
                                .model_types = "cohere",
                                .names = mt_llama_names,
                                .prefix = "model.",
                                .ignored = "*.rotary_emb.inv_freq",
                                .configure = configure,
                                .declare = mt_declare_decoder,
                                .build = mt_build_decoder};
