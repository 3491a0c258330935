/* Graphs of general operations over variables (train.h). */
#include "variables.h"

typedef struct patch {
    int32_t node;
    mt_net_change how;
    float *values;
    size_t count;
} patch;

struct mt_net {
    mt_variables *vs;
    mt_graph *g;
    mt_tape *tape; /* NULL: forwards only */
    float *scratch;
    size_t floats;
    bool planned, ran;
    void **owned; /* inputs */
    size_t owned_count, owned_capacity;
    patch *patches;
    size_t patch_count, patch_capacity;
};

mt_status mt_net_new(mt_variables *vs, mt_net **out, mt_error *err) {
    mt_net *n = mt_calloc(1, sizeof *n);
    if (!n) return mt_nomem(err, sizeof *n, "a net");
    n->vs = vs;
    mt_status status = mt_graph_new(NULL, NULL, &n->g, err);
    if (status != MT_OK) {
        mt_free(n);
        return status;
    }
    *out = n;
    return MT_OK;
}

void mt_net_free(mt_net *n) {
    if (!n) return;
    mt_tape_free(n->tape);
    mt_graph_free(n->g);
    for (size_t i = 0; i < n->owned_count; i++) mt_free_aligned(n->owned[i]);
    for (size_t i = 0; i < n->patch_count; i++) mt_free(n->patches[i].values);
    mt_free(n->owned);
    mt_free(n->patches);
    mt_free_aligned(n->scratch);
    mt_free(n);
}

static mt_status open(const mt_net *n, mt_error *err) {
    return n->planned ? mt_fail(err, MT_ESTATE, "the net is planned: nothing can be added to it") : MT_OK;
}

/* Room for an input of the caller's, 4 bytes an element. */
static mt_status own(mt_net *n, int32_t n_dims, const int32_t *dims, void **values, mt_error *err) {
    size_t count = 1;
    MT_TRY(open(n, err));
    if (n_dims < 1 || n_dims > 4) return mt_fail(err, MT_ERANGE, "an input of %d dimensions, expected 1 to 4", n_dims);
    for (int32_t d = 0; d < n_dims; d++)
        if (dims[d] < 1 || !mt_mul_size(count, (size_t)dims[d], &count) || count > SIZE_MAX / 64)
            return mt_fail(err, MT_ERANGE, "an input whose dimension %d is %d", d, dims[d]);
    void *list = n->owned;
    mt_status status = mt_grow(&list, &n->owned_capacity, n->owned_count + 1, sizeof *n->owned, err);
    n->owned = list;
    MT_TRY(status);
    void *p = mt_alloc_aligned(count * 4, 64);
    if (!p) return mt_nomem(err, count * 4, "an input");
    memset(p, 0, count * 4);
    n->owned[n->owned_count++] = p;
    *values = p;
    return MT_OK;
}

static mt_status made(const mt_net *n, int32_t node, int32_t *out, mt_error *err) {
    if (n->g->status != MT_OK) {
        if (err) *err = n->g->error;
        return n->g->status;
    }
    if (node < 0) return mt_fail(err, MT_ESTATE, "the operation has no value");
    *out = node;
    return MT_OK;
}

mt_status mt_net_input(mt_net *n, int32_t n_dims, const int32_t *dims, float **values, int32_t *node, mt_error *err) {
    void *p;
    MT_TRY(own(n, n_dims, dims, &p, err));
    *values = p;
    return made(n, mt_g_leaf(n->g, p, n_dims, dims), node, err);
}

mt_status mt_net_index(mt_net *n, int32_t n_dims, const int32_t *dims, int32_t **values, int32_t *node, mt_error *err) {
    void *p;
    MT_TRY(own(n, n_dims, dims, &p, err));
    *values = p;
    return made(n, mt_g_index(n->g, p, n_dims, dims), node, err);
}

mt_status mt_net_variable(mt_net *n, const mt_variable *v, int32_t *node, mt_error *err) {
    MT_TRY(open(n, err));
    return made(n, mt_g_leaf(n->g, v->value, v->n_dims, v->dims), node, err);
}

