/* Builders of the operations on tensors of any shape (general.h): every shape is checked here, so that running them
 * (general_run.c) and their gradients (grad_general.c) need not. */
#include "general.h"

#include <stdarg.h>
#include <stdio.h>

enum { SHAPE_TEXT = 64 };

static const char *shape(char text[SHAPE_TEXT], const mt_node *n) {
    int at = snprintf(text, SHAPE_TEXT, "[");
    for (int32_t d = 0; d < n->n_dims; d++)
        at += snprintf(text + at, SHAPE_TEXT - (size_t)at, d ? ", %d" : "%d", n->dims[d]);
    snprintf(text + at, SHAPE_TEXT - (size_t)at, "]");
    return text;
}

__attribute__((format(printf, 3, 4))) static int32_t refuse(mt_graph *g, mt_op op, const char *format, ...) {
    if (g->status != MT_OK) return -1;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    g->status = mt_fail(&g->error, MT_ERANGE, "node %d (%s): %s", g->count, mt_op_name(op), text);
    return -1;
}

/* Whether x is a tensor of floats that the operation may read; -1 is nobody's mistake but an earlier one's. */
static bool tensor(mt_graph *g, mt_op op, int32_t x) {
    if (g->status != MT_OK || x == -1) return false;
    if (x < -1 || x >= g->count) {
        refuse(g, op, "an input is node %d of %d", x, g->count);
        return false;
    }
    mt_op is = g->nodes[x].op;
    if (is == MT_OP_WEIGHT || is == MT_OP_INDEX || is == MT_OP_KV_STORE)
        refuse(g, op, "an input (node %d) is of the kind %s, expected floats", x, mt_op_name(is));
    else if (mt_node_elements(&g->nodes[x]) > INT32_MAX)
        refuse(g, op, "an input (node %d) has more than %d elements", x, INT32_MAX);
    return g->status == MT_OK;
}

static bool index_leaf(mt_graph *g, mt_op op, int32_t x) {
    if (g->status != MT_OK || x == -1) return false;
    if (x < -1 || x >= g->count || g->nodes[x].op != MT_OP_INDEX)
        refuse(g, op, "the index (node %d of %d) is of the kind %s, expected %s", x, g->count,
               x < 0 || x >= g->count ? "?" : mt_op_name(g->nodes[x].op), mt_op_name(MT_OP_INDEX));
    return g->status == MT_OK;
}

/* An axis counted from the end (-1 is the last) as one counted from the start; -1: there is none such. */
static int32_t axis_of(mt_graph *g, mt_op op, int32_t x, int32_t axis) {
    const mt_node *n = &g->nodes[x];
    char text[SHAPE_TEXT];
    if (axis < -n->n_dims || axis >= n->n_dims)
        return refuse(g, op, "axis %d of a tensor of shape %s", axis, shape(text, n));
    return axis < 0 ? axis + n->n_dims : axis;
}

/* Sizes fit int32, so that rows and columns can be counted as the kernels do. */
static int32_t append(mt_graph *g, mt_node n) {
    int64_t elements = 1;
    for (int32_t d = 0; d < n.n_dims && n.dims[d] >= 0; d++) {
        if (n.dims[d] && elements > INT32_MAX / n.dims[d]) {
            char text[SHAPE_TEXT];
            refuse(g, n.op, "a tensor of shape %s has more than %d elements", shape(text, &n), INT32_MAX);
            if (g->status == MT_ERANGE) g->status = g->error.code = MT_ELIMIT;
            return -1;
        }
        elements *= n.dims[d];
    }
    return mt_g_append(g, n);
}

/* A node of op, with the shape of x. */
static mt_node like(const mt_graph *g, mt_op op, int32_t x) {
    mt_node n = {.op = op, .in = {x, -1, -1, -1}, .n_dims = g->nodes[x].n_dims};
    memcpy(n.dims, g->nodes[x].dims, sizeof n.dims);
    return n;
}

