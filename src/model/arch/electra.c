/* ELECTRA (Clark et al. 2020), the generator: BERT with embeddings narrower than the residual stream. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "electra.embeddings.word_embeddings"},
                                {MT_ROLE_POSITION_EMBED, "electra.embeddings.position_embeddings"},
                                {MT_ROLE_TYPE_EMBED, "electra.embeddings.token_type_embeddings"},
                                {MT_ROLE_EMBED_NORM, "electra.embeddings.LayerNorm"},
                                {MT_ROLE_ATTN_NORM, "electra.encoder.layer.%d.attention.output.LayerNorm"},
                                {MT_ROLE_FFN_NORM, "electra.encoder.layer.%d.output.LayerNorm"},
                                {MT_ROLE_Q, "electra.encoder.layer.%d.attention.self.query"},
                                {MT_ROLE_K, "electra.encoder.layer.%d.attention.self.key"},
                                {MT_ROLE_V, "electra.encoder.layer.%d.attention.self.value"},
                                {MT_ROLE_ATTN_OUT, "electra.encoder.layer.%d.attention.output.dense"},
                                {MT_ROLE_UP, "electra.encoder.layer.%d.intermediate.dense"},
                                {MT_ROLE_DOWN, "electra.encoder.layer.%d.output.dense"},
                                {MT_ROLE_EMBED_IN, "electra.embeddings_project"},
                                {MT_ROLE_HEAD, "generator_predictions.dense"},
                                {MT_ROLE_HEAD_NORM, "generator_predictions.LayerNorm"},
                                {MT_ROLE_OUTPUT, "generator_lm_head"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_encoder(m, meta, err));
    return MT_OK;
}

const mt_arch mt_arch_electra = {.name = "electra",
                                 .model_types = "electra",
                                 .names = names,
                                 .prefix = "electra.",
                                 .ignored = "*.position_ids discriminator_predictions.*",
                                 .configure = configure,
                                 .declare = mt_declare_encoder,
                                 .build = mt_build_encoder};
