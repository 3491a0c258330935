/* Gradients of a loaded model (model.h): the graph that the architecture builds, a loss after its logits, and the tape.
 *
 * Parameters come back as the model's file has them. The declaration is run once more: it says which rows of which
 * parameter every tensor of the file consists of, so that reading it backwards gives the gradient of the tensor. What a
 * parameter is computed from a tensor by (loading adds 1 to some gains, and takes -exp of some logarithms) joins by the
 * chain rule. A tensor that is used in several places gets the sum. */
#include "container.h"
#include "session.h"

#include "../tensor/general.h"
#include "../tensor/grad.h"

typedef struct file_tensor {
    const mt_file_tensor *file;
    int32_t source; /* in names.declare.sources */
} file_tensor;

struct mt_gradients {
    mt_session *s;
    int32_t taken; /* slots of the batch */
    mt_gradients_options o;
    mt_graph *graph;
    mt_tape *tape;
    mt_feed feed, source_feed;
    int32_t border;   /* nodes before it are the encoder's */
    int32_t loss, at; /* node; next step */
    float *scratch;
    int32_t *ids; /* copies of the batch's tokens and of the source, then what the loss looks up */
    uint8_t *want;
    float *weights; /* of terms */
    /* parameters */
    mt_tensors names;
    file_tensor *tensors;
    size_t tensor_count;
    float **grads; /* [parameters of the model]; NULL: not wanted */
    mt_map64 storages;
    float **storage; /* what the map's values are indices of */
    size_t storage_count, storage_capacity;
    /* the encoder's keys and values, which must all be there when it is gone through backwards */
    void **planes[2];
    int32_t plane_count;
};

/* ---- parameters ---- */

static float *grad_of(void *arg, const void *storage) {
    const mt_gradients *x = arg;
    int32_t i;
    return mt_map64_get(&x->storages, (uint64_t)(uintptr_t)storage, &i) ? x->storage[i] : NULL;
}

static mt_status add_storage(mt_gradients *x, const void *key, float *grad, mt_error *err) {
    void *list = x->storage;
    mt_status status = mt_grow(&list, &x->storage_capacity, x->storage_count + 1, sizeof *x->storage, err);
    x->storage = list;
    MT_TRY(status);
    x->storage[x->storage_count] = grad;
    return mt_map64_set(&x->storages, (uint64_t)(uintptr_t)key, (int32_t)x->storage_count++, err);
}

static mt_status want_parameter(mt_gradients *x, int32_t i, mt_error *err) {
    const mt_param *p = &x->s->m->params[i];
    size_t one = (size_t)p->rows * (size_t)p->cols, bytes;
    if (x->grads[i] || p->filled == 0) return MT_OK;
    bool fits = mt_mul_size(one, (size_t)p->count * sizeof(float), &bytes);
    float *grad = x->grads[i] = fits ? mt_alloc_aligned(bytes, 64) : NULL;
    if (!grad) {
        mt_nomem(err, fits ? bytes : SIZE_MAX, p->name);
        mt_fail_in(err, "gradients of parameters");
        return MT_ENOMEM;
    }
    memset(grad, 0, bytes);
    if (p->vector) return add_storage(x, p->values, grad, err);
    for (int32_t k = 0; k < p->count; k++) MT_TRY(add_storage(x, &p->weight[k], grad + (size_t)k * one, err));
    return MT_OK;
}

static bool any_glob(const char *const *globs, int32_t count, const char *name) {
    for (int32_t i = 0; i < count; i++)
        if (mt_glob(globs[i], name)) return true;
    return false;
}

