/* CodeGen: GPT-J whose fused matrix comes in four parts of queries, values and keys. */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "transformer.wte"},
                                {MT_ROLE_OUTPUT_NORM, "transformer.ln_f"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "transformer.h.%d.ln_1"},
                                {MT_ROLE_QKV, "transformer.h.%d.attn.qkv_proj"},
                                {MT_ROLE_ATTN_OUT, "transformer.h.%d.attn.out_proj"},
                                {MT_ROLE_UP, "transformer.h.%d.mlp.fc_in"},
                                {MT_ROLE_DOWN, "transformer.h.%d.mlp.fc_out"},
                                {0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_read(m, meta, err));
    MT_TRY(mt_hyper_rope(m, meta, (mt_rope_source){0}, err));
    MT_TRY(mt_hyper_act(m, meta, "gelu_new", err));
    mt_hyper_tied(m, meta, 0);
    if (h->heads % 4) return mt_fail(err, MT_ERANGE, "%d heads are no multiple of 4", h->heads);
    h->norm = MT_NORM_LAYER;
    h->norm_bias = h->mlp_bias = MT_BIAS_NEEDED;
    h->output_bias = h->tied == 1 ? MT_BIAS_IF_PRESENT : MT_BIAS_NEEDED;
    h->flow = MT_FLOW_PARALLEL_SHARED;
    h->qkv = MT_QKV_QUARTERS;
    h->gated = false;
    h->rope_interleaved = true;
    return MT_OK;
}

const mt_arch mt_arch_codegen = {.name = "codegen",
                                 .model_types = "codegen",
                                 .names = names,
                                 .prefix = "transformer.",
                                 .ignored = "*.attn.bias *.attn.masked_bias *.attn.causal_mask *.attn.embed_positions",
                                 .configure = configure,
                                 .declare = mt_declare_decoder,
                                 .build = mt_build_decoder};
