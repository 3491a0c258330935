/* StableLM: Llama with LayerNorm and a quarter of each head rotated; newer ones run both parts in parallel on one norm.
 */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    mt_hyper_tied(m, meta, 0);
    h->norm = MT_NORM_LAYER;
    h->norm_bias = MT_BIAS_NEEDED;
    h->qkv_bias = meta->gguf                                        ? MT_BIAS_IF_PRESENT
                  : mt_meta_bool(meta, NULL, "use_qkv_bias", false) ? MT_BIAS_NEEDED
                                                                    : MT_BIAS_NONE;
    if (mt_meta_bool(meta, "use_parallel_residual", "use_parallel_residual", false)) h->flow = MT_FLOW_PARALLEL_SHARED;
    if (mt_meta_bool(meta, NULL, "qk_layernorm", false))
        return mt_fail(err, MT_EUNKNOWN,
                       "config.json: \"qk_layernorm\": true (norms of their own for each head) is not known");
    return MT_OK;
}

const mt_arch mt_arch_stablelm = {.name = "stablelm",
                                  .model_types = "stablelm",
                                  .names = mt_llama_names,
                                  .prefix = "model.",
                                  .ignored = "*.rotary_emb.inv_freq",
                                  .configure = configure,
                                  .declare = mt_declare_decoder,
                                  .build = mt_build_decoder};
