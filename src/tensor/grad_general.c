/* The way back of the operations of general.h (grad.h). What was repeated on the way forward is summed on the way back:
 * a part of the work takes some elements of the gradient that is added to, and goes through their repetitions in
 * order. */
#include "general.h"
#include "grad.h"
#include "walk.h"

#include <math.h>

enum { PIECE = 256 };

typedef struct job {
    const mt_back *b;
    const mt_node *n, *x; /* x: the first input */
    int32_t k;            /* the input whose gradient is added to */
    mt_walk walk;
} job;

static size_t last_dim(const mt_node *n) {
    return n->n_dims ? (size_t)n->dims[n->n_dims - 1] : 1;
}
static size_t rows_of(const mt_node *x) {
    return last_dim(x) ? mt_node_elements(x) / last_dim(x) : 0;
}
static const int32_t *index_of(const job *j) {
    return j->b->g->nodes[j->n->in[1]].extra;
}
static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* ---- element by element ---- */

/* to += g, or to[0] += the sum of g. */
static void collect(const float *restrict g, float *restrict to, size_t to_step, size_t n) {
    if (to_step)
        for (size_t i = 0; i < n; i++) to[i] += g[i];
    else
        *to += (float)mt_sum(g, n);
}

/* to += by * dy * x, likewise; x goes on by a step of 1 or 0. */
static void collect_product(const float *restrict dy, const float *restrict x, size_t x_step, float *restrict to,
                            size_t to_step, size_t n) {
    if (to_step && x_step)
        for (size_t i = 0; i < n; i++) to[i] += dy[i] * x[i];
    else if (to_step) {
        float by = *x;
        for (size_t i = 0; i < n; i++) to[i] += dy[i] * by;
    } else
        *to += (float)(x_step ? mt_sum_products(dy, x, n) : *x * mt_sum(dy, n));
}

/* At most PIECE elements of the gradient of a, or of b where `second`. */
static void binary_row(mt_binary kind, bool second, const float *dy, const float *a, size_t a_step, const float *b,
                       size_t b_step, float *to, size_t to_step, size_t n) {
    float g[PIECE];
    switch (kind) {
    case MT_BINARY_ADD:
        collect(dy, to, to_step, n);
        return;
    case MT_BINARY_SUB:
        for (size_t i = 0; i < n; i++) g[i] = second ? -dy[i] : dy[i];
        break;
    case MT_BINARY_MUL:
        collect_product(dy, second ? a : b, second ? a_step : b_step, to, to_step, n);
        return;
    case MT_BINARY_DIV:
        for (size_t i = 0; i < n; i++) g[i] = b_step ? b[i] : *b;
        for (size_t i = 0; i < n; i++) g[i] = second ? -dy[i] / (g[i] * g[i]) : dy[i] / g[i];
        if (!second) break;
        collect_product(g, a, a_step, to, to_step, n);
        return;
    default:
        for (size_t i = 0; i < n; i++) {
            float u = a[i * a_step], v = b[i * b_step];
            bool first = (kind == MT_BINARY_MAX ? u >= v : u <= v) || u != u;
            g[i] = first != second ? dy[i] : 0;
        }
        break;
    }
    collect(g, to, to_step, n);
}

static void binary_task(void *arg, int part, int parts) {
    const job *j = arg;
    const mt_back *b = j->b;
    mt_walk w = j->walk;
    mt_walk_part(&w, 0, part, parts);
    int32_t inner = w.axes - 1;
    size_t to_step = (size_t)w.step[0][inner], a_step = (size_t)w.step[2][inner], b_step = (size_t)w.step[3][inner];
    for (mt_walk_at at = mt_walk_first(&w); at.more; mt_walk_next(&w, &at))
        for (size_t i = 0; i < at.length; i += PIECE)
            binary_row((mt_binary)j->n->i[0], j->k == 1, b->dy + at.place[1] + i,
                       b->x[0] ? b->x[0] + at.place[2] + i * a_step : NULL, a_step,
                       b->x[1] ? b->x[1] + at.place[3] + i * b_step : NULL, b_step,
                       b->dx[j->k] + at.place[0] + i * to_step, to_step, least(at.length - i, PIECE));
}

static void where_row(const float *restrict c, size_t c_step, bool first, const float *restrict dy, float *restrict g,
                      size_t n) {
    if (!c_step)
        for (size_t i = 0; i < n; i++) g[i] = (*c != 0) == first ? dy[i] : 0;
    else if (first)
        for (size_t i = 0; i < n; i++) {
            float v = dy[i];
            g[i] = c[i] != 0 ? v : 0;
        }
    else
        for (size_t i = 0; i < n; i++) {
            float v = dy[i];
            g[i] = c[i] != 0 ? 0 : v;
        }
}

