/* The tape: which nodes are gone through in which order on the way back, and where values and gradients lie meanwhile
 * (grad.h). */
#include "general.h"
#include "grad.h"
#include "plan.h"

#include <math.h>

/* Values that the way back of an operation reads: bit k its input k, Y its own. */
enum { X0 = 1, X1 = 2, X2 = 4, X3 = 8, Y = 16, NEVER = 128 };
static const uint8_t needs[MT_OP_COUNT] = {
    [MT_OP_SINUSOIDS] = NEVER,
    [MT_OP_ADD_RELATION] = X1 | X2 | X3,
    [MT_OP_MATMUL] = X0,
    [MT_OP_RMS_NORM] = X0 | X1,
    [MT_OP_LAYER_NORM] = X0 | X1,
    [MT_OP_NORM_SCALE] = X0 | Y,
    [MT_OP_NORM_APPLY] = X0 | X1 | X2,
    [MT_OP_MUL] = X0 | X1,
    [MT_OP_ACT] = X0,
    [MT_OP_CLAMP] = X0,
    [MT_OP_SOFTCAP] = Y,
    [MT_OP_ATTEND] = X0 | X1 | X2 | Y,
    [MT_OP_SCORES] = X0 | X1 | Y,
    [MT_OP_ATTN_SOFTMAX] = X2 | Y, /* and X0 with sinks */
    [MT_OP_MIX] = X0,
    [MT_OP_HEAD_RESULT] = X0,
    [MT_OP_EXPERTS] = X0 | X1,
    [MT_OP_CONV] = X0,
    [MT_OP_LERP] = X0 | X1 | X2,
    [MT_OP_WKV] = X0 | X1 | Y,
    [MT_OP_DELTA] = X0 | X1 | X2,
    [MT_OP_SCAN] = X0 | X1 | X2 | X3,
    [MT_OP_CELL] = X2 | X3 | Y,
    [MT_OP_POOL] = X0 | X1 | X2 | X3,
    [MT_OP_ROOM] = NEVER,
    [MT_OP_GIVEN] = NEVER,
    [MT_OP_STOP] = NEVER,
    [MT_OP_SOFTMAX] = Y,
    [MT_OP_WHERE] = X0,
    [MT_OP_CROSS_ENTROPY] = X0 | Y,
};

static const uint8_t unary_needs[MT_UNARY_COUNT] = {
    [MT_UNARY_EXP] = Y,     [MT_UNARY_LOG] = X0,        [MT_UNARY_SQRT] = Y,       [MT_UNARY_RSQRT] = Y,
    [MT_UNARY_SQUARE] = X0, [MT_UNARY_RECIPROCAL] = Y,  [MT_UNARY_ABS] = X0,       [MT_UNARY_SIN] = X0,
    [MT_UNARY_COS] = X0,    [MT_UNARY_TANH] = Y,        [MT_UNARY_SIGMOID] = Y,    [MT_UNARY_SOFTPLUS] = X0,
    [MT_UNARY_RELU] = Y,    [MT_UNARY_LEAKY_RELU] = X0, [MT_UNARY_GELU_TANH] = X0, [MT_UNARY_GELU_ERF] = X0,
    [MT_UNARY_SILU] = X0,   [MT_UNARY_POW] = X0,        [MT_UNARY_CLAMP] = X0,
};

/* One step of the run: a node forwards (first or again) or backwards. */
typedef enum way { FORWARD, AGAIN, BACKWARD } way;
typedef struct step {
    way way;
    int32_t node;
} step;

/* A place in the block: a value (two of them where it is computed again), a gradient, planes of the cache. */
typedef struct room {
    size_t size, offset;
    int32_t first, last; /* steps; -1: never */
    bool forever;
} room;

struct mt_tape {
    mt_graph *g;
    mt_tape_options o;
    step *steps;
    int32_t count, capacity, forward;           /* the first `forward` steps are the way forward */
    room *value, *again, *grad, *keys, *values; /* [nodes]; keys, values: of stores */
    int32_t *root;                              /* the node whose places a copy shares */
    int32_t *store;                             /* of a node that reads the cache: the store of its layer, -1 */
    int32_t *segment;                           /* [nodes] */
    bool *recomputed;          /* [nodes] its value is not there any more when its segment is gone through backwards */
    uint8_t *flows;            /* [nodes] bit 0: depends on something trained; bit 1: and the loss depends on it */
    size_t kernel_at, scratch; /* the graph's, while this tape runs it */
};

