/* The push loader. Bytes of the file arrive in order, in pieces of any size:
 *
 *   header   collected until it is complete; then the architecture is known, the tensors are declared, and every entry
 * of the file's directory is matched with a declared source (or is an error, or is known to be of no use) data     each
 * tensor's rows are collected in groups and repacked straight into the kernels' layout
 *
 * A group is some 64 KiB; vectors and transposed matrices are collected whole. Nothing else of the file is kept. */
#include "container.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { GROUP_BYTES = 65536 };

typedef enum stage { STAGE_HEADER, STAGE_DATA } stage;
typedef enum container {
    CONTAINER_UNKNOWN,
    CONTAINER_GGUF,
    CONTAINER_SAFETENSORS,
    CONTAINER_LLAMA2C,
    CONTAINER_RWKVBIN
} container;
static const char *const container_names[] = {"", "gguf", "safetensors", "llama2.c", "rwkv.cpp"};

struct mt_loader {
    mt_pool *pool;          /* repacks; NULL: one thread */
    uint64_t file_size, at; /* of the file that is arriving now */
    stage stage;
    container container;
    mt_buf head;
    size_t need; /* header bytes to collect before the next look at it */
    mt_config *config;
    mt_model *m;
    mt_declare declare;
    mt_map sources; /* name -> index in declare.sources */
    mt_arena names;
    mt_entry *entries;
    size_t entry_count, entry_capacity, current;
    uint32_t version; /* of an rwkv.cpp file */
    uint8_t *group;   /* 64-byte aligned */
    size_t group_capacity, group_fill, group_target;
    uint64_t taken;   /* bytes of the current tensor already placed */
    mt_status status; /* sticky */
    mt_error error;
};

mt_status mt_loader_new(uint64_t file_size, mt_loader **out, mt_error *err) {
    mt_loader *l = mt_calloc(1, sizeof *l);
    if (!l) return mt_nomem(err, sizeof *l, "a loader");
    l->file_size = file_size;
    l->need = 8;
    *out = l;
    return MT_OK;
}

void mt_loader_use_pool(mt_loader *l, mt_pool *pool) {
    l->pool = pool;
}

static void forget_file(mt_loader *l) {
    mt_buf_free(&l->head);
    mt_free(l->entries);
    l->head = (mt_buf){0};
    l->entries = NULL;
    l->entry_count = l->entry_capacity = l->current = 0;
    l->at = l->taken = 0;
    l->group_fill = 0;
    l->need = 8;
    l->stage = STAGE_HEADER;
}

void mt_loader_free(mt_loader *l) {
    if (!l) return;
    forget_file(l);
    mt_config_free(l->config);
    mt_model_free(l->m);
    mt_free(l->declare.sources);
    mt_map_free(&l->sources);
    mt_arena_free(&l->names);
    mt_free_aligned(l->group);
    mt_free(l);
}

/* ---- the model's frame: architecture, hyper-parameters, parameters ---- */

