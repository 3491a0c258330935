/* Falcon (Almazrouei et al. 2023). 7B: one key/value head, one norm feeds both parts in parallel. 40B: groups of heads
 * and a norm for each part. The RW models: ALiBi, biases, blocks one after the other. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "transformer.word_embeddings"},
                                {MT_ROLE_OUTPUT_NORM, "transformer.ln_f"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "transformer.h.%d.input_layernorm|transformer.h.%d.ln_attn"},
                                {MT_ROLE_FFN_NORM, "transformer.h.%d.post_attention_layernorm|transformer.h.%d.ln_mlp"},
                                {MT_ROLE_QKV, "transformer.h.%d.self_attention.query_key_value"},
                                {MT_ROLE_ATTN_OUT, "transformer.h.%d.self_attention.dense"},
                                {MT_ROLE_UP, "transformer.h.%d.mlp.dense_h_to_4h"},
                                {MT_ROLE_DOWN, "transformer.h.%d.mlp.dense_4h_to_h"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_act(m, meta, "gelu", err));
    mt_hyper_tied(m, meta, 1);
    h->norm = MT_NORM_LAYER;
    h->norm_bias = MT_BIAS_NEEDED;
    if (mt_meta_bool(meta, NULL, "bias", false)) mt_hyper_bias(m, MT_BIAS_NEEDED);
    h->gated = false;
    bool grouped = mt_meta_bool(meta, NULL, "new_decoder_architecture", false);
    if (meta->gguf) {
        h->qkv = MT_QKV_CONCAT;
        h->flow = MT_FLOW_PARALLEL_SHARED;
    } else if (grouped) {
        int32_t norms;
        MT_TRY(mt_meta_int(meta, NULL, "num_kv_heads|n_head_kv", 1, h->heads, h->heads, &h->kv_heads, err));
        MT_TRY(mt_meta_int(meta, NULL, "num_ln_in_parallel_attn", 1, 2, 2, &norms, err));
        h->qkv = MT_QKV_PER_GROUP;
        h->flow = norms == 2 ? MT_FLOW_PARALLEL : MT_FLOW_PARALLEL_SHARED;
    } else {
        bool multi_query = mt_meta_bool(meta, NULL, "multi_query", true);
        h->kv_heads = multi_query ? 1 : h->heads;
        h->qkv = multi_query ? MT_QKV_CONCAT : MT_QKV_PER_HEAD;
        h->flow = mt_meta_bool(meta, NULL, "parallel_attn", true) ? MT_FLOW_PARALLEL_SHARED : MT_FLOW_SEQUENTIAL;
    }
    if (h->heads % h->kv_heads)
        return mt_fail(err, MT_ERANGE, "%d heads are no multiple of %d key/value heads", h->heads, h->kv_heads);
    if (!mt_meta_bool(meta, NULL, "alibi", false)) return mt_hyper_rope(m, meta, (mt_rope_source){0}, err);
    MT_TRY(mt_hyper_alibi(m, 8, err));
    for (int32_t i = 0; i < h->heads; i++) h->alibi_slopes[i] *= h->attn_scale; /* added before the scores are scaled */
    return MT_OK;
}

const mt_arch mt_arch_falcon = {.name = "falcon",
                                .model_types = "falcon RefinedWeb RefinedWebModel",
                                .names = names,
                                .prefix = "transformer.",
                                .ignored = "*.rotary_emb.inv_freq",
                                .configure = configure,
                                .declare = mt_declare_decoder,
                                .build = mt_build_decoder};