enum { TRAINED = 1, MARKED = 2 };

static float *leaf_grad(const mt_tape *t, const mt_node *n) {
    if (n->op == MT_OP_WEIGHT) return t->o.grad(t->o.arg, n->weight);
    return n->op == MT_OP_VECTOR ? t->o.grad(t->o.arg, n->vector) : NULL;
}

/* What an operation holds beside its inputs. */
static bool extra_trained(const mt_tape *t, const mt_node *n) {
    const void *s[6] = {0};
    if (n->op == MT_OP_EXPERTS) {
        const mt_experts *e = n->extra;
        s[0] = e->gate, s[1] = e->up, s[2] = e->down, s[3] = e->gate_bias, s[4] = e->up_bias, s[5] = e->down_bias;
    } else if (n->op == MT_OP_SCAN) {
        const mt_scan *e = n->extra;
        s[0] = e->A, s[1] = e->D;
    } else if (n->op == MT_OP_DELTA) {
        const mt_delta *e = n->extra;
        s[0] = e->A, s[1] = e->dt_bias;
    } else if (n->op == MT_OP_CELL) {
        s[0] = ((const mt_cell *)n->extra)->bias;
    } else if (n->op == MT_OP_POOL) {
        s[0] = ((const mt_pool_over *)n->extra)->weight;
    }
    for (int i = 0; i < 6; i++)
        if (s[i] && t->o.grad(t->o.arg, s[i])) return true;
    return false;
}

static bool reads_cache(const mt_node *n) {
    if (n->op == MT_OP_ADD_RELATION) return n->in[3] >= 0;
    return n->op == MT_OP_ATTEND || n->op == MT_OP_SCORES || n->op == MT_OP_MIX;
}

/* Whether a gradient that reaches node n goes on to its input k. */
static bool goes_to(const mt_node *n, int k) {
    if (needs[n->op] & NEVER) return false;
    if (n->op == MT_OP_STRAIGHT) return k == 1;
    if (n->op == MT_OP_ROPE) return k == 0; /* its frequencies are constants */
    if (n->op == MT_OP_CELL) return k < 2;  /* rooms are written, not read */
    if (n->op == MT_OP_POOL) return k < 3;
    if (n->op == MT_OP_WHERE) return k > 0;
    return true;
}

/* The store of the keys and values that node i reads; -1: it is not in this graph. */
static int32_t store_of(const mt_tape *t, int32_t i) {
    const mt_node *n = &t->g->nodes[i];
    bool memory = n->op != MT_OP_ADD_RELATION && n->i[1] == MT_RUNS_MEMORY;
    int32_t from = memory ? t->o.source : i, to = memory || i < t->o.source ? 0 : t->o.source;
    for (int32_t k = from; k-- > to;)
        if (t->g->nodes[k].op == MT_OP_KV_STORE && t->g->nodes[k].i[0] == n->i[0]) return k;
    return -1;
}

