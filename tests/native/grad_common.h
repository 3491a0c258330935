/* Gradients of single operations against central differences, in double precision.
 *
 *   grad_case c; gc_begin(&c);
 *   int32_t x = gc_leaf(&c, 1, 2, 3, 5), w = gc_weight(&c, 4, 5);         random values; trained
 *   gc_check(&c, "matmul", mt_g_matmul(c.g, x, w, -1));                   every trained number is moved; frees the case
 *
 * The loss is the sum of the value's elements, each times a number of its own. */
#ifndef MT_GRAD_COMMON_H
#define MT_GRAD_COMMON_H

#include <stdarg.h>

#include "tensor/general.h"
#include "tensor/grad.h"
#include "test.h"

enum { GC_STORAGES = 32, GC_LAYERS = 4 };
typedef struct gc_storage {
    const void *key; /* what nodes hold: an mt_weight or floats */
    float *values;   /* [count] */
    float *grad;     /* NULL: a constant */
    size_t count;
    mt_weight *weight; /* repacked from values when they change */
} gc_storage;
typedef struct grad_case {
    mt_graph *g;
    gc_storage s[GC_STORAGES];
    int32_t count;
    mt_feed feed;
    void *owned[256];
    int32_t owned_count;
    mt_rng rng;
    mt_pool *pool;
    int32_t segments; /* of the tape */
    int32_t source;   /* of the tape, too */
    mt_feed source_feed;
    double tolerance; /* relative to the largest gradient of a storage */
    double step;
} grad_case;

static inline void *gc_own(grad_case *c, void *p) {
    c->owned[c->owned_count++] = p;
    return p;
}
static inline void *gc_room(grad_case *c, size_t count, size_t size) {
    return gc_own(c, mt_calloc(count ? count : 1, size));
}
static inline float gc_uniform(grad_case *c) { /* in [-1, 1), away from 0 so that kinks are not met */
    double u = 2 * mt_rng_double(&c->rng) - 1;
    return (float)(u < 0 ? u - 0.02 : u + 0.02);
}
static inline void gc_begin_seed(grad_case *c, uint64_t seed) {
    memset(c, 0, sizeof *c);
    mt_rng_seed(&c->rng, seed);
    c->tolerance = 1e-6;
    c->step = 1e-5;
    mt_error err;
    if (mt_graph_new(NULL, NULL, &c->g, &err) != MT_OK) abort();
}
static inline void gc_begin(grad_case *c) {
    gc_begin_seed(c, 1);
}

