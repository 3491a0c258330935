/* DistilBERT (Sanh et al. 2019): BERT without segments. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "distilbert.embeddings.word_embeddings"},
                                {MT_ROLE_POSITION_EMBED, "distilbert.embeddings.position_embeddings"},
                                {MT_ROLE_EMBED_NORM, "distilbert.embeddings.LayerNorm"},
                                {MT_ROLE_ATTN_NORM, "distilbert.transformer.layer.%d.sa_layer_norm"},
                                {MT_ROLE_FFN_NORM, "distilbert.transformer.layer.%d.output_layer_norm"},
                                {MT_ROLE_Q, "distilbert.transformer.layer.%d.attention.q_lin"},
                                {MT_ROLE_K, "distilbert.transformer.layer.%d.attention.k_lin"},
                                {MT_ROLE_V, "distilbert.transformer.layer.%d.attention.v_lin"},
                                {MT_ROLE_ATTN_OUT, "distilbert.transformer.layer.%d.attention.out_lin"},
                                {MT_ROLE_UP, "distilbert.transformer.layer.%d.ffn.lin1"},
                                {MT_ROLE_DOWN, "distilbert.transformer.layer.%d.ffn.lin2"},
                                {MT_ROLE_HEAD, "vocab_transform"},
                                {MT_ROLE_HEAD_NORM, "vocab_layer_norm"},
                                {MT_ROLE_OUTPUT, "vocab_projector"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_encoder(m, meta, err));
    h->types = 0;
    h->eps = 1e-12f;
    h->head_act = h->act;
    return MT_OK;
}

const mt_arch mt_arch_distilbert = {.name = "distilbert",
                                    .model_types = "distilbert",
                                    .names = names,
                                    .prefix = "distilbert.",
                                    .ignored = "*.position_ids",
                                    .configure = configure,
                                    .declare = mt_declare_encoder,
                                    .build = mt_build_encoder};