static bool same_shape(const mt_node *a, const mt_node *b) {
    return a->n_dims == b->n_dims && memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof *a->dims) == 0;
}

/* Widens the shape of n to that which x and it have in common: axes are compared from the last one on, and those of
 * width 1 are repeated, as numpy does. */
static bool broadcast(mt_graph *g, mt_node *n, const mt_node *x) {
    mt_node wide = *n;
    wide.n_dims = n->n_dims > x->n_dims ? n->n_dims : x->n_dims;
    for (int32_t d = 1; d <= wide.n_dims; d++) {
        int32_t a = d <= n->n_dims ? n->dims[n->n_dims - d] : 1, b = d <= x->n_dims ? x->dims[x->n_dims - d] : 1;
        if (a != b && a != 1 && b != 1) {
            char text[2][SHAPE_TEXT];
            refuse(g, n->op, "shapes %s and %s do not go together: %d and %d in axis -%d", shape(text[0], n),
                   shape(text[1], x), a, b, d);
            return false;
        }
        wide.dims[wide.n_dims - d] = a == 1 ? b : a;
    }
    *n = wide;
    return true;
}

static int32_t leaf(mt_graph *g, mt_node n, const void *values, const int32_t *dims) {
    if (!values || g->status != MT_OK) return -1;
    if (n.n_dims < 0 || n.n_dims > 4) return refuse(g, n.op, "%d axes, expected at most 4", n.n_dims);
    for (int32_t d = 0; d < n.n_dims; d++) n.dims[d] = dims[d];
    return append(g, n);
}

int32_t mt_g_leaf(mt_graph *g, const float *values, int32_t n_dims, const int32_t *dims) {
    return leaf(g, (mt_node){.op = MT_OP_VECTOR, .in = {-1, -1, -1, -1}, .n_dims = n_dims, .vector = values}, values,
                dims);
}

int32_t mt_g_index(mt_graph *g, const int32_t *values, int32_t n_dims, const int32_t *dims) {
    return leaf(g, (mt_node){.op = MT_OP_INDEX, .in = {-1, -1, -1, -1}, .n_dims = n_dims, .extra = values}, values,
                dims);
}

int32_t mt_g_dot(mt_graph *g, int32_t a, int32_t b, bool transpose_a, bool transpose_b, float scale) {
    if (!tensor(g, MT_OP_DOT, a) || !tensor(g, MT_OP_DOT, b)) return -1;
    const mt_node *x = &g->nodes[a], *y = &g->nodes[b];
    char text[2][SHAPE_TEXT];
    if (x->n_dims < 2 || y->n_dims < 2 || (y->n_dims > 2 && y->n_dims != x->n_dims))
        return refuse(g, MT_OP_DOT,
                      "shapes %s and %s: expected matrices, or as many axes in both, or two in the second",
                      shape(text[0], x), shape(text[1], y));
    mt_node n = like(g, MT_OP_DOT, a);
    int32_t m = x->n_dims - 2, at = y->n_dims - 2;
    int32_t K = x->dims[transpose_a ? m : m + 1], other = y->dims[transpose_b ? at + 1 : at];
    if (K != other)
        return refuse(g, MT_OP_DOT, "%s%s by %s%s: sums over %d and %d elements", shape(text[0], x),
                      transpose_a ? " transposed" : "", shape(text[1], y), transpose_b ? " transposed" : "", K, other);
    for (int32_t d = 0; at > 0 && d < at; d++)
        if (x->dims[d] != y->dims[d])
            return refuse(g, MT_OP_DOT, "shapes %s and %s: %d and %d matrices in axis %d", shape(text[0], x),
                          shape(text[1], y), x->dims[d], y->dims[d], d);
    n.in[1] = b;
    n.dims[m] = x->dims[transpose_a ? m + 1 : m];
    n.dims[m + 1] = y->dims[transpose_b ? at : at + 1];
    n.i[0] = (transpose_a ? 1 : 0) | (transpose_b ? 2 : 0);
    n.f[0] = scale;
    return append(g, n);
}

