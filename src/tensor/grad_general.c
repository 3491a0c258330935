/* Gradients of the operations of general.h. What was repeated by broadcasting is summed: the walks have the gradient as
 * operand 0, so that no two threads add to one element, and every element's terms are added in one order. */
#include "general.h"
#include "grad.h"
#include "walk.h"

#include <math.h>

enum { PIECE = 256 };

typedef struct job {
    const mt_back *b;
    const mt_node *n, *x;
    mt_walk walk;
    float *dx;
    int input;
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

/* dx += t along a row of a walk: repeated elements get the sum. */
static void add_row(const float *restrict t, float *restrict dx, ptrdiff_t step, size_t n) {
    if (step)
        for (size_t i = 0; i < n; i++) dx[i] += t[i];
    else
        *dx += (float)mt_sum(t, n);
}

/* ---- element by element ---- */

/* What dy is multiplied by for input k; operands that repeat have step 0. */
static void binary_share(mt_binary kind, int k, const float *a, size_t sa, const float *b, size_t sb, const float *dy,
                         float *restrict t, size_t n) {
    switch (kind) {
    case MT_BINARY_MUL: {
        const float *other = k ? a : b;
        size_t step = k ? sa : sb;
        if (step) {
            for (size_t i = 0; i < n; i++) t[i] = dy[i] * other[i];
        } else {
            float v = *other;
            for (size_t i = 0; i < n; i++) t[i] = dy[i] * v;
        }
        break;
    }
    case MT_BINARY_DIV:
        if (k == 0)
            for (size_t i = 0; i < n; i++) t[i] = dy[i] / b[i * sb];
        else
            for (size_t i = 0; i < n; i++) t[i] = -dy[i] * a[i * sa] / (b[i * sb] * b[i * sb]);
        break;
    case MT_BINARY_MAX:
        for (size_t i = 0; i < n; i++) t[i] = (a[i * sa] >= b[i * sb]) == (k == 0) ? dy[i] : 0;
        break;
    case MT_BINARY_MIN:
        for (size_t i = 0; i < n; i++) t[i] = (a[i * sa] <= b[i * sb]) == (k == 0) ? dy[i] : 0;
        break;
    default: /* the second of a difference */
        for (size_t i = 0; i < n; i++) t[i] = -dy[i];
        break;
    }
}

/* Operands: 0 the gradient, 1 dy, 2 and more the inputs. */
static void binary_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_binary kind = (mt_binary)j->n->i[0];
    mt_walk w = j->walk;
    mt_walk_part(&w, 0, part, parts);
    int32_t inner = w.axes - 1;
    bool plain = kind == MT_BINARY_ADD || (kind == MT_BINARY_SUB && j->input == 0);
    for (mt_walk_at at = mt_walk_first(&w); at.more; mt_walk_next(&w, &at))
        for (size_t i = 0; i < at.length; i += PIECE) {
            size_t m = at.length - i < PIECE ? at.length - i : PIECE;
            const float *dy = j->b->dy + at.place[1] + i;
            float t[PIECE], *dx = j->dx + at.place[0] + (ptrdiff_t)i * w.step[0][inner];
            if (!plain) {
                size_t sa = (size_t)w.step[2][inner], sb = (size_t)w.step[3][inner];
                binary_share(kind, j->input, j->b->x[0] + at.place[2] + i * sa, sa, j->b->x[1] + at.place[3] + i * sb,
                             sb, dy, t, m);
            }
            add_row(plain ? dy : t, dx, w.step[0][inner], m);
        }
}

static void where_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_walk w = j->walk;
    mt_walk_part(&w, 0, part, parts);
    int32_t inner = w.axes - 1;
    for (mt_walk_at at = mt_walk_first(&w); at.more; mt_walk_next(&w, &at))
        for (size_t i = 0; i < at.length; i += PIECE) {
            size_t m = at.length - i < PIECE ? at.length - i : PIECE, step = (size_t)w.step[2][inner];
            const float *dy = j->b->dy + at.place[1] + i, *c = j->b->x[0] + at.place[2] + i * step;
            float t[PIECE];
            for (size_t k = 0; k < m; k++) t[k] = (c[k * step] != 0) == (j->input == 1) ? dy[k] : 0;
            add_row(t, j->dx + at.place[0] + (ptrdiff_t)i * w.step[0][inner], w.step[0][inner], m);
        }
}

