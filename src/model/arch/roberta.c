/* RoBERTa and XLM-RoBERTa (Liu et al. 2019): BERT whose positions start at row 2. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "roberta.embeddings.word_embeddings"},
                                {MT_ROLE_POSITION_EMBED, "roberta.embeddings.position_embeddings"},
                                {MT_ROLE_TYPE_EMBED, "roberta.embeddings.token_type_embeddings"},
                                {MT_ROLE_EMBED_NORM, "roberta.embeddings.LayerNorm"},
                                {MT_ROLE_ATTN_NORM, "roberta.encoder.layer.%d.attention.output.LayerNorm"},
                                {MT_ROLE_FFN_NORM, "roberta.encoder.layer.%d.output.LayerNorm"},
                                {MT_ROLE_Q, "roberta.encoder.layer.%d.attention.self.query"},
                                {MT_ROLE_K, "roberta.encoder.layer.%d.attention.self.key"},
                                {MT_ROLE_V, "roberta.encoder.layer.%d.attention.self.value"},
                                {MT_ROLE_ATTN_OUT, "roberta.encoder.layer.%d.attention.output.dense"},
                                {MT_ROLE_UP, "roberta.encoder.layer.%d.intermediate.dense"},
                                {MT_ROLE_DOWN, "roberta.encoder.layer.%d.output.dense"},
                                {MT_ROLE_HEAD, "lm_head.dense"},
                                {MT_ROLE_HEAD_NORM, "lm_head.layer_norm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_encoder(m, meta, err));
    h->position_first = 2;
    return MT_OK;
}

const mt_arch mt_arch_roberta = {.name = "roberta",
                                 .model_types = "roberta xlm-roberta",
                                 .names = names,
                                 .prefix = "roberta.",
                                 .ignored = "*.position_ids *pooler.* lm_head.decoder.*",
                                 .configure = configure,
                                 .declare = mt_declare_encoder,
                                 .build = mt_build_encoder};