static mt_status begin_model(mt_loader *l, const mt_gguf *gguf, mt_error *err) {
    char shown[96], known[400];
    mt_model *m = l->m = mt_calloc(1, sizeof *l->m);
    if (!m) return mt_nomem(err, sizeof *m, "a model");
    mt_str embedded = {0};
    mt_meta meta = {.gguf = gguf, .config = l->config};
    if (gguf) {
        mt_str name = mt_meta_string(&meta, ".general.architecture", NULL);
        if (!name.n) return mt_fail(err, MT_EMISSING, "GGUF: key \"general.architecture\" is absent");
        m->arch = mt_arch_find_gguf(name);
        mt_arch_list(false, known, sizeof known);
        if (!m->arch)
            return mt_fail(err, MT_EUNKNOWN, "GGUF: general.architecture is \"%s\" (known: %s)",
                           mt_str_show(name, shown, sizeof shown), known);
        char *prefix = mt_arena_copy(&m->arena, mt_str_show(name, shown, sizeof shown),
                                     name.n + 1 < sizeof shown ? name.n + 1 : sizeof shown);
        if (!prefix) return mt_nomem(err, name.n, "the architecture's name");
        meta.prefix = prefix;
        if (mt_gguf_string(gguf, MT_CONFIG_KEY, &embedded)) { /* hyper-parameters as a hub folder has them */
            MT_TRY(mt_config_parse(embedded.p, embedded.n, &m->config, err));
            meta = (mt_meta){.config = m->config};
        }
    } else {
        if (!l->config)
            return mt_fail(err, MT_ESTATE, "a safetensors file holds no hyper-parameters: give its config.json first");
        mt_str type = mt_meta_string(&meta, NULL, "model_type");
        if (!type.n) return mt_fail(err, MT_EMISSING, "config.json: \"model_type\" is absent");
        m->arch = mt_arch_find_hub(type);
        mt_arch_list(true, known, sizeof known);
        if (!m->arch)
            return mt_fail(err, MT_EUNKNOWN, "config.json: \"model_type\" is \"%s\" (known: %s)",
                           mt_str_show(type, shown, sizeof shown), known);
    }
    mt_str name = mt_meta_string(&(mt_meta){.gguf = gguf, .config = l->config}, ".general.name", "_name_or_path");
    m->name = mt_arena_copy(&m->arena, mt_str_show(name, shown, sizeof shown), sizeof shown);
    if (!m->name) return mt_nomem(err, sizeof shown, "the model's name");
    MT_TRY(m->arch->configure(m, &meta, err));
    if (embedded.n) {
        m->h.has_rope_freqs = m->encoder.has_rope_freqs = false;
        if (m->arch->permuted) m->h.rope_interleaved = true;
    }
    size_t slots = mt_param_at(m->h.layers + 1, m->encoder.layers, 0); /* all of the encoder's, if there is one */
    m->weight_of = mt_arena_alloc(&m->arena, slots * sizeof *m->weight_of);
    m->bias_of = mt_arena_alloc(&m->arena, slots * sizeof *m->bias_of);
    if (!m->weight_of || !m->bias_of) return mt_nomem(err, 2 * slots * sizeof(int32_t), "the parameter table");
    for (size_t i = 0; i < slots; i++) m->weight_of[i] = m->bias_of[i] = -1;
    l->declare.m = m;
    l->declare.h = &m->h;
    l->declare.names = m->arch->names;
    l->declare.hub = gguf == NULL;
    l->declare.err = err;
    m->arch->declare(&l->declare);
    MT_TRY(l->declare.status);
    for (size_t i = 0; i < l->declare.count; i++)
        MT_TRY(mt_map_set(&l->sources, mt_str_of(l->declare.sources[i].name), (int32_t)i, err));
    return MT_OK;
}

/* ---- matching the file's directory with what was declared ---- */

bool mt_find_source(const mt_map *sources, const mt_arch *arch, bool hub, mt_str name, int32_t *index) {
    char renamed[256];
    static const char *const old[2][2] = {{".gamma", ".weight"}, {".beta", ".bias"}}; /* as the first BERT files say */
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(old[i][0]);
        if (!hub || name.n < n || name.n > 200 || memcmp(name.p + name.n - n, old[i][0], n) != 0) continue;
        snprintf(renamed, sizeof renamed, "%.*s%s", (int)(name.n - n), (const char *)name.p, old[i][1]);
        name = mt_str_of(renamed);
        break;
    }
    if (mt_map_get(sources, name, index)) return true;
    const char *prefix = arch->prefix;
    if (!hub || !prefix) return false;
    size_t n = strlen(prefix);
    char full[256];
    if (name.n > n && memcmp(name.p, prefix, n) == 0)
        return mt_map_get(sources, (mt_str){name.p + n, name.n - n}, index);
    if (name.n + n >= sizeof full) return false;
    memcpy(full, prefix, n);
    memcpy(full + n, name.p, name.n);
    return mt_map_get(sources, (mt_str){(const uint8_t *)full, n + name.n}, index);
}

static bool ignored(const mt_loader *l, mt_str name) {
    char text[256], glob[96], hub[128];
    if (name.n >= sizeof text) return false;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    for (int i = 0; mt_alternative(l->m->arch->ignored, i, ' ', glob, sizeof glob); i++)
        if (mt_glob(glob, text)) return true;
    if (l->m->h.tied != 1) return false;
    /* A tied output may be stored all the same; the embedding is what counts. */
    for (const mt_name *n = l->m->arch->names; l->declare.hub && n->name; n++) {
        snprintf(hub, sizeof hub, "%s.weight", n->name);
        if (n->role == MT_ROLE_OUTPUT && strcmp(hub, text) == 0) return true;
    }
    return false;
}

static const char *shape(const int64_t *dims, int32_t n, char *out, size_t cap) {
    size_t o = (size_t)snprintf(out, cap, "[");
    for (int32_t d = 0; d < n && o < cap; d++)
        o += (size_t)snprintf(out + o, cap - o, "%s%lld", d ? ", " : "", (long long)dims[d]);
    if (o < cap) snprintf(out + o, cap - o, "]");
    return out;
}

