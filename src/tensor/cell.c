/* LSTM and GRU cells. The inputs' part of the gates is one product over the whole batch, computed before; what remains
 * is W_hh h, which needs the row before. Rows are taken by their depth in the batch: those of one depth do not depend
 * on each other and share one product, so a tree of k branches reads W_hh once for all of them. A chain is one row at a
 * time. Whether rows are evaluated together or alone makes no difference to the last bit (mt_matmul). */
#include "cell.h"

#include <math.h>

typedef struct run {
    const mt_graph *g;
    const mt_node *n;
    const mt_feed *feed;
    const mt_cell *cell;
    const mt_node *gates_node, *inner_node;
    const float *x;
    float *gates, *inner, *y;
    const int32_t *parent, *state_in, *state_out; /* the last two: NULL where there is no state */
    size_t H, G;                                  /* width of the state, of all gates */
} run;

static size_t padded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* The product's own memory, then h [T][H] and W_hh h [T][G], then the rows' depths, where each depth begins, and what
 * rows follow. */
size_t mt_cell_scratch(const mt_weight *hh, int32_t T) {
    size_t rows = (size_t)T;
    return padded(mt_matmul_scratch(hh, T)) + rows * ((size_t)hh->cols + (size_t)hh->rows) * sizeof(float) +
           (3 * rows + 2) * sizeof(int32_t);
}

/* h and c before row t, NULL: zeros. */
static void before(const run *r, int32_t t, const float **h, const float **c) {
    const mt_feed *f = r->feed;
    int32_t parent = r->parent[t];
    *h = *c = NULL;
    if (parent >= 0) {
        *h = r->y + (size_t)parent * r->H;
        *c = r->inner + (size_t)parent * r->H;
    } else if (r->state_in && r->state_in[t] >= 0) {
        *h = f->state[r->n->i[0]] + r->n->i[1] + (size_t)r->state_in[t] * f->state_width;
        *c = *h + r->H;
    }
}

static void sigmoid(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = -x[i];
    mt_exp(y, y, n);
    for (size_t i = 0; i < n; i++) y[i] = 1 / (1 + y[i]);
}

static void patch(const run *r, const mt_node *node, float *value, size_t from, size_t count) {
    if (node->patched && r->feed->patch) r->feed->patch(r->feed->patch_arg, node, value, from, from + count);
}

/* Row t from `u` = W_hh h + b_hh. */
static void step(const run *r, int32_t t, const float *u) {
    size_t H = r->H, G = r->G, row = (size_t)t;
    const float *x = r->x + row * G, *h, *c;
    float *gate = r->gates + row * G, *inner = r->inner + row * H, *y = r->y + row * H;
    before(r, t, &h, &c);
    if (r->cell->kind == MT_CELL_LSTM) {
        mt_add(x, u, gate, G);
        sigmoid(gate, gate, 2 * H);
        mt_tanh(gate + 2 * H, gate + 2 * H, H);
        sigmoid(gate + 3 * H, gate + 3 * H, H);
        patch(r, r->gates_node, r->gates, row * G, G);
        for (size_t i = 0; i < H; i++) inner[i] = (c ? gate[H + i] * c[i] : 0) + gate[i] * gate[2 * H + i];
        patch(r, r->inner_node, r->inner, row * H, H);
        mt_tanh(inner, y, H);
        mt_mul(gate + 3 * H, y, y, H);
    } else {
        memcpy(inner, u + 2 * H, H * sizeof *inner);
        patch(r, r->inner_node, r->inner, row * H, H);
        mt_add(x, u, gate, 2 * H);
        sigmoid(gate, gate, 2 * H);
        patch(r, r->gates_node, r->gates, row * G, 2 * H);
        for (size_t i = 0; i < H; i++) gate[2 * H + i] = x[2 * H + i] + gate[i] * inner[i];
        mt_tanh(gate + 2 * H, gate + 2 * H, H);
        patch(r, r->gates_node, r->gates, row * G + 2 * H, H);
        for (size_t i = 0; i < H; i++) y[i] = (1 - gate[H + i]) * gate[2 * H + i] + (h ? gate[H + i] * h[i] : 0);
    }
    patch(r, r->n, r->y, row * H, H);
    if (!r->state_out || r->state_out[t] < 0) return;
    float *kept = r->feed->state[r->n->i[0]] + r->n->i[1] + (size_t)r->state_out[t] * r->feed->state_width;
    memcpy(kept, y, H * sizeof *kept);
    if (r->cell->kind == MT_CELL_LSTM) memcpy(kept + H, inner, H * sizeof *kept);
}

const int32_t *mt_cell_parents(const mt_cell *cell, const mt_feed *feed, int32_t T, int32_t *own) {
    if (!cell->window) return feed->parent_row;
    for (int32_t t = 0; t < T; t++) own[t] = t % cell->window ? t - 1 : -1;
    return own;
}

int32_t mt_cell_depths(const int32_t *parent, int32_t T, int32_t *depth, int32_t *begin) {
    int32_t depths = 0;
    /* begin[d + 1] counts the rows of depth d, then becomes where depth d + 1 begins. */
    for (int32_t t = 0; t < T; t++) {
        depth[t] = parent[t] >= 0 ? depth[parent[t]] + 1 : 0;
        if (depth[t] >= depths) begin[++depths] = 0;
        begin[depth[t] + 1]++;
    }
    begin[0] = 0;
    for (int32_t d = 0; d < depths; d++) begin[d + 1] += begin[d];
    return depths;
}

