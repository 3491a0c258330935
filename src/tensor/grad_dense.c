/* Gradients of products with weights, look-ups and experts (grad.h).
 *
 *   y = x W' + b      dx = dy W      dW = dy' x      db = sum of the rows of dy
 *
 * Weights are packed and may be quantised: a block of rows at a time is unpacked into working memory. What was rounded
 * on the way forward (activations before quantised weights) counts as if it had not been. Gradients of weights are
 * plain [rows][cols], whatever the type of the weight. */
#include "grad.h"

#include <math.h>

enum {
    UNPACKED = 1 << 18, /* floats of a block of unpacked rows */
    EXPERT_ROWS = 64,   /* tokens of one expert that are gone through together */
    ALONE = 1 << 14     /* element operations below which waking threads costs more than it saves */
};

static size_t last_dim(const mt_node *n) {
    return n->n_dims ? (size_t)n->dims[n->n_dims - 1] : 1;
}

static size_t padded(size_t floats) { /* to 64 bytes */
    return (floats + 15) / 16 * 16;
}

static size_t largest(size_t a, size_t b) {
    return a > b ? a : b;
}

/* ---- products ---- */

static int32_t block_rows(const mt_weight *w) {
    size_t rows = UNPACKED / (size_t)w->cols;
    return rows<1 ? 1 : rows>(size_t) w->rows ? w->rows : (int32_t)rows;
}

typedef struct unpack_job {
    const mt_weight *w;
    int32_t row, count;
    float *out;
} unpack_job;

static void unpack_part(void *arg, int part, int parts) {
    const unpack_job *j = arg;
    int32_t from = (int32_t)((int64_t)j->count * part / parts), to = (int32_t)((int64_t)j->count * (part + 1) / parts);
    for (int32_t r = from; r < to; r++) mt_weight_row(j->w, j->row + r, j->out + (size_t)r * (size_t)j->w->cols);
}

static void unpack(mt_pool *pool, const mt_weight *w, int32_t row, int32_t count, float *out) {
    unpack_job j = {w, row, count, out};
    if ((size_t)count * (size_t)w->cols < ALONE)
        unpack_part(&j, 0, 1);
    else
        mt_pool_run(pool, unpack_part, &j);
}

typedef struct sum_job {
    const float *x;
    float *sum;
    size_t rows, cols;
} sum_job;

static void sum_part(void *arg, int part, int parts) {
    const sum_job *j = arg;
    size_t from = j->cols * (size_t)part / (size_t)parts, to = j->cols * ((size_t)part + 1) / (size_t)parts;
    for (size_t r = 0; r < j->rows; r++)
        for (size_t c = from; c < to; c++) j->sum[c] += j->x[r * j->cols + c];
}

/* sum += the sum of the rows of x */
static void add_rows(mt_pool *pool, const float *x, size_t rows, size_t cols, float *sum) {
    sum_job j = {x, sum, rows, cols};
    if (rows * cols < ALONE)
        sum_part(&j, 0, 1);
    else
        mt_pool_run(pool, sum_part, &j);
}

/* dx += dy W, contiguous rows. work: product_work floats. */
static void add_input(mt_pool *pool, const mt_weight *w, const float *dy, int32_t T, float *dx, float *work) {
    int32_t block = block_rows(w);
    float *gemm = work + padded((size_t)block * (size_t)w->cols);
    for (int32_t r = 0; r < w->rows; r += block) {
        int32_t count = w->rows - r < block ? w->rows - r : block;
        unpack(pool, w, r, count, work);
        mt_gemm_args g = {.add = true, .M = T, .N = w->cols, .K = count, .alpha = 1};
        g.a = dy + r, g.lda = (size_t)w->rows;
        g.b = work, g.ldb = (size_t)w->cols;
        g.c = dx, g.ldc = (size_t)w->cols;
        mt_gemm(pool, &g, gemm);
    }
}