static mt_status match(mt_loader *l, mt_entry *e, mt_error *err) {
    char shown[96], found[96], expected[96];
    int32_t index;
    mt_str_show(e->name, shown, sizeof shown);
    if (!mt_find_source(&l->sources, l->m->arch, l->declare.hub, e->name, &index)) {
        if (ignored(l, e->name)) return MT_OK;
        return mt_fail_at(err, MT_EFORMAT, e->begin,
                          "tensor \"%s\" %s is no part of architecture \"%s\" with these "
                          "hyper-parameters",
                          shown, shape(e->dims, e->n_dims, found, sizeof found), l->m->arch->name);
    }
    mt_source *s = &l->declare.sources[index];
    /* Dimensions of size 1 do not count: GGUF drops leading ones, hub files of convolutions have one in the middle. */
    int32_t d = 0, k = 0;
    for (;; d++, k++) {
        while (d < e->n_dims && e->dims[d] == 1) d++;
        while (k < s->n_dims && s->dims[k] == 1) k++;
        if (d == e->n_dims || k == s->n_dims || e->dims[d] != s->dims[k]) break;
    }
    bool same = d == e->n_dims && k == s->n_dims;
    if (!same && s->merged && e->n_dims == s->n_dims + 1) { /* [in][heads][width] for [in][heads * width] */
        int32_t last = s->n_dims - 1;
        same = (last == 0 || e->dims[0] == s->dims[0]) && e->dims[last + 1] > 0 &&
               e->dims[last] == s->dims[last] / e->dims[last + 1] && s->dims[last] % e->dims[last + 1] == 0;
        if (same) e->dims[last] = s->dims[last], e->n_dims--;
    }
    if (!same)
        return mt_fail_at(err, MT_EFORMAT, e->begin, "tensor \"%s\" has shape %s, expected %s", shown,
                          shape(e->dims, e->n_dims, found, sizeof found),
                          shape(s->dims, s->n_dims, expected, sizeof expected));
    const mt_dtype_info *type = e->type == UINT32_MAX ? NULL : mt_dtype_find(e->type);
    if (!type)
        return mt_fail_at(err, MT_EUNKNOWN, e->begin, "tensor \"%s\" has type %s (known: %s)", shown, e->type_name,
                          mt_dtype_names());
    if ((uint64_t)e->dims[e->n_dims - 1] % type->block)
        return mt_fail_at(err, MT_EFORMAT, e->begin,
                          "tensor \"%s\": rows of %lld elements are no multiple of the %u of a "
                          "block of %s",
                          shown, (long long)e->dims[e->n_dims - 1], type->block, type->name);
    if (type->block > 1 && s->transposed)
        return mt_fail_at(err, MT_EUNKNOWN, e->begin, "tensor \"%s\": a transposed matrix cannot be %s", shown,
                          type->name);
    if (s->seen) return mt_fail_at(err, MT_EFORMAT, e->begin, "tensor \"%s\" is given twice", shown);
    s->seen = true;
    e->source = index;
    return MT_OK;
}

static mt_status remember(mt_loader *l, const mt_entry *e, mt_error *err) {
    mt_model *m = l->m;
    void *files = m->files;
    mt_status status = mt_grow(&files, &m->file_capacity, m->file_count + 1, sizeof *m->files, err);
    m->files = files;
    if (status != MT_OK) return status;
    mt_file_tensor t = {.n_dims = (uint32_t)e->n_dims, .type = e->type, .bytes = e->bytes};
    char shown[160];
    mt_str_show(e->name, shown, sizeof shown);
    t.name = mt_arena_copy(&m->arena, shown, strlen(shown) + 1);
    if (!t.name) return mt_nomem(err, strlen(shown), "a tensor's name");
    for (int32_t d = 0; d < e->n_dims; d++) t.dims[d] = (uint64_t)e->dims[d];
    m->files[m->file_count++] = t;
    return MT_OK;
}

