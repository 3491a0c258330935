/* A loaded model: what it is, and how it is described. */
#include "arch/arch.h"

#include <stdio.h>

void mt_model_free(mt_model *m) {
    if (!m) return;
    for (size_t i = 0; i < m->param_count; i++) {
        mt_param *p = &m->params[i];
        for (int32_t k = 0; p->weight && k < p->count; k++) mt_weight_free(&p->weight[k]);
        mt_free(p->weight);
        mt_free(p->values);
    }
    mt_free(m->params);
    mt_free(m->adapted);
    mt_free(m->files);
    mt_config_free(m->config);
    if (m->has_gguf) mt_gguf_free(&m->gguf);
    mt_free(m->header);
    mt_arena_free(&m->arena);
    mt_free(m);
}

void mt_model_info_get(const mt_model *m, mt_model_info *out) {
    const mt_hyper *h = &m->h;
    const mt_dtype_info *type = mt_dtype_find(m->main_type);
    *out = (mt_model_info){.architecture = m->arch->name,
                           .name = m->name,
                           .layers = h->layers,
                           .width = h->width,
                           .heads = h->heads,
                           .kv_heads = h->kv_heads,
                           .head_width = h->head_width,
                           .ffn_width = h->ffn,
                           .vocab = h->vocab,
                           .context = h->context,
                           .parameters = m->parameters,
                           .weight_bytes = m->weight_bytes,
                           .weight_type = type ? type->name : "?",
                           .encoder_layers = m->encoder.layers,
                           .decoder_start = m->encoder.layers ? h->decoder_start : -1,
                           .segments = h->types,
                           .bidirectional = h->bidirectional,
                           .headless = h->headless};
}

const mt_gguf *mt_model_gguf(const mt_model *m) {
    return m->has_gguf ? &m->gguf : NULL;
}

/* ---- adapters ---- */

static const mt_adapter *adapter_of(void *model, const mt_weight *w) {
    const mt_model *m = model;
    for (size_t i = 0; i < m->adapted_count; i++)
        if (m->adapted[i].weight == w) return &m->adapted[i].adapter;
    return NULL;
}

void mt_model_adapt(const mt_model *m, mt_graph *g) {
    g->adapter = m->adapted_count ? adapter_of : NULL;
    g->adapter_arg = (void *)(uintptr_t)m;
}

mt_status mt_model_set_adapter(mt_model *m, const mt_weight *weight, const mt_adapter *adapter, mt_error *err) {
    size_t kept = 0;
    for (size_t i = 0; i < m->adapted_count; i++)
        if (m->adapted[i].weight != weight) m->adapted[kept++] = m->adapted[i];
    m->adapted_count = kept;
    if (!adapter) return MT_OK;
    void *list = m->adapted;
    mt_status status = mt_grow(&list, &m->adapted_capacity, kept + 1, sizeof *m->adapted, err);
    m->adapted = list;
    if (status == MT_OK) m->adapted[m->adapted_count++] = (mt_adapted){weight, *adapter};
    return status;
}

bool mt_glob(const char *pattern, const char *name) {
    const char *star = NULL, *retry = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            retry = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++, name++;
        } else if (star) {
            pattern = star + 1;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}

/* ---- description as JSON ---- */

static mt_status put_string(mt_buf *b, mt_str s, mt_error *err) {
    MT_TRY(mt_buf_byte(b, '"', err));
    for (size_t i = 0; i < s.n;) {
        uint32_t cp;
        int n = mt_utf8_decode(s.p + i, s.n - i, &cp);
        if (n == 0)
            MT_TRY(mt_buf_printf(b, err, "\\ufffd"));
        else if (cp < 0x20 || cp == '"' || cp == '\\')
            MT_TRY(mt_buf_printf(b, err, "\\u%04x", (unsigned)cp));
        else
            MT_TRY(mt_buf_add(b, s.p + i, (size_t)n, err));
        i += n ? (size_t)n : 1;
    }
    return mt_buf_byte(b, '"', err);
}

