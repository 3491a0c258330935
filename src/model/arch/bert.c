/* BERT (Devlin et al. 2019): norms after each block, learned positions and segments, a masked-language head. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "bert.embeddings.word_embeddings"},
                                {MT_ROLE_POSITION_EMBED, "bert.embeddings.position_embeddings"},
                                {MT_ROLE_TYPE_EMBED, "bert.embeddings.token_type_embeddings"},
                                {MT_ROLE_EMBED_NORM, "bert.embeddings.LayerNorm"},
                                {MT_ROLE_ATTN_NORM, "bert.encoder.layer.%d.attention.output.LayerNorm"},
                                {MT_ROLE_FFN_NORM, "bert.encoder.layer.%d.output.LayerNorm"},
                                {MT_ROLE_Q, "bert.encoder.layer.%d.attention.self.query"},
                                {MT_ROLE_K, "bert.encoder.layer.%d.attention.self.key"},
                                {MT_ROLE_V, "bert.encoder.layer.%d.attention.self.value"},
                                {MT_ROLE_ATTN_OUT, "bert.encoder.layer.%d.attention.output.dense"},
                                {MT_ROLE_UP, "bert.encoder.layer.%d.intermediate.dense"},
                                {MT_ROLE_DOWN, "bert.encoder.layer.%d.output.dense"},
                                {MT_ROLE_HEAD, "cls.predictions.transform.dense"},
                                {MT_ROLE_HEAD_NORM, "cls.predictions.transform.LayerNorm"},
                                {MT_ROLE_OUTPUT, "cls.predictions"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_encoder(m, meta, err));
    h->head_act = h->act;
    return MT_OK;
}

const mt_arch mt_arch_bert = {.name = "bert",
                              .model_types = "bert",
                              .names = names,
                              .prefix = "bert.",
                              .ignored = "*.position_ids *pooler.* cls.seq_relationship.* cls.predictions.decoder.*",
                              .configure = configure,
                              .declare = mt_declare_encoder,
                              .build = mt_build_encoder};