static mt_status find_tensors(mt_gradients *x, mt_error *err) {
    const mt_model *m = x->s->m;
    if (!x->o.parameter_count) return MT_OK;
    MT_TRY(mt_tensors_open(m, &x->names, err));
    x->grads = mt_calloc(m->param_count + 1, sizeof *x->grads);
    x->tensors = mt_array(m->file_count + 1, sizeof *x->tensors);
    bool *found = mt_calloc(m->file_count + 1, sizeof *found);
    mt_status status = x->grads && x->tensors && found ? MT_OK : mt_nomem(err, m->param_count * 8, "gradients");
    if (status == MT_OK) status = mt_tensors_match(&x->names, x->o.parameters, x->o.parameter_count, found, err);
    for (size_t i = 0; i < m->file_count && status == MT_OK; i++) {
        if (!found[i]) continue;
        int32_t source = mt_tensors_source(&x->names, &m->files[i]);
        const mt_source *s = &x->names.declare.sources[source];
        for (int32_t k = 0; k < s->parts_count && status == MT_OK; k++)
            status = want_parameter(x, x->names.own[s->parts[k].param], err);
        x->tensors[x->tensor_count++] = (file_tensor){&m->files[i], source};
    }
    mt_free(found);
    return status;
}

void mt_gradients_parameter(const mt_gradients *x, int32_t i, float *out) {
    const mt_source *s = &x->names.declare.sources[x->tensors[i].source];
    const mt_model *m = x->s->m;
    size_t cols = (size_t)s->dims[s->n_dims - 1], rows = 1, all = 1, last = (size_t)s->n_dims - 1;
    for (int32_t d = 0; d < s->n_dims; d++) all *= (size_t)s->dims[d];
    bool vector = x->names.frame.params[s->parts[0].param].vector, turned = s->transposed && !vector;
    if (turned) cols = (size_t)s->dims[last - 1]; /* [in][out], or that for each expert: rows are its columns */
    if (vector) cols = 1;                         /* elements are rows */
    rows = all / cols;
    size_t apart = turned ? (size_t)s->dims[last] : 1;
    memset(out, 0, all * sizeof *out);
    for (int32_t k = 0; k < s->parts_count; k++) {
        const mt_part *part = &s->parts[k];
        const mt_param *p = &m->params[x->names.own[part->param]];
        const float *grad = x->grads[x->names.own[part->param]];
        for (size_t r = 0; r < rows && grad; r++) {
            size_t turn = r / (size_t)part->period, within = r % (size_t)part->period;
            if (within < (size_t)part->first || within >= (size_t)part->first + (size_t)part->count) continue;
            size_t to = (size_t)part->base + turn * (size_t)part->count + within - (size_t)part->first;
            float *y = turned ? out + r / apart * apart * cols + r % apart : out + r * cols;
            const float *from = grad + to * cols;
            float by = s->minus_exp ? p->values[to] : 1; /* of -exp(x): itself */
            for (size_t c = 0; c < cols; c++) y[c * apart] = from[c] * by;
        }
    }
}

bool mt_gradients_parameter_get(const mt_gradients *x, int32_t i, mt_traced *out) {
    if (i < 0 || (size_t)i >= x->tensor_count) return false;
    const mt_file_tensor *f = x->tensors[i].file;
    *out = (mt_traced){.name = f->name, .n_dims = (int32_t)f->n_dims};
    for (uint32_t d = 0; d < f->n_dims && d < 4; d++) out->dims[d] = (int32_t)f->dims[d];
    return true;
}

int32_t mt_gradients_parameters(const mt_gradients *x) {
    return (int32_t)x->tensor_count;
}

/* ---- the graph ---- */

static int wants(void *arg, const char *name) {
    const mt_gradients *x = arg;
    return (any_glob(x->o.values, x->o.value_count, name) ? MT_WANT_GRAD : 0) |
           (any_glob(x->o.traces, x->o.trace_count, name) ? MT_WANT_TRACE : 0);
}

