/* ERNIE 4.5 (dense): Llama with rotary pairs next to each other. */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    mt_hyper_tied(m, meta, 1);
    h->rope_interleaved = true;
    if (mt_meta_bool(meta, NULL, "use_bias", false)) h->qkv_bias = h->attn_out_bias = h->mlp_bias = MT_BIAS_NEEDED;
    return MT_OK;
}

const mt_arch mt_arch_ernie4_5 = {.name = "ernie4_5",
                                  .model_types = "ernie4_5",
                                  .names = mt_llama_names,
                                  .prefix = "model.",
                                  .ignored = "*.rotary_emb.inv_freq",
                                  .configure = configure,
                                  .declare = mt_declare_decoder,
                                  .build = mt_build_decoder};
