/* Qwen 3, dense and with experts: Llama with RMSNorm over each head of queries and keys before the rotation. */
#include "arch.h"

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    mt_hyper_tied(m, meta, 0);
    h->qk_norm = MT_QK_NORM_HEAD;
    if (mt_meta_bool(meta, NULL, "attention_bias", false)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    MT_TRY(mt_hyper_experts(m, meta, err));
    h->experts_normalise = mt_meta_bool(meta, NULL, "norm_topk_prob", meta->gguf != NULL);
    if (mt_meta_bool(meta, NULL, "use_sliding_window", false)) {
        int32_t window;
        MT_TRY(mt_meta_int(meta, NULL, "sliding_window", 1, INT32_MAX, 0, &window, err));
        mt_hyper_layer_types(m, meta, window, 0);
    }
    return MT_OK;
}

const mt_arch mt_arch_qwen3 = {.name = "qwen3",
                               .gguf_names = "qwen3moe",
                               .model_types = "qwen3 qwen3_moe",
                               .names = mt_llama_names,
                               .prefix = "model.",
                               .ignored = "*.rotary_emb.inv_freq",
                               .configure = configure,
                               .declare = mt_declare_decoder,
                               .build = mt_build_decoder};
