/* Hyper-parameters, whichever container they came in: GGUF keys, or a config.json flattened to dotted paths
 * ("rope_parameters.rope_theta", "layer_types.3"; an array's own entry holds its length). Multimodal repositories nest
 * the language model's configuration under "text_config": what is not found at the top is looked for there. */
#include "arch/arch.h"

#include "../base/json.h"

#include <math.h>
#include <stdio.h>

typedef struct entry {
    mt_json_kind kind; /* MT_JSON_ARRAY: number is the length */
    double number;
    mt_str text;
} entry;

struct mt_config {
    mt_arena arena;
    mt_str text;
    mt_map index;
    entry *entries;
    size_t count, capacity;
};

static mt_status add(mt_config *c, const char *path, entry e, mt_error *err) {
    size_t n = strlen(path);
    uint8_t *key = mt_arena_copy(&c->arena, path, n + 1);
    if (!key) return mt_nomem(err, n + 1, "config.json");
    if (e.text.n) {
        uint8_t *text = mt_arena_copy(&c->arena, e.text.p, e.text.n);
        if (!text) return mt_nomem(err, e.text.n, "config.json");
        e.text.p = text;
    }
    void *entries = c->entries;
    mt_status status = mt_grow(&entries, &c->capacity, c->count + 1, sizeof e, err);
    c->entries = entries;
    if (status != MT_OK) return status;
    c->entries[c->count] = e;
    MT_TRY(mt_map_set(&c->index, (mt_str){key, n}, (int32_t)c->count, err));
    c->count++;
    return MT_OK;
}

static mt_status child(char *out, size_t cap, const char *path, mt_str key, mt_error *err) {
    char shown[96];
    int n =
        snprintf(out, cap, "%s%s%.*s", path, *path ? "." : "", (int)(key.n < cap ? key.n : cap), (const char *)key.p);
    if (n < 0 || (size_t)n >= cap)
        return mt_fail(err, MT_ELIMIT, "config.json: the path to key \"%s\" is longer than %zu bytes",
                       mt_str_show(key, shown, sizeof shown), cap - 1);
    return MT_OK;
}

static mt_status flatten(mt_config *c, mt_json *j, const char *path, mt_error *err) {
    char below[256];
    entry e = {.kind = mt_json_peek(j)};
    switch (e.kind) {
    case MT_JSON_NULL:
        mt_json_null(j);
        return j->status; /* as good as absent */
    case MT_JSON_BOOL:
        e.number = mt_json_bool(j);
        break;
    case MT_JSON_NUMBER:
        e.number = mt_json_number(j);
        break;
    case MT_JSON_STRING:
        e.text = mt_json_string(j);
        break;
    case MT_JSON_ARRAY: {
        MT_TRY(mt_json_array(j));
        while (mt_json_next(j)) {
            char index[24];
            snprintf(index, sizeof index, "%.0f", e.number++);
            MT_TRY(child(below, sizeof below, path, mt_str_of(index), err));
            MT_TRY(flatten(c, j, below, err));
        }
        break;
    }
    case MT_JSON_OBJECT: {
        mt_str key;
        MT_TRY(mt_json_object(j));
        while (mt_json_key(j, &key)) {
            MT_TRY(child(below, sizeof below, path, key, err));
            MT_TRY(flatten(c, j, below, err));
        }
        break;
    }
    case MT_JSON_ERROR:
        break;
    }
    if (j->status != MT_OK) return j->status;
    return *path ? add(c, path, e, err) : MT_OK;
}

/* Python writes NaN and Infinity, which JSON does not have: they become null. */
static void no_infinities(uint8_t *p, size_t n) {
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"')
            quoted = !quoted;
        else if (quoted && p[i] == '\\')
            i++;
        for (int w = 0; w < 3 && !quoted; w++) {
            size_t length = strlen(words[w]);
            if (n - i < length || memcmp(p + i, words[w], length) != 0) continue;
            memset(p + i, ' ', length);
            memcpy(p + i, length > 3 ? "null" : "0e0", length > 3 ? 4 : 3); /* a number that no field can want */
            i += length - 1;
            break;
        }
    }
}