static mt_status find_flow(mt_tape *t, mt_error *err) {
    const mt_graph *g = t->g;
    for (int32_t i = 0; i < g->count; i++) {
        const mt_node *n = &g->nodes[i];
        bool trained = n->keep_grad || (mt_is_leaf(n->op) ? leaf_grad(t, n) != NULL : extra_trained(t, n));
        t->store[i] = -1;
        if (reads_cache(n)) t->store[i] = store_of(t, i);
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            trained |= n->in[k] >= 0 && goes_to(n, k) && (t->flows[n->in[k]] & TRAINED);
        if (t->store[i] >= 0) trained |= (t->flows[t->store[i]] & TRAINED) != 0;
        if (trained && (n->keep_grad || !(needs[n->op] & NEVER))) t->flows[i] |= TRAINED;
        bool alias = n->op == MT_OP_COPY && !n->patched && !n->output && !n->keep_grad && n->in[0] >= 0 &&
                     !mt_is_leaf(g->nodes[n->in[0]].op) && !g->nodes[n->in[0]].output;
        t->root[i] = alias ? t->root[n->in[0]] : i;
    }
    if (!(t->flows[t->o.loss] & TRAINED))
        return mt_fail(err, MT_ESTATE, "nothing that is trained leads to the loss (node %d, %s)", t->o.loss,
                       mt_op_name(g->nodes[t->o.loss].op));
    t->flows[t->o.loss] |= MARKED;
    for (int32_t i = g->count; i-- > 0;) {
        const mt_node *n = &g->nodes[i];
        if (!(t->flows[i] & MARKED)) continue;
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            if (n->in[k] >= 0 && goes_to(n, k) && (t->flows[n->in[k]] & TRAINED)) t->flows[n->in[k]] |= MARKED;
        if (t->store[i] >= 0 && (t->flows[t->store[i]] & TRAINED)) t->flows[t->store[i]] |= MARKED;
    }
    return MT_OK;
}

/* Segments end where the fewest floats cross: between blocks only the residual stream does. */
static mt_status cut(mt_tape *t, mt_error *err) {
    const mt_graph *g = t->g;
    int32_t wanted = t->o.segments;
    if (wanted == 0 || wanted == 1 || g->count < 4) return MT_OK;
    size_t *crossing = mt_calloc((size_t)g->count + 1, sizeof *crossing);
    int32_t *last = mt_array((size_t)g->count, sizeof *last);
    if (!crossing || !last) {
        mt_free(crossing);
        mt_free(last);
        return mt_nomem(err, (size_t)g->count * sizeof *crossing, "the segments of a tape");
    }
    for (int32_t i = 0; i < g->count; i++) last[i] = -1;
    for (int32_t i = 0; i < g->count; i++)
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            if (g->nodes[i].in[k] >= 0) last[t->root[g->nodes[i].in[k]]] = i;
    size_t least = SIZE_MAX;
    uint64_t total = 0;
    for (int32_t i = 0; i < g->count; i++) {
        if (mt_is_leaf(g->nodes[i].op) || t->root[i] != i) continue;
        size_t size = mt_node_elements(&g->nodes[i]);
        total += size;
        for (int32_t k = i; k < last[i]; k++) crossing[k] += size; /* between k and k + 1 */
    }
    for (int32_t i = 0; i + 1 < g->count; i++)
        if (crossing[i] && crossing[i] < least && i > g->count / 8 && i < g->count - g->count / 8) least = crossing[i];
    int32_t places = 0;
    for (int32_t i = 0; i + 1 < g->count; i++)
        if (crossing[i] && crossing[i] <= least + least / 4 && !(i && crossing[i - 1] == crossing[i])) places++;
    if (wanted < 0) wanted = (int32_t)ceil(sqrt((double)(places > 0 ? places : 1)));
    uint64_t done = 0;
    int32_t now = 0;
    for (int32_t i = 0; i < g->count; i++) {
        t->segment[i] = now;
        if (!mt_is_leaf(g->nodes[i].op) && t->root[i] == i) done += mt_node_elements(&g->nodes[i]);
        bool here = crossing[i] && crossing[i] <= least + least / 4;
        if (here && now + 1 < wanted && done * (uint64_t)wanted >= total * (uint64_t)(now + 1)) now++;
    }
    mt_free(crossing);
    mt_free(last);
    return MT_OK;
}

static mt_status add_step(mt_tape *t, way w, int32_t node, mt_error *err) {
    void *steps = t->steps;
    size_t capacity = (size_t)t->capacity;
    mt_status status = mt_grow(&steps, &capacity, (size_t)t->count + 1, sizeof *t->steps, err);
    t->steps = steps;
    t->capacity = (int32_t)capacity;
    if (status == MT_OK) t->steps[t->count++] = (step){w, node};
    return status;
}