/* dW += dy' x, contiguous rows. */
static void add_weight(mt_pool *pool, const mt_weight *w, const float *dy, const float *x, int32_t T, float *dw,
                       float *work) {
    mt_gemm_args g = {.ta = true, .add = true, .M = w->rows, .N = w->cols, .K = T, .alpha = 1};
    g.a = dy, g.lda = (size_t)w->rows;
    g.b = x, g.ldb = (size_t)w->cols;
    g.c = dw, g.ldc = (size_t)w->cols;
    mt_gemm(pool, &g, work);
}

static size_t product_work(const mt_weight *w, int32_t T) {
    int32_t block = block_rows(w);
    size_t input = padded((size_t)block * (size_t)w->cols) + mt_gemm_work(T, w->cols, block);
    return padded(largest(input, mt_gemm_work(w->rows, w->cols, T)));
}

static void matmul(const mt_back *b) {
    const mt_weight *w = b->g->nodes[b->n->in[1]].weight;
    int32_t T = b->n->dims[0];
    if (b->dx[0]) add_input(b->pool, w, b->dy, T, b->dx[0], b->work);
    if (b->dx[1]) add_weight(b->pool, w, b->dy, b->x[0], T, b->dx[1], b->work);
    if (b->dx[2]) add_rows(b->pool, b->dy, (size_t)T, (size_t)w->rows, b->dx[2]);
}

/* y[t][h] = W[:, columns of head h] z[t][h] */
static void head_result(const mt_back *b) {
    const mt_weight *w = b->g->nodes[b->n->in[1]].weight;
    int32_t T = b->n->dims[0], H = b->n->dims[1], D = b->n->dims[2], E = w->cols / H, block = block_rows(w);
    size_t step = (size_t)H * (size_t)D;
    float *gemm = b->work + padded((size_t)block * (size_t)w->cols);
    for (int32_t r = 0; r < D && b->dx[0]; r += block) {
        int32_t count = D - r < block ? D - r : block;
        unpack(b->pool, w, r, count, b->work);
        mt_gemm_args g = {.add = true, .M = T, .N = E, .K = count, .alpha = 1};
        g.a = b->dy + r, g.lda = step;
        g.b = b->work, g.ldb = (size_t)w->cols;
        g.c = b->dx[0], g.ldc = (size_t)w->cols;
        mt_gemm_batch(b->pool, &g, H, (size_t)D, (size_t)E, (size_t)E, gemm);
    }
    if (!b->dx[1]) return;
    mt_gemm_args g = {.ta = true, .add = true, .M = D, .N = E, .K = T, .alpha = 1};
    g.a = b->dy, g.lda = step;
    g.b = b->x[0], g.ldb = (size_t)w->cols;
    g.c = b->dx[1], g.ldc = (size_t)w->cols;
    mt_gemm_batch(b->pool, &g, H, (size_t)D, (size_t)E, (size_t)E, b->work);
}

static void sum_heads(const mt_back *b) {
    const mt_node *x = &b->g->nodes[b->n->in[0]];
    size_t T = (size_t)x->dims[0], H = (size_t)x->dims[1], D = (size_t)x->dims[2];
    for (size_t t = 0; t < T && b->dx[0]; t++)
        for (size_t h = 0; h < H; h++) mt_add(b->dx[0] + (t * H + h) * D, b->dy + t * D, b->dx[0] + (t * H + h) * D, D);
    if (b->dx[1]) add_rows(b->pool, b->dy, T, D, b->dx[1]);
}

/* ---- look-ups ---- */

/* Which row of the table row t is. */
static size_t row_of(const mt_back *b, size_t t) {
    switch (b->n->op) {
    case MT_OP_EMBED:
        return (size_t)b->feed->token[t];
    case MT_OP_POSITION_EMBED:
        return (size_t)(b->feed->position[t] + b->n->i[0]);
    case MT_OP_SEGMENT_EMBED:
        return b->feed->segment ? (size_t)b->feed->segment[t] : 0;
    default: /* MT_OP_TABLE */
        return t;
    }
}

