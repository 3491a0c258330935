/* LFM2 (Liquid AI 2025): most layers mix tokens by a short gated convolution, some by attention.
 *
 *   [B | C | x] = W_in n;  out = W_out (C * conv(B * x)) */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "model.embed_tokens"},
                                {MT_ROLE_OUTPUT_NORM, "model.embedding_norm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "model.layers.%d.operator_norm"},
                                {MT_ROLE_FFN_NORM, "model.layers.%d.ffn_norm"},
                                {MT_ROLE_SSM_IN, "model.layers.%d.conv.in_proj"},
                                {MT_ROLE_SSM_CONV, "model.layers.%d.conv.conv"},
                                {MT_ROLE_SSM_OUT, "model.layers.%d.conv.out_proj"},
                                {MT_ROLE_Q, "model.layers.%d.self_attn.q_proj"},
                                {MT_ROLE_K, "model.layers.%d.self_attn.k_proj"},
                                {MT_ROLE_V, "model.layers.%d.self_attn.v_proj"},
                                {MT_ROLE_ATTN_OUT, "model.layers.%d.self_attn.out_proj"},
                                {MT_ROLE_Q_NORM, "model.layers.%d.self_attn.q_layernorm"},
                                {MT_ROLE_K_NORM, "model.layers.%d.self_attn.k_layernorm"},
                                {MT_ROLE_GATE, "model.layers.%d.feed_forward.w1"},
                                {MT_ROLE_UP, "model.layers.%d.feed_forward.w3"},
                                {MT_ROLE_DOWN, "model.layers.%d.feed_forward.w2"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    if (meta->gguf) return mt_fail(err, MT_EUNKNOWN, "GGUF: LFM2 is read from hub folders (safetensors) only");
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){.base = 1000000}, err));
    MT_TRY(mt_meta_int(meta, NULL, "conv_L_cache", 1, MT_MAX_TAPS, 3, &h->taps, err));
    MT_TRY(mt_meta_int(meta, NULL, "block_ff_dim|intermediate_size", 1, 1 << 24, 12288, &h->ffn, err));
    if (mt_meta_bool(meta, NULL, "block_auto_adjust_ff_dim", true)) {
        float factor;
        int32_t multiple;
        MT_TRY(mt_meta_float(meta, NULL, "block_ffn_dim_multiplier", 1, &factor, err));
        MT_TRY(mt_meta_int(meta, NULL, "block_multiple_of", 1, 1 << 20, 256, &multiple, err));
        double ffn = (double)(2 * (int64_t)h->ffn / 3) * factor;
        if (!(ffn >= 1 && ffn < 1 << 24))
            return mt_fail(err, MT_ERANGE, "config.json: \"block_ffn_dim_multiplier\" gives a width of %g", ffn);
        h->ffn = ((int32_t)ffn + multiple - 1) / multiple * multiple;
    }
    h->tied = mt_meta_bool(meta, NULL, "tie_word_embeddings|tie_embedding", true);
    h->qk_norm = MT_QK_NORM_HEAD;
    if (mt_meta_bool(meta, NULL, "conv_bias", false)) h->ssm_bias = h->conv_bias = MT_BIAS_NEEDED;
    mt_hyper_recurrent(m, meta);
    int64_t listed = mt_meta_count(meta, NULL, "full_attn_idxs"); /* older files */
    if (mt_meta_count(meta, NULL, "layer_types") < 0 && listed >= 0) {
        for (int32_t l = 0; l < h->layers; l++) h->layer[l].recurrent = true;
        for (int64_t i = 0; i < listed; i++) {
            double l;
            if (mt_meta_number_at(meta, NULL, "full_attn_idxs", i, &l) && l >= 0 && l < h->layers)
                h->layer[(int32_t)l].recurrent = false;
        }
        h->recurrent = true;
    }
    h->state_width = (size_t)(h->taps - 1) * (size_t)h->width;
    return MT_OK;
}

static void declare_mixer(mt_declare *d, int32_t l) {
    const mt_hyper *h = d->h;
    mt_declare_linear(d, l, MT_ROLE_SSM_IN, 3 * h->width, h->width, h->ssm_bias);
    mt_declare_array(d, l, MT_ROLE_SSM_CONV, h->width, h->taps, false);
    mt_declare_bias(d, l, MT_ROLE_SSM_CONV, h->width, h->conv_bias);
    mt_declare_linear(d, l, MT_ROLE_SSM_OUT, h->width, h->width, h->ssm_bias);
}

static int32_t mixer(mt_build *b, int32_t n, int32_t l) {
    mt_graph *g = b->g;
    int32_t D = b->h->width, in = mt_b_linear(b, n, l, MT_ROLE_SSM_IN);
    int32_t x = mt_g_mul(g, mt_g_slice(g, in, 0, D), mt_g_slice(g, in, 2 * D, D));
    x = mt_g_conv(g, x, mt_b_weight(b, l, MT_ROLE_SSM_CONV), mt_b_bias(b, l, MT_ROLE_SSM_CONV), b->h->taps, l, 0);
    x = mt_g_name(g, x, "blocks.%d.mixer.hook_conv", l);
    x = mt_g_name(g, mt_g_mul(g, mt_g_slice(g, in, D, D), x), "blocks.%d.mixer.hook_y", l);
    return mt_b_linear(b, x, l, MT_ROLE_SSM_OUT);
}

const mt_arch mt_arch_lfm2 = {.name = "lfm2",
                              .model_types = "lfm2",
                              .names = names,
                              .prefix = "model.",
                              .ignored = "",
                              .configure = configure,
                              .declare = mt_declare_decoder,
                              .build = mt_build_decoder,
                              .declare_mixer = declare_mixer,
                              .mixer = mixer};
