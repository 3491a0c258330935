/* Traces and patches (model.h): what is wanted, and what is done to values on their way. */
#include "session.h"

#include <stdio.h>

int mt_session_wants(void *session, const char *name) {
    const mt_session *s = session;
    int want = MT_WANT_NOT;
    for (size_t i = 0; i < s->glob_count && !want; i++)
        if (mt_glob(s->globs[i], name)) want = MT_WANT_TRACE;
    if (s->stop && strcmp(s->stop, name) == 0) want |= MT_WANT_TRACE | MT_WANT_STOP;
    for (size_t i = 0; i < s->patch_count; i++)
        if (strcmp(s->patches[i].name, name) == 0) want |= MT_WANT_PATCH | (s->patches[i].p.given ? MT_WANT_GIVEN : 0);
    return want;
}

static void free_patches(mt_session *s) {
    for (size_t i = 0; i < s->patch_count; i++) {
        mt_free(s->patches[i].name);
        mt_free(s->patches[i].value);
        mt_free(s->patches[i].source);
        mt_free(s->patches[i].line);
    }
    s->patch_count = 0;
}

static void free_globs(mt_session *s) {
    for (size_t i = 0; i < s->glob_count; i++) mt_free(s->globs[i]);
    s->glob_count = 0;
}

void mt_session_free_wishes(mt_session *s) {
    free_globs(s);
    free_patches(s);
    mt_free(s->globs);
    mt_free(s->patches);
    mt_free(s->stop);
}

/* ---- applying ---- */

/* What a patch changes of a value: lo <= index < hi along each of 4 dimensions of n elements, which lie step apart.
 * Missing dimensions have 1 element. A flat range is a box of one dimension. */
typedef struct box {
    size_t n[4], step[4], lo[4], hi[4];
} box;

static box box_of(const mt_patch *p, const mt_node *node) {
    box b = {.n = {mt_node_elements(node), 1, 1, 1}, .step = {1, 1, 1, 1}};
    bool flat = p->dims == 0 && p->kind < MT_PATCH_MEAN;
    if (!flat)
        for (int32_t d = 0; d < 4; d++) b.n[d] = d < node->n_dims ? (size_t)node->dims[d] : 1;
    for (int d = 3; d-- > 0;) b.step[d] = b.step[d + 1] * b.n[d + 1];
    for (int32_t d = 0; d < 4; d++) {
        b.lo[d] = d < p->dims ? (size_t)p->from[d] : 0;
        b.hi[d] = d < p->dims && p->to[d] != INT32_MAX ? (size_t)p->to[d] : b.n[d];
    }
    if (flat) b.lo[0] = p->offset;
    if (flat && p->count != SIZE_MAX) b.hi[0] = p->offset + p->count;
    return b;
}

static size_t selected(const box *b) {
    size_t count = 1;
    for (int d = 0; d < 4; d++) count *= b->hi[d] - b->lo[d];
    return count;
}

static void change(const patch *q, size_t taken, size_t at, float *y, size_t count) {
    const mt_patch *p = &q->p;
    const float *x = p->aligned ? q->value + at : p->values == 1 ? q->value : q->value + taken;
    size_t step = p->values == 1 && !p->aligned ? 0 : 1;
    switch (p->kind) {
    case MT_PATCH_REPLACE:
        for (size_t i = 0; i < count; i++) y[i] = x[i * step];
        break;
    case MT_PATCH_ADD:
        for (size_t i = 0; i < count; i++) y[i] += x[i * step];
        break;
    case MT_PATCH_SCALE:
        for (size_t i = 0; i < count; i++) y[i] *= q->value[0];
        break;
    default:
        memset(y, 0, count * sizeof *y);
        break;
    }
}