/* Several rows may be the same one of the table: columns are split, and rows added in order. */
static void look_up_part(void *arg, int part, int parts) {
    const mt_back *b = arg;
    size_t W = last_dim(b->n), T = (size_t)b->n->dims[0];
    size_t from = W * (size_t)part / (size_t)parts, to = W * ((size_t)part + 1) / (size_t)parts;
    float scale = b->n->op == MT_OP_EMBED ? b->n->f[0] : 1;
    for (size_t t = 0; t < T; t++) {
        float *dx = b->dx[0] + row_of(b, t) * W;
        const float *dy = b->dy + t * W;
        for (size_t c = from; c < to; c++) dx[c] += scale * dy[c];
    }
}

static void look_up(const mt_back *b) {
    if (!b->dx[0]) return;
    if (mt_node_elements(b->n) < ALONE)
        look_up_part((void *)b, 0, 1);
    else
        mt_pool_run(b->pool, look_up_part, (void *)b);
}

/* ---- experts ---- */

/* Working memory of an experts node; the block's tokens all go to one expert. */
typedef struct experts_room {
    float *share, *dshare, *p; /* [T][count] */
    float *x, *dx;             /* [EXPERT_ROWS][D] */
    float *gate, *up, *hidden, *dhidden;
    float *dy, *part; /* [EXPERT_ROWS][out] */
    float *product;   /* of the products */
} experts_room;

static size_t take(float *work, size_t *at, float **place, size_t floats) {
    if (work) *place = work + *at;
    return *at += padded(floats);
}

static size_t experts_layout(const mt_graph *g, const mt_node *n, float *work, experts_room *r) {
    const mt_experts *e = n->extra;
    const mt_weight *up = &e->up[0], *down = &e->down[0];
    size_t D = (size_t)up->cols, F = (size_t)up->rows, out = (size_t)down->rows, at = 0;
    size_t T = mt_node_elements(&g->nodes[n->in[0]]) / D, all = T * (size_t)e->count;
    int32_t rows = T < EXPERT_ROWS ? (int32_t)T : EXPERT_ROWS;
    size_t N = (size_t)rows;
    take(work, &at, &r->share, all);
    take(work, &at, &r->dshare, all);
    take(work, &at, &r->p, all);
    take(work, &at, &r->x, N * D);
    take(work, &at, &r->dx, N * D);
    take(work, &at, &r->gate, N * F);
    take(work, &at, &r->up, N * F);
    take(work, &at, &r->hidden, N * F);
    take(work, &at, &r->dhidden, N * F);
    take(work, &at, &r->dy, N * out);
    take(work, &at, &r->part, N * out);
    size_t product = largest(product_work(up, rows), product_work(down, rows)) * sizeof(float);
    product = largest(product, largest(mt_matmul_scratch(up, rows), mt_matmul_scratch(down, rows)));
    return take(work, &at, &r->product, (product + sizeof(float) - 1) / sizeof(float));
}

/* What the router said of every token: its shares (0: not chosen), and the softmax before them. */
static void experts_shares(const mt_experts *e, const float *logit, size_t T, float *p, float *share) {
    for (size_t t = 0; t < T; t++, logit += e->count, p += e->count, share += e->count) {
        float top = -INFINITY;
        double sum = 0, kept = 0;
        for (int32_t i = 0; i < e->count; i++) top = logit[i] > top ? logit[i] : top;
        for (int32_t i = 0; i < e->count; i++) sum += p[i] = expf(logit[i] - top);
        for (int32_t i = 0; i < e->count; i++) p[i] = (float)(p[i] / sum), share[i] = -1;
        for (int32_t k = 0; k < e->used; k++) { /* ties go to the lower index, as on the way forward */
            int32_t best = -1;
            for (int32_t i = 0; i < e->count; i++)
                if (share[i] < 0 && (best < 0 || p[i] > p[best])) best = i;
            if (best < 0) break;
            share[best] = p[best];
            kept += p[best];
        }
        for (int32_t i = 0; i < e->count; i++)
            share[i] = share[i] < 0 ? -1 : e->normalise ? (float)(share[i] / kept) : share[i];
    }
}

