/* RWKV-4 (Peng et al. 2023): a recurrent network. Both parts of a layer look at mixtures of a row and the row before;
 * the first averages values by keys that decay with age, the second is a gated feed-forward network with squared ReLU.
 *
 *   x += W_o (sigmoid(W_r xr) * wkv(W_k xk, W_v xv))      xk = mix_k * n + (1 - mix_k) * n of the row before
 *   x += sigmoid(W_r xr) * W_v relu(W_k xk)^2
 *
 * The reference divides the stream and the weights by two every few layers, for half precision; that cancels out. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "rwkv.embeddings"},
                                {MT_ROLE_EMBED_NORM, "rwkv.blocks.0.pre_ln"},
                                {MT_ROLE_OUTPUT_NORM, "rwkv.ln_out"},
                                {MT_ROLE_OUTPUT, "head"},
                                {MT_ROLE_ATTN_NORM, "rwkv.blocks.%d.ln1"},
                                {MT_ROLE_FFN_NORM, "rwkv.blocks.%d.ln2"},
                                {MT_ROLE_MIX_K, "rwkv.blocks.%d.attention.time_mix_key!"},
                                {MT_ROLE_MIX_V, "rwkv.blocks.%d.attention.time_mix_value!"},
                                {MT_ROLE_MIX_R, "rwkv.blocks.%d.attention.time_mix_receptance!"},
                                {MT_ROLE_DECAY, "rwkv.blocks.%d.attention.time_decay!"},
                                {MT_ROLE_BONUS, "rwkv.blocks.%d.attention.time_first!"},
                                {MT_ROLE_K, "rwkv.blocks.%d.attention.key"},
                                {MT_ROLE_V, "rwkv.blocks.%d.attention.value"},
                                {MT_ROLE_RECEPTANCE, "rwkv.blocks.%d.attention.receptance"},
                                {MT_ROLE_ATTN_OUT, "rwkv.blocks.%d.attention.output"},
                                {MT_ROLE_FFN_MIX_K, "rwkv.blocks.%d.feed_forward.time_mix_key!"},
                                {MT_ROLE_FFN_MIX_R, "rwkv.blocks.%d.feed_forward.time_mix_receptance!"},
                                {MT_ROLE_UP, "rwkv.blocks.%d.feed_forward.key"},
                                {MT_ROLE_FFN_RECEPTANCE, "rwkv.blocks.%d.feed_forward.receptance"},
                                {MT_ROLE_DOWN, "rwkv.blocks.%d.feed_forward.value"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    if (meta->gguf) return mt_fail(err, MT_EUNKNOWN, "GGUF: RWKV-4 is read from hub folders (safetensors) only");
    MT_TRY(mt_hyper_sizes(m, meta, err));
    MT_TRY(mt_meta_int(meta, NULL, "context_length|max_position_embeddings", 1, 1 << 30, 1024, &h->context, err));
    MT_TRY(mt_meta_int(meta, NULL, "attention_hidden_size", 1, 1 << 24, h->width, &h->inner, err));
    MT_TRY(mt_meta_int(meta, NULL, "intermediate_size", 1, 1 << 24, 4 * (int64_t)h->width, &h->ffn, err));
    mt_hyper_tied(m, meta, 0);
    h->norm = MT_NORM_LAYER;
    h->norm_bias = MT_BIAS_NEEDED;
    h->embed_norm = h->recurrent = true;
    for (int32_t l = 0; l < h->layers; l++) h->layer[l].recurrent = true;
    h->state_width = 2 * (size_t)h->width + 3 * (size_t)h->inner;
    return MT_OK;
}

static void declare(mt_declare *d) {
    const mt_hyper *h = d->h;
    int32_t D = h->width, A = h->inner;
    mt_declare_table(d, MT_ROLE_TOKEN_EMBED, h->vocab, D, true);
    mt_declare_norm(d, -1, MT_ROLE_EMBED_NORM, D, h->norm_bias);
    for (int32_t l = 0; l < h->layers && d->status == MT_OK; l++) {
        static const mt_role mixes[] = {MT_ROLE_MIX_K, MT_ROLE_MIX_V, MT_ROLE_MIX_R, MT_ROLE_FFN_MIX_K,
                                        MT_ROLE_FFN_MIX_R};
        for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++) mt_declare_vector(d, l, mixes[i], D, true);
        mt_declare_norm(d, l, MT_ROLE_ATTN_NORM, D, h->norm_bias);
        mt_declare_norm(d, l, MT_ROLE_FFN_NORM, D, h->norm_bias);
        mt_declare_array(d, l, MT_ROLE_DECAY, A, 1, true);
        mt_declare_vector(d, l, MT_ROLE_BONUS, A, true);
        mt_declare_linear(d, l, MT_ROLE_K, A, D, MT_BIAS_NONE);
        mt_declare_linear(d, l, MT_ROLE_V, A, D, MT_BIAS_NONE);
        mt_declare_linear(d, l, MT_ROLE_RECEPTANCE, A, D, MT_BIAS_NONE);
        mt_declare_linear(d, l, MT_ROLE_ATTN_OUT, D, A, MT_BIAS_NONE);
        mt_declare_linear(d, l, MT_ROLE_UP, h->ffn, D, MT_BIAS_NONE);
        mt_declare_linear(d, l, MT_ROLE_FFN_RECEPTANCE, D, D, MT_BIAS_NONE);
        mt_declare_linear(d, l, MT_ROLE_DOWN, D, h->ffn, MT_BIAS_NONE);
    }
    mt_declare_norm(d, -1, MT_ROLE_OUTPUT_NORM, D, h->norm_bias);
    if (h->tied <= 0) mt_declare_table(d, MT_ROLE_OUTPUT, h->vocab, D, h->tied == 0);
}

static int32_t mixed(mt_build *b, int32_t n, int32_t before, int32_t l, mt_role share, mt_role matrix) {
    return mt_b_linear(b, mt_g_lerp(b->g, n, before, mt_b_weight(b, l, share)), l, matrix);
}

static void build(mt_build *b) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    int32_t D = h->width, x = mt_b_embed(b);
    for (int32_t l = 0; l < h->layers; l++) {
        x = mt_g_name(g, x, "blocks.%d.hook_resid_pre", l);
        int32_t n = mt_b_norm(b, x, l, MT_ROLE_ATTN_NORM, "ln1"), before = mt_g_shift(g, n, l, 0);
        int32_t k = mt_g_name(g, mixed(b, n, before, l, MT_ROLE_MIX_K, MT_ROLE_K), "blocks.%d.mixer.hook_k", l);
        int32_t v = mt_g_name(g, mixed(b, n, before, l, MT_ROLE_MIX_V, MT_ROLE_V), "blocks.%d.mixer.hook_v", l);
        int32_t r = mt_g_act(g, mixed(b, n, before, l, MT_ROLE_MIX_R, MT_ROLE_RECEPTANCE), MT_ACT_SIGMOID);
        r = mt_g_name(g, r, "blocks.%d.mixer.hook_r", l);
        int32_t y = mt_g_wkv(g, k, v, mt_b_weight(b, l, MT_ROLE_DECAY), mt_b_weight(b, l, MT_ROLE_BONUS), l, 2 * D);
        y = mt_g_name(g, y, "blocks.%d.mixer.hook_y", l);
        y = mt_b_linear(b, mt_g_mul(g, r, y), l, MT_ROLE_ATTN_OUT);
        x = mt_g_add(g, x, mt_g_name(g, y, "blocks.%d.hook_mixer_out", l));
        x = mt_g_name(g, x, "blocks.%d.hook_resid_mid", l);
        n = mt_b_norm(b, x, l, MT_ROLE_FFN_NORM, "ln2");
        before = mt_g_shift(g, n, l, D);
        k = mt_g_name(g, mixed(b, n, before, l, MT_ROLE_FFN_MIX_K, MT_ROLE_UP), "blocks.%d.mlp.hook_pre", l);
        k = mt_g_name(g, mt_g_act(g, k, MT_ACT_RELU2), "blocks.%d.mlp.hook_post", l);
        r = mt_g_act(g, mixed(b, n, before, l, MT_ROLE_FFN_MIX_R, MT_ROLE_FFN_RECEPTANCE), MT_ACT_SIGMOID);
        y = mt_g_mul(g, r, mt_b_linear(b, k, l, MT_ROLE_DOWN));
        x = mt_g_add(g, x, mt_g_name(g, y, "blocks.%d.hook_mlp_out", l));
        x = mt_g_name(g, x, "blocks.%d.hook_resid_post", l);
    }
    mt_b_head(b, x);
}

const mt_arch mt_arch_rwkv = {.name = "rwkv",
                              .model_types = "rwkv",
                              .names = names,
                              .prefix = "rwkv.",
                              .configure = configure,
                              .declare = declare,
                              .build = build};
