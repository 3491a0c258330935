/* LSTM and GRU (graph.h), through time. The executor has left what is needed: gates, c or the part of W_hh h that r
 * multiplies, and h. With dh the gradient of h and dc that of c:
 *
 *   LSTM   do = dh tanh c   dc += dh o (1 - tanh^2 c)   di = dc g   df = dc c'   dg = dc i   dc' = dc f
 *   GRU    dn = dh (1 - z)   dz = dh (h' - n)   dr = dn^ (W_hh h + b)_n   dh' = dh z        (n^ before its tanh)
 *
 * through the gates' own slopes, then dh' += dgates W_hh. Rows lie in order of their depth in the batch, within a depth
 * in order of the sequence (the first row) that they come from: what can be computed together is one product, and
 * threads share out sequences, each going back through all of its depths alone; where sequences are fewer than threads
 * they share out each product instead. The gradient of W_hh is one product over all rows at the end. */
#include "cell.h"
#include "grad_recurrent.h"

typedef struct cell_back {
    const mt_back *b;
    mt_pool *pool; /* of products; NULL where sequences are shared out */
    const mt_cell *cell;
    int32_t T, depths, sequences;
    size_t H, G;
    const int32_t *parent;
    int32_t *begin, *row, *place, *sequence; /* of a depth; the row at a place; of a row: its place, its sequence */
    mt_weight turned;                        /* W_hh', so that a product with W_hh is one of mt_matmul */
    float *dh, *dc;                          /* [T][H] by place */
    float *dgate;                            /* [T][G] by place: gradients of W_hh h' + b_hh */
    float *before;                           /* [T][H] by place: h' */
} cell_back;

/* Sizes of what lies in the working memory, in this order; each begins on 64 bytes. */
typedef struct sizes {
    size_t turned, product, dh, dgate, ints;
} sizes;

static size_t padded(size_t floats) {
    return (floats + 15) / 16 * 16;
}

static sizes sizes_of(const mt_weight *w, size_t T) {
    size_t H = (size_t)w->cols, G = (size_t)w->rows;
    return (sizes){.turned = padded(mt_weight_turned_size(w)),
                   .product = padded(mt_gemm_work(w->rows, w->cols, (int32_t)T)),
                   .dh = padded(mt_back_area(T, H)),
                   .dgate = padded(mt_back_area(T, G)),
                   .ints = mt_back_area(T + 1, 8)};
}

size_t mt_back_cell_work(const mt_graph *g, const mt_node *n) {
    sizes s = sizes_of(g->nodes[n->in[1]].weight, (size_t)n->dims[0]);
    return s.turned + s.product + 3 * s.dh + s.dgate + s.ints;
}

/* to: the rows in the order of `key` (0 .. keys - 1), those that are equal in the order of `from`. */
static void sort_rows(const int32_t *key, int32_t keys, const int32_t *from, int32_t T, int32_t *to, int32_t *begin) {
    memset(begin, 0, ((size_t)keys + 1) * sizeof *begin);
    for (int32_t t = 0; t < T; t++) begin[key[t] + 1]++;
    for (int32_t k = 0; k < keys; k++) begin[k + 1] += begin[k];
    for (int32_t i = 0; i < T; i++) to[begin[key[from[i]]]++] = from[i];
}

/* ints: 8 (T + 1) of them. */
static void order_rows(cell_back *j, int32_t *ints) {
    int32_t T = j->T;
    size_t step = (size_t)T + 1;
    int32_t *own = ints, *depth = own + step, *sorted = depth + step, *ends = sorted + step;
    j->begin = ends + step, j->row = j->begin + step, j->place = j->row + step, j->sequence = j->place + step;
    j->parent = mt_cell_parents(j->cell, j->b->feed, T, own);
    j->depths = mt_cell_depths(j->parent, T, depth, j->begin);
    for (int32_t t = 0; t < T; t++) {
        j->sequence[t] = j->parent[t] >= 0 ? j->sequence[j->parent[t]] : j->sequences++;
        j->row[t] = t;
    }
    sort_rows(j->sequence, j->sequences, j->row, T, sorted, ends);
    sort_rows(depth, j->depths, sorted, T, j->row, ends);
    for (int32_t p = 0; p < T; p++) j->place[j->row[p]] = p;
}

