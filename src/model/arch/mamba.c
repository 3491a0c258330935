/* Mamba (Gu & Dao 2023) and Mamba-2 (Dao & Gu 2024): no attention; each layer is a gated, selective recurrence over a
 * state of fixed size.
 *
 *   Mamba     [u | z] = W_in n; u = silu(conv u); [dt B C] = W_x u; dt = softplus(W_dt dt + b); out = W_out (scan *
 * silu z) Mamba-2   [z | u B C | dt] = W_in n; u B C = silu(conv); dt = softplus(dt + b); out = W_out norm(scan * silu
 * z) */
#include "arch.h"

static const mt_name names[] = {{MT_ROLE_TOKEN_EMBED, "backbone.embeddings|backbone.embedding"},
                                {MT_ROLE_OUTPUT_NORM, "backbone.norm_f"},
                                {MT_ROLE_OUTPUT, "lm_head"},
                                {MT_ROLE_ATTN_NORM, "backbone.layers.%d.norm"},
                                {MT_ROLE_SSM_IN, "backbone.layers.%d.mixer.in_proj"},
                                {MT_ROLE_SSM_CONV, "backbone.layers.%d.mixer.conv1d"},
                                {MT_ROLE_SSM_X, "backbone.layers.%d.mixer.x_proj"},
                                {MT_ROLE_SSM_DT, "backbone.layers.%d.mixer.dt_proj"},
                                {MT_ROLE_SSM_DT_BIAS, "backbone.layers.%d.mixer.dt_bias!"},
                                {MT_ROLE_SSM_A, "backbone.layers.%d.mixer.A_log!"},
                                {MT_ROLE_SSM_D, "backbone.layers.%d.mixer.D!"},
                                {MT_ROLE_SSM_NORM, "backbone.layers.%d.mixer.norm"},
                                {MT_ROLE_SSM_OUT, "backbone.layers.%d.mixer.out_proj"},
                                {0, NULL}};

/* Channels that the convolution runs over. */
static int32_t mixed(const mt_hyper *h) {
    return h->rank ? h->inner : h->inner + 2 * h->groups * h->state;
}

static size_t state_width(const mt_hyper *h) {
    return (size_t)(h->taps - 1) * (size_t)mixed(h) + (size_t)h->inner * (size_t)h->state;
}

mt_status mt_mamba2_check(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    if (h->inner % h->ssm_heads || h->ssm_heads % h->groups)
        return mt_fail(err, MT_ERANGE, "%d channels, %d heads and %d groups do not divide", h->inner, h->ssm_heads,
                       h->groups);
    h->ssm_head_width = h->inner / h->ssm_heads;
    double low = 0, high = 0;
    bool has_low = mt_meta_number_at(meta, NULL, "time_step_limit", 0, &low);
    if ((has_low && low > 0) || mt_meta_number_at(meta, NULL, "time_step_limit", 1, &high))
        return mt_fail(err, MT_EUNKNOWN, "config.json: \"time_step_limit\" from %g to %g (known: 0 to infinity)", low,
                       high);
    h->state_width = state_width(h);
    return MT_OK;
}

