/* Hyper-parameters that nearly all decoders share, rotary frequencies and their scalings, activations, ALiBi slopes.
 *
 * Config files are read with the keys of current transformers ("rope_parameters", "layer_types") and with the older
 * ones that most repositories carry ("rope_theta", "rope_scaling", "sliding_window_pattern"). */
#include "arch/arch.h"

#include <math.h>
#include <stdio.h>

enum { MOST = 1 << 24 };
#define PI 3.14159265358979323846

mt_status mt_hyper_layers(mt_model *m, int32_t layers, mt_error *err) {
    mt_hyper *h = &m->h;
    h->layers = h->layer_sets = layers;
    h->layer = mt_arena_alloc(&m->arena, (size_t)layers * sizeof *h->layer);
    if (!h->layer) return mt_nomem(err, (size_t)layers * sizeof *h->layer, "the layer table");
    for (int32_t l = 0; l < layers; l++) h->layer[l] = (mt_layer){.rope = -1, .visible = 0, .set = l};
    return MT_OK;
}

mt_status mt_hyper_sizes(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_meta_int(meta, "block_count", "num_hidden_layers|n_layer|n_layers|num_layers|encoder_layers", 1, 4096,
                       MT_NEEDED, &h->layers, err));
    MT_TRY(mt_meta_int(meta, "embedding_length", "hidden_size|n_embd|d_model|dim", 1, MOST, MT_NEEDED, &h->width, err));
    MT_TRY(mt_meta_int(meta, "context_length",
                       "max_position_embeddings|n_positions|n_ctx|max_seq_len|max_sequence_length|seq_length", 1,
                       1 << 30, 2048, &h->context, err));
    MT_TRY(mt_meta_float(meta, "attention.layer_norm_rms_epsilon",
                         "rms_norm_eps|layer_norm_eps|layer_norm_epsilon|norm_epsilon|norm_eps", -1, &h->eps, err));
    if (h->eps < 0) MT_TRY(mt_meta_float(meta, "attention.layer_norm_epsilon", NULL, 1e-5, &h->eps, err));
    if (meta->gguf) {
        /* The table's rows count; the vocabulary's list may be shorter (padding). */
        h->vocab = 0;
        for (size_t i = 0; i < meta->gguf->tensor_count; i++)
            if (mt_str_is(meta->gguf->tensors[i].name, "token_embd.weight"))
                h->vocab = (int32_t)meta->gguf->tensors[i].dims[1];
        if (h->vocab == 0) return mt_fail(err, MT_EMISSING, "GGUF: there is no tensor \"token_embd.weight\"");
    } else {
        MT_TRY(mt_meta_int(meta, NULL, "vocab_size", 1, MOST, MT_NEEDED, &h->vocab, err));
    }
    h->embed_width = h->width;
    h->norm = MT_NORM_RMS;
    h->pre_norm = h->final_norm = true;
    h->flow = MT_FLOW_SEQUENTIAL;
    h->gated = true;
    h->act = MT_ACT_SILU;
    h->embed_scale = h->residual_scale = h->logit_scale = 1;
    h->heads = h->kv_heads = h->head_width = h->value_width = 1;
    h->tied = -1;
    h->windows[0] = 0;
    h->window_count = 1;
    h->head_act = MT_ACT_GELU_ERF;
    return mt_hyper_layers(m, h->layers, err);
}

mt_status mt_hyper_read(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_sizes(m, meta, err));
    MT_TRY(mt_meta_int(meta, "attention.head_count",
                       "num_attention_heads|n_head|n_heads|num_heads|encoder_attention_heads", 1, 65536, MT_NEEDED,
                       &h->heads, err));
    MT_TRY(mt_meta_int(meta, "attention.head_count_kv", "num_key_value_heads", 1, 65536, h->heads, &h->kv_heads, err));
    if (h->heads % h->kv_heads)
        return mt_fail(err, MT_ERANGE, "%d heads are no multiple of %d key/value heads", h->heads, h->kv_heads);
    int32_t width = h->width / h->heads;
    MT_TRY(
        mt_meta_int(meta, "attention.key_length", "head_dim|d_head", 1, 65536, width ? width : 1, &h->head_width, err));
    MT_TRY(mt_meta_int(meta, "attention.value_length", NULL, 1, 65536, h->head_width, &h->value_width, err));
    if (!mt_meta_has(meta, "attention.key_length", "head_dim|d_head") && h->width % h->heads)
        return mt_fail(err, MT_ERANGE, "width %d is no multiple of %d heads", h->width, h->heads);
    if ((int64_t)h->heads * h->head_width > MOST || (int64_t)h->heads * h->value_width > MOST)
        return mt_fail(err, MT_ERANGE, "%d heads of width %d are wider than %d", h->heads, h->head_width, MOST);
    MT_TRY(mt_meta_int(meta, "feed_forward_length",
                       "intermediate_size|n_inner|ffn_dim|ffn_hidden_size|hidden_dim|d_ff|d_inner|encoder_ffn_dim",
                       m->arch->attention_only ? 0 : 1, MOST, 4 * (int64_t)h->width, &h->ffn, err));
    h->attn_scale = 1 / sqrtf((float)h->head_width);
    return MT_OK;
}