mt_status mt_model_graph(const mt_model *m, mt_wanted wanted, void *arg, mt_build sizes, int32_t source, mt_graph **out,
                         int32_t *border, mt_error *err) {
    mt_graph *g;
    MT_TRY(mt_graph_new(wanted, arg, &g, err));
    mt_model_adapt(m, g);
    mt_build b = sizes;
    b.m = m, b.h = &m->h, b.g = g, b.all_rows = wanted != NULL, b.own_planes = true;
    if (m->encoder.layers) {
        b.T = b.columns = source;
        mt_build_memory(&b);
        b.T = sizes.T, b.columns = sizes.columns;
    }
    *border = g->count;
    m->arch->build(&b);
    if (g->status == MT_OK && g->output < 0)
        g->status = mt_fail(&g->error, MT_ESTATE, "the graph of \"%s\" has no output", m->arch->name);
    if (g->status != MT_OK) {
        mt_status status = g->status;
        if (err) *err = g->error;
        mt_graph_free(g);
        return status;
    }
    *out = g;
    return MT_OK;
}

static mt_status build(mt_gradients *x, int32_t T, int32_t rows, mt_error *err) {
    mt_session *s = x->s;
    bool names = x->o.value_count || x->o.trace_count;
    mt_build sizes = {.T = T, .rows = rows, .columns = s->columns, .memory = s->memory};
    MT_TRY(mt_model_graph(s->m, names ? wants : NULL, x, sizes, x->o.source_count, &x->graph, &x->border, err));
    /* Products of one input side by side; the two halves must not be mixed. */
    if (!x->border) MT_TRY(mt_graph_order(x->graph, err));
    x->graph->nodes[x->graph->output].output = false;
    return MT_OK;
}

/* Room is written by its owner on the way: nothing goes back through it. */
static mt_status check_values(const mt_gradients *x, mt_error *err) {
    for (int32_t i = 0; i < x->graph->count; i++) {
        mt_node *n = &x->graph->nodes[i];
        if (!n->keep_grad || n->op != MT_OP_ROOM) continue;
        for (int32_t k = 0; k < x->o.value_count; k++)
            if (strcmp(x->o.values[k], n->name) == 0)
                return mt_fail(err, MT_EUNKNOWN,
                               "\"%s\" has no gradient of its own: it is computed and used row by row inside one "
                               "operation",
                               n->name);
        n->keep_grad = false;
    }
    for (int32_t k = 0; k < x->o.value_count + x->o.trace_count; k++) {
        const char *glob = k < x->o.value_count ? x->o.values[k] : x->o.traces[k - x->o.value_count];
        bool found;
        MT_TRY(mt_session_knows(x->s, glob, &found, err));
        if (!found)
            return mt_fail(err, MT_EUNKNOWN,
                           "no value of \"%s\" is called \"%s\" (known: see the model's trace names, such as "
                           "blocks.0.hook_resid_pre)",
                           x->s->m->arch->name, glob);
    }
    return MT_OK;
}

/* Cross-entropy of the rows that have a target, which are all that the graph gives logits of. */
static int32_t cross_entropy(mt_graph *g, const int32_t *target, int32_t rows, int32_t of) {
    int32_t loss = mt_g_cross_entropy(g, g->output, mt_g_index(g, target, 1, &rows), 0);
    return mt_g_unary(g, MT_UNARY_AFFINE, mt_g_reduce(g, MT_REDUCE_SUM, loss, 0), 1 / (float)of, 0);
}

/* at[i]: element of all rows' logits. */
static int32_t sum_of_terms(mt_graph *g, mt_objective objective, const int32_t *at, const float *weight,
                            int32_t terms) {
    int32_t x = objective == MT_OBJECTIVE_LOG_PROB ? mt_g_softmax(g, g->output, true) : g->output;
    if (x < 0) return -1;
    int32_t flat[2] = {(int32_t)mt_node_elements(&g->nodes[x]), 1}, column[2] = {terms, 1};
    x = mt_g_take(g, mt_g_view(g, mt_g_copy(g, x), 2, flat), mt_g_index(g, at, 1, &terms));
    return mt_g_reduce(g, MT_REDUCE_SUM, mt_g_binary(g, MT_BINARY_MUL, x, mt_g_leaf(g, weight, 2, column)), 0);
}

/* ---- what the loss looks at ---- */

