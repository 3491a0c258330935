/* Gradients of recurrent operations. Those with long formulas have files of their own; here are convolution, shift,
 * windows of tokens and the pool over them.
 *
 *   grad_recurrent_scan.c   state-space recurrence      grad_recurrent_delta.c   gated delta rule
 *   grad_recurrent_cell.c   LSTM and GRU                grad_recurrent_wkv.c     RWKV-4
 *
 * Nothing but the values of nodes is kept from the way forward: states are computed again, in pieces where all of them
 * would be large. A gradient follows parent_row inside a batch, where rows may form trees, and ends at a state that
 * came from an earlier one; such states must still be where the forward run found them. */
#include "grad_recurrent.h"
#include "cell.h"

static size_t width_of(const mt_node *n) {
    return (size_t)n->dims[n->n_dims - 1];
}

static size_t from_of(size_t count, int part, int parts) {
    return count * (size_t)part / (size_t)parts;
}

/* The ancestor `distance` steps before row t, or the first of its line; *distance becomes what is left. */
static int32_t ancestor(const mt_feed *f, int32_t t, int32_t *distance) {
    for (; *distance > 0 && f->parent_row[t] >= 0; --*distance) t = f->parent_row[t];
    return t;
}

/* ---- convolution: y[t] = sum_k w[k] x[t - (K - 1 - k)] + bias ---- */

/* work: the weights and their gradient, both [K][C]. */
static void conv_part(void *arg, int part, int parts) {
    const mt_back *b = arg;
    int32_t T = b->n->dims[0], K = b->n->i[2];
    size_t C = width_of(b->n), from = from_of(C, part, parts), to = from_of(C, part + 1, parts);
    float *w = b->work, *dw = b->work + (size_t)K * C;
    for (size_t c = from; c < to; c++)
        for (size_t k = 0; k < (size_t)K; k++) w[k * C + c] = b->x[1][c * (size_t)K + k], dw[k * C + c] = 0;
    for (int32_t t = 0; t < T; t++) {
        const float *dy = b->dy + (size_t)t * C;
        if (b->dx[2])
            for (size_t c = from; c < to; c++) b->dx[2][c] += dy[c];
        for (int32_t k = 0; k < K; k++) {
            int32_t left = K - 1 - k, row = ancestor(b->feed, t, &left);
            const float *x = left ? mt_back_kept(b, row) : b->x[0] + (size_t)row * C;
            if (left && x) x += (size_t)(K - 1 - left) * C;
            float *dwk = dw + (size_t)k * C;
            const float *wk = w + (size_t)k * C;
            if (b->dx[1] && x)
                for (size_t c = from; c < to; c++) dwk[c] += dy[c] * x[c];
            if (b->dx[0] && !left) {
                float *dx = b->dx[0] + (size_t)row * C;
                for (size_t c = from; c < to; c++) dx[c] += dy[c] * wk[c];
            }
        }
    }
    for (size_t c = from; b->dx[1] && c < to; c++)
        for (size_t k = 0; k < (size_t)K; k++) b->dx[1][c * (size_t)K + k] += dw[k * C + c];
}

static void shift(const mt_back *b) {
    size_t C = width_of(b->n);
    for (int32_t t = 0; t < b->n->dims[0]; t++) {
        int32_t parent = b->feed->parent_row[t];
        if (parent < 0) continue;
        const float *dy = b->dy + (size_t)t * C;
        float *dx = b->dx[0] + (size_t)parent * C;
        for (size_t c = 0; c < C; c++) dx[c] += dy[c];
    }
}

/* ---- windows of tokens ---- */

static void window_part(void *arg, int part, int parts) {
    const mt_back *b = arg;
    const int32_t *ids = (const int32_t *)b->work;
    size_t E = width_of(b->n), from = from_of(E, part, parts), to = from_of(E, part + 1, parts);
    for (int32_t r = 0; r < b->n->dims[0]; r++) {
        float *row = b->dx[0] + (size_t)ids[r] * E;
        for (size_t i = from; i < to; i++) row[i] += b->dy[(size_t)r * E + i];
    }
}

static void window(const mt_back *b) {
    int32_t W = b->n->i[2], *ids = (int32_t *)b->work;
    for (int32_t t = 0; t < b->n->dims[0] / W; t++) mt_window_ids(b->n, b->feed, t, ids + (size_t)t * (size_t)W);
    mt_pool_run(mt_back_pool(b, mt_node_elements(b->n)), window_part, (void *)b);
}