mt_status mt_config_parse(const uint8_t *json, size_t n, mt_config **out, mt_error *err) {
    mt_config *c = mt_calloc(1, sizeof *c);
    if (!c) return mt_nomem(err, sizeof *c, "config.json");
    uint8_t *text = mt_arena_copy(&c->arena, json, n);
    if (!text) {
        mt_config_free(c);
        return mt_nomem(err, n, "config.json");
    }
    no_infinities(text, n);
    c->text = (mt_str){text, n};
    mt_json j;
    mt_json_open(&j, text, n, err);
    mt_status status = MT_OK;
    if (mt_json_peek(&j) != MT_JSON_OBJECT) status = mt_json_fail(&j, MT_EFORMAT, "expected an object");
    if (status == MT_OK) status = flatten(c, &j, "", err);
    mt_error first = err ? *err : (mt_error){0};
    mt_status closed = mt_json_close(&j);
    if (status != MT_OK) {
        if (err) *err = first;
    } else {
        status = closed;
    }
    if (status != MT_OK) {
        mt_config_free(c);
        mt_fail_in(err, "config.json");
        return status;
    }
    *out = c;
    return MT_OK;
}

void mt_config_free(mt_config *c) {
    if (!c) return;
    mt_arena_free(&c->arena);
    mt_map_free(&c->index);
    mt_free(c->entries);
    mt_free(c);
}

mt_str mt_config_text(const mt_config *c) {
    return c->text;
}

bool mt_alternative(const char *list, int i, char separator, char *out, size_t cap) {
    if (!list) return false;
    for (const char *p = list;; i--) {
        while (*p == separator) p++;
        if (!*p) return false;
        const char *end = strchr(p, separator);
        size_t n = end ? (size_t)(end - p) : strlen(p);
        if (i == 0) {
            snprintf(out, cap, "%.*s", (int)n, p);
            return true;
        }
        if (!end) return false;
        p = end;
    }
}

static const entry *find_config(const mt_config *c, const char *paths, const char *suffix) {
    char path[128], full[192];
    for (int i = 0; mt_alternative(paths, i, '|', path, sizeof path); i++)
        for (int nested = 0; nested < 2; nested++) {
            int32_t at;
            snprintf(full, sizeof full, "%s%s%s", nested ? "text_config." : "", path, suffix);
            if (mt_map_get(&c->index, mt_str_of(full), &at)) return &c->entries[at];
        }
    return NULL;
}

static const mt_gguf_key *find_gguf(const mt_meta *m, const char *key) {
    if (!m->gguf || !key) return NULL;
    if (*key == '.') return mt_gguf_find(m->gguf, key + 1);
    char full[128];
    snprintf(full, sizeof full, "%s.%s", m->prefix, key);
    return mt_gguf_find(m->gguf, full);
}

/* What a message calls the field. */
static const char *label(const mt_meta *m, const char *gguf, const char *hub, char *out, size_t cap) {
    if (!m->gguf)
        snprintf(out, cap, "config.json: \"%s\"", hub ? hub : gguf);
    else if (!gguf)
        snprintf(out, cap, "GGUF: (no key for \"%s\")", hub ? hub : "?");
    else if (*gguf == '.')
        snprintf(out, cap, "GGUF: key \"%s\"", gguf + 1);
    else
        snprintf(out, cap, "GGUF: key \"%s.%s\"", m->prefix, gguf);
    return out;
}

/* 1: found, 0: absent, -1: another kind of value. */
static int number(const mt_meta *m, const char *gguf, const char *hub, double *out) {
    if (m->gguf) {
        const mt_gguf_key *key = find_gguf(m, gguf);
        if (!key) return 0;
        if (key->type == MT_GGUF_STRING) return -1;
        if (key->type == MT_GGUF_ARRAY &&
            (key->count == 0 || key->element == MT_GGUF_STRING || key->element == MT_GGUF_ARRAY))
            return -1;
        *out = mt_gguf_number_at(key, 0); /* per-layer arrays: see mt_meta_number_at */
        return 1;
    }
    const entry *e = hub ? find_config(m->config, hub, "") : NULL;
    if (!e) return 0;
    if (e->kind != MT_JSON_NUMBER) return -1;
    *out = e->number;
    return 1;
}

