/* Qwen 3.5, dense: three of four layers are linear attention by the gated delta rule (Yang et al. 2024), the others
 * attention whose output is gated by a sigmoid.
 *
 *   q k v = silu(conv(W n));  y = delta rule;  out = W_out (norm(y) * silu(W_z n)) */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "model.embed_tokens"},
                                {MT_ROLE_OUTPUT_NORM, "model.norm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "model.layers.%d.input_layernorm"},
                                {MT_ROLE_FFN_NORM, "model.layers.%d.post_attention_layernorm"},
                                {MT_ROLE_SSM_IN, "model.layers.%d.linear_attn.in_proj_qkv"},
                                {MT_ROLE_SSM_Z, "model.layers.%d.linear_attn.in_proj_z"},
                                {MT_ROLE_SSM_BETA, "model.layers.%d.linear_attn.in_proj_b"},
                                {MT_ROLE_SSM_ALPHA, "model.layers.%d.linear_attn.in_proj_a"},
                                {MT_ROLE_SSM_CONV, "model.layers.%d.linear_attn.conv1d"},
                                {MT_ROLE_SSM_DT_BIAS, "model.layers.%d.linear_attn.dt_bias!"},
                                {MT_ROLE_SSM_A, "model.layers.%d.linear_attn.A_log!"},
                                {MT_ROLE_SSM_NORM, "model.layers.%d.linear_attn.norm"},
                                {MT_ROLE_SSM_OUT, "model.layers.%d.linear_attn.out_proj"},
                                {MT_ROLE_Q, "model.layers.%d.self_attn.q_proj"},
                                {MT_ROLE_K, "model.layers.%d.self_attn.k_proj"},
                                {MT_ROLE_V, "model.layers.%d.self_attn.v_proj"},
                                {MT_ROLE_ATTN_OUT, "model.layers.%d.self_attn.o_proj"},
                                {MT_ROLE_Q_NORM, "model.layers.%d.self_attn.q_norm"},
                                {MT_ROLE_K_NORM, "model.layers.%d.self_attn.k_norm"},
                                {MT_ROLE_GATE, "model.layers.%d.mlp.gate_proj"},
                                {MT_ROLE_UP, "model.layers.%d.mlp.up_proj"},
                                {MT_ROLE_DOWN, "model.layers.%d.mlp.down_proj"},
                                {0, NULL}};

static int32_t channels(const mt_hyper *h) {
    return 2 * h->key_heads * h->key_width + h->ssm_heads * h->ssm_head_width;
}

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    if (meta->gguf) return mt_fail(err, MT_EUNKNOWN, "GGUF: Qwen 3.5 is read from hub folders (safetensors) only");
    MT_TRY(mt_hyper_read(m, meta, err));
    if (!mt_meta_has(meta, NULL, "rope_parameters.partial_rotary_factor|partial_rotary_factor"))
        return mt_fail(err, MT_EMISSING, "config.json: \"partial_rotary_factor\" is absent");
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    mt_hyper_tied(m, meta, 0);
    MT_TRY(mt_meta_int(meta, NULL, "linear_conv_kernel_dim", 1, MT_MAX_TAPS, 4, &h->taps, err));
    MT_TRY(mt_meta_int(meta, NULL, "linear_num_key_heads", 1, 4096, 16, &h->key_heads, err));
    MT_TRY(mt_meta_int(meta, NULL, "linear_num_value_heads", 1, 4096, 32, &h->ssm_heads, err));
    MT_TRY(mt_meta_int(meta, NULL, "linear_key_head_dim", 1, 1024, 128, &h->key_width, err));
    MT_TRY(mt_meta_int(meta, NULL, "linear_value_head_dim", 1, 1024, 128, &h->ssm_head_width, err));
    if (h->ssm_heads % h->key_heads)
        return mt_fail(err, MT_ERANGE, "%d value heads of linear attention are no multiple of %d key heads",
                       h->ssm_heads, h->key_heads);
    h->inner = h->ssm_heads * h->ssm_head_width;
    if (mt_meta_bool(meta, NULL, "attention_bias", false)) h->qkv_bias = h->attn_out_bias = MT_BIAS_NEEDED;
    h->norm_plus_one = h->gated_attention = true;
    h->qk_norm = MT_QK_NORM_HEAD;
    if (mt_meta_count(meta, NULL, "layer_types") >= 0) {
        mt_hyper_recurrent(m, meta);
    } else {
        int32_t every;
        MT_TRY(mt_meta_int(meta, NULL, "full_attention_interval", 1, INT32_MAX, 4, &every, err));
        for (int32_t l = 0; l < h->layers; l++) h->recurrent |= h->layer[l].recurrent = (l + 1) % every != 0;
    }
    h->state_width = (size_t)(h->taps - 1) * (size_t)channels(h) + (size_t)h->inner * (size_t)h->key_width;
    return MT_OK;
}