int32_t mt_g_binary(mt_graph *g, mt_binary kind, int32_t a, int32_t b) {
    if (!tensor(g, MT_OP_BINARY, a) || !tensor(g, MT_OP_BINARY, b)) return -1;
    if ((uint32_t)kind >= MT_BINARY_COUNT) return refuse(g, MT_OP_BINARY, "no such kind: %d", (int)kind);
    mt_node n = like(g, MT_OP_BINARY, a);
    if (!broadcast(g, &n, &g->nodes[b])) return -1;
    n.in[1] = b;
    n.i[0] = (int32_t)kind;
    return append(g, n);
}

int32_t mt_g_unary(mt_graph *g, mt_unary kind, int32_t x, float f0, float f1) {
    if (!tensor(g, MT_OP_UNARY, x)) return -1;
    if ((uint32_t)kind >= MT_UNARY_COUNT) return refuse(g, MT_OP_UNARY, "no such kind: %d", (int)kind);
    mt_node n = like(g, MT_OP_UNARY, x);
    n.i[0] = (int32_t)kind;
    n.f[0] = f0, n.f[1] = f1;
    return append(g, n);
}

int32_t mt_g_reduce(mt_graph *g, mt_reduce kind, int32_t x, int32_t axis) {
    if (!tensor(g, MT_OP_REDUCE, x) || (axis = axis_of(g, MT_OP_REDUCE, x, axis)) < 0) return -1;
    if ((uint32_t)kind >= MT_REDUCE_COUNT) return refuse(g, MT_OP_REDUCE, "no such kind: %d", (int)kind);
    char text[SHAPE_TEXT];
    if (g->nodes[x].dims[axis] == 0 && kind != MT_REDUCE_SUM)
        return refuse(g, MT_OP_REDUCE, "axis %d of a tensor of shape %s is empty", axis, shape(text, &g->nodes[x]));
    mt_node n = like(g, MT_OP_REDUCE, x);
    n.dims[axis] = 1;
    n.i[0] = (int32_t)kind, n.i[1] = axis;
    return append(g, n);
}

int32_t mt_g_cumsum(mt_graph *g, int32_t x, int32_t axis, bool from_end) {
    if (!tensor(g, MT_OP_CUMSUM, x) || (axis = axis_of(g, MT_OP_CUMSUM, x, axis)) < 0) return -1;
    mt_node n = like(g, MT_OP_CUMSUM, x);
    n.i[0] = axis, n.i[1] = from_end;
    return append(g, n);
}

int32_t mt_g_softmax(mt_graph *g, int32_t x, bool logarithm) {
    if (!tensor(g, MT_OP_SOFTMAX, x) || axis_of(g, MT_OP_SOFTMAX, x, -1) < 0) return -1;
    mt_node n = like(g, MT_OP_SOFTMAX, x);
    n.i[0] = logarithm;
    return append(g, n);
}

int32_t mt_g_take(mt_graph *g, int32_t x, int32_t index) {
    if (!tensor(g, MT_OP_TAKE, x) || !index_leaf(g, MT_OP_TAKE, index)) return -1;
    const mt_node *from = &g->nodes[x], *at = &g->nodes[index];
    char text[2][SHAPE_TEXT];
    if (from->n_dims < 1 || at->n_dims + from->n_dims - 1 > 4)
        return refuse(g, MT_OP_TAKE, "rows %s of a tensor of shape %s: the result has %d axes, expected at most 4",
                      shape(text[0], at), shape(text[1], from), at->n_dims + from->n_dims - 1);
    mt_node n = like(g, MT_OP_TAKE, index);
    n.in[0] = x, n.in[1] = index;
    for (int32_t d = 1; d < from->n_dims; d++) n.dims[n.n_dims++] = from->dims[d];
    return append(g, n);
}

