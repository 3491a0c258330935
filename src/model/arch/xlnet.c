/* XLNet (Yang et al. 2019), its content stream: every token sees the whole text (what permutations do in training is a
 * matter of masks). Positions are relative sinusoids, projected in each layer, as in Transformer-XL. Segments add the
 * same to all scores of a query when a text has one segment, and so nothing. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "transformer.word_embedding"},
                                {MT_ROLE_Q, "transformer.layer.%d.rel_attn.q!"},
                                {MT_ROLE_K, "transformer.layer.%d.rel_attn.k!"},
                                {MT_ROLE_V, "transformer.layer.%d.rel_attn.v!"},
                                {MT_ROLE_POSITION_K, "transformer.layer.%d.rel_attn.r!"},
                                {MT_ROLE_ATTN_OUT, "transformer.layer.%d.rel_attn.o!"},
                                {MT_ROLE_CONTENT_BIAS, "transformer.layer.%d.rel_attn.r_w_bias!"},
                                {MT_ROLE_POSITION_BIAS, "transformer.layer.%d.rel_attn.r_r_bias!"},
                                {MT_ROLE_ATTN_NORM, "transformer.layer.%d.rel_attn.layer_norm"},
                                {MT_ROLE_UP, "transformer.layer.%d.ff.layer_1"},
                                {MT_ROLE_DOWN, "transformer.layer.%d.ff.layer_2"},
                                {MT_ROLE_FFN_NORM, "transformer.layer.%d.ff.layer_norm"},
                                {MT_ROLE_OUTPUT, "lm_loss"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    int32_t clamp, ffn;
    char shown[64];
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_act_named(m, meta, "ff_activation", "gelu", err));
    MT_TRY(mt_meta_int(meta, NULL, "d_inner", 1, 1 << 24, 4 * (int64_t)h->width, &ffn, err));
    MT_TRY(mt_meta_int(meta, NULL, "clamp_len", INT32_MIN, INT32_MAX, -1, &clamp, err));
    if (clamp > 0) return mt_fail(err, MT_EUNKNOWN, "config.json: \"clamp_len\" is %d (known: -1, no limit)", clamp);
    mt_str type = mt_meta_string(meta, NULL, "attn_type");
    if (type.n && !mt_str_is(type, "bi"))
        return mt_fail(err, MT_EUNKNOWN, "config.json: \"attn_type\" is \"%s\" (known: bi)",
                       mt_str_show(type, shown, sizeof shown));
    if (mt_meta_bool(meta, NULL, "bi_data", false))
        return mt_fail(err, MT_EUNKNOWN, "config.json: \"bi_data\" is true (known: false)");
    if (h->width % 2) return mt_fail(err, MT_ERANGE, "width %d is odd, but positions are sines and cosines", h->width);
    if (!mt_meta_has(meta, NULL, "layer_norm_eps")) h->eps = 1e-12f;
    mt_hyper_tied(m, meta, 1);
    h->ffn = ffn;
    h->norm = MT_NORM_LAYER;
    h->norm_bias = h->mlp_bias = h->output_bias = MT_BIAS_NEEDED;
    h->flow = MT_FLOW_POST_NORM;
    h->gated = h->final_norm = false;
    h->bidirectional = true;
    h->relation = MT_RELATION_SINUSOID;
    h->kv_heads = h->heads;
    return MT_OK;
}

static void declare(mt_declare *d) {
    const mt_hyper *h = d->h;
    int32_t all = h->heads * h->head_width, D = h->width;
    mt_declare_table(d, MT_ROLE_TOKEN_EMBED, h->vocab, D, true);
    for (int32_t l = 0; l < h->layers && d->status == MT_OK; l++) {
        static const mt_role in[] = {MT_ROLE_Q, MT_ROLE_K, MT_ROLE_V, MT_ROLE_POSITION_K};
        d->merged = d->transposed = true; /* [width][heads][head width] */
        for (int i = 0; i < 4; i++) mt_declare_linear(d, l, in[i], all, D, MT_BIAS_NONE);
        d->transposed = false;
        mt_declare_linear(d, l, MT_ROLE_ATTN_OUT, D, all, MT_BIAS_NONE);
        mt_declare_vector(d, l, MT_ROLE_CONTENT_BIAS, all, true);
        mt_declare_vector(d, l, MT_ROLE_POSITION_BIAS, all, true);
        d->merged = false;
        mt_declare_norm(d, l, MT_ROLE_ATTN_NORM, D, h->norm_bias);
        mt_declare_norm(d, l, MT_ROLE_FFN_NORM, D, h->norm_bias);
        mt_declare_linear(d, l, MT_ROLE_UP, h->ffn, D, h->mlp_bias);
        mt_declare_linear(d, l, MT_ROLE_DOWN, D, h->ffn, h->mlp_bias);
    }
    if (h->tied <= 0) mt_declare_table(d, MT_ROLE_OUTPUT, h->vocab, D, h->tied == 0);
    mt_declare_bias(d, -1, MT_ROLE_OUTPUT, h->vocab, h->output_bias);
}

static void build(mt_build *b) {
    const mt_hyper *h = b->h;
    b->relative = mt_g_sinusoids(b->g, b->T, h->width);
    int32_t x = mt_b_embed(b);
    for (int32_t l = 0; l < h->layers; l++) x = mt_b_layer(b, x, l);
    mt_b_head(b, x);
}

const mt_arch mt_arch_xlnet = {.name = "xlnet",
                               .model_types = "xlnet",
                               .names = names,
                               .prefix = "transformer.",
                               .ignored = "*mask_emb *.r_s_bias *.seg_embed",
                               .configure = configure,
                               .declare = declare,
                               .build = build};
