/* T5 (Raffel et al. 2020), its version 1.1, mT5, ByT5 and UMT5: an encoder and a decoder with RMSNorm before each part,
 * scores that are not scaled, and a bias by relative position, whose table one layer holds for all (UMT5: each its
 * own). Version 1.0: ReLU, and outputs times width^-1/2; later ones: gated GELU. */
#include "arch.h"

#include <math.h>

#define HALF(H)                                                                                                        \
    {MT_ROLE_OUTPUT_NORM, H ".final_layer_norm"}, {MT_ROLE_ATTN_NORM, H ".block.%d.layer.0.layer_norm"},               \
        {MT_ROLE_Q, H ".block.%d.layer.0.SelfAttention.q"}, {MT_ROLE_K, H ".block.%d.layer.0.SelfAttention.k"},        \
        {MT_ROLE_V, H ".block.%d.layer.0.SelfAttention.v"}, {MT_ROLE_ATTN_OUT, H ".block.%d.layer.0.SelfAttention.o"}
#define FEED_FORWARD(H, N)                                                                                             \
    {MT_ROLE_FFN_NORM, H ".block.%d.layer." N ".layer_norm"},                                                          \
        {MT_ROLE_GATE, H ".block.%d.layer." N ".DenseReluDense.wi_0"},                                                 \
        {MT_ROLE_UP, H ".block.%d.layer." N ".DenseReluDense.wi_1|" H ".block.%d.layer." N ".DenseReluDense.wi"},      \
        {MT_ROLE_DOWN, H ".block.%d.layer." N ".DenseReluDense.wo"}
#define DECODER                                                                                                        \
    {MT_ROLE_TOKEN_EMBED, "shared"}, {MT_ROLE_OUTPUT, "lm_head"},                                                      \
        {MT_ROLE_CROSS_NORM, "decoder.block.%d.layer.1.layer_norm"},                                                   \
        {MT_ROLE_CROSS_Q, "decoder.block.%d.layer.1.EncDecAttention.q"},                                               \
        {MT_ROLE_CROSS_K, "decoder.block.%d.layer.1.EncDecAttention.k"},                                               \
        {MT_ROLE_CROSS_V, "decoder.block.%d.layer.1.EncDecAttention.v"},                                               \
        {MT_ROLE_CROSS_OUT, "decoder.block.%d.layer.1.EncDecAttention.o"}
#define RELATIVE(H, L) {MT_ROLE_RELATIVE, H ".block." L ".layer.0.SelfAttention.relative_attention_bias"}

static const mt_name decoder[] = {
    DECODER, HALF("decoder"), FEED_FORWARD("decoder", "2"), RELATIVE("decoder", "0"), {0, NULL}};
static const mt_name encoder[] = {HALF("encoder"), FEED_FORWARD("encoder", "1"), RELATIVE("encoder", "0"), {0, NULL}};
static const mt_name umt5_decoder[] = {
    DECODER, HALF("decoder"), FEED_FORWARD("decoder", "2"), RELATIVE("decoder", "%d"), {0, NULL}};
static const mt_name umt5_encoder[] = {
    HALF("encoder"), FEED_FORWARD("encoder", "1"), RELATIVE("encoder", "%d"), {0, NULL}};

static mt_status feed_forward(mt_hyper *h, const mt_meta *meta, mt_error *err) {
    static const struct {
        const char *name;
        mt_act act;
        bool gated;
    } known[] = {{"relu", MT_ACT_RELU, false},           {"gelu", MT_ACT_GELU_ERF, false},
                 {"gelu_new", MT_ACT_GELU_TANH, false},  {"silu", MT_ACT_SILU, false},
                 {"gated-gelu", MT_ACT_GELU_TANH, true}, {"gated-gelu_new", MT_ACT_GELU_TANH, true},
                 {"gated-silu", MT_ACT_SILU, true},      {"gated-relu", MT_ACT_RELU, true}};
    mt_str name = mt_meta_string(meta, NULL, "feed_forward_proj");
    if (!name.n) name = mt_str_of("relu");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (mt_str_is(name, known[i].name)) {
            h->act = known[i].act;
            h->gated = known[i].gated;
            return MT_OK;
        }
    char shown[64];
    return mt_fail(err, MT_EUNKNOWN,
                   "config.json: \"feed_forward_proj\" is \"%s\" (known: relu gelu gelu_new silu gated-gelu "
                   "gated-gelu_new gated-silu gated-relu)",
                   mt_str_show(name, shown, sizeof shown));
}

