/* Qwen 2 and 2.5: Llama with biases on queries, keys and values. */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    mt_hyper_tied(m, meta, 0);
    h->qkv_bias = MT_BIAS_NEEDED;
    if (mt_meta_bool(meta, NULL, "use_sliding_window", false)) {
        int32_t window, first;
        MT_TRY(mt_meta_int(meta, NULL, "sliding_window", 1, INT32_MAX, 0, &window, err));
        MT_TRY(mt_meta_int(meta, NULL, "max_window_layers", 0, INT32_MAX, 0, &first, err));
        bool listed = mt_meta_count(meta, NULL, "layer_types") > 0;
        if (listed) mt_hyper_layer_types(m, meta, window, 0);
        for (int32_t l = first; l < h->layers && !listed; l++) h->layer[l].visible = mt_hyper_window(m, window);
    }
    return MT_OK;
}

const mt_arch mt_arch_qwen2 = {.name = "qwen2",
                               .model_types = "qwen2",
                               .names = mt_llama_names,
                               .prefix = "model.",
                               .ignored = "*.rotary_emb.inv_freq",
                               .configure = configure,
                               .declare = mt_declare_decoder,
                               .build = mt_build_decoder};
