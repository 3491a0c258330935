/* ALBERT (Lan et al. 2020): BERT with narrow embeddings and layers that share their parameters, in groups. */
#include "arch.h"

static const mt_name names[] = {
    {MT_ROLE_TOKEN_EMBED, "albert.embeddings.word_embeddings"},
    {MT_ROLE_POSITION_EMBED, "albert.embeddings.position_embeddings"},
    {MT_ROLE_TYPE_EMBED, "albert.embeddings.token_type_embeddings"},
    {MT_ROLE_EMBED_NORM, "albert.embeddings.LayerNorm"},
    {MT_ROLE_EMBED_IN, "albert.encoder.embedding_hidden_mapping_in"},
    {MT_ROLE_ATTN_NORM, "albert.encoder.albert_layer_groups.%d.albert_layers.0.attention.LayerNorm"},
    {MT_ROLE_FFN_NORM, "albert.encoder.albert_layer_groups.%d.albert_layers.0.full_layer_layer_norm"},
    {MT_ROLE_Q, "albert.encoder.albert_layer_groups.%d.albert_layers.0.attention.query"},
    {MT_ROLE_K, "albert.encoder.albert_layer_groups.%d.albert_layers.0.attention.key"},
    {MT_ROLE_V, "albert.encoder.albert_layer_groups.%d.albert_layers.0.attention.value"},
    {MT_ROLE_ATTN_OUT, "albert.encoder.albert_layer_groups.%d.albert_layers.0.attention.dense"},
    {MT_ROLE_UP, "albert.encoder.albert_layer_groups.%d.albert_layers.0.ffn"},
    {MT_ROLE_DOWN, "albert.encoder.albert_layer_groups.%d.albert_layers.0.ffn_output"},
    {MT_ROLE_HEAD, "predictions.dense"},
    {MT_ROLE_HEAD_NORM, "predictions.LayerNorm"},
    {MT_ROLE_OUTPUT, "predictions"},
    {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_encoder(m, meta, err));
    int32_t inner;
    MT_TRY(mt_meta_int(meta, NULL, "inner_group_num", 1, 4096, 1, &inner, err));
    if (inner != 1) return mt_fail(err, MT_EUNKNOWN, "config.json: \"inner_group_num\" is %d (known: 1)", inner);
    MT_TRY(mt_meta_int(meta, NULL, "num_hidden_groups", 1, h->layers, 1, &h->layer_sets, err));
    for (int32_t l = 0; l < h->layers; l++) h->layer[l].set = (int32_t)((int64_t)l * h->layer_sets / h->layers);
    h->head_act = h->act;
    return MT_OK;
}

const mt_arch mt_arch_albert = {.name = "albert",
                                .model_types = "albert",
                                .names = names,
                                .prefix = "albert.",
                                .ignored = "*.position_ids *pooler.* sop_classifier.* predictions.decoder.*",
                                .configure = configure,
                                .declare = mt_declare_encoder,
                                .build = mt_build_encoder};