int8_t mt_hyper_window(mt_model *m, int32_t window) {
    mt_hyper *h = &m->h;
    if (window <= 0) return 0;
    for (int32_t i = 0; i < h->window_count; i++)
        if (h->windows[i] == window) return (int8_t)i;
    if (h->window_count == MT_MAX_WINDOWS) return 0;
    h->windows[h->window_count] = window;
    return (int8_t)h->window_count++;
}

void mt_hyper_tied(mt_model *m, const mt_meta *meta, int otherwise) {
    m->h.tied = otherwise;
    if (!meta->gguf && mt_meta_has(meta, NULL, "tie_word_embeddings"))
        m->h.tied = mt_meta_bool(meta, NULL, "tie_word_embeddings", true);
    else if (meta->gguf)
        m->h.tied = -1;
}

mt_status mt_hyper_act(mt_model *m, const mt_meta *meta, const char *otherwise, mt_error *err) {
    return mt_hyper_act_named(m, meta, "hidden_activation|hidden_act|activation_function|activation", otherwise, err);
}

mt_status mt_hyper_act_named(mt_model *m, const mt_meta *meta, const char *keys, const char *otherwise, mt_error *err) {
    static const struct {
        const char *name;
        mt_act act;
    } known[] = {
        {"silu", MT_ACT_SILU},          {"swish", MT_ACT_SILU},          {"gelu", MT_ACT_GELU_ERF},
        {"gelu_new", MT_ACT_GELU_TANH}, {"gelu_fast", MT_ACT_GELU_TANH}, {"gelu_pytorch_tanh", MT_ACT_GELU_TANH},
        {"relu", MT_ACT_RELU},          {"relu2", MT_ACT_RELU2},         {"tanh", MT_ACT_TANH}};
    mt_str name = mt_meta_string(meta, NULL, keys);
    if (!name.n) name = mt_str_of(otherwise);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (mt_str_is(name, known[i].name)) {
            m->h.act = known[i].act;
            return MT_OK;
        }
    char shown[64];
    return mt_fail(err, MT_EUNKNOWN,
                   "config.json: the activation \"%s\" (known: silu swish gelu gelu_new gelu_fast "
                   "gelu_pytorch_tanh relu relu2 tanh)",
                   mt_str_show(name, shown, sizeof shown));
}

mt_status mt_hyper_alibi(mt_model *m, double max, mt_error *err) {
    /* Press et al. 2022: the slopes of the power of two at or below the number of heads, then every other slope of the
     * next power. MPT numbers them differently only when the count is no power of two; see mpt.c. */
    mt_hyper *h = &m->h;
    h->alibi = true;
    h->alibi_slopes = mt_arena_alloc(&m->arena, (size_t)h->heads * sizeof(float));
    if (!h->alibi_slopes) return mt_nomem(err, (size_t)h->heads * sizeof(float), "ALiBi slopes");
    int32_t power = 1;
    while (power * 2 <= h->heads) power *= 2;
    double base = pow(2, -max / power), extra = pow(2, -max / (2.0 * power));
    for (int32_t i = 0; i < h->heads; i++)
        h->alibi_slopes[i] = (float)(i < power ? pow(base, i + 1) : pow(extra, 2 * (i - power) + 1));
    return MT_OK;
}

/* ---- rotary frequencies ---- */

