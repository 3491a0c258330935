/* The way back of norms, activations, rotations and changes of shape (grad.h).
 *
 * Two kinds of result: gradients of rows, shared out by rows, and gradients of vectors that all rows use (gains,
 * biases, shares), which are sums over rows and are shared out by columns. Norms leave mean and divisor of every row in
 * the working memory on the first way, for the second. With g = dy * gain, x' = (x - mean) / s:
 *
 *   RMS norm     mean = 0:  dx = (g - x' mean(g x')) / s
 *   layer norm   dx = (g - mean(g) - x' mean(g x')) / s      dgain = sum_t dy x'      dbias = sum_t dy */
#include "grad.h"
#include "kernel/kernel.h"

#include <math.h>

enum {
    LANES = 8,      /* sums run in so many lanes */
    BLOCK = 256,    /* elements, columns or angles that are taken at once, on the stack */
    ALONE = 1 << 14 /* elements below which waking threads costs more than it saves */
};

static size_t width_of(const mt_node *n) {
    return n->n_dims ? (size_t)n->dims[n->n_dims - 1] : 1;
}
static const mt_node *input(const mt_back *b, int k) {
    return &b->g->nodes[b->n->in[k]];
}
static bool is_norm(mt_op op) {
    return op == MT_OP_RMS_NORM || op == MT_OP_LAYER_NORM || op == MT_OP_NORM_SCALE || op == MT_OP_NORM_APPLY;
}
static size_t rows_of(const mt_node *n) {
    size_t width = width_of(n);
    return width ? mt_node_elements(n) / width : 0;
}

size_t mt_back_rows_work(const mt_graph *g, const mt_node *n) {
    (void)g;
    return is_norm(n->op) ? 2 * rows_of(n) : 0;
}

static float lanes_sum(const float lane[LANES]) {
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/* ---- norms ---- */

/* sum x - from, sum (x - from)^2 */
static void moments(const float *x, float from, size_t n, float *sum, float *squares) {
    float s[LANES] = {0}, q[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float v = x[i + (size_t)l] - from;
            s[l] += v;
            q[l] += v * v;
        }
    for (int l = 0; i < n; i++, l++) {
        float v = x[i] - from;
        s[l] += v;
        q[l] += v * v;
    }
    *sum = lanes_sum(s);
    *squares = lanes_sum(q);
}

/* sum g and sum g (x - mean), g = dy * gain */
static void products(const float *dy, const float *gain, const float *x, float mean, size_t n, float *sum,
                     float *with_x) {
    float s[LANES] = {0}, p[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float v = gain ? dy[i + (size_t)l] * gain[i + (size_t)l] : dy[i + (size_t)l];
            s[l] += v;
            p[l] += v * (x[i + (size_t)l] - mean);
        }
    for (int l = 0; i < n; i++, l++) {
        float v = gain ? dy[i] * gain[i] : dy[i];
        s[l] += v;
        p[l] += v * (x[i] - mean);
    }
    *sum = lanes_sum(s);
    *with_x = lanes_sum(p);
}

/* dx += by (g - from) - along (x - mean) */
static void add_centred(const float *dy, const float *gain, const float *x, float mean, float by, float from,
                        float along, size_t n, float *dx) {
    if (gain)
        for (size_t i = 0; i < n; i++) dx[i] += by * (dy[i] * gain[i] - from) - along * (x[i] - mean);
    else
        for (size_t i = 0; i < n; i++) dx[i] += by * (dy[i] - from) - along * (x[i] - mean);
}

static float mean_of(const float *x, size_t n) {
    float sum, squares, rest;
    moments(x, 0, n, &sum, &squares);
    float mean = sum / (float)n;
    moments(x, mean, n, &rest, &squares); /* what rounding left of it */
    return mean + rest / (float)n;
}

static void norm_row(const mt_back *b, size_t t) {
    const mt_node *n = b->n;
    size_t W = width_of(input(b, 0));
    float *stats = b->work + 2 * t, N = (float)W, mean = 0, sum, squares, with_x;
    const float *x = b->x[0] + t * W;
    float *dx = b->dx[0] ? b->dx[0] + t * W : NULL;
    bool apply = n->op == MT_OP_NORM_APPLY;
    if (n->op == MT_OP_LAYER_NORM || (n->op != MT_OP_RMS_NORM && n->i[0])) mean = mean_of(x, W);
    if (n->op == MT_OP_NORM_SCALE) { /* ds/dx = (x - mean) / (W s) */
        float along = b->dy[t] / (N * b->y[t]);
        for (size_t i = 0; dx && i < W; i++) dx[i] += along * (x[i] - mean);
        return;
    }
    const float *dy = b->dy + t * W, *gain = b->x[apply ? 2 : 1];
    float inverse;
    if (apply) {
        inverse = 1 / b->x[1][t];
    } else {
        moments(x, mean, W, &sum, &squares);
        inverse = 1 / sqrtf(squares / N + n->f[0]);
    }
    stats[0] = mean;
    stats[1] = inverse;
    if (!dx && !(apply && b->dx[1])) return;
    products(dy, gain, x, mean, W, &sum, &with_x);
    if (apply && b->dx[1]) b->dx[1][t] -= with_x * inverse * inverse;
    if (!dx) return;
    bool centre = n->op == MT_OP_LAYER_NORM || (apply && n->i[0]);
    float along = apply ? 0 : with_x / N * inverse * inverse * inverse;
    add_centred(dy, gain, x, mean, inverse, centre ? sum / N : 0, along, W, dx);
}

/* ---- activations ---- */

static void act(const mt_back *b, size_t from, size_t to) {
    float d[BLOCK];
    for (size_t at = from; at < to; at += BLOCK) {
        size_t n = to - at < BLOCK ? to - at : BLOCK;
        mt_act_slope((mt_act)b->n->i[0], b->x[0] + at, d, n);
        for (size_t i = 0; i < n; i++) b->dx[0][at + i] += b->dy[at + i] * d[i];
    }
}

/* ---- rotation: the gradient is turned back ---- */

static void rope_row(const mt_back *b, size_t t) {
    const mt_node *n = b->n;
    size_t heads = (size_t)n->dims[1], E = (size_t)n->dims[2], half = (size_t)n->i[0] / 2;
    const float *inv_freq = b->feed->inv_freq ? b->feed->inv_freq[n->i[2]] : b->x[1];
    size_t step = n->i[1] ? 2 : 1, apart = n->i[1] ? 1 : half; /* pairs (2m, 2m + 1) or (m, m + half) */
    float cosine[BLOCK], sine[BLOCK];
    for (size_t m = 0; m < half; m += BLOCK) {
        size_t count = half - m < BLOCK ? half - m : BLOCK;
        mt_kernels->angles((double)b->feed->position[t], inv_freq + m, n->f[0], cosine, sine, count);
        for (size_t h = 0; h < heads; h++) {
            const float *dy = b->dy + (t * heads + h) * E + m * step;
            float *dx = b->dx[0] + (t * heads + h) * E + m * step;
            for (size_t i = 0; i < count; i++) {
                float d0 = dy[i * step], d1 = dy[i * step + apart];
                dx[i * step] += cosine[i] * d0 + sine[i] * d1;
                dx[i * step + apart] += cosine[i] * d1 - sine[i] * d0;
            }
        }
    }
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 2 * half; i < E; i++) b->dx[0][(t * heads + h) * E + i] += b->dy[(t * heads + h) * E + i];
}