/* The first place from .. to whose row is of sequence `wanted` or a later one. */
static int32_t first_place(const cell_back *j, int32_t from, int32_t to, int32_t wanted) {
    while (from < to) {
        int32_t middle = from + (to - from) / 2;
        if (j->sequence[j->row[middle]] < wanted)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* h before row t, with c after it; NULL: zeros. */
static const float *state_before(const cell_back *j, int32_t t) {
    if (j->parent[t] >= 0) return j->b->y + (size_t)j->parent[t] * j->H;
    return j->cell->window ? NULL : mt_back_kept(j->b, t);
}

/* One row of an LSTM. dc becomes the gradient of the c before; tanh_c is room for H floats. */
static void lstm_row(const cell_back *j, int32_t t, const float *restrict dh, float *restrict dc, float *restrict dgate,
                     float *restrict tanh_c) {
    size_t H = j->H;
    const float *restrict i = j->b->x[2] + (size_t)t * j->G, *restrict f = i + H, *restrict g = f + H,
                          *restrict o = g + H;
    const float *c = j->b->x[3] + (size_t)t * H, *h0 = state_before(j, t);
    const float *restrict c0 = !h0 ? NULL : j->parent[t] >= 0 ? j->b->x[3] + (size_t)j->parent[t] * H : h0 + H;
    mt_tanh(c, tanh_c, H);
    for (size_t k = 0; k < H; k++) {
        float d = dc[k] + dh[k] * o[k] * (1 - tanh_c[k] * tanh_c[k]);
        dgate[k] = d * g[k] * i[k] * (1 - i[k]);
        dgate[2 * H + k] = d * i[k] * (1 - g[k] * g[k]);
        dgate[3 * H + k] = dh[k] * tanh_c[k] * o[k] * (1 - o[k]);
        dc[k] = d;
    }
    for (size_t k = 0; k < H; k++) dgate[H + k] = c0 ? dc[k] * c0[k] * f[k] * (1 - f[k]) : 0;
    for (size_t k = 0; k < H; k++) dc[k] *= f[k];
}

/* One row of a GRU. dx, where not NULL, gets the inputs' part. dh becomes what z lets through to the h before. */
static void gru_row(const cell_back *j, int32_t t, float *restrict dh, float *restrict dgate, float *restrict dx) {
    size_t H = j->H;
    const float *restrict r = j->b->x[2] + (size_t)t * j->G, *restrict z = r + H, *restrict n = z + H;
    const float *restrict inner = j->b->x[3] + (size_t)t * H, *restrict h0 = state_before(j, t);
    for (size_t k = 0; k < H; k++) {
        float dn = dh[k] * (1 - z[k]) * (1 - n[k] * n[k]), old = h0 ? h0[k] : 0;
        dgate[k] = dn * inner[k] * r[k] * (1 - r[k]);
        dgate[H + k] = dh[k] * (old - n[k]) * z[k] * (1 - z[k]);
        dgate[2 * H + k] = dn * r[k];
        if (dx) dx[2 * H + k] += dn;
        dh[k] *= z[k];
    }
    for (size_t k = 0; dx && k < 2 * H; k++) dx[k] += dgate[k];
}

static void add_to(const float *restrict x, float *restrict y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

/* Sequences of this part, from the deepest rows to the first. */
static void sequences_part(void *arg, int part, int parts) {
    const cell_back *j = arg;
    const mt_back *b = j->b;
    size_t H = j->H, G = j->G;
    bool lstm = j->cell->kind == MT_CELL_LSTM;
    int32_t s0 = (int32_t)((int64_t)j->sequences * part / parts),
            s1 = (int32_t)((int64_t)j->sequences * (part + 1) / parts);
    for (int32_t d = j->depths; d-- > 0;) {
        int32_t from = first_place(j, j->begin[d], j->begin[d + 1], s0), to = first_place(j, from, j->begin[d + 1], s1);
        for (int32_t p = from; p < to; p++) {
            int32_t t = j->row[p];
            float *dh = j->dh + (size_t)p * H, *dc = j->dc + (size_t)p * H, *dgate = j->dgate + (size_t)p * G;
            float *dx = b->dx[0] ? b->dx[0] + (size_t)t * G : NULL;
            add_to(b->dy + (size_t)t * H, dh, H);
            if (lstm)
                lstm_row(j, t, dh, dc, dgate, j->before + (size_t)p * H);
            else
                gru_row(j, t, dh, dgate, dx);
            if (lstm && dx) add_to(dgate, dx, G);
        }
        if (d > 0) /* `before` serves for a moment */
            mt_matmul(j->pool, &j->turned, j->dgate + (size_t)from * G, G, to - from, NULL,
                      j->before + (size_t)from * H, H, NULL);
        for (int32_t p = from; p < to; p++) {
            int32_t t = j->row[p];
            float *before = j->before + (size_t)p * H;
            if (d > 0) {
                size_t parent = (size_t)j->place[j->parent[t]] * H;
                add_to(before, j->dh + parent, H);
                add_to(lstm ? j->dc + (size_t)p * H : j->dh + (size_t)p * H, (lstm ? j->dc : j->dh) + parent, H);
            }
            const float *h = state_before(j, t);
            if (h)
                memcpy(before, h, H * sizeof *h);
            else
                memset(before, 0, H * sizeof *before);
        }
    }
}

static void bias_part(void *arg, int part, int parts) {
    const cell_back *j = arg;
    float *db = j->b->grad(j->b->arg, j->cell->bias);
    size_t from = j->G * (size_t)part / (size_t)parts, to = j->G * ((size_t)part + 1) / (size_t)parts;
    for (int32_t p = 0; p < j->T; p++) add_to(j->dgate + (size_t)p * j->G + from, db + from, to - from);
}

void mt_back_cell(const mt_back *b) {
    const mt_weight *w = b->g->nodes[b->n->in[1]].weight;
    cell_back j = {.b = b, .cell = b->n->extra, .T = b->n->dims[0], .H = (size_t)w->cols, .G = (size_t)w->rows};
    size_t T = (size_t)j.T;
    sizes s = sizes_of(w, T);
    float *product = b->work + s.turned;
    j.dh = product + s.product;
    j.dc = j.dh + s.dh;
    j.before = j.dc + s.dh;
    j.dgate = j.before + s.dh;
    order_rows(&j, (int32_t *)(j.dgate + s.dgate));
    mt_weight_turn(w, &j.turned, b->work);
    memset(j.dh, 0, 2 * s.dh * sizeof *j.dh);
    mt_pool *pool = mt_back_pool(b, T * j.G);
    if (j.sequences < mt_pool_threads(pool)) {
        j.pool = pool;
        sequences_part(&j, 0, 1);
    } else {
        mt_pool_run(pool, sequences_part, &j);
    }
    if (b->dx[1])
        mt_gemm(pool,
                &(mt_gemm_args){.ta = true,
                                .add = true,
                                .M = (int32_t)j.G,
                                .N = (int32_t)j.H,
                                .K = j.T,
                                .alpha = 1,
                                .a = j.dgate,
                                .lda = j.G,
                                .b = j.before,
                                .ldb = j.H,
                                .c = b->dx[1],
                                .ldc = j.H},
                product);
    if (j.cell->bias && b->grad(b->arg, j.cell->bias)) mt_pool_run(pool, bias_part, &j);
}