/* Mean and resample: one line along the axis after the other. */
static void change_lines(const patch *q, const box *b, float *value) {
    int axis = q->p.axis;
    size_t n = b->n[axis], step = b->step[axis], at[4];
    box lines = *b;
    lines.lo[axis] = 0, lines.hi[axis] = 1;
    for (at[0] = lines.lo[0]; at[0] < lines.hi[0]; at[0]++)
        for (at[1] = lines.lo[1]; at[1] < lines.hi[1]; at[1]++)
            for (at[2] = lines.lo[2]; at[2] < lines.hi[2]; at[2]++)
                for (at[3] = lines.lo[3]; at[3] < lines.hi[3]; at[3]++) {
                    float *line = value;
                    double sum = 0;
                    for (int d = 0; d < 4; d++) line += at[d] * b->step[d];
                    for (size_t i = 0; i < n; i++) sum += q->line[i] = line[i * step];
                    size_t flat = (size_t)(line - value); /* of the line's first element */
                    float mean =
                        q->p.values ? q->value[flat / (step * n) * step + flat % step] : (float)(sum / (double)n);
                    for (size_t i = b->lo[axis]; i < b->hi[axis]; i++)
                        line[i * step] = q->p.kind == MT_PATCH_MEAN ? mean : q->line[q->source[i]];
                }
}

void mt_session_patch(void *session, const mt_node *n, float *value, size_t from, size_t to) {
    const mt_session *s = session;
    for (size_t i = 0; i < s->patch_count; i++) {
        const patch *q = &s->patches[i];
        if (strcmp(q->name, n->name) != 0) continue;
        box b = box_of(&q->p, n);
        if (q->p.kind >= MT_PATCH_MEAN) {
            change_lines(q, &b, value);
            continue;
        }
        size_t taken = 0, at[3];
        for (at[0] = b.lo[0]; at[0] < b.hi[0]; at[0]++)
            for (at[1] = b.lo[1]; at[1] < b.hi[1]; at[1]++)
                for (at[2] = b.lo[2]; at[2] < b.hi[2]; at[2]++) {
                    size_t base = at[0] * b.step[0] + at[1] * b.step[1] + at[2] * b.step[2];
                    size_t begin = base + b.lo[3], end = base + b.hi[3], first = begin;
                    if (begin < from) begin = from;
                    if (end > to) end = to;
                    if (begin < end) change(q, taken + (begin - first), begin, value + begin, end - begin);
                    taken += b.hi[3] - b.lo[3];
                }
    }
}

/* ---- checking against the shapes of a batch ---- */

static mt_status check_range(const patch *q, const mt_node *node, mt_error *err) {
    const mt_patch *p = &q->p;
    size_t size = mt_node_elements(node);
    for (int32_t d = 0; d < p->dims; d++) {
        if (d >= node->n_dims)
            return mt_fail(err, MT_ERANGE, "the patch of \"%s\" has %d indices, but with this batch its shape has %d",
                           node->name, p->dims, node->n_dims);
        if (p->from[d] < 0 || p->from[d] >= node->dims[d] || p->to[d] <= p->from[d] ||
            (p->to[d] > node->dims[d] && p->to[d] != INT32_MAX))
            return mt_fail(err, MT_ERANGE,
                           "the patch of \"%s\" covers %d to %d of dimension %d, but with this batch it has %d",
                           node->name, p->from[d], p->to[d], d, node->dims[d]);
    }
    if (p->dims == 0 && (p->offset > size || (p->count != SIZE_MAX && p->count > size - p->offset)))
        return mt_fail(err, MT_ERANGE, "the patch of \"%s\" covers elements %zu to %zu, but with this batch it has %zu",
                       node->name, p->offset, p->count == SIZE_MAX ? size : p->offset + p->count, size);
    return MT_OK;
}

