/* BART (Lewis et al. 2020) and Marian (Junczys-Dowmunt et al. 2018): an encoder and a decoder as in the first
 * transformer, norms after each part. BART learns its positions; Marian's are sinusoids, which files need not hold. */
#include "arch.h"

#include <math.h>

#define HALF(H)                                                                                                        \
    {MT_ROLE_POSITION_EMBED, "model." H ".embed_positions"}, {MT_ROLE_EMBED_NORM, "model." H ".layernorm_embedding"},  \
        {MT_ROLE_ATTN_NORM, "model." H ".layers.%d.self_attn_layer_norm"},                                             \
        {MT_ROLE_FFN_NORM, "model." H ".layers.%d.final_layer_norm"},                                                  \
        {MT_ROLE_Q, "model." H ".layers.%d.self_attn.q_proj"}, {MT_ROLE_K, "model." H ".layers.%d.self_attn.k_proj"},  \
        {MT_ROLE_V, "model." H ".layers.%d.self_attn.v_proj"},                                                         \
        {MT_ROLE_ATTN_OUT, "model." H ".layers.%d.self_attn.out_proj"}, {MT_ROLE_UP, "model." H ".layers.%d.fc1"},     \
        {MT_ROLE_DOWN, "model." H ".layers.%d.fc2"}

static const mt_name decoder[] = {{MT_ROLE_TOKEN_EMBED, "model.shared"},
                                  {MT_ROLE_OUTPUT, "final_logits_bias!"},
                                  HALF("decoder"),
                                  {MT_ROLE_CROSS_NORM, "model.decoder.layers.%d.encoder_attn_layer_norm"},
                                  {MT_ROLE_CROSS_Q, "model.decoder.layers.%d.encoder_attn.q_proj"},
                                  {MT_ROLE_CROSS_K, "model.decoder.layers.%d.encoder_attn.k_proj"},
                                  {MT_ROLE_CROSS_V, "model.decoder.layers.%d.encoder_attn.v_proj"},
                                  {MT_ROLE_CROSS_OUT, "model.decoder.layers.%d.encoder_attn.out_proj"},
                                  {0, NULL}};
static const mt_name encoder[] = {HALF("encoder"), {0, NULL}};

static mt_status half(mt_model *m, const mt_meta *meta, bool first, mt_error *err) {
    mt_hyper *h = &m->h;
    int32_t layers;
    *h = (mt_hyper){0};
    if (meta->gguf) return mt_fail(err, MT_EUNKNOWN, "GGUF: BART and Marian are read from hub folders only");
    MT_TRY(mt_hyper_sizes(m, meta, err));
    MT_TRY(mt_meta_int(meta, NULL, first ? "encoder_layers|num_hidden_layers" : "decoder_layers", 1, 4096, h->layers,
                       &layers, err));
    MT_TRY(mt_hyper_layers(m, layers, err));
    MT_TRY(mt_meta_int(meta, NULL, first ? "encoder_attention_heads" : "decoder_attention_heads", 1, 65536, MT_NEEDED,
                       &h->heads, err));
    MT_TRY(mt_meta_int(meta, NULL, first ? "encoder_ffn_dim" : "decoder_ffn_dim", 1, 1 << 24, 4 * (int64_t)h->width,
                       &h->ffn, err));
    MT_TRY(mt_meta_int(meta, NULL, "decoder_start_token_id", 0, h->vocab - 1, -1, &h->decoder_start, err));
    if (h->width % h->heads) return mt_fail(err, MT_ERANGE, "width %d is no multiple of %d heads", h->width, h->heads);
    h->kv_heads = h->heads;
    h->head_width = h->value_width = h->width / h->heads;
    h->attn_scale = 1 / sqrtf((float)h->head_width);
    MT_TRY(mt_hyper_act(m, meta, "gelu", err));
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    h->norm = MT_NORM_LAYER;
    h->flow = MT_FLOW_POST_NORM;
    h->eps = 1e-5f;
    h->final_norm = h->gated = false;
    h->bidirectional = first;
    h->cross = !first;
    h->tied = 1;
    h->output_bias = first ? MT_BIAS_NONE : MT_BIAS_IF_PRESENT;
    if (mt_meta_bool(meta, NULL, "scale_embedding", false)) h->embed_scale = sqrtf((float)h->width);
    return MT_OK;
}

static mt_status learned(mt_model *m, const mt_meta *meta, bool first, mt_error *err) {
    MT_TRY(half(m, meta, first, err));
    m->h.embed_norm = m->h.embed_norm_last = true;
    m->h.position_first = 2;
    m->h.position_rows = m->h.context + 2;
    return MT_OK;
}

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    MT_TRY(learned(m, meta, true, err));
    m->encoder = m->h;
    return learned(m, meta, false, err);
}

static mt_status configure_marian(mt_model *m, const mt_meta *meta, mt_error *err) {
    MT_TRY(half(m, meta, true, err));
    m->h.sinusoids = true;
    m->encoder = m->h;
    MT_TRY(half(m, meta, false, err));
    m->h.sinusoids = true;
    if (!mt_meta_bool(meta, NULL, "share_encoder_decoder_embeddings", true) ||
        !mt_meta_bool(meta, NULL, "tie_word_embeddings", true))
        return mt_fail(err, MT_EUNKNOWN,
                       "config.json: \"share_encoder_decoder_embeddings\" or \"tie_word_embeddings\" is false (known: "
                       "true)");
    return MT_OK;
}

const mt_arch mt_arch_bart = {.name = "bart",
                              .model_types = "bart",
                              .names = decoder,
                              .encoder_names = encoder,
                              .prefix = "model.",
                              .ignored = "*.embed_tokens.weight lm_head.weight",
                              .configure = configure,
                              .declare = mt_declare_encoder_decoder,
                              .build = mt_build_decoder};
const mt_arch mt_arch_marian = {.name = "marian",
                                .model_types = "marian",
                                .names = decoder,
                                .encoder_names = encoder,
                                .prefix = "model.",
                                .ignored = "*.embed_tokens.weight lm_head.weight *.embed_positions.weight",
                                .configure = configure_marian,
                                .declare = mt_declare_encoder_decoder,
                                .build = mt_build_decoder};
