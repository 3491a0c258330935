/* gpt-oss (OpenAI 2025): Llama with biases, a learnt logit for each head that takes a share of the softmax ("sink"),
 * narrow windows in every other layer, and experts with clamped gates and biases, all of a layer in one tensor. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "model.embed_tokens"},
                                {MT_ROLE_OUTPUT_NORM, "model.norm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "model.layers.%d.input_layernorm"},
                                {MT_ROLE_FFN_NORM, "model.layers.%d.post_attention_layernorm"},
                                {MT_ROLE_Q, "model.layers.%d.self_attn.q_proj"},
                                {MT_ROLE_K, "model.layers.%d.self_attn.k_proj"},
                                {MT_ROLE_V, "model.layers.%d.self_attn.v_proj"},
                                {MT_ROLE_ATTN_OUT, "model.layers.%d.self_attn.o_proj"},
                                {MT_ROLE_SINKS, "model.layers.%d.self_attn.sinks!"},
                                {MT_ROLE_ROUTER, "model.layers.%d.mlp.router"},
                                {MT_ROLE_GATE_UP_EXPERTS, "model.layers.%d.mlp.experts.gate_up_proj"},
                                {MT_ROLE_DOWN_EXPERTS, "model.layers.%d.mlp.experts.down_proj"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    int32_t window;
    if (meta->gguf) return mt_fail(err, MT_EUNKNOWN, "GGUF: gpt-oss is read from hub folders (safetensors) only");
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){.base = 150000}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    if (h->act != MT_ACT_SILU)
        return mt_fail(err, MT_EUNKNOWN, "config.json: \"hidden_act\" of gpt-oss is not \"silu\" (known: silu)");
    MT_TRY(mt_hyper_experts(m, meta, err));
    if (!h->experts) return mt_fail(err, MT_EMISSING, "config.json: \"num_local_experts\" is absent or 0");
    MT_TRY(mt_meta_float(meta, NULL, "swiglu_limit", 7, &h->experts_limit, err));
    if (!(h->experts_limit > 0))
        return mt_fail(err, MT_ERANGE, "config.json: \"swiglu_limit\" is %g, expected more than 0",
                       (double)h->experts_limit);
    mt_hyper_tied(m, meta, 0);
    h->experts_normalise = h->experts_bias = h->sinks = true;
    if (mt_meta_bool(meta, NULL, "attention_bias", true)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    MT_TRY(mt_meta_int(meta, NULL, "sliding_window", 1, INT32_MAX, 128, &window, err));
    mt_hyper_layer_types(m, meta, window, 2);
    return MT_OK;
}

const mt_arch mt_arch_gpt_oss = {.name = "gpt-oss",
                                 .model_types = "gpt_oss",
                                 .names = names,
                                 .prefix = "model.",
                                 .ignored = "*.rotary_emb.inv_freq",
                                 .configure = configure,
                                 .declare = mt_declare_decoder,
                                 .build = mt_build_decoder};