static const char *in_rope(const char *path, const char *key, char *out, size_t cap) {
    /* "rope_parameters.KEY|rope_scaling.KEY", or below `path` */
    if (path)
        snprintf(out, cap, "%s.%s", path, key);
    else
        snprintf(out, cap, "rope_parameters.%s|rope_scaling.%s", key, key);
    return out;
}

/* Linear and dynamic scaling are there to go beyond the length that the file names. */
static void longer(mt_hyper *h, float factor) {
    double length = (double)h->context * factor;
    if (factor > 1) h->context = length < 1 << 30 ? (int32_t)length : 1 << 30;
}

static mt_status scaled(const mt_meta *meta, const char *path, mt_hyper *h, mt_arena *arena, double base,
                        mt_rope_set *r, mt_error *err) {
    char key[160];
    int32_t half = r->dims / 2;
    mt_str type = mt_meta_string(meta, "rope.scaling.type", in_rope(path, "rope_type", key, sizeof key));
    if (!type.n) type = mt_meta_string(meta, NULL, in_rope(path, "type", key, sizeof key));
    if (!type.n || mt_str_is(type, "default") || mt_str_is(type, "none") || mt_str_is(type, "mrope")) return MT_OK;
    float factor, low, high, original;
    MT_TRY(mt_meta_float(meta, "rope.scaling.factor", in_rope(path, "factor", key, sizeof key), 1, &factor, err));
    if (!(factor > 0))
        return mt_fail(err, MT_ERANGE, "rope scaling factor is %g, expected more than 0", (double)factor);
    MT_TRY(mt_meta_float(meta, "rope.scaling.original_context_length",
                         in_rope(path, "original_max_position_embeddings", key, sizeof key), 0, &original, err));
    if (original == 0)
        MT_TRY(mt_meta_float(meta, NULL, "original_max_position_embeddings", h->context, &original, err));
    r->scaling = MT_ROPE_OTHER;
    r->factor = factor;
    r->original = original;
    if (mt_str_is(type, "linear")) { /* positions are divided by the factor (Chen et al. 2023) */
        r->scaling = MT_ROPE_LINEAR;
        for (int32_t i = 0; i < half; i++) r->inv_freq[i] /= factor;
        r->limit = h->context;
        longer(h, factor);
        return MT_OK;
    }
    if (mt_str_is(type, "dynamic")) { /* beyond the trained length the base grows with the text: mt_rope_update */
        r->rule = MT_ROPE_DYNAMIC;
        r->scaling = MT_ROPE_GROWING;
        r->limit = h->context;
        longer(h, factor);
        return MT_OK;
    }
    if (mt_str_is(type, "llama3")) {
        MT_TRY(mt_meta_float(meta, NULL, in_rope(path, "low_freq_factor", key, sizeof key), 1, &low, err));
        MT_TRY(mt_meta_float(meta, NULL, in_rope(path, "high_freq_factor", key, sizeof key), 4, &high, err));
        for (int32_t i = 0; i < half; i++) {
            double f = r->inv_freq[i], wave = 2 * PI / f;
            if (wave > original / low)
                r->inv_freq[i] = (float)(f / factor);
            else if (wave >= original / high) {
                double s = (original / wave - low) / (high - low);
                r->inv_freq[i] = (float)((1 - s) * f / factor + s * f);
            }
        }
        return MT_OK;
    }
    if (mt_str_is(type, "yarn")) { /* Peng et al. 2023 */
        float fast, slow, attention, mscale, mscale_all;
        MT_TRY(mt_meta_float(meta, "rope.scaling.yarn_beta_fast", in_rope(path, "beta_fast", key, sizeof key), 32,
                             &fast, err));
        MT_TRY(mt_meta_float(meta, "rope.scaling.yarn_beta_slow", in_rope(path, "beta_slow", key, sizeof key), 1, &slow,
                             err));
        MT_TRY(mt_meta_float(meta, "rope.scaling.attn_factor", in_rope(path, "attention_factor", key, sizeof key), -1,
                             &attention, err));
        MT_TRY(mt_meta_float(meta, NULL, in_rope(path, "mscale", key, sizeof key), 0, &mscale, err));
        MT_TRY(mt_meta_float(meta, NULL, in_rope(path, "mscale_all_dim", key, sizeof key), 0, &mscale_all, err));
        r->scaling = MT_ROPE_YARN;
        r->fast = fast, r->slow = slow;
        bool truncate = mt_meta_bool(meta, NULL, in_rope(path, "truncate", key, sizeof key), true);
        double log_factor = factor > 1 ? log(factor) : 0;
        if (attention >= 0)
            r->mscale = attention;
        else if (mscale > 0 && mscale_all > 0)
            r->mscale = (float)((0.1 * mscale * log_factor + 1) / (0.1 * mscale_all * log_factor + 1));
        else
            r->mscale = (float)(0.1 * log_factor + 1);
        double from = r->dims * log(original / (fast * 2 * PI)) / (2 * log(base));
        double to = r->dims * log(original / (slow * 2 * PI)) / (2 * log(base));
        if (truncate) from = floor(from), to = ceil(to);
        from = from < 0 ? 0 : from;
        to = to > r->dims - 1 ? r->dims - 1 : to;
        if (from == to) to += 0.001;
        for (int32_t i = 0; i < half; i++) {
            double ramp = (i - from) / (to - from), keep = 1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp);
            r->inv_freq[i] = (float)(r->inv_freq[i] / factor * (1 - keep) + r->inv_freq[i] * keep);
        }
        return MT_OK;
    }
    if (mt_str_is(type, "longrope") || mt_str_is(type, "su")) {
        /* One list of divisors for texts up to the original length, one for longer ones. */
        r->rule = MT_ROPE_LONG;
        r->limit = (int32_t)original;
        r->beyond = mt_arena_alloc(arena, (size_t)half * sizeof(float));
        if (!r->beyond) return mt_nomem(err, (size_t)half * sizeof(float), "rotary frequencies");
        for (int32_t i = 0; i < half; i++) {
            double near, far;
            if (!mt_meta_number_at(meta, NULL, in_rope(path, "short_factor", key, sizeof key), i, &near) ||
                !mt_meta_number_at(meta, NULL, in_rope(path, "long_factor", key, sizeof key), i, &far) || !(near > 0) ||
                !(far > 0))
                return mt_fail(err, MT_EMISSING,
                               "config.json: \"short_factor\" or \"long_factor\" has no positive number %d of %d", i,
                               half);
            r->beyond[i] = (float)(r->inv_freq[i] / far);
            r->inv_freq[i] = (float)(r->inv_freq[i] / near);
        }
        double ratio = h->context / original;
        r->mscale = ratio > 1 ? (float)sqrt(1 + log(ratio) / log(original)) : 1;
        MT_TRY(
            mt_meta_float(meta, NULL, in_rope(path, "attention_factor", key, sizeof key), r->mscale, &r->mscale, err));
        return MT_OK;
    }
    char shown[64];
    return mt_fail(err, MT_EUNKNOWN, "rope scaling type \"%s\" (known: default linear dynamic llama3 yarn longrope)",
                   mt_str_show(type, shown, sizeof shown));
}