/* Marks the rows whose logits are needed; their number. */
static mt_status find_rows(mt_gradients *x, const mt_batch *b, const mt_loss *loss, int32_t *rows, mt_error *err) {
    int32_t V = x->s->m->h.vocab;
    *rows = 0;
    for (int32_t i = 0; i < b->count && loss->target; i++) {
        if (loss->target[i] < -1 || loss->target[i] >= V)
            return mt_fail(err, MT_ERANGE, "the target of token %d is %d, expected 0 to %d, or -1", i, loss->target[i],
                           V - 1);
        x->want[i] = loss->target[i] >= 0;
    }
    for (int32_t i = 0; i < loss->terms && !loss->target; i++) {
        if (loss->row[i] < 0 || loss->row[i] >= b->count || loss->token[i] < 0 || loss->token[i] >= V)
            return mt_fail(err, MT_ERANGE, "term %d of the loss is token %d at row %d, expected 0 to %d at row 0 to %d",
                           i, loss->token[i], loss->row[i], V - 1, b->count - 1);
        x->want[loss->row[i]] = 1;
    }
    for (int32_t i = 0; i < b->count; i++) *rows += x->want[i];
    if (!*rows)
        return mt_fail(err, MT_ERANGE, loss->target ? "no token of the batch has a target" : "the loss has no terms");
    if ((int64_t)*rows * V > INT32_MAX)
        return mt_fail(err, MT_ELIMIT, "logits of %d rows are more than %d numbers", *rows, INT32_MAX);
    return MT_OK;
}

/* The indices that the loss's nodes hold, behind the tokens of the batch and of the source. */
static const int32_t *find_indices(mt_gradients *x, const mt_batch *b, const mt_loss *loss) {
    int32_t *at = x->ids + b->count + x->o.source_count, row = 0, n = 0;
    for (int32_t i = 0; i < b->count && loss->target; i++)
        if (x->want[i]) at[n++] = loss->target[i];
    if (loss->target) return at;
    int32_t *row_of = at + loss->terms;
    for (int32_t i = 0; i < b->count; i++) row_of[i] = x->want[i] ? row++ : -1;
    for (int32_t i = 0; i < loss->terms; i++) at[i] = row_of[loss->row[i]] * x->s->m->h.vocab + loss->token[i];
    memcpy(x->weights, loss->weight, (size_t)loss->terms * sizeof *x->weights);
    return at;
}

/* ---- life ---- */

static mt_status new_planes(mt_gradients *x, mt_error *err) {
    const mt_session *s = x->s;
    const mt_hyper *d = &s->m->h, *e = &s->m->encoder;
    x->plane_count = d->layers + e->layers;
    for (int which = 0; which < 2; which++) {
        void **list = x->planes[which] = mt_calloc((size_t)x->plane_count, sizeof *list);
        if (!list) return mt_nomem(err, (size_t)x->plane_count * sizeof *list, "the encoder's cache");
        for (int32_t l = 0; l < d->layers; l++) list[l] = (which ? s->memory_v : s->memory_k)[l];
        size_t bytes = (size_t)e->kv_heads * (size_t)(which ? e->value_width : e->head_width) * sizeof(float);
        bool fits = mt_mul_size(bytes, (size_t)s->memory_capacity, &bytes);
        for (int32_t l = d->layers; l < x->plane_count; l++) {
            list[l] = fits ? mt_alloc_aligned(bytes, 64) : NULL;
            if (!list[l]) return mt_nomem(err, bytes, "the encoder's cache");
        }
    }
    x->source_feed.k = x->planes[0];
    x->source_feed.v = x->planes[1];
    return MT_OK;
}

