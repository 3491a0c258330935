/* Phi 3 and 3.5 mini: Llama with fused query-key-value and gate-up matrices, long contexts by two lists of divisors. */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    int32_t window;
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    mt_hyper_tied(m, meta, 0);
    h->qkv = MT_QKV_CONCAT;
    h->gate_up_fused = true;
    MT_TRY(mt_meta_int(meta, "attention.sliding_window", "sliding_window", 0, INT32_MAX, 0, &window, err));
    for (int32_t l = 0; l < h->layers; l++) h->layer[l].visible = mt_hyper_window(m, window);
    return MT_OK;
}

const mt_arch mt_arch_phi3 = {.name = "phi3",
                              .model_types = "phi3",
                              .names = mt_llama_names,
                              .prefix = "model.",
                              .ignored = "*.rotary_emb.inv_freq",
                              .configure = configure,
                              .declare = mt_declare_decoder,
                              .build = mt_build_decoder};