/* A factor is needed only where the other one has a gradient, a sum needs nothing. */
static uint8_t needed(const mt_tape *t, const mt_node *n) {
    bool first = n->in[0] >= 0 && (t->flows[n->in[0]] & MARKED),
         second = n->in[1] >= 0 && (t->flows[n->in[1]] & MARKED);
    bool divided = n->op == MT_OP_BINARY && n->i[0] == MT_BINARY_DIV;
    switch (n->op) {
    case MT_OP_UNARY:
        return unary_needs[n->i[0]];
    case MT_OP_BINARY:
        if (n->i[0] == MT_BINARY_ADD || n->i[0] == MT_BINARY_SUB) return 0;
        if (n->i[0] == MT_BINARY_MAX || n->i[0] == MT_BINARY_MIN) return X0 | X1;
        return (first || divided ? X1 : 0) | (second ? X0 : 0);
    case MT_OP_ATTN_SOFTMAX:
        return needs[n->op] | (n->in[2] >= 0 ? X0 : 0);
    case MT_OP_DOT:
        return (first ? X1 : 0) | (second ? X0 : 0);
    case MT_OP_REDUCE:
        if (n->i[0] == MT_REDUCE_SUM || n->i[0] == MT_REDUCE_MEAN) return 0;
        return n->i[0] == MT_REDUCE_VARIANCE ? X0 : X0 | Y;
    default:
        return needs[n->op] & ~NEVER;
    }
}

static bool need(const mt_tape *t, int32_t i, int k) { /* k: input, 4: the value itself */
    return needed(t, &t->g->nodes[i]) >> k & 1;
}

/* Values of a segment that are gone when it is gone through backwards: those that nothing behind it reads, that are not
 * kept, and that the way back needs, or that lead to such. */
static void find_recomputed(mt_tape *t) {
    const mt_graph *g = t->g;
    int32_t end = t->segment[g->count - 1];
    if (end == 0) return;
    for (int32_t i = 0; i < g->count; i++) { /* those that stay are marked in `recomputed` at first */
        const mt_node *n = &g->nodes[i];
        if (n->kept || n->output) t->recomputed[t->root[i]] = true;
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            if (n->in[k] >= 0 && t->segment[t->root[n->in[k]]] < t->segment[i]) t->recomputed[t->root[n->in[k]]] = true;
    }
    for (int32_t i = 0; i < g->count; i++)
        t->recomputed[i] = t->root[i] == i && t->segment[i] < end && !mt_is_leaf(g->nodes[i].op) &&
                           g->nodes[i].op != MT_OP_KV_STORE && !t->recomputed[i];
    /* Only what is needed again. */
    uint8_t *wanted = t->flows; /* bit 2 */
    for (int32_t i = g->count; i-- > 0;) {
        const mt_node *n = &g->nodes[i];
        if (t->flows[i] & MARKED) {
            for (int k = 0; k < MT_NODE_INPUTS; k++)
                if (n->in[k] >= 0 && need(t, i, k)) wanted[t->root[n->in[k]]] |= 4;
            if (need(t, i, 4)) wanted[t->root[i]] |= 4;
        }
        for (int k = 0; k < MT_NODE_INPUTS; k++) /* what writes room that is wanted */
            if (n->in[k] >= 0 && g->nodes[n->in[k]].op == MT_OP_ROOM && (wanted[n->in[k]] & 4)) wanted[i] |= 4;
        if ((wanted[i] & 4) && t->recomputed[i])
            for (int k = 0; k < MT_NODE_INPUTS; k++)
                if (n->in[k] >= 0) wanted[t->root[n->in[k]]] |= 4;
    }
    for (int32_t i = 0; i < g->count; i++) t->recomputed[i] &= (wanted[i] & 4) != 0;
    for (int32_t i = 0; i < g->count; i++) /* room stays with the value of the node that writes it */
        for (int k = 0; k < MT_NODE_INPUTS && !t->recomputed[i]; k++)
            if (g->nodes[i].in[k] >= 0 && g->nodes[g->nodes[i].in[k]].op == MT_OP_ROOM)
                t->recomputed[g->nodes[i].in[k]] = false;
}

