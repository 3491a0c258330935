/* Gemma 1: gains are stored as gain - 1 (in hub files), embeddings times sqrt(width), tanh-GELU gate, tied output. */
#include "arch.h"

#include <math.h>

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    h->act = MT_ACT_GELU_TANH; /* whatever "hidden_act" says: early repositories wrote "gelu" */
    h->norm_plus_one = true;
    h->embed_scale = sqrtf((float)h->width);
    mt_hyper_tied(m, meta, 1);
    return MT_OK;
}

const mt_arch mt_arch_gemma = {.name = "gemma",
                               .model_types = "gemma",
                               .names = mt_llama_names,
                               .prefix = "model.",
                               .ignored = "*.rotary_emb.inv_freq",
                               .configure = configure,
                               .declare = mt_declare_decoder,
                               .build = mt_build_decoder};