static void broadcast(job *j, mt_task task, int32_t inputs) {
    const mt_back *b = j->b;
    for (j->input = 0; j->input < MT_NODE_INPUTS; j->input++) {
        j->dx = b->dx[j->input];
        if (!j->dx) continue;
        j->walk = mt_walk_over(j->n);
        mt_walk_add(&j->walk, &b->g->nodes[j->n->in[j->input]]);
        mt_walk_add(&j->walk, j->n);
        for (int k = 0; k < inputs; k++) mt_walk_add(&j->walk, &b->g->nodes[j->n->in[k]]);
        mt_walk_merge(&j->walk);
        mt_spread(b->pool, task, j, mt_node_elements(j->n));
    }
}

static void unary_slope(mt_unary kind, const float f[2], const float *x, const float *y, float *restrict d, size_t n) {
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
        for (size_t i = 0; i < n; i++) d[i] = x[i] > 0 ? 1 : 0;
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
    default: /* steps: no gradient */
        memset(d, 0, n * sizeof *d);
        break;
    }
}

static void unary_task(void *arg, int part, int parts) {
    const job *j = arg;
    size_t from, to;
    mt_share(mt_node_elements(j->n), PIECE, part, parts, &from, &to);
    for (; from < to; from += PIECE) {
        size_t m = to - from < PIECE ? to - from : PIECE;
        float d[PIECE];
        unary_slope((mt_unary)j->n->i[0], j->n->f, j->b->x[0] + from, j->b->y + from, d, m);
        for (size_t i = 0; i < m; i++) j->dx[from + i] += d[i] * j->b->dy[from + i];
    }
}

/* ---- along an axis ---- */

static void reduce_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_axis a = mt_axis_of(j->x, j->n->i[1], part, parts);
    mt_reduce kind = (mt_reduce)j->n->i[0];
    float by = 1 / (float)a.n;
    for (size_t o = a.outer0; o < a.outer1; o++)
        for (size_t i = a.inner0; i < a.inner1; i++) {
            float dy = j->b->dy[o * a.inner + i], y = j->b->y[o * a.inner + i];
            const float *x = j->b->x[0] + o * a.n * a.inner + i;
            float *dx = j->dx + o * a.n * a.inner + i, mean = 0;
            double sum = 0;
            switch (kind) {
            case MT_REDUCE_SUM:
                for (size_t k = 0; k < a.n; k++) dx[k * a.inner] += dy;
                break;
            case MT_REDUCE_MEAN:
                for (size_t k = 0; k < a.n; k++) dx[k * a.inner] += dy * by;
                break;
            case MT_REDUCE_MAX:
                for (size_t k = 0; k < a.n; k++)
                    if (x[k * a.inner] == y) {
                        dx[k * a.inner] += dy;
                        break;
                    }
                break;
            case MT_REDUCE_VARIANCE:
                for (size_t k = 0; k < a.n; k++) sum += x[k * a.inner];
                mean = (float)(sum / (double)a.n);
                for (size_t k = 0; k < a.n; k++) dx[k * a.inner] += 2 * by * dy * (x[k * a.inner] - mean);
                break;
            default:
                for (size_t k = 0; k < a.n && y > -INFINITY; k++) dx[k * a.inner] += dy * expf(x[k * a.inner] - y);
                break;
            }
        }
}

static void cumsum_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_axis a = mt_axis_of(j->x, j->n->i[0], part, parts);
    bool from_end = j->n->i[1] != 0;
    float sum[PIECE];
    for (size_t o = a.outer0; o < a.outer1; o++)
        for (size_t i0 = a.inner0; i0 < a.inner1; i0 += PIECE) {
            size_t m = a.inner1 - i0 < PIECE ? a.inner1 - i0 : PIECE;
            memset(sum, 0, m * sizeof *sum);
            for (size_t k = 0; k < a.n; k++) { /* an element counts in all sums behind it */
                size_t at = (o * a.n + (from_end ? k : a.n - 1 - k)) * a.inner + i0;
                for (size_t i = 0; i < m; i++) j->dx[at + i] += sum[i] += j->b->dy[at + i];
            }
        }
}