static inline float *gc_storage_of(grad_case *c, size_t count, float scale, bool trained) {
    gc_storage *s = &c->s[c->count++];
    s->values = gc_room(c, count, sizeof(float));
    s->grad = trained ? gc_room(c, count, sizeof(float)) : NULL;
    s->count = count;
    s->key = s->values;
    for (size_t i = 0; i < count; i++) s->values[i] = scale * gc_uniform(c);
    return s->values;
}
static inline int32_t gc_dims(grad_case *c, float scale, bool trained, int32_t n_dims, va_list args) {
    int32_t dims[4];
    size_t count = 1;
    for (int32_t d = 0; d < n_dims; d++) dims[d] = va_arg(args, int32_t), count *= (size_t)dims[d];
    return mt_g_leaf(c->g, gc_storage_of(c, count, scale, trained), n_dims, dims);
}
/* A tensor of random values that is trained: dims follow. */
static inline int32_t gc_leaf(grad_case *c, float scale, int32_t n_dims, ...) {
    va_list args;
    va_start(args, n_dims);
    int32_t x = gc_dims(c, scale, true, n_dims, args);
    va_end(args);
    return x;
}
/* The same, not trained. */
static inline int32_t gc_const(grad_case *c, float scale, int32_t n_dims, ...) {
    va_list args;
    va_start(args, n_dims);
    int32_t x = gc_dims(c, scale, false, n_dims, args);
    va_end(args);
    return x;
}
static inline float *gc_values(grad_case *c) { /* of the leaf or weight made last */
    return c->s[c->count - 1].values;
}
/* Trained floats that a node holds in `extra`. */
static inline float *gc_extra(grad_case *c, size_t count, float scale) {
    return gc_storage_of(c, count, scale, true);
}
static inline void gc_put(gc_storage *s) {
    if (s->weight) mt_weight_put_rows(NULL, s->weight, 0, s->weight->rows, s->values);
}
static inline mt_weight *gc_matrix(grad_case *c, int32_t rows, int32_t cols, float scale, bool trained) {
    mt_error err;
    gc_storage_of(c, (size_t)rows * (size_t)cols, scale, trained);
    gc_storage *s = &c->s[c->count - 1];
    s->weight = gc_room(c, 1, sizeof *s->weight);
    if (mt_weight_new(s->weight, MT_F32, rows, cols, &err) != MT_OK) abort();
    s->key = s->weight;
    gc_put(s);
    return s->weight;
}
static inline int32_t gc_weight(grad_case *c, int32_t rows, int32_t cols) {
    return mt_g_weight(c->g, gc_matrix(c, rows, cols, 1, true));
}
static inline int32_t *gc_ids(grad_case *c, size_t count, int32_t below) {
    int32_t *ids = gc_room(c, count, sizeof *ids);
    for (size_t i = 0; i < count; i++) ids[i] = (int32_t)mt_rng_below(&c->rng, (uint64_t)below);
    return ids;
}

/* A batch of B sequences of T tokens: ids, positions, a cache of `layers` layers of G heads, causal visibility within
 * `window` (0: all), rows that follow each other, states for recurrent layers. */
static inline void gc_sequences(grad_case *c, int32_t B, int32_t T, int32_t layers, int32_t G, int32_t E, int32_t EV,
                                int32_t window, int32_t vocab, size_t state_width) {
    int32_t n = B * T;
    size_t rows = (size_t)n;
    mt_feed *f = &c->feed;
    int32_t *position = gc_room(c, rows, 4), *slot = gc_room(c, rows, 4), *start = gc_room(c, rows + 1, 4);
    int32_t *parent = gc_room(c, rows, 4), *in = gc_room(c, rows, 4), *out = gc_room(c, rows, 4);
    int32_t *column = gc_room(c, rows, 4), *column_slot = gc_room(c, rows, 4), *slot_position = gc_room(c, rows, 4);
    mt_run *runs = gc_room(c, rows, sizeof *runs);
    for (int32_t i = 0; i < n; i++) {
        position[i] = slot_position[i] = i % T;
        slot[i] = column[i] = column_slot[i] = i;
        parent[i] = i % T ? i - 1 : -1;
        in[i] = out[i] = -1;
        int32_t first = i / T * T;
        if (window && i - first + 1 > window) first = i - window + 1;
        runs[i] = (mt_run){first, i - first + 1};
        start[i + 1] = i + 1;
    }
    const mt_run **run_sets = gc_room(c, 1, sizeof *run_sets);
    const int32_t **start_sets = gc_room(c, 1, sizeof *start_sets);
    run_sets[0] = runs, start_sets[0] = start;
    void **k = gc_room(c, GC_LAYERS, sizeof *k), **v = gc_room(c, GC_LAYERS, sizeof *v);
    float **state = gc_room(c, GC_LAYERS, sizeof *state);
    for (int32_t l = 0; l < layers; l++) {
        k[l] = gc_room(c, rows * (size_t)G * (size_t)E, sizeof(float));
        v[l] = gc_room(c, rows * (size_t)G * (size_t)EV, sizeof(float));
        state[l] = gc_room(c, (rows + 1) * (state_width + 1), sizeof(float));
    }
    f->T = n, f->token = gc_ids(c, rows, vocab ? vocab : 1), f->position = position, f->slot = slot;
    f->runs = run_sets, f->run_start = start_sets, f->slot_position = slot_position, f->slots = n;
    f->k = k, f->v = v, f->columns = n, f->column = column, f->column_slot = column_slot;
    f->parent_row = parent, f->state_in = in, f->state_out = out, f->state = state, f->state_width = state_width;
}