/* Whether there is one element of the index for each row of x. */
static bool one_for_each_row(mt_graph *g, mt_op op, int32_t x, int32_t index) {
    mt_node rows = like(g, op, x);
    char text[2][SHAPE_TEXT];
    rows.n_dims--;
    if (rows.n_dims >= 0 && same_shape(&rows, &g->nodes[index])) return true;
    refuse(g, op, "an index of shape %s into rows of shape %s, expected one for each row",
           shape(text[0], &g->nodes[index]), shape(text[1], &g->nodes[x]));
    return false;
}

int32_t mt_g_pick(mt_graph *g, int32_t x, int32_t index) {
    if (!tensor(g, MT_OP_PICK, x) || !index_leaf(g, MT_OP_PICK, index)) return -1;
    if (!one_for_each_row(g, MT_OP_PICK, x, index)) return -1;
    mt_node n = like(g, MT_OP_PICK, index);
    n.in[0] = x, n.in[1] = index;
    return append(g, n);
}

int32_t mt_g_cross_entropy(mt_graph *g, int32_t logits, int32_t targets, float smoothing) {
    if (!tensor(g, MT_OP_CROSS_ENTROPY, logits) || !index_leaf(g, MT_OP_CROSS_ENTROPY, targets)) return -1;
    if (!one_for_each_row(g, MT_OP_CROSS_ENTROPY, logits, targets)) return -1;
    if (!(smoothing >= 0 && smoothing <= 1))
        return refuse(g, MT_OP_CROSS_ENTROPY, "smoothing is %g, expected 0 to 1", (double)smoothing);
    mt_node n = like(g, MT_OP_CROSS_ENTROPY, targets);
    n.in[0] = logits, n.in[1] = targets;
    n.f[0] = smoothing;
    return append(g, n);
}

int32_t mt_g_permute(mt_graph *g, int32_t x, const int32_t *axes) {
    if (!tensor(g, MT_OP_PERMUTE, x)) return -1;
    mt_node n = like(g, MT_OP_PERMUTE, x);
    char text[SHAPE_TEXT];
    for (int32_t d = 0, seen = 0; d < n.n_dims; d++) {
        int32_t axis = axis_of(g, MT_OP_PERMUTE, x, axes[d]);
        if (axis < 0) return -1;
        if (seen >> axis & 1)
            return refuse(g, MT_OP_PERMUTE, "axis %d of a tensor of shape %s is named twice", axis,
                          shape(text, &g->nodes[x]));
        seen |= 1 << axis;
        n.i[d] = axis;
        n.dims[d] = g->nodes[x].dims[axis];
    }
    return append(g, n);
}

int32_t mt_g_concat(mt_graph *g, int32_t a, int32_t b, int32_t axis) {
    if (!tensor(g, MT_OP_CONCAT, a) || !tensor(g, MT_OP_CONCAT, b)) return -1;
    if ((axis = axis_of(g, MT_OP_CONCAT, a, axis)) < 0) return -1;
    mt_node n = like(g, MT_OP_CONCAT, a), rest = like(g, MT_OP_CONCAT, b);
    char text[2][SHAPE_TEXT];
    if (axis < rest.n_dims) rest.dims[axis] = n.dims[axis];
    if (!same_shape(&n, &rest))
        return refuse(g, MT_OP_CONCAT, "shapes %s and %s differ in more than axis %d", shape(text[0], &n),
                      shape(text[1], &g->nodes[b]), axis);
    int64_t width = (int64_t)n.dims[axis] + g->nodes[b].dims[axis];
    if (width > INT32_MAX)
        return refuse(g, MT_OP_CONCAT, "axis %d would be %lld wide, expected at most %d", axis, (long long)width,
                      INT32_MAX);
    n.in[1] = b;
    n.dims[axis] = (int32_t)width;
    n.i[0] = axis;
    return append(g, n);
}