static mt_status check_patch(patch *q, const mt_node *node, mt_error *err) {
    const mt_patch *p = &q->p;
    size_t size = mt_node_elements(node);
    MT_TRY(check_range(q, node, err));
    if (p->kind >= MT_PATCH_MEAN) {
        if (node->op == MT_OP_ROOM)
            return mt_fail(err, MT_ESTATE,
                           "the patch of \"%s\": it is computed row by row, so no mean or resample of it is known",
                           node->name);
        if (p->axis < 0 || p->axis >= node->n_dims)
            return mt_fail(err, MT_ERANGE, "the patch of \"%s\" goes along axis %d, but its shape has %d", node->name,
                           p->axis, node->n_dims);
        size_t n = (size_t)node->dims[p->axis];
        if (p->values && p->values * n != size)
            return mt_fail(err, MT_ERANGE,
                           "the patch of \"%s\" has %zu means, but with this batch %zu lines along axis %d", node->name,
                           p->values, n ? size / n : 0, p->axis);
        if (n > q->line_capacity) {
            mt_free(q->line);
            mt_free(q->source);
            q->line_capacity = 0;
            q->line = mt_array(n, sizeof *q->line);
            q->source = mt_array(n, sizeof *q->source);
            if (!q->line || !q->source) return mt_nomem(err, 8 * n, "a patch");
            q->line_capacity = n;
        }
        mt_rng rng;
        mt_rng_seed(&rng, p->seed);
        for (size_t i = 0; i < n; i++) {
            size_t j = n > 1 ? (size_t)mt_rng_below(&rng, n - 1) : 0;
            q->source[i] = (int32_t)(n > 1 && j >= i ? j + 1 : j);
        }
        return MT_OK;
    }
    if (p->kind == MT_PATCH_ZERO || p->kind == MT_PATCH_SCALE) return MT_OK;
    box b = box_of(p, node);
    size_t need = p->aligned || p->given ? size : selected(&b);
    if (p->values != need && (p->values != 1 || p->aligned || p->given)) {
        char shape[64];
        size_t o = 0;
        for (int32_t d = 0; d < node->n_dims; d++)
            o += (size_t)snprintf(shape + o, sizeof shape - o, d ? ", %d" : "%d", node->dims[d]);
        return mt_fail(err, MT_ERANGE,
                       "the patch of \"%s\" has %zu values, expected %zu (with this batch its shape is [%s])",
                       node->name, p->values, need, shape);
    }
    return MT_OK;
}

mt_status mt_session_check_patches(mt_session *s, const mt_graph *g, mt_error *err) {
    for (size_t i = 0; i < s->patch_count; i++)
        for (int32_t n = 0; n < g->count; n++)
            if (g->nodes[n].name && strcmp(g->nodes[n].name, s->patches[i].name) == 0)
                MT_TRY(check_patch(&s->patches[i], &g->nodes[n], err));
    return MT_OK;
}

/* ---- wishes ---- */

static void wishes_changed(mt_session *s) {
    mt_session_free_graphs(s, true);
    s->version = s->glob_count || s->patch_count || s->stop ? ++s->versions : 0;
}

mt_status mt_session_knows(mt_session *s, const char *glob, bool *found, mt_error *err) {
    if (!s->names.len) {
        mt_status status = mt_trace_names(s->m, &s->names, err);
        if (status == MT_OK) status = mt_buf_byte(&s->names, 0, err);
        if (status != MT_OK) {
            mt_buf_free(&s->names);
            s->names = (mt_buf){0};
            return status;
        }
    }
    char name[128];
    *found = false;
    for (const char *p = (const char *)s->names.data; *p && !*found;) {
        const char *end = strchr(p, '\n');
        snprintf(name, sizeof name, "%.*s", (int)(end - p), p);
        *found = mt_glob(glob, name);
        p = end + 1;
    }
    return MT_OK;
}

static char *copy_text(const char *text) {
    char *copy = mt_malloc(strlen(text) + 1);
    if (copy) memcpy(copy, text, strlen(text) + 1);
    return copy;
}

mt_status mt_trace_want(mt_session *s, const char *glob, mt_error *err) {
    bool found;
    MT_TRY(mt_session_knows(s, glob, &found, err));
    if (!found)
        return mt_fail(err, MT_EUNKNOWN,
                       "no value of \"%s\" is called \"%s\" (known: see the model's trace names, such as "
                       "blocks.0.hook_resid_pre)",
                       s->m->arch->name, glob);
    void *globs = s->globs;
    mt_status status = mt_grow(&globs, &s->glob_capacity, s->glob_count + 1, sizeof *s->globs, err);
    s->globs = globs;
    if (status != MT_OK) return status;
    char *copy = copy_text(glob);
    if (!copy) return mt_nomem(err, strlen(glob), "a trace pattern");
    s->globs[s->glob_count++] = copy;
    wishes_changed(s);
    return MT_OK;
}