static mt_status find_steps(mt_tape *t, mt_error *err) {
    const mt_graph *g = t->g;
    for (int32_t i = 0; i < g->count; i++)
        if (!mt_is_leaf(g->nodes[i].op)) MT_TRY(add_step(t, FORWARD, i, err));
    t->forward = t->count;
    for (int32_t i = g->count, segment = g->count ? t->segment[g->count - 1] + 1 : 0; i-- > 0;) {
        if (t->segment[i] < segment) {
            segment = t->segment[i];
            int32_t first = i;
            while (first > 0 && t->segment[first - 1] == segment) first--;
            for (int32_t k = first; k <= i; k++)
                if (t->recomputed[k]) MT_TRY(add_step(t, AGAIN, k, err));
        }
        if ((t->flows[i] & MARKED) && !mt_is_leaf(g->nodes[i].op) && !(needs[g->nodes[i].op] & NEVER) &&
            t->root[i] == i)
            MT_TRY(add_step(t, BACKWARD, i, err));
    }
    return MT_OK;
}

static void use(room *r, int32_t at) {
    if (r->first < 0) r->first = at;
    if (at > r->last) r->last = at;
}

/* The place that holds the value of node i at a step of the way back of `segment`. */
static room *value_at(mt_tape *t, int32_t i, bool back) {
    i = t->root[i];
    return back && t->recomputed[i] ? &t->again[i] : &t->value[i];
}

static bool in_block(const mt_node *n) {
    return !mt_is_leaf(n->op) && n->op != MT_OP_KV_STORE && !n->output;
}

/* Of the cache that node i writes or reads. */
static int32_t slots_of(const mt_tape *t, int32_t i) {
    bool source = i < t->o.source || (t->store[i] >= 0 && t->store[i] < t->o.source);
    return source ? t->o.source_feed->slots : t->o.slots;
}

static void find_lives(mt_tape *t) {
    const mt_graph *g = t->g;
    for (int32_t i = 0; i < g->count; i++) {
        const mt_node *n = &g->nodes[i];
        size_t size = in_block(n) && t->root[i] == i ? mt_plan_padded(mt_node_elements(n)) : 0;
        t->value[i] = t->again[i] = (room){.size = size, .first = -1, .last = -1};
        t->grad[i] = (room){.size = t->root[i] == i && !mt_is_leaf(n->op) ? mt_plan_padded(mt_node_elements(n)) : 0,
                            .first = -1,
                            .last = -1};
        t->keys[i] = t->values[i] = (room){.first = -1, .last = -1};
        if (n->op == MT_OP_KV_STORE)
            for (int which = 0; which < 2; which++) {
                const mt_node *x = &g->nodes[n->in[which]];
                (which ? t->values : t->keys)[i].size =
                    mt_plan_padded((size_t)x->dims[1] * (size_t)x->dims[2] * (size_t)slots_of(t, i));
            }
    }
    for (int32_t i = 0; i < g->count; i++) {
        if (g->nodes[i].kept) t->value[t->root[i]].forever = true;
        if (g->nodes[i].keep_grad) t->grad[t->root[i]].forever = true;
    }
    for (int32_t s = 0; s < t->count; s++) {
        int32_t i = t->steps[s].node;
        const mt_node *n = &g->nodes[i];
        bool back = t->steps[s].way != FORWARD;
        if (t->steps[s].way != BACKWARD) {
            use(value_at(t, i, back), s);
            for (int k = 0; k < MT_NODE_INPUTS; k++)
                if (n->in[k] >= 0) use(value_at(t, n->in[k], back), s);
            continue;
        }
        for (int k = 0; k < MT_NODE_INPUTS; k++) {
            if (n->in[k] < 0) continue;
            if (need(t, i, k)) use(value_at(t, n->in[k], true), s);
            if (goes_to(n, k) && (t->flows[n->in[k]] & MARKED)) use(&t->grad[t->root[n->in[k]]], s);
        }
        if (need(t, i, 4)) use(value_at(t, i, true), s);
        use(&t->grad[t->root[i]], s);
        int32_t store = n->op == MT_OP_KV_STORE ? i : t->store[i];
        if (store >= 0 && (t->flows[store] & MARKED)) use(&t->keys[store], s), use(&t->values[store], s);
    }
    use(&t->grad[t->root[t->o.loss]], t->forward);
}

static size_t work_of(const mt_tape *t, int32_t i);

