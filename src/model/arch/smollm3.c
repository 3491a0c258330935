/* SmolLM 3: Llama in which every fourth layer has no positions. */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    if (mt_meta_bool(meta, NULL, "attention_bias", false)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    if (mt_meta_bool(meta, NULL, "mlp_bias", false)) h->mlp_bias = MT_BIAS_NEEDED;
    int32_t window, interval;
    mt_hyper_tied(m, meta, 1);
    h->rope_interleaved = meta->gguf != NULL;
    MT_TRY(mt_meta_int(meta, NULL, "no_rope_layer_interval", 1, 4096, 4, &interval, err));
    MT_TRY(mt_meta_int(meta, NULL, "sliding_window", 1, INT32_MAX, 0, &window, err));
    if (mt_meta_bool(meta, NULL, "use_sliding_window", false)) mt_hyper_layer_types(m, meta, window, 0);
    for (int32_t l = 0; l < h->layers; l++) {
        double rotated = (l + 1) % interval != 0;
        mt_meta_number_at(meta, NULL, "no_rope_layers", l, &rotated);
        h->layer[l].rope = rotated != 0 ? 0 : -1;
    }
    return MT_OK;
}

const mt_arch mt_arch_smollm3 = {.name = "smollm3",
                                 .model_types = "smollm3",
                                 .names = mt_llama_names,
                                 .prefix = "model.",
                                 .ignored = "*.rotary_emb.inv_freq",
                                 .permuted = true,
                                 .configure = configure,
                                 .declare = mt_declare_decoder,
                                 .build = mt_build_decoder};