static mt_status configure_any(mt_model *m, const mt_meta *meta, bool second, mt_error *err) {
    mt_hyper *h = &m->h;
    int32_t expand;
    MT_TRY(mt_hyper_sizes(m, meta, err));
    MT_TRY(mt_hyper_act(m, meta, "silu", err));
    MT_TRY(mt_meta_int(meta, NULL, "expand", 1, 64, 2, &expand, err));
    MT_TRY(mt_meta_int(meta, "ssm.inner_size", second ? NULL : "intermediate_size|d_inner", 1, 1 << 24,
                       (int64_t)h->width * expand, &h->inner, err));
    MT_TRY(mt_meta_int(meta, "ssm.state_size", "state_size|d_state", 1, 256, second ? 128 : 16, &h->state, err));
    MT_TRY(mt_meta_int(meta, "ssm.conv_kernel", "conv_kernel|d_conv", 1, MT_MAX_TAPS, 4, &h->taps, err));
    h->groups = 1;
    if (second) {
        MT_TRY(mt_meta_int(meta, "ssm.time_step_rank", "num_heads", 1, 65536, MT_NEEDED, &h->ssm_heads, err));
        MT_TRY(mt_meta_int(meta, "ssm.group_count", "n_groups", 1, 65536, 1, &h->groups, err));
        MT_TRY(mt_mamba2_check(m, meta, err));
    } else {
        /* "auto" and absence: a sixteenth of the width, rounded up. */
        bool given = meta->gguf || !mt_meta_string(meta, NULL, "time_step_rank|dt_rank").n;
        h->rank = (h->width + 15) / 16;
        if (given)
            MT_TRY(
                mt_meta_int(meta, "ssm.time_step_rank", "time_step_rank|dt_rank", 1, 1 << 20, h->rank, &h->rank, err));
        h->ssm_heads = h->inner;
        h->ssm_head_width = 1;
    }
    mt_hyper_tied(m, meta, second ? 0 : 1);
    h->recurrent = true;
    for (int32_t l = 0; l < h->layers; l++) h->layer[l].recurrent = true;
    h->ssm_bias = mt_meta_bool(meta, NULL, "use_bias", false) ? MT_BIAS_NEEDED : MT_BIAS_NONE;
    h->conv_bias = mt_meta_bool(meta, NULL, "use_conv_bias", true) ? MT_BIAS_NEEDED : MT_BIAS_NONE;
    h->state_width = state_width(h);
    return MT_OK;
}

static mt_status configure_1(mt_model *m, const mt_meta *meta, mt_error *err) {
    return configure_any(m, meta, false, err);
}
static mt_status configure_2(mt_model *m, const mt_meta *meta, mt_error *err) {
    return configure_any(m, meta, true, err);
}

void mt_mamba_declare(mt_declare *d, int32_t l) {
    const mt_hyper *h = d->h;
    int32_t bc = 2 * h->groups * h->state;
    mt_declare_linear(d, l, MT_ROLE_SSM_IN, h->rank ? 2 * h->inner : 2 * h->inner + bc + h->ssm_heads, h->width,
                      h->ssm_bias);
    mt_declare_array(d, l, MT_ROLE_SSM_CONV, mixed(h), h->taps, false);
    mt_declare_bias(d, l, MT_ROLE_SSM_CONV, mixed(h), h->conv_bias);
    if (h->rank) {
        mt_declare_linear(d, l, MT_ROLE_SSM_X, h->rank + bc, h->inner, MT_BIAS_NONE);
        mt_declare_linear(d, l, MT_ROLE_SSM_DT, h->inner, h->rank, MT_BIAS_NEEDED);
        mt_declare_array(d, l, MT_ROLE_SSM_A, h->inner, h->state, true);
    } else {
        mt_declare_vector(d, l, MT_ROLE_SSM_DT_BIAS, h->ssm_heads, true);
        mt_declare_array(d, l, MT_ROLE_SSM_A, h->ssm_heads, 1, true);
        mt_declare_norm(d, l, MT_ROLE_SSM_NORM, h->inner, MT_BIAS_NONE);
    }
    mt_declare_vector(d, l, MT_ROLE_SSM_D, h->ssm_heads, true);
    mt_declare_linear(d, l, MT_ROLE_SSM_OUT, h->width, h->inner, h->ssm_bias);
}

static void declare(mt_declare *d) {
    const mt_hyper *h = d->h;
    mt_declare_table(d, MT_ROLE_TOKEN_EMBED, h->vocab, h->width, true);
    for (int32_t l = 0; l < h->layers && d->status == MT_OK; l++) {
        mt_declare_norm(d, l, MT_ROLE_ATTN_NORM, h->width, MT_BIAS_NONE);
        mt_mamba_declare(d, l);
    }
    mt_declare_norm(d, -1, MT_ROLE_OUTPUT_NORM, h->width, MT_BIAS_NONE);
    if (h->tied <= 0) mt_declare_table(d, MT_ROLE_OUTPUT, h->vocab, h->width, h->tied == 0);
}