static mt_status place(mt_tape *t, mt_error *err) {
    mt_plan p;
    MT_TRY(mt_plan_new(&p, err));
    room *kinds[] = {t->value, t->again, t->grad, t->keys, t->values};
    size_t kernel = 0;
    mt_status status = MT_OK;
    for (int32_t s = 0; s < t->count && status == MT_OK; s++) {
        int32_t i = t->steps[s].node;
        const mt_node *n = &t->g->nodes[i];
        size_t w = t->steps[s].way == BACKWARD ? work_of(t, i)
                                               : (mt_node_scratch(t->g, n) + sizeof(float) - 1) / sizeof(float);
        if (w > kernel) kernel = w;
        int32_t touched[2 * MT_NODE_INPUTS + 4], count = 0; /* nodes whose places may begin or end here */
        touched[count++] = t->root[i];
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            if (n->in[k] >= 0) touched[count++] = t->root[n->in[k]];
        int32_t store = n->op == MT_OP_KV_STORE ? i : t->store[i];
        if (store >= 0) touched[count++] = store;
        if (s == t->forward) touched[count++] = t->root[t->o.loss];
        for (int end = 0; end < 2; end++)
            for (int32_t k = 0; k < count && status == MT_OK; k++)
                for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds && status == MT_OK; kind++) {
                    room *r = &kinds[kind][touched[k]];
                    if (!r->size || r->first < 0) continue;
                    if (!end && r->first == s && r->offset == 0)
                        r->offset = mt_plan_take(&p, r->size) + 1; /* + 1: taken */
                    if (end && r->last == s && !r->forever && r->offset && r->size) {
                        status = mt_plan_give(&p, r->offset - 1, r->size, err);
                        r->first = -2 - r->first; /* given back once */
                    }
                }
    }
    for (int32_t i = 0; i < t->g->count; i++)
        for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
            room *r = &kinds[kind][i];
            if (r->first < -1) r->first = -2 - r->first;
            if (r->offset) r->offset--;
        }
    t->kernel_at = p.high;
    mt_plan_free(&p);
    MT_TRY(status);
    if (!mt_add_size(t->kernel_at, kernel + 16, &t->scratch) || t->scratch > SIZE_MAX / sizeof(float))
        return mt_fail(err, MT_ELIMIT, "the tape needs more memory than the address space holds");
    return MT_OK;
}

mt_status mt_tape_new(mt_graph *g, const mt_tape_options *o, mt_tape **out, mt_error *err) {
    if (g->status != MT_OK) {
        if (err) *err = g->error;
        return g->status;
    }
    if (o->loss < 0 || o->loss >= g->count)
        return mt_fail(err, MT_ERANGE, "the loss is node %d of %d", o->loss, g->count);
    mt_tape *t = mt_calloc(1, sizeof *t);
    if (!t) return mt_nomem(err, sizeof *t, "a tape");
    size_t n = (size_t)g->count;
    t->g = g;
    t->o = *o;
    t->value = mt_calloc(n, sizeof *t->value);
    t->again = mt_calloc(n, sizeof *t->again);
    t->grad = mt_calloc(n, sizeof *t->grad);
    t->keys = mt_calloc(n, sizeof *t->keys);
    t->values = mt_calloc(n, sizeof *t->values);
    t->root = mt_calloc(n, sizeof *t->root);
    t->store = mt_calloc(n, sizeof *t->store);
    t->segment = mt_calloc(n, sizeof *t->segment);
    t->recomputed = mt_calloc(n, sizeof *t->recomputed);
    t->flows = mt_calloc(n, sizeof *t->flows);
    mt_status status = MT_OK;
    if (!t->value || !t->again || !t->grad || !t->keys || !t->values || !t->root || !t->store || !t->segment ||
        !t->recomputed || !t->flows)
        status = mt_nomem(err, n * 5 * sizeof *t->value, "a tape");
    if (status == MT_OK) status = find_flow(t, err);
    if (status == MT_OK) status = cut(t, err);
    if (status == MT_OK) find_recomputed(t);
    if (status == MT_OK) status = find_steps(t, err);
    if (status == MT_OK) find_lives(t);
    if (status == MT_OK) status = place(t, err);
    if (status != MT_OK) {
        mt_tape_free(t);
        return status;
    }
    *out = t;
    return MT_OK;
}

