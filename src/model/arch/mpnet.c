/* MPNet (Song et al. 2020): BERT without segments, with a bias by relative position that all layers share. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "mpnet.embeddings.word_embeddings"},
                                {MT_ROLE_POSITION_EMBED, "mpnet.embeddings.position_embeddings"},
                                {MT_ROLE_EMBED_NORM, "mpnet.embeddings.LayerNorm"},
                                {MT_ROLE_RELATIVE, "mpnet.encoder.relative_attention_bias"},
                                {MT_ROLE_ATTN_NORM, "mpnet.encoder.layer.%d.attention.LayerNorm"},
                                {MT_ROLE_FFN_NORM, "mpnet.encoder.layer.%d.output.LayerNorm"},
                                {MT_ROLE_Q, "mpnet.encoder.layer.%d.attention.attn.q"},
                                {MT_ROLE_K, "mpnet.encoder.layer.%d.attention.attn.k"},
                                {MT_ROLE_V, "mpnet.encoder.layer.%d.attention.attn.v"},
                                {MT_ROLE_ATTN_OUT, "mpnet.encoder.layer.%d.attention.attn.o"},
                                {MT_ROLE_UP, "mpnet.encoder.layer.%d.intermediate.dense"},
                                {MT_ROLE_DOWN, "mpnet.encoder.layer.%d.output.dense"},
                                {MT_ROLE_HEAD, "lm_head.dense"},
                                {MT_ROLE_HEAD_NORM, "lm_head.layer_norm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_encoder(m, meta, err));
    h->types = 0;
    h->position_first = 2;
    h->bucket_distance = 128;
    MT_TRY(mt_meta_int(meta, NULL, "relative_attention_num_buckets", 4, 4096, 32, &h->buckets, err));
    return MT_OK;
}

const mt_arch mt_arch_mpnet = {.name = "mpnet",
                               .model_types = "mpnet",
                               .names = names,
                               .prefix = "mpnet.",
                               .ignored = "*.position_ids *pooler.* lm_head.decoder.*",
                               .configure = configure,
                               .declare = mt_declare_encoder,
                               .build = mt_build_encoder};