void mt_cell_run(const mt_graph *g, const mt_node *n, mt_pool *pool, float *scratch, float *kernel,
                 const mt_feed *feed) {
    const mt_weight *w = g->nodes[n->in[1]].weight;
    int32_t T = n->dims[0];
    run r = {.g = g, .n = n, .feed = feed, .cell = n->extra, .H = (size_t)w->cols, .G = (size_t)w->rows};
    r.gates_node = &g->nodes[n->in[2]];
    r.inner_node = &g->nodes[n->in[3]];
    r.x = mt_node_value(&g->nodes[n->in[0]], scratch, feed);
    r.gates = scratch + r.gates_node->offset;
    r.inner = scratch + r.inner_node->offset;
    r.y = mt_node_value(n, scratch, feed);
    float *h = kernel + padded(mt_matmul_scratch(w, T)) / sizeof(float), *u = h + (size_t)T * r.H;
    int32_t *depth = (int32_t *)(u + (size_t)T * r.G), *begin = depth + T, *own = begin + T + 1;
    r.parent = mt_cell_parents(r.cell, feed, T, own);
    if (!r.cell->window) r.state_in = feed->state_in, r.state_out = feed->state_out;
    int32_t depths = mt_cell_depths(r.parent, T, depth, begin);
    bool chain = depths == T;
    for (int32_t d = 0; d < depths; d++) {
        int32_t rows = begin[d + 1] - begin[d], k = 0;
        const float *input = h, *c;
        for (int32_t t = chain ? d : 0; t < T && k < rows; t++) {
            if (depth[t] != d) continue;
            const float *state;
            before(&r, t, &state, &c);
            if (rows == 1 && state)
                input = state;
            else if (state)
                memcpy(h + (size_t)k * r.H, state, r.H * sizeof *h);
            else
                memset(h + (size_t)k * r.H, 0, r.H * sizeof *h);
            k++;
        }
        mt_matmul(pool, w, input, r.H, rows, r.cell->bias, u, r.G, kernel);
        k = 0;
        for (int32_t t = chain ? d : 0; t < T && k < rows; t++)
            if (depth[t] == d) step(&r, t, u + (size_t)k++ * r.G);
    }
}

/* ---- windows ---- */

void mt_window_ids(const mt_node *n, const mt_feed *feed, int32_t t, int32_t *ids) {
    int32_t W = n->i[2], at = W - 1, row = t;
    for (; at >= 0 && row >= 0; at--) {
        ids[at] = feed->token[row];
        if (feed->parent_row[row] < 0) break;
        row = feed->parent_row[row];
    }
    const float *kept = NULL; /* the last W - 1 ids, oldest first */
    if (feed->state_in[row] >= 0)
        kept = feed->state[n->i[0]] + n->i[1] + (size_t)feed->state_in[row] * feed->state_width;
    for (int32_t k = W - 2; --at >= 0; k--) ids[at] = kept ? (int32_t)kept[k] : n->i[3];
}

void mt_window_run(const mt_graph *g, const mt_node *n, float *y, void *kernel, const mt_feed *feed) {
    const mt_weight *w = g->nodes[n->in[0]].weight;
    int32_t W = n->i[2], *ids = kernel;
    float *state = feed->state[n->i[0]] + n->i[1];
    for (int32_t t = 0; t < feed->T; t++) {
        mt_window_ids(n, feed, t, ids);
        for (int32_t k = 0; k < W; k++, y += w->cols) mt_weight_row(w, ids[k], y);
        if (feed->state_out[t] < 0) continue;
        float *out = state + (size_t)feed->state_out[t] * feed->state_width;
        for (int32_t k = 0; k + 1 < W; k++) out[k] = (float)ids[k + 1];
    }
}

void mt_pool_over_run(const mt_graph *g, const mt_node *n, float *scratch, float *y, const mt_feed *feed) {
    const mt_pool_over *p = n->extra;
    const mt_node *room = &g->nodes[n->in[3]];
    float *pattern = scratch + room->offset;
    size_t W = (size_t)p->window;
    for (int32_t t = 0; t < n->dims[0]; t++, y += n->dims[1]) {
        float *a = pattern + (size_t)t * W, top = -INFINITY, sum = 0;
        for (size_t k = 0; k < W; k++) {
            const float *weight = p->weight;
            double score = 0;
            for (int part = 0; part < 3; part++) {
                const mt_node *x = &g->nodes[n->in[part]];
                size_t width = (size_t)x->dims[1];
                const float *row = mt_node_value(x, scratch, feed) + ((size_t)t * W + k) * width;
                for (size_t i = 0; i < width; i++) score += weight[i] * row[i];
                weight += width;
            }
            a[k] = (float)score;
            top = a[k] > top ? a[k] : top;
        }
        for (size_t k = 0; k < W; k++) a[k] -= top;
        mt_exp(a, a, W);
        for (size_t k = 0; k < W; k++) sum += a[k];
        for (size_t k = 0; k < W; k++) a[k] /= sum + p->eps;
        if (room->patched && feed->patch)
            feed->patch(feed->patch_arg, room, pattern, (size_t)t * W, (size_t)(t + 1) * W);
        float *out = y;
        for (int part = 0; part < 3; part++) {
            const mt_node *x = &g->nodes[n->in[part]];
            size_t width = (size_t)x->dims[1];
            memset(out, 0, width * sizeof *out);
            for (size_t k = 0; k < W; k++) {
                const float *row = mt_node_value(x, scratch, feed) + ((size_t)t * W + k) * width;
                for (size_t i = 0; i < width; i++) out[i] += a[k] * row[i];
            }
            out += width;
        }
    }
}