/* ---- what is shared out by rows ---- */

static void elements(const mt_back *b, size_t from, size_t to) {
    const mt_node *n = b->n;
    const float *dy = b->dy + from, *x0 = b->x[0] ? b->x[0] + from : NULL, *x1 = b->x[1] ? b->x[1] + from : NULL;
    float *dx0 = b->dx[0] ? b->dx[0] + from : NULL, *dx1 = b->dx[1] ? b->dx[1] + from : NULL;
    size_t count = to - from;
    switch (n->op) {
    case MT_OP_ADD:
        if (dx0) mt_add(dx0, dy, dx0, count);
        if (dx1) mt_add(dx1, dy, dx1, count);
        break;
    case MT_OP_MUL:
        for (size_t i = 0; dx0 && i < count; i++) dx0[i] += dy[i] * x1[i];
        for (size_t i = 0; dx1 && i < count; i++) dx1[i] += dy[i] * x0[i];
        break;
    case MT_OP_SCALE:
        for (size_t i = 0; dx0 && i < count; i++) dx0[i] += dy[i] * n->f[0];
        break;
    case MT_OP_ACT:
        if (dx0) act(b, from, to);
        break;
    case MT_OP_CLAMP:
        for (size_t i = 0; dx0 && i < count; i++) dx0[i] += x0[i] < -n->f[0] || x0[i] > n->f[0] ? 0 : dy[i];
        break;
    case MT_OP_SOFTCAP:
        for (size_t i = 0; dx0 && i < count; i++) {
            float tanh_x = b->y[from + i] / n->f[0];
            dx0[i] += dy[i] * (1 - tanh_x * tanh_x);
        }
        break;
    default: /* MT_OP_SINUSOID, MT_OP_ADD_ROW, MT_OP_COPY: as it is */
        if (dx0) mt_add(dx0, dy, dx0, count);
        break;
    }
}