/* hidden [n][F] from gate and up, which then become the factors by which the gradients of gate and up follow from that
 * of hidden. */
static void experts_hidden(const mt_experts *e, const float *gate_bias, float *gate, float *up, float *hidden,
                           size_t rows, size_t F) {
    size_t n = rows * F;
    if (e->gate && e->limit > 0) {
        for (size_t i = 0; i < n; i++) {
            float v = gate[i] + (gate_bias ? gate_bias[i % F] : 0), u = up[i];
            bool v_free = v < e->limit, u_free = u < e->limit && u > -e->limit;
            v = v > e->limit ? e->limit : v;
            u = u > e->limit ? e->limit : u < -e->limit ? -e->limit : u;
            float s = 1 / (1 + expf(-1.702f * v));
            hidden[i] = (u + 1) * (v * s);
            up[i] = u_free ? v * s : 0;
            gate[i] = v_free ? (u + 1) * s * (1 + 1.702f * v * (1 - s)) : 0;
        }
    } else if (e->gate) {
        mt_act_run(e->act, gate, hidden, n);
        mt_act_slope(e->act, gate, gate, n);
        for (size_t i = 0; i < n; i++) {
            float a = hidden[i], u = up[i];
            hidden[i] = a * u, up[i] = a;
            gate[i] *= u;
        }
    } else {
        mt_act_run(e->act, up, hidden, n);
        mt_act_slope(e->act, up, up, n);
    }
}

/* One of an expert's matrices that take x: d is the gradient of its output. */
static void experts_input(const mt_back *b, const experts_room *r, const mt_weight *w, const float *bias, int32_t i,
                          const float *d, int32_t n) {
    float *dw = b->grad(b->arg, w), *db = bias ? b->grad(b->arg, bias) : NULL;
    if (dw) add_weight(b->pool, w, d, r->x, n, dw, r->product);
    if (db) add_rows(b->pool, d, (size_t)n, (size_t)w->rows, db + (size_t)i * (size_t)w->rows);
    if (b->dx[0]) add_input(b->pool, w, d, n, r->dx, r->product);
}

/* Expert i for n tokens, those of `token`. */
static void expert(const mt_back *b, const experts_room *r, int32_t i, const int32_t *token, int32_t n) {
    const mt_experts *e = b->n->extra;
    const mt_weight *gate = e->gate ? &e->gate[i] : NULL, *up = &e->up[i], *down = &e->down[i];
    size_t D = (size_t)up->cols, F = (size_t)up->rows, out = (size_t)down->rows, rows = (size_t)n;
    const float *down_bias = e->down_bias ? e->down_bias + (size_t)i * out : NULL;
    for (size_t k = 0; k < rows; k++) memcpy(r->x + k * D, b->x[0] + (size_t)token[k] * D, D * sizeof(float));
    mt_matmul(b->pool, up, r->x, D, n, e->up_bias ? e->up_bias + (size_t)i * F : NULL, r->up, F, r->product);
    if (gate) mt_matmul(b->pool, gate, r->x, D, n, NULL, r->gate, F, r->product);
    experts_hidden(e, e->gate_bias ? e->gate_bias + (size_t)i * F : NULL, r->gate, r->up, r->hidden, rows, F);
    mt_matmul(b->pool, down, r->hidden, F, n, down_bias, r->part, out, r->product);
    for (size_t k = 0; k < rows; k++) {
        size_t t = (size_t)token[k], at = t * (size_t)e->count + (size_t)i;
        const float *dy = b->dy + t * out;
        double by_share = 0;
        for (size_t c = 0; c < out; c++) {
            by_share += (double)dy[c] * r->part[k * out + c];
            r->dy[k * out + c] = r->share[at] * dy[c];
        }
        r->dshare[at] = (float)by_share;
    }
    float *dw = b->grad(b->arg, down), *db = e->down_bias ? b->grad(b->arg, e->down_bias) : NULL;
    if (dw) add_weight(b->pool, down, r->dy, r->hidden, n, dw, r->product);
    if (db) add_rows(b->pool, r->dy, rows, out, db + (size_t)i * out);
    memset(r->dhidden, 0, rows * F * sizeof(float));
    add_input(b->pool, down, r->dy, n, r->dhidden, r->product);
    if (b->dx[0]) memset(r->dx, 0, rows * D * sizeof(float));
    mt_mul(r->up, r->dhidden, r->up, rows * F);
    experts_input(b, r, up, e->up_bias, i, r->up, n);
    if (gate) {
        mt_mul(r->gate, r->dhidden, r->gate, rows * F);
        experts_input(b, r, gate, e->limit > 0 ? e->gate_bias : NULL, i, r->gate, n);
    }
    for (size_t k = 0; k < rows && b->dx[0]; k++) {
        float *dx = b->dx[0] + (size_t)token[k] * D;
        mt_add(dx, r->dx + k * D, dx, D);
    }
}