static void where_task(void *arg, int part, int parts) {
    const job *j = arg;
    const mt_back *b = j->b;
    mt_walk w = j->walk;
    mt_walk_part(&w, 0, part, parts);
    int32_t inner = w.axes - 1;
    size_t to_step = (size_t)w.step[0][inner], c_step = (size_t)w.step[2][inner];
    float g[PIECE];
    for (mt_walk_at at = mt_walk_first(&w); at.more; mt_walk_next(&w, &at))
        for (size_t i = 0; i < at.length; i += PIECE) {
            size_t n = least(at.length - i, PIECE);
            const float *dy = b->dy + at.place[1] + i, *c = b->x[0] + at.place[2] + i * c_step;
            where_row(c, c_step, j->k == 1, dy, g, n);
            collect(g, b->dx[j->k] + at.place[0] + i * to_step, to_step, n);
        }
}

/* Operand 0 is the gradient that is added to, 1 the node's own, and then the values that are read. */
static void broadcast(const mt_back *b, int32_t k, mt_task task, int32_t first, int32_t last) {
    job j = {.b = b, .n = b->n, .k = k, .walk = mt_walk_over(b->n)};
    mt_walk_add(&j.walk, &b->g->nodes[b->n->in[k]]);
    mt_walk_add(&j.walk, b->n);
    for (int32_t i = first; i <= last; i++) mt_walk_add(&j.walk, &b->g->nodes[b->n->in[i]]);
    mt_walk_merge(&j.walk);
    mt_spread(b->pool, task, &j, mt_node_elements(b->n));
}

/* d = the derivative, at most PIECE elements. x and y are there as needed (grad.c). */
static void slope(mt_unary kind, const float f[2], const float *restrict x, const float *restrict y, float *restrict d,
                  size_t n) {
    switch (kind) {
    case MT_UNARY_NEG:
        for (size_t i = 0; i < n; i++) d[i] = -1;
        break;
    case MT_UNARY_EXP:
        for (size_t i = 0; i < n; i++) d[i] = y[i];
        break;
    case MT_UNARY_LOG:
        for (size_t i = 0; i < n; i++) d[i] = 1 / x[i];
        break;
    case MT_UNARY_SQRT:
        for (size_t i = 0; i < n; i++) d[i] = 0.5f / y[i];
        break;
    case MT_UNARY_RSQRT:
        for (size_t i = 0; i < n; i++) d[i] = -0.5f * y[i] * y[i] * y[i];
        break;
    case MT_UNARY_SQUARE:
        for (size_t i = 0; i < n; i++) d[i] = 2 * x[i];
        break;
    case MT_UNARY_RECIPROCAL:
        for (size_t i = 0; i < n; i++) d[i] = -y[i] * y[i];
        break;
    case MT_UNARY_ABS:
        for (size_t i = 0; i < n; i++) d[i] = x[i] > 0 ? 1 : x[i] < 0 ? -1 : 0;
        break;
    case MT_UNARY_SIN:
        for (size_t i = 0; i < n; i++) d[i] = cosf(x[i]);
        break;
    case MT_UNARY_COS:
        for (size_t i = 0; i < n; i++) d[i] = -sinf(x[i]);
        break;
    case MT_UNARY_TANH:
        for (size_t i = 0; i < n; i++) d[i] = 1 - y[i] * y[i];
        break;
    case MT_UNARY_SIGMOID:
        for (size_t i = 0; i < n; i++) d[i] = y[i] * (1 - y[i]);
        break;
    case MT_UNARY_SOFTPLUS:
        mt_act_slope(MT_ACT_SOFTPLUS, x, d, n);
        break;
    case MT_UNARY_RELU:
        for (size_t i = 0; i < n; i++) d[i] = y[i] > 0 ? 1 : 0;
        break;
    case MT_UNARY_LEAKY_RELU:
        for (size_t i = 0; i < n; i++) d[i] = x[i] > 0 ? 1 : f[0];
        break;
    case MT_UNARY_GELU_TANH:
        mt_act_slope(MT_ACT_GELU_TANH, x, d, n);
        break;
    case MT_UNARY_GELU_ERF:
        mt_act_slope(MT_ACT_GELU_ERF, x, d, n);
        break;
    case MT_UNARY_SILU:
        mt_act_slope(MT_ACT_SILU, x, d, n);
        break;
    case MT_UNARY_POW:
        for (size_t i = 0; i < n; i++) d[i] = f[0] == 0 ? 0 : f[0] * powf(x[i], f[0] - 1);
        break;
    case MT_UNARY_CLAMP:
        for (size_t i = 0; i < n; i++) d[i] = x[i] >= f[0] && x[i] <= f[1] ? 1 : 0;
        break;
    case MT_UNARY_AFFINE:
        for (size_t i = 0; i < n; i++) d[i] = f[0];
        break;
    default: /* sign, round */
        memset(d, 0, n * sizeof *d);
        break;
    }
}

