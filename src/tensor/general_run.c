/* Runs the operations of general.h. Arithmetic with broadcasting, changes of order and shape are rows of walk.h; what
 * goes along one axis sees a tensor as [outer][n][inner]. Work is split over results only, so that they do not depend
 * on the number of threads. */
#include "general.h"
#include "walk.h"

#include <math.h>

enum { PIECE = 256 };

typedef struct job {
    const mt_graph *g;
    const mt_node *n, *x; /* x: the first input */
    const float *const *in, *x_values;
    float *y;
    mt_walk walk;
} job;

static size_t last_dim(const mt_node *n) {
    return n->n_dims ? (size_t)n->dims[n->n_dims - 1] : 1;
}
static size_t rows_of(const mt_node *x) {
    return last_dim(x) ? mt_node_elements(x) / last_dim(x) : 0;
}
static const int32_t *index_of(const job *j) {
    return j->g->nodes[j->n->in[1]].extra;
}

/* ---- element by element ---- */

/* a and b go on by a step of 1 or 0. */
#define EACH(expression)                                                                                               \
    do {                                                                                                               \
        if (a_step && b_step)                                                                                          \
            for (size_t i = 0; i < n; i++) {                                                                           \
                float u = a[i], v = b[i];                                                                              \
                y[i] = expression;                                                                                     \
            }                                                                                                          \
        else if (a_step) {                                                                                             \
            float v = *b;                                                                                              \
            for (size_t i = 0; i < n; i++) {                                                                           \
                float u = a[i];                                                                                        \
                y[i] = expression;                                                                                     \
            }                                                                                                          \
        } else {                                                                                                       \
            float u = *a;                                                                                              \
            for (size_t i = 0; i < n; i++) {                                                                           \
                float v = b[i * b_step];                                                                               \
                y[i] = expression;                                                                                     \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

static void binary_row(mt_binary kind, const float *restrict a, size_t a_step, const float *restrict b, size_t b_step,
                       float *restrict y, size_t n) {
    switch (kind) {
    case MT_BINARY_ADD:
        EACH(u + v);
        break;
    case MT_BINARY_SUB:
        EACH(u - v);
        break;
    case MT_BINARY_MUL:
        EACH(u * v);
        break;
    case MT_BINARY_DIV:
        EACH(u / v);
        break;
    case MT_BINARY_MAX: /* a NaN of either stays */
        EACH(u >= v || u != u ? u : v);
        break;
    case MT_BINARY_MIN:
        EACH(u <= v || u != u ? u : v);
        break;
    default:
        break;
    }
}
#undef EACH

static void binary_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_walk w = j->walk;
    mt_walk_part(&w, 0, part, parts);
    size_t a = (size_t)w.step[1][w.axes - 1], b = (size_t)w.step[2][w.axes - 1];
    for (mt_walk_at at = mt_walk_first(&w); at.more; mt_walk_next(&w, &at))
        binary_row((mt_binary)j->n->i[0], j->in[0] + at.place[1], a, j->in[1] + at.place[2], b, j->y + at.place[0],
                   at.length);
}

static void where_row(const float *restrict c, size_t c_step, const float *restrict a, size_t a_step,
                      const float *restrict b, size_t b_step, float *restrict y, size_t n) {
    if (!c_step) {
        const float *from = *c != 0 ? a : b;
        size_t step = *c != 0 ? a_step : b_step;
        for (size_t i = 0; i < n; i++) y[i] = from[i * step];
    } else if (a_step && b_step) { /* both are read whichever is taken: then it is done for four at once */
        for (size_t i = 0; i < n; i++) {
            float u = a[i], v = b[i];
            y[i] = c[i] != 0 ? u : v;
        }
    } else if (a_step) {
        float v = *b;
        for (size_t i = 0; i < n; i++) {
            float u = a[i];
            y[i] = c[i] != 0 ? u : v;
        }
    } else {
        float u = *a;
        for (size_t i = 0; i < n; i++) {
            float v = b[i * b_step];
            y[i] = c[i] != 0 ? u : v;
        }
    }
}

static void where_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_walk w = j->walk;
    mt_walk_part(&w, 0, part, parts);
    size_t inner = (size_t)w.axes - 1;
    for (mt_walk_at at = mt_walk_first(&w); at.more; mt_walk_next(&w, &at))
        where_row(j->in[0] + at.place[1], (size_t)w.step[1][inner], j->in[1] + at.place[2], (size_t)w.step[2][inner],
                  j->in[2] + at.place[3], (size_t)w.step[3][inner], j->y + at.place[0], at.length);
}

static void unary_row(mt_unary kind, const float f[2], const float *restrict x, float *restrict y, size_t n) {
    switch (kind) {
    case MT_UNARY_NEG:
        for (size_t i = 0; i < n; i++) y[i] = -x[i];
        break;
    case MT_UNARY_EXP:
        mt_exp(x, y, n);
        break;
    case MT_UNARY_LOG:
        for (size_t i = 0; i < n; i++) y[i] = logf(x[i]);
        break;
    case MT_UNARY_SQRT:
        for (size_t i = 0; i < n; i++) y[i] = sqrtf(x[i]);
        break;
    case MT_UNARY_RSQRT:
        for (size_t i = 0; i < n; i++) y[i] = 1 / sqrtf(x[i]);
        break;
    case MT_UNARY_SQUARE:
        for (size_t i = 0; i < n; i++) y[i] = x[i] * x[i];
        break;
    case MT_UNARY_RECIPROCAL:
        for (size_t i = 0; i < n; i++) y[i] = 1 / x[i];
        break;
    case MT_UNARY_ABS:
        for (size_t i = 0; i < n; i++) y[i] = fabsf(x[i]);
        break;
    case MT_UNARY_SIN:
        for (size_t i = 0; i < n; i++) y[i] = sinf(x[i]);
        break;
    case MT_UNARY_COS:
        for (size_t i = 0; i < n; i++) y[i] = cosf(x[i]);
        break;
    case MT_UNARY_TANH:
        mt_act_run(MT_ACT_TANH, x, y, n);
        break;
    case MT_UNARY_SIGMOID:
        mt_act_run(MT_ACT_SIGMOID, x, y, n);
        break;
    case MT_UNARY_SOFTPLUS:
        mt_act_run(MT_ACT_SOFTPLUS, x, y, n);
        break;
    case MT_UNARY_RELU:
        mt_act_run(MT_ACT_RELU, x, y, n);
        break;
    case MT_UNARY_LEAKY_RELU:
        for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : f[0] * x[i];
        break;
    case MT_UNARY_GELU_TANH:
        mt_act_run(MT_ACT_GELU_TANH, x, y, n);
        break;
    case MT_UNARY_GELU_ERF:
        mt_act_run(MT_ACT_GELU_ERF, x, y, n);
        break;
    case MT_UNARY_SILU:
        mt_act_run(MT_ACT_SILU, x, y, n);
        break;
    case MT_UNARY_POW:
        for (size_t i = 0; i < n; i++) y[i] = powf(x[i], f[0]);
        break;
    case MT_UNARY_CLAMP:
        for (size_t i = 0; i < n; i++) y[i] = x[i] < f[0] ? f[0] : x[i] > f[1] ? f[1] : x[i];
        break;
    case MT_UNARY_AFFINE:
        for (size_t i = 0; i < n; i++) y[i] = f[0] * x[i] + f[1];
        break;
    case MT_UNARY_SIGN:
        for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? 1 : x[i] < 0 ? -1 : x[i];
        break;
    case MT_UNARY_ROUND:
        for (size_t i = 0; i < n; i++) y[i] = rintf(x[i]);
        break;
    default:
        break;
    }
}

static void unary_task(void *arg, int part, int parts) {
    const job *j = arg;
    size_t from, to;
    mt_share(mt_node_elements(j->n), PIECE, part, parts, &from, &to);
    for (; from < to; from += PIECE)
        unary_row((mt_unary)j->n->i[0], j->n->f, j->in[0] + from, j->y + from, to - from < PIECE ? to - from : PIECE);
}

/* ---- along an axis ---- */

static float variance(const float *x, size_t n) {
    float mean = (float)(mt_sum(x, n) / (double)n), d[PIECE];
    double sum = 0;
    for (size_t at = 0; at < n; at += PIECE) {
        size_t m = n - at < PIECE ? n - at : PIECE;
        for (size_t i = 0; i < m; i++) d[i] = x[at + i] - mean;
        sum += mt_sum_products(d, d, m);
    }
    return (float)(sum / (double)n);
}

static float reduce_row(mt_reduce kind, const float *x, size_t n) {
    switch (kind) {
    case MT_REDUCE_SUM:
        return (float)mt_sum(x, n);
    case MT_REDUCE_MEAN:
        return (float)(mt_sum(x, n) / (double)n);
    case MT_REDUCE_MAX:
        return mt_largest(x, n);
    case MT_REDUCE_VARIANCE:
        return variance(x, n);
    default:
        return mt_log_sum_exp(x, n);
    }
}

/* Columns of x [n][stride], at most PIECE of them, each added up on its own. */
static void sum_columns(const float *restrict x, size_t n, size_t stride, float *restrict sum, size_t columns) {
    memset(sum, 0, columns * sizeof *sum);
    for (size_t k = 0; k < n; k++, x += stride)
        for (size_t i = 0; i < columns; i++) sum[i] += x[i];
}

static void reduce_columns(mt_reduce kind, const float *x, size_t n, size_t stride, float *y, size_t columns) {
    float a[PIECE], b[PIECE], by = 1 / (float)n;
    switch (kind) {
    case MT_REDUCE_SUM:
        sum_columns(x, n, stride, y, columns);
        return;
    case MT_REDUCE_MEAN:
        sum_columns(x, n, stride, y, columns);
        for (size_t i = 0; i < columns; i++) y[i] *= by;
        return;
    case MT_REDUCE_VARIANCE:
        sum_columns(x, n, stride, a, columns);
        for (size_t i = 0; i < columns; i++) a[i] *= by, b[i] = 0;
        for (size_t k = 0; k < n; k++)
            for (size_t i = 0; i < columns; i++) {
                float d = x[k * stride + i] - a[i];
                b[i] += d * d;
            }
        for (size_t i = 0; i < columns; i++) y[i] = b[i] * by;
        return;
    default:
        break;
    }
    for (size_t i = 0; i < columns; i++) y[i] = -INFINITY;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < columns; i++) y[i] = x[k * stride + i] > y[i] ? x[k * stride + i] : y[i];
    if (kind == MT_REDUCE_MAX) return;
    memset(b, 0, columns * sizeof *b);
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < columns; i++) a[i] = x[k * stride + i] - (y[i] == -INFINITY ? 0 : y[i]);
        mt_exp(a, a, columns);
        for (size_t i = 0; i < columns; i++) b[i] += a[i];
    }
    for (size_t i = 0; i < columns; i++)
        if (y[i] != INFINITY) y[i] = (y[i] == -INFINITY ? 0 : y[i]) + logf(b[i]);
}

