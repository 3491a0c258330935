/* DeBERTa 2 and 3 (He et al. 2021): BERT whose scores have up to three terms: content to content, content to position,
 * position to content. Positions are relative, in log-spaced buckets; one normalised table serves all layers. */
#include "arch.h"

#include <math.h>

static const mt_name names[] = {
    {MT_ROLE_TOKEN_EMBED, "deberta.embeddings.word_embeddings"},
    {MT_ROLE_POSITION_EMBED, "deberta.embeddings.position_embeddings"},
    {MT_ROLE_TYPE_EMBED, "deberta.embeddings.token_type_embeddings"},
    {MT_ROLE_EMBED_NORM, "deberta.embeddings.LayerNorm"},
    {MT_ROLE_EMBED_IN, "deberta.embeddings.embed_proj"},
    {MT_ROLE_RELATIVE, "deberta.encoder.rel_embeddings"},
    {MT_ROLE_RELATIVE_NORM, "deberta.encoder.LayerNorm"},
    {MT_ROLE_ATTN_NORM, "deberta.encoder.layer.%d.attention.output.LayerNorm"},
    {MT_ROLE_FFN_NORM, "deberta.encoder.layer.%d.output.LayerNorm"},
    {MT_ROLE_Q, "deberta.encoder.layer.%d.attention.self.query_proj"},
    {MT_ROLE_K, "deberta.encoder.layer.%d.attention.self.key_proj"},
    {MT_ROLE_V, "deberta.encoder.layer.%d.attention.self.value_proj"},
    {MT_ROLE_POSITION_Q, "deberta.encoder.layer.%d.attention.self.pos_query_proj"},
    {MT_ROLE_POSITION_K, "deberta.encoder.layer.%d.attention.self.pos_key_proj"},
    {MT_ROLE_ATTN_OUT, "deberta.encoder.layer.%d.attention.output.dense"},
    {MT_ROLE_UP, "deberta.encoder.layer.%d.intermediate.dense"},
    {MT_ROLE_DOWN, "deberta.encoder.layer.%d.output.dense"},
    {MT_ROLE_HEAD, "cls.predictions.transform.dense|lm_predictions.lm_head.dense"},
    {MT_ROLE_HEAD_NORM, "cls.predictions.transform.LayerNorm|lm_predictions.lm_head.LayerNorm"},
    {MT_ROLE_OUTPUT, "cls.predictions|lm_predictions.lm_head"},
    {0, NULL}};

/* "c2p|p2c" in older files, a list in newer ones. */
static mt_status terms(mt_hyper *h, const mt_meta *meta, mt_error *err) {
    mt_str text = mt_meta_string(meta, NULL, "pos_att_type");
    int64_t count = mt_meta_count(meta, NULL, "pos_att_type");
    char one[64], shown[64];
    for (int i = 0;; i++) {
        mt_str name;
        if (count >= 0) {
            if (i >= count) break;
            name = mt_meta_string_at(meta, "pos_att_type", i);
        } else {
            mt_str_show(text, shown, sizeof shown);
            if (!mt_alternative(shown, i, '|', one, sizeof one)) break;
            name = mt_str_of(one);
        }
        if (mt_str_is(name, "c2p"))
            h->to_position = true;
        else if (mt_str_is(name, "p2c"))
            h->from_position = true;
        else if (name.n)
            return mt_fail(err, MT_EUNKNOWN, "config.json: \"pos_att_type\" has \"%s\" (known: c2p p2c)",
                           mt_str_show(name, shown, sizeof shown));
    }
    return MT_OK;
}

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    int32_t conv, distance;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_encoder(m, meta, err));
    MT_TRY(mt_meta_int(meta, NULL, "type_vocab_size", 0, 1 << 24, 0, &h->types, err));
    MT_TRY(mt_meta_int(meta, NULL, "conv_kernel_size", 0, INT32_MAX, 0, &conv, err));
    if (conv)
        return mt_fail(err, MT_EUNKNOWN, "config.json: \"conv_kernel_size\" is %d (known: 0, no convolution)", conv);
    if (!mt_meta_has(meta, NULL, "layer_norm_eps")) h->eps = 1e-7f;
    if (!mt_meta_bool(meta, NULL, "position_biased_input", true)) h->position_rows = 0;
    h->head_act = h->act;
    if (!mt_meta_bool(meta, NULL, "relative_attention", false)) return MT_OK;
    MT_TRY(terms(h, meta, err));
    MT_TRY(mt_meta_int(meta, NULL, "max_relative_positions", INT32_MIN, 1 << 24, -1, &distance, err));
    h->bucket_distance = distance < 1 ? h->context : distance;
    MT_TRY(mt_meta_int(meta, NULL, "position_buckets", INT32_MIN, 1 << 24, -1, &h->buckets_log, err));
    if (h->buckets_log < 1) h->buckets_log = 0;
    if (h->buckets_log && h->bucket_distance - 1 <= h->buckets_log / 2)
        return mt_fail(err, MT_ERANGE, "config.json: %d \"position_buckets\" for %d positions", h->buckets_log,
                       h->bucket_distance);
    h->inner = 2 * (h->buckets_log ? h->buckets_log : h->bucket_distance); /* rows of the table */
    h->shared_relation = mt_meta_bool(meta, NULL, "share_att_key", false);
    h->relation = h->to_position || h->from_position ? MT_RELATION_BUCKETS : MT_RELATION_NONE;
    h->attn_scale = 1 / sqrtf((float)h->head_width * (float)(1 + h->to_position + h->from_position));
    mt_str norm = mt_meta_string(meta, NULL, "norm_rel_ebd");
    h->relative_norm = mt_str_is(norm, "layer_norm");
    char shown[64];
    if (norm.n && !h->relative_norm && !mt_str_is(norm, "none"))
        return mt_fail(err, MT_EUNKNOWN, "config.json: \"norm_rel_ebd\" is \"%s\" (known: none layer_norm)",
                       mt_str_show(norm, shown, sizeof shown));
    return MT_OK;
}

static void declare(mt_declare *d) {
    const mt_hyper *h = d->h;
    mt_declare_encoder(d);
    if (h->inner) mt_declare_table(d, MT_ROLE_RELATIVE, h->inner, h->width, h->relation != MT_RELATION_NONE);
    if (h->relative_norm) mt_declare_norm(d, -1, MT_ROLE_RELATIVE_NORM, h->width, MT_BIAS_NEEDED);
    for (int32_t l = 0; l < h->layers && h->relation && !h->shared_relation; l++) {
        if (h->to_position) mt_declare_linear(d, l, MT_ROLE_POSITION_K, h->width, h->width, MT_BIAS_NEEDED);
        if (h->from_position) mt_declare_linear(d, l, MT_ROLE_POSITION_Q, h->width, h->width, MT_BIAS_NEEDED);
    }
}

static void build(mt_build *b) {
    if (b->h->relation) {
        b->relative = mt_g_table(b->g, mt_b_weight(b, -1, MT_ROLE_RELATIVE));
        if (b->h->relative_norm) b->relative = mt_b_norm(b, b->relative, -1, MT_ROLE_RELATIVE_NORM, NULL);
    }
    mt_build_encoder(b);
}

const mt_arch mt_arch_deberta_v2 = {.name = "deberta-v2",
                                    .model_types = "deberta-v2",
                                    .names = names,
                                    .prefix = "deberta.",
                                    .ignored = "*.position_ids *pooler.* mask_predictions.* *.decoder.* "
                                               "cls.predictions.decoder.*",
                                    .configure = configure,
                                    .declare = declare,
                                    .build = build};