int32_t mt_mamba_mixer(mt_build *b, int32_t x, int32_t l) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    int32_t bc = h->groups * h->state, channels = mixed(h), z, u, dt, B, C;
    int32_t in = mt_b_linear(b, x, l, MT_ROLE_SSM_IN);
    u = mt_g_slice(g, in, h->rank ? 0 : h->inner, channels);
    z = mt_g_slice(g, in, h->rank ? h->inner : 0, h->inner);
    u = mt_g_conv(g, u, mt_b_weight(b, l, MT_ROLE_SSM_CONV), mt_b_bias(b, l, MT_ROLE_SSM_CONV), h->taps, l, 0);
    u = mt_g_name(g, mt_g_act(g, u, h->act), "blocks.%d.mixer.hook_conv", l);
    if (h->rank) {
        int32_t all = mt_b_linear(b, u, l, MT_ROLE_SSM_X);
        dt = mt_b_linear(b, mt_g_slice(g, all, 0, h->rank), l, MT_ROLE_SSM_DT);
        B = mt_g_slice(g, all, h->rank, bc);
        C = mt_g_slice(g, all, h->rank + bc, bc);
    } else {
        dt = mt_g_slice(g, in, h->inner + channels, h->ssm_heads);
        dt = mt_g_add_row(g, dt, mt_b_weight(b, l, MT_ROLE_SSM_DT_BIAS));
        B = mt_g_slice(g, u, h->inner, bc);
        C = mt_g_slice(g, u, h->inner + bc, bc);
        u = mt_g_slice(g, u, 0, h->inner);
    }
    dt = mt_g_name(g, mt_g_act(g, dt, MT_ACT_SOFTPLUS), "blocks.%d.mixer.hook_dt", l);
    B = mt_g_name(g, B, "blocks.%d.mixer.hook_B", l);
    C = mt_g_name(g, C, "blocks.%d.mixer.hook_C", l);
    mt_scan scan = {.A = mt_b_values(b, l, MT_ROLE_SSM_A),
                    .D = mt_b_values(b, l, MT_ROLE_SSM_D),
                    .channels = h->inner,
                    .width = h->ssm_head_width,
                    .groups = h->groups,
                    .state = h->state,
                    .scalar = h->rank == 0};
    int32_t y = mt_g_scan(g, u, dt, B, C, &scan, l, (h->taps - 1) * channels);
    y = mt_g_name(g, y, "blocks.%d.mixer.hook_y", l);
    y = mt_g_mul(g, y, mt_g_act(g, z, h->act));
    if (!h->rank) y = mt_b_norm(b, y, l, MT_ROLE_SSM_NORM, NULL);
    return mt_b_linear(b, y, l, MT_ROLE_SSM_OUT);
}

static void build(mt_build *b) {
    mt_graph *g = b->g;
    int32_t x = mt_b_embed(b);
    for (int32_t l = 0; l < b->m->h.layers; l++) {
        x = mt_g_name(g, x, "blocks.%d.hook_resid_pre", l);
        int32_t out = mt_mamba_mixer(b, mt_b_norm(b, x, l, MT_ROLE_ATTN_NORM, "ln1"), l);
        x = mt_g_add(g, x, mt_g_name(g, out, "blocks.%d.hook_mixer_out", l));
        x = mt_g_name(g, x, "blocks.%d.hook_resid_post", l);
    }
    mt_b_head(b, x);
}

const mt_arch mt_arch_mamba = {.name = "mamba",
                               .model_types = "mamba",
                               .names = names,
                               .prefix = "backbone.",
                               .configure = configure_1,
                               .declare = declare,
                               .build = build};
const mt_arch mt_arch_mamba2 = {.name = "mamba2",
                                .model_types = "mamba2",
                                .names = names,
                                .prefix = "backbone.",
                                .configure = configure_2,
                                .declare = declare,
                                .build = build};