static inline float *gc_grad_of(void *arg, const void *storage) {
    grad_case *c = arg;
    for (int32_t i = 0; i < c->count; i++)
        if (c->s[i].key == storage) return c->s[i].grad;
    return NULL;
}

static inline double gc_loss(grad_case *c, mt_tape *t, int32_t loss, float *scratch) {
    mt_tape_forward(t, c->pool, scratch, &c->feed);
    const float *y = mt_node_value(&c->g->nodes[loss], scratch, &c->feed);
    double sum = 0;
    for (size_t i = 0, n = mt_node_elements(&c->g->nodes[loss]); i < n; i++) sum += y[i];
    return sum;
}

static inline void gc_end(grad_case *c) {
    for (int32_t i = 0; i < c->count; i++)
        if (c->s[i].weight) mt_weight_free(c->s[i].weight);
    for (int32_t i = 0; i < c->owned_count; i++) mt_free(c->owned[i]);
    mt_graph_free(c->g);
}

static inline void gc_compare(grad_case *c, int32_t out) {
    mt_error err = {0};
    CHECK(out >= 0 && c->g->status == MT_OK, "the graph: %s", c->g->error.text);
    if (out < 0 || c->g->status != MT_OK) {
        gc_end(c);
        return;
    }
    size_t elements = mt_node_elements(&c->g->nodes[out]);
    int32_t share =
        mt_g_leaf(c->g, gc_storage_of(c, elements, 1, false), c->g->nodes[out].n_dims, c->g->nodes[out].dims);
    int32_t loss = mt_g_mul(c->g, out, share);
    c->g->nodes[loss].kept = true;
    mt_tape *t = NULL;
    CHECK_OK(mt_tape_new(c->g,
                         &(mt_tape_options){.loss = loss,
                                            .grad = gc_grad_of,
                                            .arg = c,
                                            .segments = c->segments,
                                            .slots = c->feed.slots,
                                            .source = c->source,
                                            .source_feed = &c->source_feed},
                         &t, &err));
    float *scratch = t ? mt_alloc_aligned(mt_tape_scratch(t) * sizeof(float), 64) : NULL;
    if (!scratch) {
        mt_tape_free(t);
        gc_end(c);
        return;
    }
    gc_loss(c, t, loss, scratch);
    mt_tape_backward(t, c->pool, scratch, &c->feed);
    for (int32_t i = 0; i < c->count; i++) {
        gc_storage *s = &c->s[i];
        if (!s->grad) continue;
        double most = 0;
        for (size_t k = 0; k < s->count; k++) most = fmax(most, fabs(s->grad[k]));
        CHECK(most > 0, "storage %d has no gradient at all", i);
        size_t every = s->count > 96 ? s->count / 96 | 1 : 1;
        for (size_t k = 0; k < s->count; k += every) {
            float before = s->values[k];
            double h = c->step * fmax(1, fabs(before)), sum[2];
            for (int side = 0; side < 2; side++) {
                s->values[k] = before + (side ? -h : h);
                gc_put(s);
                sum[side] = gc_loss(c, t, loss, scratch);
            }
            s->values[k] = before;
            gc_put(s);
            double found = s->grad[k], expected = (sum[0] - sum[1]) / (2 * h);
            CHECK(fabs(found - expected) <= c->tolerance * fmax(most, 1e-6),
                  "storage %d, element %d: %.12g, differences say %.12g", i, (int)k, found, expected);
        }
    }
    mt_free_aligned(scratch);
    mt_tape_free(t);
    gc_end(c);
}
/* Checks and frees. The name need not outlive the call. */
static inline void gc_check(grad_case *c, const char *name, int32_t out) {
    CASE(name);
    gc_compare(c, out);
    case_end();
}

#endif
