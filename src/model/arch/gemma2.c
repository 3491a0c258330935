/* Gemma 2: Gemma with norms after each block as well, soft-capped scores and logits, every other layer with a window.
 */
#include "arch.h"

#include <math.h>

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "model.embed_tokens"},
                                {MT_ROLE_OUTPUT_NORM, "model.norm"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "model.layers.%d.input_layernorm"},
                                {MT_ROLE_Q, "model.layers.%d.self_attn.q_proj"},
                                {MT_ROLE_K, "model.layers.%d.self_attn.k_proj"},
                                {MT_ROLE_V, "model.layers.%d.self_attn.v_proj"},
                                {MT_ROLE_ATTN_OUT, "model.layers.%d.self_attn.o_proj"},
                                {MT_ROLE_FFN_NORM, "model.layers.%d.pre_feedforward_layernorm"},
                                {MT_ROLE_GATE, "model.layers.%d.mlp.gate_proj"},
                                {MT_ROLE_UP, "model.layers.%d.mlp.up_proj"},
                                {MT_ROLE_DOWN, "model.layers.%d.mlp.down_proj"},
                                {MT_ROLE_ATTN_POST_NORM, "model.layers.%d.post_attention_layernorm"},
                                {MT_ROLE_FFN_POST_NORM, "model.layers.%d.post_feedforward_layernorm"},
                                {MT_ROLE_Q_NORM, "model.layers.%d.self_attn.q_norm"},
                                {MT_ROLE_K_NORM, "model.layers.%d.self_attn.k_norm"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    int32_t window;
    float scalar;
    h->act = MT_ACT_GELU_TANH;
    h->norm_plus_one = h->post_norm = true;
    h->embed_scale = sqrtf((float)h->width);
    /* GGUF has no key for the scale: the 27B model (46 layers) divides by sqrt(width / heads), the others by the
     * head's. */
    bool largest = meta->gguf && h->layers == 46;
    MT_TRY(mt_meta_float(meta, NULL, "query_pre_attn_scalar", largest ? h->width / h->heads : h->head_width, &scalar,
                         err));
    h->attn_scale = 1 / sqrtf(scalar);
    MT_TRY(mt_meta_float(meta, "attn_logit_softcapping", "attn_logit_softcapping", meta->gguf ? 50 : 0,
                         &h->attn_softcap, err));
    MT_TRY(mt_meta_float(meta, "final_logit_softcapping", "final_logit_softcapping", meta->gguf ? 30 : 0,
                         &h->final_softcap, err));
    MT_TRY(mt_meta_int(meta, "attention.sliding_window", "sliding_window", 1, INT32_MAX, 4096, &window, err));
    mt_hyper_layer_types(m, meta, window, 2);
    mt_hyper_tied(m, meta, 1);
    return MT_OK;
}

const mt_arch mt_arch_gemma2 = {.name = "gemma2",
                                .model_types = "gemma2",
                                .names = names,
                                .prefix = "model.",
                                .ignored = "*.rotary_emb.inv_freq",
                                .configure = configure,
                                .declare = mt_declare_decoder,
                                .build = mt_build_decoder};