static void reduce_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_axis a = mt_axis_of(j->x, j->n->i[1], part, parts);
    mt_reduce kind = (mt_reduce)j->n->i[0];
    for (size_t o = a.outer0; o < a.outer1; o++) {
        const float *x = j->in[0] + o * a.n * a.inner;
        float *y = j->y + o * a.inner;
        if (a.inner == 1)
            *y = reduce_row(kind, x, a.n);
        else
            for (size_t i = a.inner0; i < a.inner1; i += PIECE)
                reduce_columns(kind, x + i, a.n, a.inner, y + i, a.inner1 - i < PIECE ? a.inner1 - i : PIECE);
    }
}

static void cumsum_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_axis a = mt_axis_of(j->x, j->n->i[0], part, parts);
    bool from_end = j->n->i[1] != 0;
    for (size_t o = a.outer0; o < a.outer1; o++)
        for (size_t c = a.inner0; c < a.inner1; c += PIECE)
            mt_cumsum_columns(j->in[0] + o * a.n * a.inner + c, j->y + o * a.n * a.inner + c, a.n, a.inner,
                              a.inner1 - c < PIECE ? a.inner1 - c : PIECE, from_end, false);
}

/* ---- rows ---- */

static void softmax_row(const float *restrict x, float *restrict y, size_t n) {
    float top = mt_largest(x, n);
    if (top == -INFINITY) top = 0; /* nothing to choose from: all zero */
    for (size_t i = 0; i < n; i++) y[i] = x[i] - top;
    mt_exp(y, y, n);
    double sum = mt_sum(y, n);
    float by = sum == 0 ? 0 : (float)(1 / sum);
    for (size_t i = 0; i < n; i++) y[i] *= by;
}