static void experts(const mt_back *b) {
    const mt_experts *e = b->n->extra;
    size_t D = (size_t)e->up[0].cols, T = mt_node_elements(&b->g->nodes[b->n->in[0]]) / D, count = (size_t)e->count;
    experts_room r;
    experts_layout(b->g, b->n, b->work, &r);
    experts_shares(e, b->x[1], T, r.p, r.share);
    for (int32_t i = 0; i < e->count; i++) {
        int32_t token[EXPERT_ROWS], n = 0;
        for (size_t t = 0; t < T; t++) {
            if (r.share[t * count + (size_t)i] >= 0) token[n++] = (int32_t)t;
            if (n == EXPERT_ROWS || (n && t + 1 == T)) {
                expert(b, &r, i, token, n);
                n = 0;
            }
        }
    }
    if (!b->dx[1]) return;
    /* Back through the shares, of which only those of the chosen count, and the softmax. */
    for (size_t t = 0; t < T; t++) {
        const float *p = r.p + t * count, *share = r.share + t * count;
        float *d = r.dshare + t * count, *dlogit = b->dx[1] + t * count;
        double kept = 0, along = 0, mean = 0;
        for (size_t i = 0; i < count; i++)
            if (share[i] >= 0) kept += p[i], along += (double)share[i] * d[i];
        for (size_t i = 0; i < count; i++) {
            d[i] = share[i] < 0 ? 0 : e->normalise ? (float)((d[i] - along) / kept) : d[i];
            mean += (double)p[i] * d[i];
        }
        for (size_t i = 0; i < count; i++) dlogit[i] += p[i] * (float)(d[i] - mean);
    }
}

void mt_back_dense(const mt_back *b) {
    switch (b->n->op) {
    case MT_OP_MATMUL:
        matmul(b);
        break;
    case MT_OP_HEAD_RESULT:
        head_result(b);
        break;
    case MT_OP_SUM_HEADS:
        sum_heads(b);
        break;
    case MT_OP_EXPERTS:
        experts(b);
        break;
    default:
        look_up(b);
        break;
    }
}

size_t mt_back_dense_work(const mt_graph *g, const mt_node *n) {
    experts_room r;
    switch (n->op) {
    case MT_OP_MATMUL:
        return product_work(g->nodes[n->in[1]].weight, n->dims[0]);
    case MT_OP_HEAD_RESULT:
        return product_work(g->nodes[n->in[1]].weight, n->dims[0]);
    case MT_OP_EXPERTS:
        return experts_layout(g, n, NULL, &r);
    default:
        return 0;
    }
}
