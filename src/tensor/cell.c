/* LSTM and GRU cells. The inputs' part of the gates is one product over the whole batch, computed before; what remains
 * is W_hh h, which needs the row before. Rows are taken by their depth in the batch: those of one depth do not depend
 * on each other and share one product, so a tree of k branches reads W_hh once for all of them. A chain is one row at a
 * time. Whether rows are evaluated together or alone makes no difference to the last bit (mt_matmul). */
#include "cell.h"

typedef struct run {
    const mt_graph *g;
    const mt_node *n;
    const mt_feed *feed;
    const mt_cell *cell;
    const mt_node *gates_node, *inner_node;
    const float *x;
    float *gates, *inner, *y;
    size_t H, G; /* width of the state, of all gates */
} run;

static size_t padded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* The product's own memory, then h [T][H] and W_hh h [T][G], then the rows by depth and where each depth begins. */
size_t mt_cell_scratch(const mt_weight *hh, int32_t T) {
    size_t rows = (size_t)T;
    return padded(mt_matmul_scratch(hh, T)) + rows * ((size_t)hh->cols + (size_t)hh->rows) * sizeof(float) +
           (2 * rows + 2) * sizeof(int32_t);
}

/* h and c before row t, NULL: zeros. */
static void before(const run *r, int32_t t, const float **h, const float **c) {
    const mt_feed *f = r->feed;
    int32_t parent = f->parent_row[t];
    *h = *c = NULL;
    if (parent >= 0) {
        *h = r->y + (size_t)parent * r->H;
        *c = r->inner + (size_t)parent * r->H;
    } else if (f->state_in[t] >= 0) {
        *h = f->state[r->n->i[0]] + r->n->i[1] + (size_t)f->state_in[t] * f->state_width;
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
    if (r->feed->state_out[t] < 0) return;
    float *kept = r->feed->state[r->n->i[0]] + r->n->i[1] + (size_t)r->feed->state_out[t] * r->feed->state_width;
    memcpy(kept, y, H * sizeof *kept);
    if (r->cell->kind == MT_CELL_LSTM) memcpy(kept + H, inner, H * sizeof *kept);
}

/* order: the rows sorted by depth; begin[d]: where depth d begins. Returns the number of depths. */
static int32_t by_depth(const int32_t *parent, int32_t T, int32_t *order, int32_t *begin) {
    int32_t depths = 0;
    /* order holds the depths first; begin[d + 1] counts, then becomes where depth d + 1 begins. */
    for (int32_t t = 0; t < T; t++) {
        order[t] = parent[t] >= 0 ? order[parent[t]] + 1 : 0;
        if (order[t] >= depths) begin[++depths] = 0;
        begin[order[t] + 1]++;
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
    r.x = scratch + g->nodes[n->in[0]].offset;
    r.gates = scratch + r.gates_node->offset;
    r.inner = scratch + r.inner_node->offset;
    r.y = n->output ? feed->output : scratch + n->offset;
    float *h = kernel + padded(mt_matmul_scratch(w, T)) / sizeof(float), *u = h + (size_t)T * r.H;
    int32_t *depth = (int32_t *)(u + (size_t)T * r.G), *begin = depth + T;
    int32_t depths = by_depth(feed->parent_row, T, depth, begin);
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