mt_status mt_hyper_rope(mt_model *m, const mt_meta *meta, mt_rope_source from, mt_error *err) {
    mt_hyper *h = &m->h;
    char key[200];
    float base, share;
    if (h->rope_count == MT_MAX_ROPES)
        return mt_fail(err, MT_ELIMIT, "more than %d kinds of rotary positions", MT_MAX_ROPES);
    mt_rope_set *r = &h->ropes[h->rope_count];
    snprintf(key, sizeof key, "%s.rope_theta%s%s", from.path ? from.path : "rope_parameters",
             from.hub_base ? "|" : "|rope_theta|rotary_emb_base", from.hub_base ? from.hub_base : "");
    MT_TRY(mt_meta_float(meta, from.gguf_base ? from.gguf_base : "rope.freq_base", key,
                         from.base > 0 ? from.base : 10000, &base, err));
    if (!(base > 0)) return mt_fail(err, MT_ERANGE, "rope base is %g, expected more than 0", (double)base);
    MT_TRY(mt_meta_float(meta, NULL, "rope_parameters.partial_rotary_factor|partial_rotary_factor|rotary_pct|rope_pct",
                         1, &share, err));
    MT_TRY(mt_meta_int(meta, "rope.dimension_count", "rotary_dim", 2, h->head_width, (int64_t)(h->head_width * share),
                       &r->dims, err));
    if (r->dims < 2 || r->dims % 2 || r->dims > h->head_width)
        return mt_fail(err, MT_ERANGE,
                       "%d of %d dimensions of a head are rotated, expected an even number from 2 to %d", r->dims,
                       h->head_width, h->head_width);
    r->mscale = 1;
    r->base = base;
    r->inv_freq = mt_arena_alloc(&m->arena, (size_t)(r->dims / 2) * sizeof(float));
    if (!r->inv_freq) return mt_nomem(err, (size_t)(r->dims / 2) * sizeof(float), "rotary frequencies");
    for (int32_t i = 0; i < r->dims / 2; i++) r->inv_freq[i] = (float)(1 / pow(base, 2.0 * i / r->dims));
    if (!from.unscaled) MT_TRY(scaled(meta, from.path, h, &m->arena, base, r, err));
    h->rope_count++;
    if (h->rope_count == 1)
        for (int32_t l = 0; l < h->layers; l++) h->layer[l].rope = 0;
    return MT_OK;
}