static void softmax_task(void *arg, int part, int parts) {
    const job *j = arg;
    size_t V = last_dim(j->x), from, to;
    mt_share(rows_of(j->x), 1, part, parts, &from, &to);
    for (size_t t = from; t < to; t++) {
        const float *x = j->in[0] + t * V;
        float *y = j->y + t * V;
        if (j->n->i[0]) {
            float sum = mt_log_sum_exp(x, V);
            if (sum == -INFINITY) sum = 0;
            for (size_t i = 0; i < V; i++) y[i] = x[i] - sum;
        } else {
            softmax_row(x, y, V);
        }
    }
}

static void cross_entropy_task(void *arg, int part, int parts) {
    const job *j = arg;
    const int32_t *target = index_of(j);
    size_t V = last_dim(j->x), from, to;
    float s = j->n->f[0];
    mt_share(mt_node_elements(j->n), 1, part, parts, &from, &to);
    for (size_t t = from; t < to; t++) {
        const float *x = j->in[0] + t * V;
        j->y[t] = 0;
        if (target[t] < 0 || (size_t)target[t] >= V) continue;
        double loss = mt_log_sum_exp(x, V) - (1 - s) * x[target[t]];
        if (s > 0) loss -= s * (mt_sum(x, V) / (double)V);
        j->y[t] = (float)loss;
    }
}