static void rows_task(void *arg, int part, int parts) {
    const mt_back *b = arg;
    const mt_node *n = b->n;
    size_t W = width_of(n), rows = rows_of(n);
    size_t from = rows * (size_t)part / (size_t)parts, to = rows * ((size_t)part + 1) / (size_t)parts;
    if (is_norm(n->op)) {
        for (size_t t = from; t < to; t++) norm_row(b, t);
    } else if (n->op == MT_OP_ROPE) {
        size_t heads = (size_t)n->dims[1];
        for (size_t t = from / heads; b->dx[0] && t < to / heads; t++) rope_row(b, t);
    } else if (n->op == MT_OP_SLICE) {
        size_t all = width_of(input(b, 0));
        for (size_t t = from; b->dx[0] && t < to; t++) {
            float *dx = b->dx[0] + t * all + n->i[0];
            mt_add(dx, b->dy + t * W, dx, W);
        }
    } else if (n->op == MT_OP_LERP) {
        const float *share = b->x[2];
        for (size_t t = from; t < to; t++) {
            const float *dy = b->dy + t * W;
            for (size_t i = 0; b->dx[0] && i < W; i++) b->dx[0][t * W + i] += dy[i] * share[i];
            for (size_t i = 0; b->dx[1] && i < W; i++) b->dx[1][t * W + i] += dy[i] * (1 - share[i]);
        }
    } else {
        elements(b, from * W, to * W);
    }
}

/* ---- what is shared out by columns ---- */

/* The part of row t in the gradients of a vector, columns c .. c + n. */
static void add_to_vector(const mt_back *b, bool bias, size_t t, size_t W, size_t c, size_t n, float *sum) {
    const float *dy = b->dy + t * W + c, *x = b->x[0] ? b->x[0] + t * W + c : NULL;
    if (b->n->op == MT_OP_LERP) {
        const float *other = b->x[1] + t * W + c;
        for (size_t i = 0; i < n; i++) sum[i] += dy[i] * (x[i] - other[i]);
    } else if (b->n->op == MT_OP_ADD_ROW || bias) {
        for (size_t i = 0; i < n; i++) sum[i] += dy[i];
    } else {
        float mean = b->work[2 * t], inverse = b->work[2 * t + 1];
        for (size_t i = 0; i < n; i++) sum[i] += dy[i] * ((x[i] - mean) * inverse);
    }
}

static void columns_task(void *arg, int part, int parts) {
    const mt_back *b = arg;
    const mt_node *n = b->n;
    size_t W = width_of(n), rows = rows_of(n);
    size_t from = W * (size_t)part / (size_t)parts, to = W * ((size_t)part + 1) / (size_t)parts;
    if (n->op == MT_OP_GATHER_ROWS) { /* a row may be taken more than once */
        for (size_t t = 0; t < rows; t++) {
            float *dx = b->dx[0] + (size_t)b->feed->rows[t] * W;
            mt_add(dx + from, b->dy + t * W + from, dx + from, to - from);
        }
        return;
    }
    int gain = n->op == MT_OP_NORM_APPLY || n->op == MT_OP_LERP ? 2 : 1;
    for (int k = gain; k <= gain + 1 && k < MT_NODE_INPUTS; k++) {
        if (n->in[k] < 0 || !b->dx[k]) continue;
        for (size_t c = from; c < to; c += BLOCK) {
            float sum[BLOCK] = {0};
            size_t count = to - c < BLOCK ? to - c : BLOCK;
            for (size_t t = 0; t < rows; t++) add_to_vector(b, k > gain, t, W, c, count, sum);
            mt_add(b->dx[k] + c, sum, b->dx[k] + c, count);
        }
    }
}

static bool has_vectors(const mt_back *b) {
    switch (b->n->op) {
    case MT_OP_GATHER_ROWS:
        return b->dx[0] != NULL;
    case MT_OP_RMS_NORM:
    case MT_OP_ADD_ROW:
        return b->dx[1] != NULL;
    case MT_OP_LAYER_NORM:
        return b->dx[1] || b->dx[2];
    case MT_OP_NORM_APPLY:
        return b->dx[2] || b->dx[3];
    case MT_OP_LERP:
        return b->dx[2] != NULL;
    default:
        return false;
    }
}

void mt_back_rows(const mt_back *b) {
    size_t count = mt_node_elements(b->n->op == MT_OP_NORM_SCALE ? input(b, 0) : b->n);
    size_t rows = rows_of(b->n), threads = (size_t)mt_pool_threads(b->pool);
    bool alone = !b->pool || count < ALONE;
    if (count == 0) return;
    if (b->n->op != MT_OP_GATHER_ROWS)
        mt_pool_run_parts(b->pool, rows_task, (void *)b, alone || rows < threads ? 1 : (int)threads);
    if (has_vectors(b))
        mt_pool_run_parts(b->pool, columns_task, (void *)b,
                          alone || width_of(b->n) < LANES * threads ? 1 : (int)threads);
}