void mt_tape_free(mt_tape *t) {
    if (!t) return;
    mt_free(t->steps);
    mt_free(t->value);
    mt_free(t->again);
    mt_free(t->grad);
    mt_free(t->keys);
    mt_free(t->values);
    mt_free(t->root);
    mt_free(t->store);
    mt_free(t->segment);
    mt_free(t->recomputed);
    mt_free(t->flows);
    mt_free(t);
}

size_t mt_tape_scratch(const mt_tape *t) {
    return t->scratch;
}

/* ---- running ---- */

typedef enum family { DENSE, ROWS, ATTEND, RECURRENT, GENERAL } family;
static family family_of(mt_op op) {
    switch (op) {
    case MT_OP_EMBED:
    case MT_OP_POSITION_EMBED:
    case MT_OP_SEGMENT_EMBED:
    case MT_OP_TABLE:
    case MT_OP_MATMUL:
    case MT_OP_HEAD_RESULT:
    case MT_OP_SUM_HEADS:
    case MT_OP_EXPERTS:
        return DENSE;
    case MT_OP_KV_STORE:
    case MT_OP_ATTEND:
    case MT_OP_SCORES:
    case MT_OP_ATTN_SOFTMAX:
    case MT_OP_MIX:
    case MT_OP_ADD_RELATIVE:
    case MT_OP_ADD_RELATION:
        return ATTEND;
    case MT_OP_CONV:
    case MT_OP_SHIFT:
    case MT_OP_WKV:
    case MT_OP_DELTA:
    case MT_OP_SCAN:
    case MT_OP_CELL:
    case MT_OP_WINDOW:
    case MT_OP_POOL:
        return RECURRENT;
    default:
        return op > MT_OP_INDEX && op != MT_OP_STOP ? GENERAL : ROWS;
    }
}

static size_t work_of(const mt_tape *t, int32_t i) {
    const mt_node *n = &t->g->nodes[i];
    switch (family_of(n->op)) {
    case DENSE:
        return mt_back_dense_work(t->g, n);
    case ATTEND:
        return mt_back_attend_work(t->g, n, slots_of(t, i));
    case RECURRENT:
        return mt_back_recurrent_work(t->g, n);
    case GENERAL:
        return mt_back_general_work(t->g, n);
    default:
        return mt_back_rows_work(t->g, n);
    }
}

/* The gradient of node i, begun with zeros at the step that is the first to add to it. */
static float *grad_of(mt_tape *t, int32_t i, float *scratch, int32_t s) {
    const mt_node *n = &t->g->nodes[i];
    if (mt_is_leaf(n->op)) return leaf_grad(t, n);
    room *r = &t->grad[t->root[i]];
    if (r->first < 0) return NULL;
    float *p = scratch + r->offset;
    if (r->first == s) {
        memset(p, 0, mt_node_elements(n) * sizeof *p);
        r->first = -2 - r->first; /* begun; the run puts it back at its end */
    }
    return p;
}

static float *planes(room *r, float *scratch, int32_t s) {
    if (r->last < 0) return NULL;
    float *p = scratch + r->offset;
    if (r->first == s) memset(p, 0, r->size * sizeof *p);
    return p;
}