static void unary_task(void *arg, int part, int parts) {
    const job *j = arg;
    const mt_back *b = j->b;
    size_t from, to;
    float d[PIECE];
    mt_share(mt_node_elements(j->n), PIECE, part, parts, &from, &to);
    for (; from < to; from += PIECE) {
        size_t n = least(to - from, PIECE);
        slope((mt_unary)j->n->i[0], j->n->f, b->x[0] ? b->x[0] + from : NULL, b->y ? b->y + from : NULL, d, n);
        collect_product(b->dy + from, d, 1, b->dx[0] + from, 1, n);
    }
}

/* ---- along an axis ---- */

static void reduce_row(mt_reduce kind, const float *restrict x, float y, float dy, float *restrict dx, size_t n) {
    float by = dy / (float)n, e[PIECE];
    switch (kind) {
    case MT_REDUCE_SUM:
        for (size_t i = 0; i < n; i++) dx[i] += dy;
        break;
    case MT_REDUCE_MEAN:
        for (size_t i = 0; i < n; i++) dx[i] += by;
        break;
    case MT_REDUCE_MAX:
        for (size_t i = 0; i < n; i++)
            if (x[i] == y) {
                dx[i] += dy;
                break;
            }
        break;
    case MT_REDUCE_VARIANCE: {
        float mean = (float)(mt_sum(x, n) / (double)n);
        for (size_t i = 0; i < n; i++) dx[i] += 2 * by * (x[i] - mean);
        break;
    }
    default:
        if (y == -INFINITY) break;
        for (size_t at = 0; at < n; at += PIECE) {
            size_t m = least(n - at, PIECE);
            for (size_t i = 0; i < m; i++) e[i] = x[at + i] - y;
            mt_exp(e, e, m);
            for (size_t i = 0; i < m; i++) dx[at + i] += dy * e[i];
        }
        break;
    }
}

/* The same for at most PIECE columns side by side: x [n][stride]. */
static void reduce_columns(mt_reduce kind, const float *restrict x, const float *restrict y, const float *restrict dy,
                           float *restrict dx, size_t n, size_t stride, size_t columns) {
    float e[PIECE], by = 1 / (float)n;
    bool found[PIECE] = {false};
    if (kind == MT_REDUCE_VARIANCE) {
        memset(e, 0, columns * sizeof *e);
        for (size_t k = 0; k < n; k++)
            for (size_t i = 0; i < columns; i++) e[i] += x[k * stride + i];
        for (size_t i = 0; i < columns; i++) e[i] *= by;
    }
    for (size_t k = 0; k < n; k++, dx += stride) {
        const float *row = x ? x + k * stride : NULL;
        switch (kind) {
        case MT_REDUCE_SUM:
            for (size_t i = 0; i < columns; i++) dx[i] += dy[i];
            break;
        case MT_REDUCE_MEAN:
            for (size_t i = 0; i < columns; i++) dx[i] += dy[i] * by;
            break;
        case MT_REDUCE_MAX:
            for (size_t i = 0; i < columns; i++)
                if (row[i] == y[i] && !found[i]) {
                    dx[i] += dy[i];
                    found[i] = true;
                }
            break;
        case MT_REDUCE_VARIANCE:
            for (size_t i = 0; i < columns; i++) dx[i] += 2 * by * dy[i] * (row[i] - e[i]);
            break;
        default:
            for (size_t i = 0; i < columns; i++) e[i] = y[i] == -INFINITY ? -INFINITY : row[i] - y[i];
            mt_exp(e, e, columns);
            for (size_t i = 0; i < columns; i++) dx[i] += dy[i] * e[i];
            break;
        }
    }
}

static void reduce_task(void *arg, int part, int parts) {
    const job *j = arg;
    const mt_back *b = j->b;
    mt_axis a = mt_axis_of(j->x, j->n->i[1], part, parts);
    mt_reduce kind = (mt_reduce)j->n->i[0];
    for (size_t o = a.outer0; o < a.outer1; o++) {
        size_t at = o * a.n * a.inner, to = o * a.inner;
        if (a.inner == 1)
            reduce_row(kind, b->x[0] ? b->x[0] + at : NULL, b->y ? b->y[to] : 0, b->dy[to], b->dx[0] + at, a.n);
        else
            for (size_t i = a.inner0; i < a.inner1; i += PIECE)
                reduce_columns(kind, b->x[0] ? b->x[0] + at + i : NULL, b->y ? b->y + to + i : NULL, b->dy + to + i,
                               b->dx[0] + at + i, a.n, a.inner, least(a.inner1 - i, PIECE));
    }
}