static mt_status check(const mt_session *s, const mt_batch *b, const mt_gradients_options *o, mt_error *err) {
    if (s->cache != MT_CACHE_F32)
        return mt_fail(err, MT_ESTATE, "gradients go through keys and values that are kept as f32, not as %s",
                       mt_cache_name(s->cache));
    if (s->patch_count || s->stop)
        return mt_fail(err, MT_ESTATE, "gradients are those of the whole model as it is: no patches, no stop");
    if (b->count > s->max_batch)
        return mt_fail(err, MT_ELIMIT, "a batch of %d tokens, but the session takes %d at once", b->count,
                       s->max_batch);
    for (int32_t i = 0; i < b->count && b->parent; i++)
        if (b->parent[i] >= 0)
            return mt_fail(err, MT_ESTATE,
                           "token %d of the batch follows slot %d: gradients do not go back into earlier batches", i,
                           b->parent[i]);
    if (s->m->encoder.layers && o->source_count < 1)
        return mt_fail(err, MT_ERANGE, "a source of %d tokens, expected 1 or more", o->source_count);
    return MT_OK;
}

static mt_status copy_input(mt_gradients *x, mt_batch *b, const mt_loss *loss, mt_error *err) {
    size_t n = (size_t)(b->count > 0 ? b->count : 0), terms = loss->target ? 0 : (size_t)loss->terms;
    size_t source = (size_t)x->o.source_count, ids;
    if (!mt_add_size(3 * n + source, 2 * terms, &ids)) ids = SIZE_MAX;
    x->ids = mt_array(ids, sizeof *x->ids);
    x->want = mt_calloc(n + 1, 1);
    x->weights = mt_array(terms + 1, sizeof *x->weights);
    if (!x->ids || !x->want || !x->weights) return mt_nomem(err, ids * sizeof *x->ids, "a batch");
    memcpy(x->ids, b->token, n * sizeof *x->ids);
    if (source) memcpy(x->ids + n, x->o.source, source * sizeof *x->ids);
    b->token = x->ids;
    b->want = x->want;
    return MT_OK;
}

static mt_status open_gradients(mt_gradients *x, mt_batch b, const mt_loss *loss, mt_error *err) {
    mt_session *s = x->s;
    int32_t rows, source = x->o.source_count;
    MT_TRY(check(s, &b, &x->o, err));
    MT_TRY(copy_input(x, &b, loss, err));
    MT_TRY(find_rows(x, &b, loss, &rows, err));
    MT_TRY(find_tensors(x, err));
    const int32_t *indices = find_indices(x, &b, loss);
    if (source) {
        mt_session_reset(s); /* as mt_session_encode does */
        MT_TRY(mt_session_feed_source(s, x->ids + b.count, source, &x->source_feed, err));
    }
    MT_TRY(mt_session_begin(s, &b, &x->taken, err));
    MT_TRY(mt_session_feed(s, &b, 0, b.count, true, &x->feed, err));
    if (source) { /* once more: the batch may have moved what both share */
        MT_TRY(mt_session_feed_source(s, x->ids + b.count, source, &x->source_feed, err));
        MT_TRY(new_planes(x, err));
    }
    MT_TRY(build(x, b.count, rows, err));
    MT_TRY(check_values(x, err));
    mt_graph *g = x->graph;
    x->loss = loss->target ? cross_entropy(g, indices, rows, loss->targets ? loss->targets : rows)
                           : sum_of_terms(g, loss->objective, indices, x->weights, loss->terms);
    if (x->loss >= 0) g->nodes[x->loss].kept = true;
    mt_tape_options o = {.loss = x->loss,
                         .grad = x->o.grad ? x->o.grad : grad_of,
                         .arg = x->o.grad ? x->o.arg : x,
                         .segments = x->o.segments,
                         .slots = s->kv.slots,
                         .source = x->border,
                         .source_feed = &x->source_feed};
    MT_TRY(mt_tape_new(g, &o, &x->tape, err));
    size_t bytes = mt_tape_scratch(x->tape) * sizeof(float);
    x->scratch = mt_alloc_aligned(bytes, 64);
    return x->scratch ? MT_OK : mt_nomem(err, bytes, "values and gradients of a batch");
}