void mt_trace_clear(mt_session *s) {
    free_globs(s);
    wishes_changed(s);
}

int32_t mt_trace_count(const mt_session *s) {
    return s->traced_count;
}

bool mt_trace_get(const mt_session *s, int32_t i, mt_traced *out) {
    if (!s->traced || i < 0) return false;
    for (int32_t n = 0; n < s->traced->count; n++) {
        const mt_node *node = &s->traced->nodes[n];
        if (!node->kept || i-- > 0) continue;
        *out = (mt_traced){.name = node->name, .n_dims = node->n_dims, .data = s->scratch + node->offset};
        memcpy(out->dims, node->dims, sizeof out->dims);
        return true;
    }
    return false;
}

int32_t mt_trace_columns(const mt_session *s, const int32_t **slots) {
    if (!s->traced) return 0;
    *slots = s->column_slots;
    return s->columns;
}

mt_status mt_patch_add(mt_session *s, const mt_patch *p, mt_error *err) {
    bool found;
    if ((unsigned)p->kind > MT_PATCH_RESAMPLE)
        return mt_fail(err, MT_EUNKNOWN, "patch kind %d (known: 0 to %d)", (int)p->kind, (int)MT_PATCH_RESAMPLE);
    if (strpbrk(p->name, "*?"))
        return mt_fail(err, MT_EUNKNOWN, "a patch needs one name, not the pattern \"%s\"", p->name);
    MT_TRY(mt_session_knows(s, p->name, &found, err));
    if (!found) return mt_fail(err, MT_EUNKNOWN, "no value of \"%s\" is called \"%s\"", s->m->arch->name, p->name);
    if (p->dims < 0 || p->dims > 4 || (p->given && (p->kind != MT_PATCH_REPLACE || p->dims || p->offset)))
        return mt_fail(err, MT_ERANGE, "the patch of \"%s\": %d indices%s", p->name, p->dims,
                       p->given ? ", but all of it is given" : "");
    bool takes = p->kind == MT_PATCH_REPLACE || p->kind == MT_PATCH_ADD || p->kind == MT_PATCH_MEAN;
    size_t values = p->kind == MT_PATCH_SCALE ? 1 : takes ? p->values : 0;
    if (values && !p->value) return mt_fail(err, MT_ERANGE, "the patch of \"%s\" has no values", p->name);
    void *patches = s->patches;
    mt_status status = mt_grow(&patches, &s->patch_capacity, s->patch_count + 1, sizeof *s->patches, err);
    s->patches = patches;
    if (status != MT_OK) return status;
    patch q = {.p = *p, .name = copy_text(p->name), .value = mt_array(values ? values : 1, sizeof(float))};
    if (!q.name || !q.value) {
        mt_free(q.name);
        mt_free(q.value);
        return mt_nomem(err, values * sizeof(float), "a patch");
    }
    if (values) memcpy(q.value, p->value, values * sizeof(float));
    if (p->given) q.p.count = SIZE_MAX;
    q.p.values = values;
    s->patches[s->patch_count++] = q;
    wishes_changed(s);
    return MT_OK;
}

void mt_patch_clear(mt_session *s) {
    free_patches(s);
    wishes_changed(s);
}

mt_status mt_session_stop_at(mt_session *s, const char *name, mt_error *err) {
    char *copy = NULL;
    if (name) {
        bool found;
        if (strpbrk(name, "*?"))
            return mt_fail(err, MT_EUNKNOWN, "a run stops at one value, not at the pattern \"%s\"", name);
        MT_TRY(mt_session_knows(s, name, &found, err));
        if (!found) return mt_fail(err, MT_EUNKNOWN, "no value of \"%s\" is called \"%s\"", s->m->arch->name, name);
        copy = copy_text(name);
        if (!copy) return mt_nomem(err, strlen(name), "the name of a value");
    }
    mt_free(s->stop);
    s->stop = copy;
    wishes_changed(s);
    return MT_OK;
}

bool mt_session_partial(const mt_session *s) {
    bool given = false;
    for (size_t i = 0; i < s->patch_count; i++) given |= s->patches[i].p.given;
    return given || s->stop;
}