/* ---- pool: s_k = w . x_k, a_k = e^(s_k - top) / (sum e^(s - top) + eps), y = sum_k a_k x_k ---- */

/* work: the gradient of the scores, [T][window]. By the definition of a, with d = sum_k a_k da_k:
 * ds_k = a_k (da_k - d), and the largest score, which is `top`, has - (1 - sum a) d beside it. */
static void pool_rows(void *arg, int part, int parts) {
    const mt_back *b = arg;
    const mt_pool_over *p = b->n->extra;
    size_t T = (size_t)b->n->dims[0], W = (size_t)p->window, D = width_of(b->n);
    for (size_t t = from_of(T, part, parts), end = from_of(T, part + 1, parts); t < end; t++) {
        const float *dy = b->dy + t * D, *a = b->x[3] + t * W;
        float *ds = b->work + t * W, d = 0, sum = 0;
        size_t top = 0;
        for (size_t k = 0; k < W; k++) {
            size_t at = 0;
            float da = 0;
            for (int i = 0; i < 3; i++) {
                size_t width = width_of(&b->g->nodes[b->n->in[i]]);
                const float *x = b->x[i] + (t * W + k) * width;
                for (size_t c = 0; c < width; c++) da += dy[at + c] * x[c];
                at += width;
            }
            ds[k] = da;
            d += a[k] * da;
            sum += a[k];
            if (a[k] > a[top]) top = k;
        }
        for (size_t k = 0; k < W; k++) ds[k] = a[k] * (ds[k] - d);
        ds[top] -= (1 - sum) * d;
        for (size_t k = 0; k < W; k++) {
            size_t at = 0;
            for (int i = 0; i < 3; i++) {
                size_t width = width_of(&b->g->nodes[b->n->in[i]]);
                float *dx = b->dx[i] ? b->dx[i] + (t * W + k) * width : NULL;
                for (size_t c = 0; dx && c < width; c++) dx[c] += a[k] * dy[at + c] + ds[k] * p->weight[at + c];
                at += width;
            }
        }
    }
}

static void pool_weight(void *arg, int part, int parts) {
    const mt_back *b = arg;
    const mt_pool_over *p = b->n->extra;
    float *dw = b->grad(b->arg, p->weight);
    size_t rows = (size_t)b->n->dims[0] * (size_t)p->window;
    for (int i = 0; i < 3; i++) {
        size_t width = width_of(&b->g->nodes[b->n->in[i]]), from = from_of(width, part, parts),
               to = from_of(width, part + 1, parts);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = from; c < to; c++) dw[c] += b->work[r] * b->x[i][r * width + c];
        dw += width;
    }
}

/* ---- the table of contents ---- */

void mt_back_recurrent(const mt_back *b) {
    const mt_node *n = b->n;
    mt_pool *pool = mt_back_pool(b, mt_node_elements(n));
    switch (n->op) {
    case MT_OP_CONV:
        mt_pool_run(pool, conv_part, (void *)b);
        break;
    case MT_OP_SHIFT:
        if (b->dx[0]) shift(b);
        break;
    case MT_OP_WKV:
        mt_back_wkv(b);
        break;
    case MT_OP_DELTA:
        mt_back_delta(b);
        break;
    case MT_OP_SCAN:
        mt_back_scan(b);
        break;
    case MT_OP_CELL:
        mt_back_cell(b);
        break;
    case MT_OP_WINDOW:
        if (b->dx[0]) window(b);
        break;
    case MT_OP_POOL:
        mt_pool_run(pool, pool_rows, (void *)b);
        if (b->grad(b->arg, ((const mt_pool_over *)n->extra)->weight)) mt_pool_run(pool, pool_weight, (void *)b);
        break;
    default:
        break;
    }
}

size_t mt_back_recurrent_work(const mt_graph *g, const mt_node *n) {
    size_t rows = (size_t)n->dims[0];
    switch (n->op) {
    case MT_OP_CONV:
        return 2 * mt_back_area((size_t)n->i[2], width_of(n));
    case MT_OP_WKV:
        return mt_back_wkv_work(n);
    case MT_OP_DELTA:
        return mt_back_delta_work(n);
    case MT_OP_SCAN:
        return mt_back_scan_work(n);
    case MT_OP_CELL:
        return mt_back_cell_work(g, n);
    case MT_OP_WINDOW:
        return rows;
    case MT_OP_POOL:
        return mt_back_area(rows, (size_t)((const mt_pool_over *)n->extra)->window);
    default:
        return 0;
    }
}