/* ---- rows ---- */

static void softmax_task(void *arg, int part, int parts) {
    const job *j = arg;
    size_t V = last_dim(j->x), from, to;
    mt_share(rows_of(j->x), 1, part, parts, &from, &to);
    for (size_t t = from; t < to; t++) {
        const float *y = j->b->y + t * V, *dy = j->b->dy + t * V;
        float *dx = j->dx + t * V;
        if (j->n->i[0]) {
            float sum = (float)mt_sum(dy, V), e[PIECE];
            for (size_t i = 0; i < V; i += PIECE) {
                size_t m = V - i < PIECE ? V - i : PIECE;
                mt_exp(y + i, e, m);
                for (size_t k = 0; k < m; k++) dx[i + k] += dy[i + k] - e[k] * sum;
            }
        } else {
            float sum = (float)mt_sum_products(y, dy, V);
            for (size_t i = 0; i < V; i++) dx[i] += y[i] * (dy[i] - sum);
        }
    }
}

static void cross_entropy_task(void *arg, int part, int parts) {
    const job *j = arg;
    const int32_t *target = index_of(j);
    size_t V = last_dim(j->x), from, to;
    float s = j->n->f[0], even = s / (float)V;
    mt_share(mt_node_elements(j->n), 1, part, parts, &from, &to);
    for (size_t t = from; t < to; t++) {
        const float *x = j->b->x[0] + t * V;
        float *dx = j->dx + t * V, dy = j->b->dy[t], p[PIECE];
        if (target[t] < 0 || (size_t)target[t] >= V || dy == 0) continue;
        float all = mt_log_sum_exp(x, V);
        for (size_t i = 0; i < V; i += PIECE) {
            size_t m = V - i < PIECE ? V - i : PIECE;
            for (size_t k = 0; k < m; k++) p[k] = x[i + k] - all;
            mt_exp(p, p, m);
            for (size_t k = 0; k < m; k++) dx[i + k] += dy * (p[k] - even);
        }
        dx[target[t]] -= dy * (1 - s);
    }
}

/* Columns are shared out: a row that is taken several times gets its terms in the order of the index. */
static void take_task(void *arg, int part, int parts) {
    const job *j = arg;
    const int32_t *index = index_of(j);
    size_t N = (size_t)j->x->dims[0], D = N ? mt_node_elements(j->x) / N : 0, from, to;
    size_t count = mt_node_elements(&j->b->g->nodes[j->n->in[1]]);
    mt_share(D, 16, part, parts, &from, &to);
    for (size_t t = 0; t < count; t++) {
        if (index[t] < 0 || (size_t)index[t] >= N) continue;
        const float *dy = j->b->dy + t * D;
        float *dx = j->dx + (size_t)index[t] * D;
        for (size_t i = from; i < to; i++) dx[i] += dy[i];
    }
}

static void pick(const job *j) {
    const int32_t *index = index_of(j);
    size_t V = last_dim(j->x), rows = mt_node_elements(j->n);
    for (size_t t = 0; t < rows; t++)
        if (index[t] >= 0 && (size_t)index[t] < V) j->dx[t * V + (size_t)index[t]] += j->b->dy[t];
}

/* ---- changes of order and place: the copies the other way round ---- */

static void copy_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_walk w = j->walk;
    mt_walk_part(&w, 1, part, parts);
    mt_walk_copy(&w, j->b->dy, j->dx, 1, true);
}

static void copies(job *j) {
    mt_copies c = mt_copies_of(j->b->g, j->n);
    for (int32_t k = 0; k < c.count; k++) {
        j->dx = j->b->dx[c.input[k]];
        if (!j->dx) continue;
        j->walk = c.walk[k];
        mt_spread(j->b->pool, copy_task, j, mt_node_elements(j->n));
    }
}

static void straight_task(void *arg, int part, int parts) {
    const job *j = arg;
    size_t from, to;
    mt_share(mt_node_elements(j->n), PIECE, part, parts, &from, &to);
    for (size_t i = from; i < to; i++) j->dx[i] += j->b->dy[i];
}

/* ---- products ---- */