mt_status mt_meta_int(const mt_meta *m, const char *gguf, const char *hub, int64_t least, int64_t most,
                      int64_t otherwise, int32_t *out, mt_error *err) {
    char name[160];
    double v = 0;
    int found = number(m, gguf, hub, &v);
    label(m, gguf, hub, name, sizeof name);
    if (found == 0) {
        if (otherwise == MT_NEEDED) return mt_fail(err, MT_EMISSING, "%s is absent", name);
        *out = (int32_t)otherwise;
        return MT_OK;
    }
    if (found < 0) return mt_fail(err, MT_EFORMAT, "%s is not a number", name);
    if (!(v >= (double)least && v <= (double)most) || v != floor(v))
        return mt_fail(err, MT_ERANGE, "%s is %.17g, expected a whole number from %lld to %lld", name, v,
                       (long long)least, (long long)most);
    *out = (int32_t)v;
    return MT_OK;
}

mt_status mt_meta_float(const mt_meta *m, const char *gguf, const char *hub, double otherwise, float *out,
                        mt_error *err) {
    char name[160];
    double v = 0;
    int found = number(m, gguf, hub, &v);
    label(m, gguf, hub, name, sizeof name);
    if (found == 0) {
        if (isnan(otherwise)) return mt_fail(err, MT_EMISSING, "%s is absent", name);
        *out = (float)otherwise;
        return MT_OK;
    }
    if (found < 0) return mt_fail(err, MT_EFORMAT, "%s is not a number", name);
    if (!isfinite((float)v)) return mt_fail(err, MT_ERANGE, "%s is %g, expected a finite number", name, v);
    *out = (float)v;
    return MT_OK;
}

bool mt_meta_has(const mt_meta *m, const char *gguf, const char *hub) {
    return m->gguf ? find_gguf(m, gguf) != NULL : hub && find_config(m->config, hub, "") != NULL;
}

bool mt_meta_bool(const mt_meta *m, const char *gguf, const char *hub, bool otherwise) {
    if (m->gguf) {
        const mt_gguf_key *key = find_gguf(m, gguf);
        return key && key->type == MT_GGUF_BOOL ? key->data[0] != 0 : otherwise;
    }
    const entry *e = hub ? find_config(m->config, hub, "") : NULL;
    return e && e->kind == MT_JSON_BOOL ? e->number != 0 : otherwise;
}

mt_str mt_meta_string(const mt_meta *m, const char *gguf, const char *hub) {
    if (m->gguf) {
        const mt_gguf_key *key = find_gguf(m, gguf);
        return key && key->type == MT_GGUF_STRING ? (mt_str){key->data + 8, (size_t)mt_le64(key->data)} : (mt_str){0};
    }
    const entry *e = hub ? find_config(m->config, hub, "") : NULL;
    return e && e->kind == MT_JSON_STRING ? e->text : (mt_str){0};
}

int64_t mt_meta_count(const mt_meta *m, const char *gguf, const char *hub) {
    if (m->gguf) {
        const mt_gguf_key *key = find_gguf(m, gguf);
        return key && key->type == MT_GGUF_ARRAY ? (int64_t)key->count : -1;
    }
    const entry *e = hub ? find_config(m->config, hub, "") : NULL;
    return e && e->kind == MT_JSON_ARRAY ? (int64_t)e->number : -1;
}

bool mt_meta_number_at(const mt_meta *m, const char *gguf, const char *hub, int64_t i, double *out) {
    if (m->gguf) {
        const mt_gguf_key *key = find_gguf(m, gguf);
        if (!key || key->type != MT_GGUF_ARRAY || key->element == MT_GGUF_STRING || key->element == MT_GGUF_ARRAY ||
            i < 0 || (uint64_t)i >= key->count)
            return false;
        *out = mt_gguf_number_at(key, (uint64_t)i);
        return true;
    }
    char suffix[24];
    snprintf(suffix, sizeof suffix, ".%lld", (long long)i);
    const entry *e = hub ? find_config(m->config, hub, suffix) : NULL;
    if (!e || (e->kind != MT_JSON_NUMBER && e->kind != MT_JSON_BOOL)) return false;
    *out = e->number;
    return true;
}

mt_str mt_meta_string_at(const mt_meta *m, const char *hub, int64_t i) {
    char suffix[24];
    snprintf(suffix, sizeof suffix, ".%lld", (long long)i);
    const entry *e = m->config ? find_config(m->config, hub, suffix) : NULL;
    return e && e->kind == MT_JSON_STRING ? e->text : (mt_str){0};
}