static void take_task(void *arg, int part, int parts) {
    const job *j = arg;
    const int32_t *index = index_of(j);
    size_t N = (size_t)j->x->dims[0], D = N ? mt_node_elements(j->x) / N : 0, from, to;
    size_t count = mt_node_elements(&j->g->nodes[j->n->in[1]]);
    mt_share(count, 1, part, parts, &from, &to);
    if (N == 0) D = count ? mt_node_elements(j->n) / count : 0;
    for (size_t t = from; t < to; t++) {
        if (index[t] >= 0 && (size_t)index[t] < N)
            memcpy(j->y + t * D, j->in[0] + (size_t)index[t] * D, D * sizeof(float));
        else
            memset(j->y + t * D, 0, D * sizeof(float));
    }
}

static void pick(const job *j) {
    const int32_t *index = index_of(j);
    size_t V = last_dim(j->x), rows = mt_node_elements(j->n);
    for (size_t t = 0; t < rows; t++)
        j->y[t] = index[t] >= 0 && (size_t)index[t] < V ? j->in[0][t * V + (size_t)index[t]] : 0;
}

/* ---- changes of order and place ---- */

static void copy_task(void *arg, int part, int parts) {
    const job *j = arg;
    mt_walk w = j->walk;
    mt_walk_part(&w, 0, part, parts);
    mt_walk_copy(&w, j->x_values, j->y, 0, false);
}