int32_t mt_g_cut(mt_graph *g, int32_t x, int32_t axis, int32_t first, int32_t count) {
    if (!tensor(g, MT_OP_CUT, x) || (axis = axis_of(g, MT_OP_CUT, x, axis)) < 0) return -1;
    mt_node n = like(g, MT_OP_CUT, x);
    char text[SHAPE_TEXT];
    if (first < 0 || count < 0 || first > n.dims[axis] - count)
        return refuse(g, MT_OP_CUT, "%d elements from %d on along axis %d of a tensor of shape %s", count, first, axis,
                      shape(text, &n));
    n.dims[axis] = count;
    n.i[0] = axis, n.i[1] = first, n.i[2] = count;
    return append(g, n);
}

int32_t mt_g_move(mt_graph *g, int32_t x, int32_t axis, int32_t by, bool around) {
    if (!tensor(g, MT_OP_MOVE, x) || (axis = axis_of(g, MT_OP_MOVE, x, axis)) < 0) return -1;
    mt_node n = like(g, MT_OP_MOVE, x);
    n.i[0] = axis, n.i[1] = by, n.i[2] = around;
    return append(g, n);
}

int32_t mt_g_flip(mt_graph *g, int32_t x, int32_t axis) {
    if (!tensor(g, MT_OP_FLIP, x) || (axis = axis_of(g, MT_OP_FLIP, x, axis)) < 0) return -1;
    mt_node n = like(g, MT_OP_FLIP, x);
    n.i[0] = axis;
    return append(g, n);
}

int32_t mt_g_expand(mt_graph *g, int32_t x, int32_t n_dims, const int32_t *dims) {
    if (!tensor(g, MT_OP_EXPAND, x)) return -1;
    if (n_dims < 0 || n_dims > 4) return refuse(g, MT_OP_EXPAND, "%d axes, expected at most 4", n_dims);
    mt_node n = {.op = MT_OP_EXPAND, .in = {x, -1, -1, -1}, .n_dims = n_dims};
    for (int32_t d = 0; d < n_dims; d++) n.dims[d] = dims[d];
    mt_node wide = n;
    char text[2][SHAPE_TEXT];
    if (!broadcast(g, &wide, &g->nodes[x])) return -1;
    if (!same_shape(&wide, &n))
        return refuse(g, MT_OP_EXPAND, "a tensor of shape %s cannot be repeated to %s", shape(text[0], &g->nodes[x]),
                      shape(text[1], &n));
    return append(g, n);
}

int32_t mt_g_where(mt_graph *g, int32_t condition, int32_t a, int32_t b) {
    if (!tensor(g, MT_OP_WHERE, condition) || !tensor(g, MT_OP_WHERE, a) || !tensor(g, MT_OP_WHERE, b)) return -1;
    mt_node n = like(g, MT_OP_WHERE, condition);
    if (!broadcast(g, &n, &g->nodes[a]) || !broadcast(g, &n, &g->nodes[b])) return -1;
    n.in[1] = a, n.in[2] = b;
    return append(g, n);
}

int32_t mt_g_stop(mt_graph *g, int32_t x) {
    return tensor(g, MT_OP_STOP, x) ? append(g, like(g, MT_OP_STOP, x)) : -1;
}

int32_t mt_g_straight(mt_graph *g, int32_t value, int32_t through) {
    if (!tensor(g, MT_OP_STRAIGHT, value) || !tensor(g, MT_OP_STRAIGHT, through)) return -1;
    char text[2][SHAPE_TEXT];
    if (!same_shape(&g->nodes[value], &g->nodes[through]))
        return refuse(g, MT_OP_STRAIGHT, "the value has shape %s, the tensor that takes its gradient %s",
                      shape(text[0], &g->nodes[value]), shape(text[1], &g->nodes[through]));
    mt_node n = like(g, MT_OP_STRAIGHT, value);
    n.in[1] = through;
    return append(g, n);
}