static mt_status put_number(mt_buf *b, double v, mt_error *err) {
    if (v != v || v - v != 0) return mt_buf_printf(b, err, "null");
    return mt_buf_printf(b, err, "%.17g", v);
}

/* Arrays longer than this are described by their length: vocabularies are looked at elsewhere. */
enum { SHOWN_ELEMENTS = 64 };

static mt_status put_key(mt_buf *b, const mt_gguf_key *key, mt_error *err) {
    const uint8_t *cursor = key->data;
    MT_TRY(put_string(b, key->name, err));
    MT_TRY(mt_buf_byte(b, ':', err));
    if (key->type == MT_GGUF_STRING) return put_string(b, mt_gguf_next_string(&cursor), err);
    if (key->type == MT_GGUF_BOOL) return mt_buf_printf(b, err, key->data[0] ? "true" : "false");
    if (key->type != MT_GGUF_ARRAY) return put_number(b, mt_gguf_number_at(key, 0), err);
    if (key->count > SHOWN_ELEMENTS || key->element == MT_GGUF_ARRAY)
        return mt_buf_printf(b, err, "{\"array\":%llu}", (unsigned long long)key->count);
    MT_TRY(mt_buf_byte(b, '[', err));
    for (uint64_t i = 0; i < key->count; i++) {
        if (i) MT_TRY(mt_buf_byte(b, ',', err));
        if (key->element == MT_GGUF_STRING)
            MT_TRY(put_string(b, mt_gguf_next_string(&cursor), err));
        else
            MT_TRY(put_number(b, mt_gguf_number_at(key, i), err));
    }
    return mt_buf_byte(b, ']', err);
}

mt_status mt_model_describe(const mt_model *m, mt_buf *json, mt_error *err) {
    mt_model_info i;
    mt_model_info_get(m, &i);
    MT_TRY(mt_buf_printf(json, err, "{\"architecture\":\"%s\",\"name\":", i.architecture));
    MT_TRY(put_string(json, mt_str_of(i.name), err));
    MT_TRY(mt_buf_printf(json, err,
                         ",\"layers\":%d,\"width\":%d,\"heads\":%d,\"kvHeads\":%d,\"headWidth\":%d,\"ffnWidth\":%d,"
                         "\"vocab\":%d,\"context\":%d,\"parameters\":%llu,\"weightBytes\":%llu,\"weightType\":\"%s\"",
                         i.layers, i.width, i.heads, i.kv_heads, i.head_width, i.ffn_width, i.vocab, i.context,
                         (unsigned long long)i.parameters, (unsigned long long)i.weight_bytes, i.weight_type));
    MT_TRY(mt_buf_printf(json, err, ",\"container\":\"%s\",\"metadata\":{", m->container));
    for (size_t k = 0; m->has_gguf && k < m->gguf.key_count; k++) {
        if (k) MT_TRY(mt_buf_byte(json, ',', err));
        MT_TRY(put_key(json, &m->gguf.keys[k], err));
    }
    MT_TRY(mt_buf_printf(json, err, "},\"tensors\":["));
    for (size_t k = 0; k < m->file_count; k++) {
        const mt_file_tensor *t = &m->files[k];
        const mt_dtype_info *type = mt_dtype_find(t->type);
        MT_TRY(mt_buf_printf(json, err, "%s{\"name\":", k ? "," : ""));
        MT_TRY(put_string(json, mt_str_of(t->name), err));
        MT_TRY(mt_buf_printf(json, err, ",\"type\":\"%s\",\"bytes\":%llu,\"dims\":[", type ? type->name : "?",
                             (unsigned long long)t->bytes));
        for (uint32_t d = 0; d < t->n_dims; d++)
            MT_TRY(mt_buf_printf(json, err, "%s%llu", d ? "," : "", (unsigned long long)t->dims[d]));
        MT_TRY(mt_buf_printf(json, err, "]}"));
    }
    return mt_buf_printf(json, err, "]}");
}