/* Sums that run the other way. */
static void cumsum_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_axis a = mt_axis_of(j->x, j->n->i[0], part, parts);
    bool from_end = j->n->i[1] != 0;
    for (size_t o = a.outer0; o < a.outer1; o++)
        for (size_t c = a.inner0; c < a.inner1; c += PIECE)
            mt_cumsum_columns(j->b->dy + o * a.n * a.inner + c, j->b->dx[0] + o * a.n * a.inner + c, a.n, a.inner,
                              least(a.inner1 - c, PIECE), !from_end, true);
}

/* ---- rows ---- */

static void softmax_task(void *arg, int part, int parts) {
    const job *j = arg;
    size_t V = last_dim(j->x), from, to;
    float e[PIECE];
    mt_share(rows_of(j->x), 1, part, parts, &from, &to);
    for (size_t t = from; t < to; t++) {
        const float *y = j->b->y + t * V, *dy = j->b->dy + t * V;
        float *dx = j->b->dx[0] + t * V;
        if (!j->n->i[0]) {
            float sum = (float)mt_sum_products(y, dy, V);
            for (size_t i = 0; i < V; i++) dx[i] += y[i] * (dy[i] - sum);
            continue;
        }
        float sum = (float)mt_sum(dy, V);
        for (size_t at = 0; at < V; at += PIECE) {
            size_t n = least(V - at, PIECE);
            mt_exp(y + at, e, n);
            for (size_t i = 0; i < n; i++) dx[at + i] += dy[at + i] - e[i] * sum;
        }
    }
}

/* softmax - target. The value says what the logarithm of the sum was, unless it is so large that rounding tells. */
static void cross_entropy_task(void *arg, int part, int parts) {
    const job *j = arg;
    const mt_back *b = j->b;
    const int32_t *target = index_of(j);
    size_t V = last_dim(j->x), from, to;
    float s = j->n->f[0], e[PIECE];
    mt_share(mt_node_elements(j->n), 1, part, parts, &from, &to);
    for (size_t t = from; t < to; t++) {
        if (target[t] < 0 || (size_t)target[t] >= V) continue;
        const float *x = b->x[0] + t * V;
        float *dx = b->dx[0] + t * V, dy = b->dy[t], sum = b->y[t] + x[target[t]];
        if (s > 0 || !(b->y[t] < 16)) sum = mt_log_sum_exp(x, V);
        for (size_t at = 0; at < V; at += PIECE) {
            size_t n = least(V - at, PIECE);
            for (size_t i = 0; i < n; i++) e[i] = x[at + i] - sum;
            mt_exp(e, e, n);
            for (size_t i = 0; i < n; i++) dx[at + i] += dy * (e[i] - s / (float)V);
        }
        dx[target[t]] -= dy * (1 - s);
    }
}

static void take_task(void *arg, int part, int parts) {
    const job *j = arg;
    const int32_t *index = index_of(j);
    size_t N = (size_t)j->x->dims[0], D = N ? mt_node_elements(j->x) / N : 0, from, to;
    size_t count = mt_node_elements(&j->b->g->nodes[j->n->in[1]]);
    mt_share(D, 16, part, parts, &from, &to);
    for (size_t t = 0; t < count; t++) {
        if (index[t] < 0 || (size_t)index[t] >= N) continue;
        float *restrict dx = j->b->dx[0] + (size_t)index[t] * D;
        const float *restrict dy = j->b->dy + t * D;
        for (size_t i = from; i < to; i++) dx[i] += dy[i];
    }
}

static void pick(const job *j) {
    const int32_t *index = index_of(j);
    size_t V = last_dim(j->x), rows = mt_node_elements(j->n);
    for (size_t t = 0; t < rows; t++)
        if (index[t] >= 0 && (size_t)index[t] < V) j->b->dx[0][t * V + (size_t)index[t]] += j->b->dy[t];
}

/* ---- changes of order and place ---- */

static void copy_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_walk w = j->walk;
    mt_walk_part(&w, 1, part, parts);
    mt_walk_copy(&w, j->b->dy, j->b->dx[j->k], 1, true);
}