static mt_status half(mt_model *m, const mt_meta *meta, bool own_relative, mt_error *err) {
    mt_hyper *h = &m->h;
    *h = (mt_hyper){0};
    if (meta->gguf) return mt_fail(err, MT_EUNKNOWN, "GGUF: T5 is read from hub folders (safetensors) only");
    MT_TRY(mt_hyper_sizes(m, meta, err));
    if (!mt_meta_has(meta, NULL, "layer_norm_epsilon|layer_norm_eps|rms_norm_eps")) h->eps = 1e-6f;
    MT_TRY(mt_meta_int(meta, NULL, "num_heads|num_attention_heads", 1, 65536, 8, &h->heads, err));
    MT_TRY(mt_meta_int(meta, NULL, "d_kv", 1, 65536, 64, &h->head_width, err));
    MT_TRY(mt_meta_int(meta, NULL, "d_ff", 1, 1 << 24, 2048, &h->ffn, err));
    MT_TRY(mt_meta_int(meta, NULL, "relative_attention_num_buckets", 4, 4096, 32, &h->buckets, err));
    MT_TRY(mt_meta_int(meta, NULL, "relative_attention_max_distance", 2, 1 << 24, 128, &h->bucket_distance, err));
    MT_TRY(mt_meta_int(meta, NULL, "decoder_start_token_id|pad_token_id", 0, h->vocab - 1, 0, &h->decoder_start, err));
    if (h->bucket_distance <= h->buckets / 2)
        return mt_fail(err, MT_ERANGE,
                       "config.json: \"relative_attention_max_distance\" is %d, expected more than half of %d buckets",
                       h->bucket_distance, h->buckets);
    h->kv_heads = h->heads;
    h->value_width = h->head_width;
    h->attn_scale = 1;
    h->own_relative = own_relative;
    return feed_forward(h, meta, err);
}

static mt_status configure_any(mt_model *m, const mt_meta *meta, bool own_relative, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(half(m, meta, own_relative, err));
    h->bidirectional = true;
    m->encoder = *h;
    MT_TRY(half(m, meta, own_relative, err));
    int32_t layers;
    MT_TRY(mt_meta_int(meta, NULL, "num_decoder_layers", 1, 4096, h->layers, &layers, err));
    MT_TRY(mt_hyper_layers(m, layers, err));
    h->cross = true;
    /* Files of version 1.1 say that nothing is tied; those saved again by recent transformers say so in another key. */
    bool tied = mt_meta_bool(meta, NULL, "tie_word_embeddings", true);
    if (mt_meta_bool(meta, NULL, "scale_decoder_outputs", tied)) h->logit_scale = 1 / sqrtf((float)h->width);
    return MT_OK;
}

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    return configure_any(m, meta, false, err);
}
static mt_status configure_umt5(mt_model *m, const mt_meta *meta, mt_error *err) {
    return configure_any(m, meta, true, err);
}

#define IGNORED                                                                                                        \
    "decoder.embed_tokens.weight encoder.embed_tokens.weight *EncDecAttention.relative_attention_bias.weight"

const mt_arch mt_arch_t5 = {.name = "t5",
                            .model_types = "t5 mt5",
                            .names = decoder,
                            .encoder_names = encoder,
                            .ignored = IGNORED,
                            .configure = configure,
                            .declare = mt_declare_encoder_decoder,
                            .build = mt_build_decoder};
const mt_arch mt_arch_umt5 = {.name = "umt5",
                              .model_types = "umt5",
                              .names = umt5_decoder,
                              .encoder_names = umt5_encoder,
                              .ignored = IGNORED,
                              .configure = configure_umt5,
                              .declare = mt_declare_encoder_decoder,
                              .build = mt_build_decoder};
