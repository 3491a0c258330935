/* Granite 4 (IBM 2025): Mamba-2 layers among a few attention layers, Granite's four multipliers. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "model.embed_tokens"},
                                {MT_ROLE_OUTPUT_NORM, "model.norm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "model.layers.%d.input_layernorm"},
                                {MT_ROLE_FFN_NORM, "model.layers.%d.post_attention_layernorm"},
                                {MT_ROLE_SSM_IN, "model.layers.%d.mamba.in_proj"},
                                {MT_ROLE_SSM_CONV, "model.layers.%d.mamba.conv1d"},
                                {MT_ROLE_SSM_DT_BIAS, "model.layers.%d.mamba.dt_bias!"},
                                {MT_ROLE_SSM_A, "model.layers.%d.mamba.A_log!"},
                                {MT_ROLE_SSM_D, "model.layers.%d.mamba.D!"},
                                {MT_ROLE_SSM_NORM, "model.layers.%d.mamba.norm"},
                                {MT_ROLE_SSM_OUT, "model.layers.%d.mamba.out_proj"},
                                {MT_ROLE_Q, "model.layers.%d.self_attn.q_proj"},
                                {MT_ROLE_K, "model.layers.%d.self_attn.k_proj"},
                                {MT_ROLE_V, "model.layers.%d.self_attn.v_proj"},
                                {MT_ROLE_ATTN_OUT, "model.layers.%d.self_attn.o_proj"},
                                {MT_ROLE_GATE_UP, "model.layers.%d.shared_mlp.input_linear"},
                                {MT_ROLE_DOWN, "model.layers.%d.shared_mlp.output_linear"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    int32_t experts, expand;
    float divisor;
    char shown[64];
    if (meta->gguf) return mt_fail(err, MT_EUNKNOWN, "GGUF: Granite 4 is read from hub folders (safetensors) only");
    MT_TRY(mt_hyper_read(m, meta, err));
    mt_str positions = mt_meta_string(meta, NULL, "position_embedding_type");
    if (mt_str_is(positions, "rope"))
        MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    else if (positions.n && !mt_str_is(positions, "nope"))
        return mt_fail(err, MT_EUNKNOWN, "config.json: \"position_embedding_type\" is \"%s\" (known: rope nope)",
                       mt_str_show(positions, shown, sizeof shown));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    MT_TRY(mt_meta_int(meta, NULL, "num_local_experts", 0, 65536, 0, &experts, err));
    if (experts)
        return mt_fail(err, MT_EUNKNOWN, "config.json: \"num_local_experts\" is %d (known: 0, only the shared part)",
                       experts);
    MT_TRY(mt_meta_int(meta, NULL, "shared_intermediate_size", 1, 1 << 24, 1024, &h->ffn, err));
    MT_TRY(mt_meta_int(meta, NULL, "mamba_expand", 1, 64, 2, &expand, err));
    h->inner = h->width * expand;
    MT_TRY(mt_meta_int(meta, NULL, "mamba_n_heads", 1, 65536, 128, &h->ssm_heads, err));
    MT_TRY(mt_meta_int(meta, NULL, "mamba_n_groups", 1, 65536, 1, &h->groups, err));
    MT_TRY(mt_meta_int(meta, NULL, "mamba_d_state", 1, 256, 256, &h->state, err));
    MT_TRY(mt_meta_int(meta, NULL, "mamba_d_conv", 1, MT_MAX_TAPS, 4, &h->taps, err));
    MT_TRY(mt_mamba2_check(m, meta, err));
    h->conv_bias = mt_meta_bool(meta, NULL, "mamba_conv_bias", true) ? MT_BIAS_NEEDED : MT_BIAS_NONE;
    h->ssm_bias = mt_meta_bool(meta, NULL, "mamba_proj_bias", false) ? MT_BIAS_NEEDED : MT_BIAS_NONE;
    if (mt_meta_bool(meta, NULL, "attention_bias", false)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    MT_TRY(mt_meta_float(meta, NULL, "embedding_multiplier", 1, &h->embed_scale, err));
    MT_TRY(mt_meta_float(meta, NULL, "attention_multiplier", 1, &h->attn_scale, err));
    MT_TRY(mt_meta_float(meta, NULL, "residual_multiplier", 1, &h->residual_scale, err));
    MT_TRY(mt_meta_float(meta, NULL, "logits_scaling", 1, &divisor, err));
    if (!(divisor != 0)) return mt_fail(err, MT_ERANGE, "logits_scaling is 0");
    h->logit_scale = 1 / divisor;
    h->gate_up_fused = true;
    mt_hyper_tied(m, meta, 1);
    mt_hyper_recurrent(m, meta);
    return MT_OK;
}

const mt_arch mt_arch_granitemoehybrid = {.name = "granitehybrid",
                                          .model_types = "granitemoehybrid",
                                          .names = names,
                                          .prefix = "model.",
                                          .ignored = "*.rotary_emb.inv_freq",
                                          .configure = configure,
                                          .declare = mt_declare_decoder,
                                          .build = mt_build_decoder,
                                          .declare_mixer = mt_mamba_declare,
                                          .mixer = mt_mamba_mixer};