mt_status mt_gradients_new(mt_session *s, const mt_batch *b, const mt_loss *loss, const mt_gradients_options *o,
                           mt_gradients **out, mt_error *err) {
    mt_gradients *x = mt_calloc(1, sizeof *x);
    if (!x) return mt_nomem(err, sizeof *x, "gradients");
    x->s = s;
    x->o = *o;
    if (!s->m->encoder.layers) x->o.source_count = 0;
    mt_status status = open_gradients(x, *b, loss, err);
    s->segment_count = 0;
    x->o.parameters = x->o.values = x->o.traces = NULL; /* the caller's */
    if (status != MT_OK) {
        mt_gradients_free(x);
        return status;
    }
    *out = x;
    return MT_OK;
}

void mt_gradients_free(mt_gradients *x) {
    if (!x) return;
    mt_session_drop_batch(x->s, x->taken);
    if (x->o.source_count) x->s->memory = 0; /* the decoder's slots are gone, and what the encoder left with them */
    for (int which = 0; which < 2; which++) {
        for (int32_t l = x->s->m->h.layers; x->planes[which] && l < x->plane_count; l++)
            mt_free_aligned(x->planes[which][l]);
        mt_free(x->planes[which]);
    }
    mt_tape_free(x->tape);
    mt_graph_free(x->graph);
    mt_free_aligned(x->scratch);
    mt_free(x->ids);
    mt_free(x->want);
    mt_free(x->weights);
    for (size_t i = 0; x->grads && i < x->s->m->param_count; i++) mt_free_aligned(x->grads[i]);
    mt_free(x->grads);
    mt_tensors_close(&x->names);
    mt_free(x->tensors);
    mt_map64_free(&x->storages);
    mt_free(x->storage);
    mt_free(x);
}

/* ---- running and reading ---- */

bool mt_gradients_run(mt_gradients *x, int32_t steps) {
    int32_t all = mt_tape_steps(x->tape), to = steps > all - x->at ? all : x->at + steps;
    if (x->at < to) mt_tape_run(x->tape, x->at, to, x->s->pool, x->scratch, &x->feed);
    x->at = to;
    return to == all;
}

double mt_gradients_loss(const mt_gradients *x) {
    return *mt_node_value(&x->graph->nodes[x->loss], x->scratch, &x->feed);
}

/* The i-th named node that is kept, or whose gradient is; -1. */
static int32_t named(const mt_gradients *x, bool gradient, int32_t i) {
    for (int32_t n = 0; n < x->graph->count && i >= 0; n++) {
        const mt_node *node = &x->graph->nodes[n];
        if (node->name && (gradient ? node->keep_grad : node->kept) && i-- == 0) return n;
    }
    return -1;
}

static bool get(const mt_gradients *x, bool gradient, int32_t i, mt_traced *out) {
    int32_t n = named(x, gradient, i);
    if (n < 0) return false;
    const mt_node *node = &x->graph->nodes[n];
    *out = (mt_traced){.name = node->name, .n_dims = node->n_dims};
    memcpy(out->dims, node->dims, sizeof out->dims);
    out->data = gradient ? mt_tape_grad(x->tape, x->scratch, n) : mt_node_value(node, x->scratch, &x->feed);
    return true;
}

static int32_t count_named(const mt_gradients *x, bool gradient) {
    int32_t count = 0;
    for (int32_t n = 0; n < x->graph->count; n++) {
        const mt_node *node = &x->graph->nodes[n];
        count += node->name && (gradient ? node->keep_grad : node->kept);
    }
    return count;
}

int32_t mt_gradients_values(const mt_gradients *x) {
    return count_named(x, true);
}
bool mt_gradients_value_get(const mt_gradients *x, int32_t i, mt_traced *out) {
    return get(x, true, i, out);
}
int32_t mt_gradients_traces(const mt_gradients *x) {
    return count_named(x, false);
}
bool mt_gradients_trace_get(const mt_gradients *x, int32_t i, mt_traced *out) {
    return get(x, false, i, out);
}