static int32_t build(mt_graph *g, const mt_net_node *o) {
    int32_t a = o->in[0], b = o->in[1], c = o->in[2];
    switch (o->op) {
    case MT_OP_DOT:
        return mt_g_dot(g, a, b, o->i[0] & 1, o->i[0] >> 1 & 1, o->f[0]);
    case MT_OP_BINARY:
        return mt_g_binary(g, (mt_binary)o->i[0], a, b);
    case MT_OP_UNARY:
        return mt_g_unary(g, (mt_unary)o->i[0], a, o->f[0], o->f[1]);
    case MT_OP_REDUCE:
        return mt_g_reduce(g, (mt_reduce)o->i[0], a, o->i[1]);
    case MT_OP_CUMSUM:
        return mt_g_cumsum(g, a, o->i[0], o->i[1] != 0);
    case MT_OP_SOFTMAX:
        return mt_g_softmax(g, a, o->i[0] != 0);
    case MT_OP_TAKE:
        return mt_g_take(g, a, b);
    case MT_OP_PICK:
        return mt_g_pick(g, a, b);
    case MT_OP_PERMUTE:
        return mt_g_permute(g, a, o->i);
    case MT_OP_CONCAT:
        return mt_g_concat(g, a, b, o->i[0]);
    case MT_OP_CUT:
        return mt_g_cut(g, a, o->i[0], o->i[1], o->i[2]);
    case MT_OP_MOVE:
        return mt_g_move(g, a, o->i[0], o->i[1], o->i[2] != 0);
    case MT_OP_FLIP:
        return mt_g_flip(g, a, o->i[0]);
    case MT_OP_EXPAND:
        return mt_g_expand(g, a, o->n_dims, o->dims);
    case MT_OP_WHERE:
        return mt_g_where(g, a, b, c);
    case MT_OP_STOP:
        return mt_g_stop(g, a);
    case MT_OP_STRAIGHT:
        return mt_g_straight(g, a, b);
    case MT_OP_CROSS_ENTROPY:
        return mt_g_cross_entropy(g, a, b, o->f[0]);
    case MT_OP_COPY:
        return mt_g_view(g, a, o->n_dims, o->dims);
    case MT_OP_LAYER_NORM:
        return mt_g_layer_norm(g, a, b, c, o->f[0]);
    case MT_OP_RMS_NORM:
        return mt_g_rms_norm(g, a, b, o->f[0]);
    default:
        return -1;
    }
}

mt_status mt_net_op(mt_net *n, mt_net_node *o, int32_t *node, mt_error *err) {
    MT_TRY(open(n, err));
    for (int k = 0; k < MT_NODE_INPUTS; k++)
        if (o->in[k] < -1 || o->in[k] >= n->g->count)
            return mt_fail(err, MT_ERANGE, "input %d of an operation (%s) is node %d of %d", k,
                           mt_op_name((mt_op)o->op), o->in[k], n->g->count);
    if (o->n_dims < 0 || o->n_dims > 4) return mt_fail(err, MT_ERANGE, "%d dimensions, expected up to 4", o->n_dims);
    for (int32_t d = 0; d < o->n_dims; d++)
        if (o->dims[d] < 1) return mt_fail(err, MT_ERANGE, "dimension %d is %d, expected 1 or more", d, o->dims[d]);
    MT_TRY(made(n, build(n->g, o), node, err));
    const mt_node *x = &n->g->nodes[*node];
    o->n_dims = x->n_dims;
    memcpy(o->dims, x->dims, sizeof o->dims);
    return MT_OK;
}

static mt_status known(const mt_net *n, int32_t node, mt_error *err) {
    if (node >= 0 && node < n->g->count) return MT_OK;
    return mt_fail(err, MT_ERANGE, "node %d of a net of %d", node, n->g->count);
}

mt_status mt_net_keep(mt_net *n, int32_t node, bool gradient, mt_error *err) {
    MT_TRY(open(n, err));
    MT_TRY(known(n, node, err));
    n->g->nodes[node].kept = true;
    n->g->nodes[node].patched = true; /* it can be: patches come and go after the plan */
    if (gradient) n->g->nodes[node].keep_grad = true;
    return MT_OK;
}

mt_status mt_net_plan(mt_net *n, int32_t loss, int32_t segments, mt_error *err) {
    MT_TRY(open(n, err));
    if (loss >= 0) {
        MT_TRY(known(n, loss, err));
        n->g->nodes[loss].kept = true;
        MT_TRY(mt_tape_new(
            n->g, &(mt_tape_options){.loss = loss, .grad = mt_variables_grad, .arg = n->vs, .segments = segments},
            &n->tape, err));
        n->floats = mt_tape_scratch(n->tape);
    } else {
        MT_TRY(mt_graph_plan(n->g, err));
        n->floats = n->g->scratch;
    }
    n->scratch = mt_alloc_aligned((n->floats + 1) * sizeof(float), 64);
    if (!n->scratch) {
        mt_tape_free(n->tape);
        n->tape = NULL;
        return mt_nomem(err, n->floats * sizeof(float), "a net's values");
    }
    memset(n->scratch, 0, (n->floats + 1) * sizeof(float));
    n->planned = true;
    return MT_OK;
}