static void back(mt_tape *t, int32_t s, mt_pool *pool, float *scratch, const mt_feed *feed) {
    int32_t i = t->steps[s].node;
    mt_graph *g = t->g;
    const mt_node *n = &g->nodes[i];
    mt_back b = {.g = g, .n = n, .feed = feed, .pool = pool, .grad = t->o.grad, .arg = t->o.arg};
    b.work = scratch + g->kernel_at;
    room *own = &t->grad[t->root[i]];
    b.dy = scratch + own->offset;
    if (own->first == s && n->op == MT_OP_KV_STORE) b.dy = NULL;
    b.y = need(t, i, 4) ? mt_node_value(n, scratch, feed) : NULL;
    for (int k = 0; k < MT_NODE_INPUTS; k++) {
        if (n->in[k] < 0) continue;
        const mt_node *x = &g->nodes[n->in[k]];
        if (x->op == MT_OP_VECTOR || (!mt_is_leaf(x->op) && need(t, i, k))) b.x[k] = mt_node_value(x, scratch, feed);
        if (goes_to(n, k) && (t->flows[n->in[k]] & MARKED)) {
            room *r = &t->grad[t->root[n->in[k]]];
            bool begun = r->first < -1;
            b.dx[k] = mt_is_leaf(x->op) ? leaf_grad(t, x)
                      : begun           ? scratch + r->offset
                                        : grad_of(t, n->in[k], scratch, s);
        }
    }
    int32_t store = n->op == MT_OP_KV_STORE ? i : t->store[i];
    if (store >= 0 && (t->flows[store] & MARKED)) {
        b.dk = planes(&t->keys[store], scratch, s);
        b.dv = planes(&t->values[store], scratch, s);
    }
    switch (family_of(n->op)) {
    case DENSE:
        mt_back_dense(&b);
        break;
    case ATTEND:
        mt_back_attend(&b);
        break;
    case RECURRENT:
        mt_back_recurrent(&b);
        break;
    case GENERAL:
        mt_back_general(&b);
        break;
    default:
        mt_back_rows(&b);
        break;
    }
}

/* Nodes from .. to of the way forward. */
static void forward(mt_tape *t, int32_t from, int32_t to, mt_pool *pool, float *scratch, const mt_feed *feed) {
    int32_t border = t->o.source < from ? from : t->o.source < to ? t->o.source : to;
    if (from < border) mt_graph_run_part(t->g, from, border, pool, scratch, t->o.source_feed);
    if (border < to) mt_graph_run_part(t->g, border, to, pool, scratch, feed);
}

int32_t mt_tape_steps(const mt_tape *t) {
    return t->count;
}

/* No gradient is begun: after a run, and when the last one was stopped. */
static void none_begun(mt_tape *t) {
    for (int32_t i = 0; i < t->g->count; i++)
        if (t->grad[i].first < -1) t->grad[i].first = -2 - t->grad[i].first;
}

void mt_tape_run(mt_tape *t, int32_t from, int32_t to, mt_pool *pool, float *scratch, const mt_feed *feed) {
    mt_graph *g = t->g;
    if (from < t->forward) {
        if (from == 0) {
            for (int32_t i = 0; i < g->count; i++) g->nodes[i].offset = t->value[t->root[i]].offset;
            g->kernel_at = t->kernel_at;
        }
        forward(t, t->steps[from].node, to < t->forward ? t->steps[to].node : g->count, pool, scratch, feed);
        from = to < t->forward ? to : t->forward;
    }
    for (int32_t s = from; s < to; s++) {
        int32_t i = t->steps[s].node;
        const mt_feed *f = i < t->o.source ? t->o.source_feed : feed;
        if (s == t->forward) {
            none_begun(t);
            float *seed = grad_of(t, t->o.loss, scratch, s);
            for (size_t k = 0, n = mt_node_elements(&g->nodes[t->o.loss]); seed && k < n; k++) seed[k] = 1;
        }
        if (t->steps[s].way == AGAIN) {
            g->nodes[i].offset = t->again[i].offset;
            for (int32_t k = i + 1; k < g->count && t->segment[k] == t->segment[i]; k++)
                if (t->root[k] == i) g->nodes[k].offset = t->again[i].offset;
            mt_graph_run_part(g, i, i + 1, pool, scratch, f);
        } else {
            back(t, s, pool, scratch, f);
        }
    }
    if (to == t->count) none_begun(t);
}

void mt_tape_forward(mt_tape *t, mt_pool *pool, float *scratch, const mt_feed *feed) {
    mt_tape_run(t, 0, t->forward, pool, scratch, feed);
}

void mt_tape_backward(mt_tape *t, mt_pool *pool, float *scratch, const mt_feed *feed) {
    mt_tape_run(t, t->forward, t->count, pool, scratch, feed);
}

const float *mt_tape_grad(const mt_tape *t, float *scratch, int32_t node) {
    const room *r = &t->grad[t->root[node]];
    return r->first >= 0 && r->forever ? scratch + r->offset : NULL;
}