static void copies(job *j, mt_pool *pool) {
    mt_copies c = mt_copies_of(j->g, j->n);
    if (c.partly) memset(j->y, 0, mt_node_elements(j->n) * sizeof *j->y);
    for (int32_t k = 0; k < c.count; k++) {
        j->walk = c.walk[k];
        j->x_values = j->in[c.input[k]];
        mt_spread(pool, copy_task, j, mt_node_elements(j->n));
    }
}

/* ---- products ---- */

mt_product_of mt_dot_of(const mt_graph *g, const mt_node *n) {
    const mt_node *a = &g->nodes[n->in[0]], *b = &g->nodes[n->in[1]];
    bool ta = n->i[0] & 1, tb = n->i[0] & 2, one = b->n_dims == 2;
    int32_t M = n->dims[n->n_dims - 2], N = n->dims[n->n_dims - 1], K = a->dims[n->n_dims - (ta ? 2 : 1)], count = 1;
    for (int32_t d = 0; d < n->n_dims - 2; d++) count *= n->dims[d];
    if (one && !ta) M *= count, count = 1; /* one matrix for all of a's rows */
    mt_product_of p = {.count = count};
    p.a_step = (size_t)M * (size_t)K, p.b_step = one ? 0 : (size_t)K * (size_t)N, p.c_step = (size_t)M * (size_t)N;
    p.gemm = (mt_gemm_args){.ta = ta, .tb = tb, .M = M, .N = N, .K = K, .alpha = n->f[0]};
    p.gemm.lda = (size_t)(ta ? M : K), p.gemm.ldb = (size_t)(tb ? K : N), p.gemm.ldc = (size_t)N;
    return p;
}

static void dot(const job *j, mt_pool *pool, float *kernel) {
    mt_product_of p = mt_dot_of(j->g, j->n);
    p.gemm.a = j->in[0], p.gemm.b = j->in[1], p.gemm.c = j->y;
    mt_gemm_batch(pool, &p.gemm, p.count, p.a_step, p.b_step, p.c_step, kernel);
}

size_t mt_general_scratch(const mt_graph *g, const mt_node *n) {
    if (n->op != MT_OP_DOT) return 0;
    mt_product_of p = mt_dot_of(g, n);
    return mt_gemm_work(p.gemm.M, p.gemm.N, p.gemm.K) * sizeof(float);
}

void mt_general_run(const mt_graph *g, const mt_node *n, mt_pool *pool, const float *const in[MT_NODE_INPUTS], float *y,
                    float *kernel) {
    job j = {.g = g, .n = n, .x = &g->nodes[n->in[0]], .in = in, .y = y};
    size_t elements = mt_node_elements(n), read = mt_node_elements(j.x);
    if (elements == 0) return;
    switch (n->op) {
    case MT_OP_DOT:
        dot(&j, pool, kernel);
        break;
    case MT_OP_BINARY:
    case MT_OP_WHERE:
        j.walk = mt_walk_over(n);
        mt_walk_add(&j.walk, n);
        for (int k = 0; k < MT_NODE_INPUTS && n->in[k] >= 0; k++) mt_walk_add(&j.walk, &g->nodes[n->in[k]]);
        mt_walk_merge(&j.walk);
        mt_spread(pool, n->op == MT_OP_WHERE ? where_task : binary_task, &j, elements);
        break;
    case MT_OP_UNARY:
        mt_spread(pool, unary_task, &j, elements);
        break;
    case MT_OP_REDUCE:
        mt_spread(pool, reduce_task, &j, read);
        break;
    case MT_OP_CUMSUM:
        mt_spread(pool, cumsum_task, &j, elements);
        break;
    case MT_OP_SOFTMAX:
        mt_spread(pool, softmax_task, &j, elements);
        break;
    case MT_OP_CROSS_ENTROPY:
        mt_spread(pool, cross_entropy_task, &j, read);
        break;
    case MT_OP_TAKE:
        mt_spread(pool, take_task, &j, elements);
        break;
    case MT_OP_PICK:
        pick(&j);
        break;
    default:
        copies(&j, pool);
        break;
    }
}