static void declare_mixer(mt_declare *d, int32_t l) {
    const mt_hyper *h = d->h;
    mt_declare_linear(d, l, MT_ROLE_SSM_IN, channels(h), h->width, MT_BIAS_NONE);
    mt_declare_linear(d, l, MT_ROLE_SSM_Z, h->inner, h->width, MT_BIAS_NONE);
    mt_declare_linear(d, l, MT_ROLE_SSM_BETA, h->ssm_heads, h->width, MT_BIAS_NONE);
    mt_declare_linear(d, l, MT_ROLE_SSM_ALPHA, h->ssm_heads, h->width, MT_BIAS_NONE);
    mt_declare_array(d, l, MT_ROLE_SSM_CONV, channels(h), h->taps, false);
    mt_declare_vector(d, l, MT_ROLE_SSM_DT_BIAS, h->ssm_heads, true);
    mt_declare_array(d, l, MT_ROLE_SSM_A, h->ssm_heads, 1, true);
    mt_declare_vector(d, l, MT_ROLE_SSM_NORM, h->ssm_head_width, true); /* a plain gain, unlike the other norms */
    mt_declare_linear(d, l, MT_ROLE_SSM_OUT, h->width, h->inner, MT_BIAS_NONE);
}

static int32_t mixer(mt_build *b, int32_t n, int32_t l) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    int32_t dims[3] = {b->T, h->ssm_heads, h->ssm_head_width};
    int32_t x = mt_b_linear(b, n, l, MT_ROLE_SSM_IN);
    x = mt_g_conv(g, x, mt_b_weight(b, l, MT_ROLE_SSM_CONV), -1, h->taps, l, 0);
    x = mt_g_name(g, mt_g_act(g, x, h->act), "blocks.%d.mixer.hook_conv", l);
    int32_t beta = mt_b_linear(b, n, l, MT_ROLE_SSM_BETA), alpha = mt_b_linear(b, n, l, MT_ROLE_SSM_ALPHA);
    mt_delta delta = {.A = mt_b_values(b, l, MT_ROLE_SSM_A),
                      .dt_bias = mt_b_values(b, l, MT_ROLE_SSM_DT_BIAS),
                      .key_heads = h->key_heads,
                      .value_heads = h->ssm_heads,
                      .key_width = h->key_width,
                      .value_width = h->ssm_head_width};
    x = mt_g_delta(g, x, beta, alpha, &delta, l, (h->taps - 1) * channels(h));
    x = mt_g_name(g, x, "blocks.%d.mixer.hook_y", l);
    x = mt_b_norm(b, x, l, MT_ROLE_SSM_NORM, NULL);
    int32_t z = mt_g_view(g, mt_b_linear(b, n, l, MT_ROLE_SSM_Z), 3, dims);
    return mt_b_linear(b, mt_g_mul(g, x, mt_g_act(g, z, h->act)), l, MT_ROLE_SSM_OUT);
}

const mt_arch mt_arch_qwen3_5 = {.name = "qwen35",
                                 .model_types = "qwen3_5_text",
                                 .names = names,
                                 .prefix = "model.",
                                 .ignored = "*.rotary_emb.inv_freq",
                                 .configure = configure,
                                 .declare = mt_declare_decoder,
                                 .build = mt_build_decoder,
                                 .declare_mixer = declare_mixer,
                                 .mixer = mixer};