/* C = s A B: dA = s dC B', dB = s A' dC, each turned where the product reads its operand turned. */
static mt_gemm_args share_of(const mt_gemm_args *c, int input) {
    mt_gemm_args g = {.add = true, .alpha = c->alpha};
    if (input == 0) {
        g.ta = c->ta && c->tb, g.tb = c->ta || !c->tb; /* turned: dA' = B dC' */
        g.M = c->ta ? c->K : c->M, g.N = c->ta ? c->M : c->K, g.K = c->N;
        g.lda = c->ta ? c->ldb : c->ldc, g.ldb = c->ta ? c->ldc : c->ldb, g.ldc = c->lda;
    } else {
        g.ta = c->tb || !c->ta, g.tb = c->tb && c->ta; /* turned: dB' = dC' A */
        g.M = c->tb ? c->N : c->K, g.N = c->tb ? c->K : c->N, g.K = c->M;
        g.lda = c->tb ? c->ldc : c->lda, g.ldb = c->tb ? c->lda : c->ldc, g.ldc = c->ldb;
    }
    return g;
}

static void dot(const mt_back *b) {
    int32_t count;
    size_t b_step;
    mt_gemm_args c = mt_dot_of(b->g, b->n, &count, &b_step);
    size_t a_step = (size_t)c.M * (size_t)c.K, c_step = (size_t)c.M * (size_t)c.N;
    for (int k = 0; k < 2; k++) {
        if (!b->dx[k]) continue;
        mt_gemm_args g = share_of(&c, k);
        g.c = b->dx[k];
        bool dy_first = k == 0 ? !c.ta : c.tb;
        const float *other = b->x[1 - k];
        size_t other_step = k == 0 ? b_step : a_step;
        g.a = dy_first ? b->dy : other, g.b = dy_first ? other : b->dy;
        mt_gemm_batch(b->pool, &g, count, dy_first ? c_step : other_step, dy_first ? other_step : c_step,
                      k == 0 ? a_step : b_step, b->work);
    }
}

size_t mt_back_general_work(const mt_graph *g, const mt_node *n) {
    if (n->op != MT_OP_DOT) return 0;
    int32_t count;
    size_t b_step, most = 0;
    mt_gemm_args c = mt_dot_of(g, n, &count, &b_step);
    for (int k = 0; k < 2; k++) {
        mt_gemm_args s = share_of(&c, k);
        size_t w = mt_gemm_work(s.M, s.N, s.K);
        most = w > most ? w : most;
    }
    return most;
}

void mt_back_general(const mt_back *b) {
    job j = {.b = b, .n = b->n, .x = &b->g->nodes[b->n->in[0]], .dx = b->dx[0]};
    size_t elements = mt_node_elements(b->n), read = mt_node_elements(j.x);
    switch (b->n->op) {
    case MT_OP_DOT:
        dot(b);
        return;
    case MT_OP_BINARY:
        broadcast(&j, binary_task, 2);
        return;
    case MT_OP_WHERE:
        broadcast(&j, where_task, 1);
        return;
    case MT_OP_STRAIGHT:
        j.dx = b->dx[1];
        if (j.dx) mt_spread(b->pool, straight_task, &j, elements);
        return;
    case MT_OP_PERMUTE:
    case MT_OP_CONCAT:
    case MT_OP_CUT:
    case MT_OP_MOVE:
    case MT_OP_FLIP:
    case MT_OP_EXPAND:
        copies(&j);
        return;
    default:
        break;
    }
    if (!j.dx) return;
    switch (b->n->op) {
    case MT_OP_UNARY:
        mt_spread(b->pool, unary_task, &j, elements);
        break;
    case MT_OP_REDUCE:
        mt_spread(b->pool, reduce_task, &j, read);
        break;
    case MT_OP_CUMSUM:
        mt_spread(b->pool, cumsum_task, &j, elements);
        break;
    case MT_OP_SOFTMAX:
        mt_spread(b->pool, softmax_task, &j, elements);
        break;
    case MT_OP_CROSS_ENTROPY:
        mt_spread(b->pool, cross_entropy_task, &j, read);
        break;
    case MT_OP_TAKE:
        mt_spread(b->pool, take_task, &j, elements);
        break;
    case MT_OP_PICK:
        pick(&j);
        break;
    default:
        break;
    }
}