size_t mt_net_bytes(const mt_net *n) {
    return n->floats * sizeof(float);
}

static void apply(void *arg, const mt_node *node, float *value, size_t from, size_t to) {
    const mt_net *n = arg;
    for (size_t k = 0; k < n->patch_count; k++) {
        const patch *p = &n->patches[k];
        if (&n->g->nodes[p->node] != node) continue;
        for (size_t i = from; i < to; i++) {
            float v = p->values[p->count == 1 ? 0 : i];
            value[i] = p->how == MT_NET_REPLACE ? v : p->how == MT_NET_ADD ? value[i] + v : value[i] * v;
        }
    }
}

static mt_feed feed_of(mt_net *n) {
    return (mt_feed){.patch = n->patch_count ? apply : NULL, .patch_arg = n};
}

mt_status mt_net_run(mt_net *n, mt_pool *pool, mt_error *err) {
    if (!n->planned) return mt_fail(err, MT_ESTATE, "the net is not planned yet");
    mt_feed feed = feed_of(n);
    if (n->tape)
        mt_tape_forward(n->tape, pool, n->scratch, &feed);
    else
        mt_graph_run(n->g, pool, n->scratch, &feed);
    n->ran = true;
    return MT_OK;
}

mt_status mt_net_backward(mt_net *n, mt_pool *pool, mt_error *err) {
    if (!n->tape) return mt_fail(err, MT_ESTATE, "the net was planned without a loss");
    if (!n->ran) return mt_fail(err, MT_ESTATE, "a net is run forwards before it is run backwards");
    /* What a changed value is the slope of is nobody's question yet: slopes would be taken at it, as if computed. */
    if (n->patch_count)
        return mt_fail(err, MT_ESTATE, "%zu values are patched: a patched net is run forwards alone", n->patch_count);
    mt_feed feed = feed_of(n);
    mt_tape_backward(n->tape, pool, n->scratch, &feed);
    n->ran = false; /* places of values were used for gradients */
    return MT_OK;
}

const float *mt_net_value(const mt_net *n, int32_t node) {
    if (node < 0 || node >= n->g->count) return NULL;
    const mt_node *x = &n->g->nodes[node];
    if (x->op == MT_OP_VECTOR) return x->vector;
    return n->planned && x->kept ? n->scratch + x->offset : NULL;
}

const float *mt_net_grad(const mt_net *n, int32_t node) {
    if (!n->tape || node < 0 || node >= n->g->count || !n->g->nodes[node].keep_grad) return NULL;
    return mt_tape_grad(n->tape, n->scratch, node);
}

mt_status mt_net_patch(mt_net *n, int32_t node, mt_net_change how, const float *values, size_t count, mt_error *err) {
    MT_TRY(known(n, node, err));
    const mt_node *x = &n->g->nodes[node];
    if (!x->patched) return mt_fail(err, MT_ESTATE, "node %d is not kept: a patch would have no place", node);
    size_t at = 0;
    while (at < n->patch_count && n->patches[at].node != node) at++;
    if (!values) {
        if (at == n->patch_count) return MT_OK;
        mt_free(n->patches[at].values);
        n->patches[at] = n->patches[--n->patch_count];
        return MT_OK;
    }
    if (count != 1 && count != mt_node_elements(x))
        return mt_fail(err, MT_ERANGE, "a patch of %zu values for a node of %zu, expected as many or one", count,
                       mt_node_elements(x));
    if ((unsigned)how > MT_NET_SCALE) return mt_fail(err, MT_EUNKNOWN, "a patch of kind %d", (int)how);
    float *copy = mt_array(count, sizeof *copy);
    if (!copy) return mt_nomem(err, count * sizeof *copy, "a patch");
    memcpy(copy, values, count * sizeof *copy);
    if (at == n->patch_count) {
        void *list = n->patches;
        mt_status status = mt_grow(&list, &n->patch_capacity, n->patch_count + 1, sizeof *n->patches, err);
        n->patches = list;
        if (status != MT_OK) {
            mt_free(copy);
            return status;
        }
        n->patches[n->patch_count++].values = NULL;
    }
    mt_free(n->patches[at].values);
    n->patches[at] = (patch){node, how, copy, count};
    return MT_OK;
}