static void copies(job *j) {
    mt_copies c = mt_copies_of(j->b->g, j->n);
    for (int32_t i = 0; i < c.count; i++) {
        j->walk = c.walk[i];
        j->k = j->n->op == MT_OP_STRAIGHT ? 1 : c.input[i];
        if (j->b->dx[j->k]) mt_spread(j->b->pool, copy_task, j, mt_node_elements(j->n));
    }
}

/* ---- products ---- */

/* The gradient of input k: with y = s a b, da = s dy b' and db = s a' dy, each as it lies in memory. */
static mt_product_of dot_back(const mt_graph *g, const mt_node *n, int k) {
    mt_product_of p = mt_dot_of(g, n), d = {.count = p.count};
    mt_gemm_args *f = &p.gemm;
    size_t dy_step = p.c_step;
    bool turned = k == 0 ? f->ta : f->tb; /* then the gradient of what is multiplied is the transpose of this input's */
    d.gemm = (mt_gemm_args){.add = true, .alpha = f->alpha};
    if (k == 0) {
        d.gemm.M = turned ? f->K : f->M, d.gemm.N = turned ? f->M : f->K, d.gemm.K = f->N;
        d.gemm.ta = turned && f->tb, d.gemm.lda = turned ? f->ldb : f->ldc;
        d.gemm.tb = turned || !f->tb, d.gemm.ldb = turned ? f->ldc : f->ldb;
        d.a_step = turned ? p.b_step : dy_step, d.b_step = turned ? dy_step : p.b_step, d.c_step = p.a_step;
        d.dy_first = !turned;
    } else {
        d.gemm.M = turned ? f->N : f->K, d.gemm.N = turned ? f->K : f->N, d.gemm.K = f->M;
        d.gemm.ta = turned || !f->ta, d.gemm.lda = turned ? f->ldc : f->lda;
        d.gemm.tb = turned && f->ta, d.gemm.ldb = turned ? f->lda : f->ldc;
        d.a_step = turned ? dy_step : p.a_step, d.b_step = turned ? p.a_step : dy_step, d.c_step = p.b_step;
        d.dy_first = turned;
    }
    d.gemm.ldc = (size_t)d.gemm.N;
    return d;
}

static void dot(const mt_back *b) {
    for (int k = 0; k < 2; k++) {
        if (!b->dx[k]) continue;
        mt_product_of d = dot_back(b->g, b->n, k);
        d.gemm.a = d.dy_first ? b->dy : b->x[1 - k];
        d.gemm.b = d.dy_first ? b->x[1 - k] : b->dy;
        d.gemm.c = b->dx[k];
        mt_gemm_batch(b->pool, &d.gemm, d.count, d.a_step, d.b_step, d.c_step, b->work);
    }
}

size_t mt_back_general_work(const mt_graph *g, const mt_node *n) {
    size_t most = 0;
    for (int k = 0; k < 2 && n->op == MT_OP_DOT; k++) {
        mt_product_of d = dot_back(g, n, k);
        size_t work = mt_gemm_work(d.gemm.M, d.gemm.N, d.gemm.K);
        most = work > most ? work : most;
    }
    return most;
}

void mt_back_general(const mt_back *b) {
    const mt_node *n = b->n;
    job j = {.b = b, .n = n, .x = &b->g->nodes[n->in[0]]};
    size_t elements = mt_node_elements(n), read = mt_node_elements(j.x);
    if (elements == 0) return;
    switch (n->op) {
    case MT_OP_DOT:
        dot(b);
        return;
    case MT_OP_BINARY:
        for (int32_t k = 0; k < 2; k++)
            if (b->dx[k]) broadcast(b, k, binary_task, 0, 1);
        return;
    case MT_OP_WHERE:
        for (int32_t k = 1; k < 3; k++)
            if (b->dx[k]) broadcast(b, k, where_task, 0, 0);
        return;
    case MT_OP_UNARY:
        mt_spread(b->pool, unary_task, &j, elements);
        return;
    case MT_OP_REDUCE:
        mt_spread(b->pool, reduce_task, &j, read);
        return;
    case MT_OP_CUMSUM:
        mt_spread(b->pool, cumsum_task, &j, elements);
        return;
    case MT_OP_SOFTMAX:
        mt_spread(b->pool, softmax_task, &j, elements);
        return;
    case MT_OP_CROSS_ENTROPY:
        mt_spread(b->pool, cross_entropy_task, &j, read);
        return;
    case MT_OP_TAKE:
        mt_spread(b->pool, take_task, &j, elements);
        return;
    case MT_OP_PICK:
        pick(&j);
        return;
    default:
        copies(&j);
        return;
    }
}