static int by_begin(const void *a, const void *b) {
    const mt_entry *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static mt_status read_gguf_entries(mt_loader *l, const mt_gguf *g, mt_error *err) {
    l->entries = mt_array(g->tensor_count ? g->tensor_count : 1, sizeof *l->entries);
    if (!l->entries) return mt_nomem(err, g->tensor_count * sizeof *l->entries, "the directory");
    for (size_t i = 0; i < g->tensor_count; i++) {
        const mt_gguf_tensor *t = &g->tensors[i];
        mt_entry e = {.name = t->name,
                      .n_dims = (int32_t)t->n_dims,
                      .type = t->type,
                      .source = -1,
                      .begin = g->data_start + t->offset,
                      .bytes = t->bytes};
        for (uint32_t d = 0; d < t->n_dims; d++) e.dims[d] = (int64_t)t->dims[t->n_dims - 1 - d];
        const mt_dtype_info *type = mt_dtype_find(t->type);
        if (type)
            snprintf(e.type_name, sizeof e.type_name, "%s", type->name);
        else
            snprintf(e.type_name, sizeof e.type_name, "%u", t->type);
        l->entries[l->entry_count++] = e;
    }
    if (l->entry_count) qsort(l->entries, l->entry_count, sizeof *l->entries, by_begin);
    return MT_OK;
}

static mt_status take_bytes(mt_loader *l, const uint8_t *p, size_t n, mt_error *err);

/* rwkv.cpp: what stands before a tensor arrives in pieces; used: how many of the n bytes were taken. */
static mt_status take_announcement(mt_loader *l, const uint8_t *p, size_t n, size_t *used, mt_error *err) {
    mt_entry e;
    uint64_t begin = l->at - l->head.len;
    *used = 0;
    for (;;) {
        MT_TRY(mt_rwkvbin_entry(l->head.data, l->head.len, begin, l->version, &l->names, &l->need, &e, err));
        if (l->need == 0) break;
        if (*used == n) return MT_OK;
        size_t want = l->need - l->head.len, step = want < n - *used ? want : n - *used;
        MT_TRY(mt_buf_add(&l->head, p + *used, step, err));
        *used += step;
        l->at += step;
    }
    l->head.len = 0;
    if (l->file_size != UINT64_MAX && e.bytes > l->file_size - e.begin) {
        char shown[96];
        return mt_fail_at(err, MT_EFORMAT, e.begin, "rwkv.cpp: tensor \"%s\" has %llu bytes, but the file ends before",
                          mt_str_show(e.name, shown, sizeof shown), (unsigned long long)e.bytes);
    }
    MT_TRY(match(l, &e, err));
    if (e.source >= 0) l->declare.sources[e.source].minus_exp = false;
    MT_TRY(remember(l, &e, err));
    void *entries = l->entries;
    mt_status status = mt_grow(&entries, &l->entry_capacity, l->entry_count + 1, sizeof e, err);
    l->entries = entries;
    if (status == MT_OK) l->entries[l->entry_count++] = e;
    return status;
}

/* The header may be complete: parse it. When it is, the bytes that were collected beyond it are data. */
static mt_status look_at_header(mt_loader *l, mt_error *err) {
    size_t data_start;
    container kind = memcmp(l->head.data, "GGUF", 4) == 0 ? CONTAINER_GGUF : CONTAINER_SAFETENSORS;
    if (!l->config && mt_rwkvbin_plausible(l->head.data)) kind = CONTAINER_RWKVBIN;
    if (kind == CONTAINER_SAFETENSORS && !l->config && l->file_size >= MT_LLAMA2C_HEADER &&
        mt_safetensors_header(l->head.data, l->file_size, NULL) == 0) {
        if (l->head.len < MT_LLAMA2C_HEADER) {
            l->need = MT_LLAMA2C_HEADER;
            return MT_OK;
        }
        if (mt_llama2c_plausible(l->head.data, l->file_size)) kind = CONTAINER_LLAMA2C;
    }
    if (l->container != CONTAINER_UNKNOWN && kind != l->container)
        return mt_fail_at(err, MT_EFORMAT, 0, "the files of one model are of different kinds");
    if (kind == CONTAINER_GGUF) {
        mt_gguf g;
        mt_status status = mt_gguf_parse(&g, l->head.data, l->head.len, l->file_size, &l->need, err);
        if (status == MT_OK && l->need == 0 && g.data_start > l->head.len) {
            /* padding still to come, or a file that ends with its header */
            data_start = l->head.len;
        } else {
            data_start = status == MT_OK && l->need == 0 ? (size_t)g.data_start : 0;
        }
        bool first = l->m == NULL;
        if (status == MT_OK && l->need == 0 && first) status = begin_model(l, &g, err);
        mt_gguf_free(&g);
        if (status != MT_OK || l->need) return status;
        if (first) { /* the model keeps the header, of exactly its size, for the tokenizer and for inspection */
            l->m->header = mt_malloc(data_start);
            if (!l->m->header) return mt_nomem(err, data_start, "the header");
            memcpy(l->m->header, l->head.data, data_start);
            l->m->has_gguf = true; /* to be freed whatever happens */
            MT_TRY(mt_gguf_parse(&l->m->gguf, l->m->header, data_start, l->file_size, &l->need, err));
            MT_TRY(read_gguf_entries(l, &l->m->gguf, err));
        } else {
            status = mt_gguf_parse(&g, l->head.data, data_start, l->file_size, &l->need, err);
            if (status == MT_OK) status = read_gguf_entries(l, &g, err);
            for (size_t i = 0; i < l->entry_count && status == MT_OK; i++) { /* the names are borrowed from g's bytes */
                l->entries[i].name.p = mt_arena_copy(&l->names, l->entries[i].name.p, l->entries[i].name.n);
                if (!l->entries[i].name.p) status = mt_nomem(err, l->entries[i].name.n, "a tensor's name");
            }
            mt_gguf_free(&g);
            MT_TRY(status);
        }
    } else if (kind == CONTAINER_RWKVBIN) {
        if (l->m) return mt_fail_at(err, MT_ESTATE, 0, "a model in an rwkv.cpp file is one file");
        MT_TRY(mt_rwkvbin_config(l->head.data, l->head.len, &l->need, &l->config, err));
        if (l->need) return MT_OK;
        data_start = MT_RWKVBIN_HEADER;
        l->version = mt_le32(l->head.data + 4);
        MT_TRY(begin_model(l, NULL, err));
    } else if (kind == CONTAINER_LLAMA2C) {
        data_start = MT_LLAMA2C_HEADER;
        MT_TRY(mt_llama2c_config(l->head.data, &l->config, err));
        MT_TRY(begin_model(l, NULL, err));
        MT_TRY(mt_llama2c_entries(l->head.data, &l->names, &l->entries, &l->entry_count, err));
    } else {
        uint64_t size = mt_safetensors_header(l->head.data, l->file_size, err);
        if (size == 0) return MT_EFORMAT;
        l->need = (size_t)size;
        if (l->head.len < size) return MT_OK;
        data_start = (size_t)size;
        if (!l->m) MT_TRY(begin_model(l, NULL, err));
        MT_TRY(
            mt_safetensors_parse(l->head.data, data_start, l->file_size, &l->names, &l->entries, &l->entry_count, err));
    }
    l->container = kind;
    l->m->container = container_names[kind];
    size_t room = 0;
    for (size_t i = 0; i < l->entry_count; i++) {
        const mt_entry *e = &l->entries[i];
        MT_TRY(match(l, &l->entries[i], err));
        MT_TRY(remember(l, e, err));
        const mt_dtype_info *type = e->source < 0 || e->bytes == 0 ? NULL : mt_dtype_find(e->type);
        if (!type) continue;
        int64_t cols = e->dims[e->n_dims - 1], values = (int64_t)(e->bytes / type->bytes) * type->block;
        size_t bytes = mt_weight_room(e->type, cols > 0 ? values / cols : 0, cols) + 256;
        if (!mt_add_size(room, bytes, &room)) room = 0;
    }
    mt_reserve(room);
    l->stage = STAGE_DATA;
    l->at = data_start;
    mt_buf head = l->head;
    l->head = (mt_buf){0};
    mt_status status = take_bytes(l, head.data + data_start, head.len - data_start, err);
    mt_buf_free(&head);
    return status;
}

/* ---- data ---- */

static mt_status put_vector(mt_loader *l, const mt_entry *e, const mt_source *s, mt_error *err) {
    const mt_dtype_info *type = mt_dtype_find(e->type);
    size_t n = (size_t)(e->bytes / type->bytes) * type->block;
    float *values = mt_array(n, sizeof *values);
    if (!values) return mt_nomem(err, n * sizeof *values, s->name);
    type->to_float(l->group, values, n);
    for (size_t i = 0; i < n && s->plus_one; i++) values[i] += 1;
    for (size_t i = 0; i < n && s->minus_exp; i++) values[i] = -expf(values[i]);
    mt_status status = MT_OK;
    for (int32_t k = 0; k < s->parts_count && status == MT_OK; k++) {
        const mt_part *part = &s->parts[k];
        mt_param *p = &l->m->params[part->param];
        size_t size = (size_t)p->rows * (size_t)p->cols * (size_t)p->count;
        if (!p->values) p->values = mt_array(size, sizeof(float));
        if (!p->values) {
            status = mt_nomem(err, size * sizeof(float), p->name);
            break;
        }
        for (size_t i = 0; i < n; i++) {
            size_t turn = i / (size_t)part->period, within = i % (size_t)part->period;
            if (within < (size_t)part->first || within >= (size_t)part->first + (size_t)part->count) continue;
            size_t to = (size_t)part->base + turn * (size_t)part->count + within - (size_t)part->first;
            if (to < size) p->values[to] = values[i], p->filled++;
        }
    }
    mt_free(values);
    return status;
}

/* `count` rows from row `row` of the file's tensor, at `source`. */
static mt_status put_rows(mt_loader *l, const mt_entry *e, const mt_source *s, int64_t row, int64_t count,
                          const uint8_t *source, size_t row_bytes, mt_error *err) {
    for (int32_t k = 0; k < s->parts_count; k++) {
        const mt_part *part = &s->parts[k];
        mt_param *p = &l->m->params[part->param];
        if (!p->weight) {
            p->weight = mt_calloc((size_t)p->count, sizeof *p->weight);
            if (!p->weight) return mt_nomem(err, (size_t)p->count * sizeof *p->weight, p->name);
        }
        for (int64_t r = row; r < row + count;) {
            int64_t turn = r / part->period, within = r % part->period;
            if (within < part->first || within >= part->first + part->count) {
                r += within < part->first ? part->first - within : part->period - within + part->first;
                continue;
            }
            int64_t run = part->first + part->count - within;
            if (run > row + count - r) run = row + count - r;
            int64_t to = part->base + turn * part->count + within - part->first;
            int64_t which = to / p->rows, at = to % p->rows;
            if (run > p->rows - at) run = p->rows - at;
            if (which >= p->count) return mt_fail(err, MT_EFORMAT, "tensor \"%s\" has too many rows", s->name);
            mt_weight *w = &p->weight[which];
            if (!w->data) MT_TRY(mt_weight_new(w, e->type, p->rows, p->cols, err));
            if (w->type != e->type)
                return mt_fail(err, MT_EFORMAT, "tensor \"%s\" has type %s, but other rows of \"%s\" have type %s",
                               s->name, e->type_name, p->name, mt_dtype_find(w->type)->name);
            mt_weight_put_rows(l->pool, w, (int32_t)at, (int32_t)run, source + (size_t)(r - row) * row_bytes);
            p->filled += (uint64_t)run;
            r += run;
        }
    }
    return MT_OK;
}

/* A matrix that the file keeps as [in][out]: one row at a time is gathered from its columns. */
static mt_status put_transposed(mt_loader *l, const mt_entry *e, const mt_source *s, mt_error *err) {
    int32_t last = s->n_dims - 1; /* [in][out], or that for each expert */
    size_t size = mt_dtype_find(e->type)->bytes, in = (size_t)s->dims[last - 1], out = (size_t)s->dims[last];
    size_t all = last == 2 ? out * (size_t)s->dims[0] : out;
    uint8_t *row = mt_array(in, size);
    if (!row) return mt_nomem(err, in * size, s->name);
    mt_status status = MT_OK;
    for (size_t r = 0; r < all && status == MT_OK; r++) {
        const uint8_t *from = l->group + (r / out * in * out + r % out) * size;
        for (size_t c = 0; c < in; c++) memcpy(row + c * size, from + c * out * size, size);
        status = put_rows(l, e, s, (int64_t)r, 1, row, in * size, err);
    }
    mt_free(row);
    return status;
}

static size_t row_bytes_of(const mt_entry *e) {
    const mt_dtype_info *type = mt_dtype_find(e->type);
    return (size_t)e->dims[e->n_dims - 1] / type->block * type->bytes;
}

static bool is_whole(const mt_loader *l, const mt_source *s) {
    return s->transposed || l->m->params[s->parts[0].param].vector;
}

static mt_status begin_tensor(mt_loader *l, const mt_entry *e, mt_error *err) {
    l->group_fill = 0;
    l->taken = 0;
    if (e->source < 0) return MT_OK;
    const mt_source *s = &l->declare.sources[e->source];
    uint64_t target = e->bytes;
    if (!is_whole(l, s)) {
        uint64_t row = row_bytes_of(e), rows = GROUP_BYTES / (row ? row : 1);
        target = row * (rows >= 8 ? rows / 8 * 8 : 8);
        if (target > e->bytes) target = e->bytes;
    }
    if (target > SIZE_MAX / 4) return mt_fail(err, MT_ELIMIT, "tensor \"%s\" does not fit the address space", s->name);
    l->group_target = (size_t)target;
    if (l->group_target > l->group_capacity) {
        mt_free_aligned(l->group);
        l->group_capacity = 0;
        l->group = mt_alloc_aligned(l->group_target, 64);
        if (!l->group) return mt_nomem(err, l->group_target, s->name);
        l->group_capacity = l->group_target;
    }
    return MT_OK;
}

static mt_status place_group(mt_loader *l, const mt_entry *e, mt_error *err) {
    const mt_source *s = &l->declare.sources[e->source];
    mt_status status;
    if (s->transposed && !l->m->params[s->parts[0].param].vector) {
        status = put_transposed(l, e, s, err);
    } else if (is_whole(l, s)) {
        status = put_vector(l, e, s, err);
    } else {
        size_t row = row_bytes_of(e);
        status = put_rows(l, e, s, (int64_t)(l->taken / row), (int64_t)(l->group_fill / row), l->group, row, err);
    }
    l->taken += l->group_fill;
    l->group_fill = 0;
    return status;
}

/* Bytes of complete rows at the beginning of `n` bytes of a matrix, eights of them unless the tensor ends. */
static size_t whole_rows(const mt_loader *l, const mt_entry *e, size_t n) {
    const mt_source *s = &l->declare.sources[e->source];
    if (is_whole(l, s)) return 0;
    uint64_t eight = 8 * (uint64_t)row_bytes_of(e);
    if (n >= e->bytes - l->taken) return (size_t)(e->bytes - l->taken);
    return eight ? (size_t)(n / eight * eight) : 0;
}

static mt_status take_bytes(mt_loader *l, const uint8_t *p, size_t n, mt_error *err) {
    while (n > 0) {
        if (l->current == l->entry_count && l->container == CONTAINER_RWKVBIN) {
            size_t used;
            MT_TRY(take_announcement(l, p, n, &used, err));
            p += used, n -= used;
            continue;
        }
        if (l->current == l->entry_count) { /* padding after the last tensor */
            l->at += n;
            return MT_OK;
        }
        const mt_entry *e = &l->entries[l->current];
        if (l->at < e->begin) {
            size_t skip = e->begin - l->at < n ? (size_t)(e->begin - l->at) : n;
            l->at += skip, p += skip, n -= skip;
            continue;
        }
        if (l->at == e->begin) MT_TRY(begin_tensor(l, e, err));
        uint64_t left = e->begin + e->bytes - l->at;
        size_t step = left < n ? (size_t)left : n;
        size_t whole = e->source >= 0 && l->group_fill == 0 ? whole_rows(l, e, step) : 0;
        if (whole) { /* rows that are there complete need not be collected */
            const mt_source *s = &l->declare.sources[e->source];
            size_t row = row_bytes_of(e);
            MT_TRY(put_rows(l, e, s, (int64_t)(l->taken / row), (int64_t)(whole / row), p, row, err));
            l->taken += whole;
            step = whole;
        } else if (e->source >= 0) {
            if (step > l->group_target - l->group_fill) step = l->group_target - l->group_fill;
            if (l->taken + l->group_fill + step > e->bytes) step = (size_t)(e->bytes - l->taken - l->group_fill);
            memcpy(l->group + l->group_fill, p, step);
            l->group_fill += step;
        }
        l->at += step, p += step, n -= step;
        bool done = l->at == e->begin + e->bytes;
        if (e->source >= 0 && l->group_fill && (done || l->group_fill == l->group_target))
            MT_TRY(place_group(l, e, err));
        if (done) l->current++;
    }
    return MT_OK;
}

static mt_status push(mt_loader *l, const uint8_t *p, size_t n, mt_error *err) {
    if (l->file_size != UINT64_MAX) {
        uint64_t have = l->stage == STAGE_HEADER ? l->head.len : l->at;
        if (n > l->file_size - have)
            return mt_fail_at(err, MT_EFORMAT, l->file_size, "more bytes arrived than the file's %llu",
                              (unsigned long long)l->file_size);
    }
    while (n > 0 && l->stage == STAGE_HEADER) {
        size_t want = l->need - l->head.len, step = want < n ? want : n;
        MT_TRY(mt_buf_add(&l->head, p, step, err));
        p += step, n -= step;
        if (l->head.len == l->need) MT_TRY(look_at_header(l, err));
    }
    return take_bytes(l, p, n, err);
}

static mt_status settle(mt_loader *l, mt_status status, mt_error *err) {
    if (status != MT_OK) {
        l->status = status;
        if (err) l->error = *err;
    }
    return status;
}

mt_status mt_loader_push(mt_loader *l, const uint8_t *p, size_t n, mt_error *err) {
    if (l->status != MT_OK) {
        if (err) *err = l->error;
        return l->status;
    }
    return settle(l, push(l, p, n, err), err);
}

mt_status mt_loader_config(mt_loader *l, const uint8_t *json, size_t n, mt_error *err) {
    if (l->m || l->config) return mt_fail(err, MT_ESTATE, "config.json comes once, before the first tensor file");
    return settle(l, mt_config_parse(json, n, &l->config, err), err);
}

static mt_status file_complete(mt_loader *l, mt_error *err) {
    char shown[96];
    if (l->stage == STAGE_HEADER)
        return mt_fail_at(err, MT_EFORMAT, l->head.len, "the file ends after %zu bytes, within its header",
                          l->head.len);
    if (l->head.len)
        return mt_fail_at(err, MT_EFORMAT, l->at, "the file ends after %llu bytes, within what announces a tensor",
                          (unsigned long long)l->at);
    while (l->current < l->entry_count && l->entries[l->current].bytes == 0) l->current++;
    if (l->current < l->entry_count) {
        const mt_entry *e = &l->entries[l->current];
        return mt_fail_at(err, MT_EFORMAT, l->at, "the file ends after %llu bytes, but tensor \"%s\" ends at %llu",
                          (unsigned long long)l->at, mt_str_show(e->name, shown, sizeof shown),
                          (unsigned long long)(e->begin + e->bytes));
    }
    if (l->file_size != UINT64_MAX && l->at < l->file_size && l->container != CONTAINER_GGUF)
        return mt_fail_at(err, MT_EFORMAT, l->at, "the file ends after %llu bytes of %llu", (unsigned long long)l->at,
                          (unsigned long long)l->file_size);
    return MT_OK;
}

mt_status mt_loader_next_file(mt_loader *l, uint64_t file_size, mt_error *err) {
    if (l->status != MT_OK) {
        if (err) *err = l->error;
        return l->status;
    }
    mt_status status = file_complete(l, err);
    if (status == MT_OK) {
        forget_file(l);
        l->file_size = file_size;
    }
    return settle(l, status, err);
}

/* Everything that the architecture needs has come, once. */
static mt_status check_complete(mt_loader *l, mt_error *err) {
    mt_model *m = l->m;
    uint64_t by_type[64] = {0};
    bool any_head = false, head = false;
    for (size_t i = 0; i < m->param_count; i++) {
        any_head = any_head || m->params[i].head;
        head = head || (m->params[i].head && m->params[i].filled);
    }
    m->h.headless = any_head && !head;
    for (size_t i = 0; i < m->param_count; i++) {
        mt_param *p = &m->params[i];
        uint64_t rows = (uint64_t)p->rows * (uint64_t)p->count;
        if (p->filled == 0 && !p->needed && !(p->head && head)) continue;
        if (p->filled != rows) {
            const mt_source *s = NULL;
            for (size_t k = 0; k < l->declare.count && !s; k++)
                for (int32_t j = 0; j < l->declare.sources[k].parts_count; j++)
                    if (l->declare.sources[k].parts[j].param == (int32_t)i) s = &l->declare.sources[k];
            char expected[96];
            if (p->filled > rows)
                return mt_fail(err, MT_EFORMAT, "tensor \"%s\" is given twice", s ? s->name : p->name);
            return mt_fail(err, MT_EMISSING, "tensor \"%s\" %s is missing", s ? s->name : p->name,
                           s ? shape(s->dims, s->n_dims, expected, sizeof expected) : "");
        }
        m->parameters += rows * (uint64_t)p->cols;
        if (p->vector) {
            m->weight_bytes += rows * (uint64_t)p->cols * sizeof(float);
            continue;
        }
        for (int32_t k = 0; k < p->count; k++) {
            m->weight_bytes += p->weight[k].bytes;
            by_type[p->weight[k].type % 64] += p->weight[k].bytes;
        }
    }
    for (uint32_t t = 0; t < 64; t++)
        if (by_type[t] > by_type[m->main_type]) m->main_type = t;
    int32_t freqs = m->weight_of[MT_ROLE_ROPE_FREQS];
    if (freqs >= 0 && m->params[freqs].values)
        for (int32_t i = 0; i < m->h.ropes[0].dims / 2; i++) m->h.ropes[0].inv_freq[i] /= m->params[freqs].values[i];
    return MT_OK;
}

mt_status mt_loader_finish(mt_loader *l, mt_model **out, mt_error *err) {
    mt_status status = l->status;
    if (status != MT_OK && err) *err = l->error;
    if (status == MT_OK) status = file_complete(l, err);
    if (status == MT_OK) status = check_complete(l, err);
    if (status == MT_OK) {
        if (!l->m->config) l->m->config = l->config, l->config = NULL;
        *out = l->m;
        l->m = NULL;
    }
    mt_loader_free(l);
    return status;
}