const float *mt_rope_update(const mt_rope_set *r, int32_t length, int32_t *reached, float *own) {
    int32_t half = r->dims / 2;
    if (r->rule == MT_ROPE_LONG) return length > r->limit ? r->beyond : r->inv_freq;
    if (r->rule == MT_ROPE_FIXED) return r->inv_freq;
    if (length <= r->limit && *reached <= r->limit) return r->inv_freq;
    if (length < r->limit) { /* a new, short text */
        *reached = 0;
        return r->inv_freq;
    }
    if (length > *reached) {
        double grown = (double)r->factor * length / r->limit - (r->factor - 1);
        double base = r->base * pow(grown, (double)r->dims / (r->dims > 2 ? r->dims - 2 : 1));
        for (int32_t i = 0; i < half; i++) own[i] = (float)(1 / pow(base, 2.0 * i / r->dims));
        *reached = length;
    }
    return own;
}

void mt_hyper_layer_types(mt_model *m, const mt_meta *meta, int32_t window, int32_t period) {
    int64_t listed = mt_meta_count(meta, NULL, "layer_types");
    for (int32_t l = 0; l < m->h.layers; l++) {
        bool sliding = period < 0 || (period > 0 && (l + 1) % period != 0);
        if (l < listed) sliding = mt_str_is(mt_meta_string_at(meta, "layer_types", l), "sliding_attention");
        m->h.layer[l].visible = sliding ? mt_hyper_window(m, window) : 0;
    }
}

void mt_hyper_recurrent(mt_model *m, const mt_meta *meta) {
    mt_hyper *h = &m->h;
    int64_t listed = mt_meta_count(meta, NULL, "layer_types");
    for (int32_t l = 0; l < h->layers; l++) {
        mt_str type = mt_meta_string_at(meta, "layer_types", l);
        h->layer[l].recurrent = l < listed && !mt_str_is(type, "full_attention") && !mt_str_is(type, "attention");
        h->recurrent |= h->layer[l].recurrent;
    }
}

mt_status mt_hyper_experts(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_meta_int(meta, "expert_count", "num_local_experts|num_experts", 0, 65536, 0, &h->experts, err));
    if (!h->experts) return MT_OK;
    MT_TRY(
        mt_meta_int(meta, "expert_used_count", "num_experts_per_tok", 1, h->experts, MT_NEEDED, &h->experts_used, err));
    MT_TRY(mt_meta_int(meta, "expert_feed_forward_length", "moe_intermediate_size", 1, MOST, h->ffn, &h->ffn, err));
    return MT_OK;
}

void mt_hyper_bias(mt_model *m, mt_bias all) {
    m->h.norm_bias = m->h.qkv_bias = m->h.attn_out_bias = m->h.mlp_bias = all;
}

mt_status mt_hyper_encoder(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_act(m, meta, "gelu", err));
    mt_hyper_tied(m, meta, 1);
    mt_hyper_bias(m, MT_BIAS_NEEDED);
    h->norm = MT_NORM_LAYER;
    h->flow = MT_FLOW_POST_NORM;
    h->final_norm = h->gated = false;
    h->bidirectional = h->embed_norm = true;
    h->position_rows = h->context;
    MT_TRY(mt_meta_int(meta, NULL, "embedding_size", 1, MOST, h->width, &h->embed_width, err));
    return mt_meta_int(meta, ".tokenizer.ggml.token_type_count", "type_vocab_size", 0, MOST, 2, &h->types, err);
}
