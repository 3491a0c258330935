/* The gated delta rule (Yang et al. 2024), for every value head, S' the state [K][V] before:
 *
 *   r = v - (d S')' k,   S = d S' + k (beta r)',   y = S' q;   d = e^(A softplus(a)), beta = sigmoid(b), |q|, |k| fixed
 *
 * Backwards, with G the gradient of S (q dy' + what came from later rows) and m = beta G' k, the gradient of r:
 *
 *   dv = m   dbeta = r . G' k   dq = S dy   dk = G (beta r) - d S' m   G' = d (G - k m')   dd = sum of (G - k m') * S'
 *
 * The columns of S do not depend on each other: they are taken 16 at a time, so that a state fits the first cache.
 * Rows are taken in about sqrt(T) pieces, the last one first, whose states are computed again from the one before them,
 * which a first run has kept. In a tree of rows there is one piece. Parts share out key heads, whose queries and keys
 * several value heads may use. */
#include "grad_recurrent.h"

#include <math.h>

enum { SLICE = 16 };

typedef struct delta_back {
    const mt_back *b;
    const mt_delta *d;
    int32_t T, rows; /* of the batch, of a piece */
    bool tree;
    float *dA, *dbias;
} delta_back;

typedef struct room {
    float *border;          /* [pieces][K][SLICE] states before a piece */
    float *zeros, *kept;    /* [K][SLICE] the state of a first row */
    float *S;               /* [rows][K][SLICE] after each row */
    float *G;               /* [K][SLICE], of a tree [T][K][SLICE] */
    float *r;               /* [rows][SLICE] */
    float *q, *k, *dq, *dk; /* [K] */
} room;

static int32_t rows_of(int32_t T) {
    int32_t rows = (int32_t)ceil(sqrt((double)T));
    return rows < 1 ? 1 : rows;
}

static int parts_of(const mt_delta *d) {
    return d->key_heads < MT_BACK_PARTS ? d->key_heads : MT_BACK_PARTS;
}

static size_t room_size(size_t T, size_t rows, size_t K, bool tree) {
    size_t pieces = (T + rows - 1) / rows, states = pieces + 2 + rows + (tree ? T : 1);
    return mt_back_area(states, K * SLICE) + mt_back_area(rows, SLICE) + 4 * K;
}

size_t mt_back_delta_work(const mt_node *n) {
    const mt_delta *d = n->extra;
    size_t T = (size_t)n->dims[0], K = (size_t)d->key_width;
    size_t chain = mt_back_area((size_t)parts_of(d), room_size(T, (size_t)rows_of(n->dims[0]), K, false));
    size_t tree = room_size(T, T > 0 ? T : 1, K, true);
    return chain > tree ? chain : tree;
}

static room room_of(const delta_back *j, int part) {
    size_t T = (size_t)j->T, rows = (size_t)j->rows, K = (size_t)j->d->key_width, state = K * SLICE;
    float *p = j->b->work + (j->tree ? 0 : (size_t)part * room_size(T, rows, K, false));
    room m = {.border = p};
    m.zeros = m.border + (T + rows - 1) / rows * state;
    m.kept = m.zeros + state;
    m.S = m.kept + state;
    m.G = m.S + rows * state;
    m.r = m.G + (j->tree ? T : 1) * state;
    m.q = m.r + rows * SLICE;
    m.k = m.q + K, m.dq = m.k + K, m.dk = m.dq + K;
    return m;
}

/* One value head's slice of columns, and what the gates of a row are. */
typedef struct slice {
    int32_t head, key_head, first, count;
} slice;
typedef struct gates {
    float a, step, decay, beta; /* step: softplus(a) */
} gates;

static gates gates_of(const delta_back *j, int32_t t, int32_t head) {
    size_t at = (size_t)t * (size_t)j->d->value_heads + (size_t)head;
    float a = j->b->x[2][at] + j->d->dt_bias[head], step = a > 20 ? a : log1pf(expf(a));
    return (gates){a, step, expf(j->d->A[head] * step), 1 / (1 + expf(-j->b->x[1][at]))};
}

/* Where query, key (which = 0, 1) and values (2) of row t begin in in[0]. */
static size_t place_of(const delta_back *j, int32_t t, const slice *s, int which) {
    const mt_delta *d = j->d;
    size_t K = (size_t)d->key_width, keys = (size_t)d->key_heads * K;
    size_t row = (size_t)t * (2 * keys + (size_t)d->value_heads * (size_t)d->value_width);
    if (which == 2) return row + 2 * keys + (size_t)s->head * (size_t)d->value_width + (size_t)s->first;
    return row + (size_t)which * keys + (size_t)s->key_head * K;
}

/* SLICE columns of a row that has `count`: the others are 0. */
static void load(const float *x, int32_t count, float out[SLICE]) {
    for (int32_t c = 0; c < SLICE; c++) out[c] = c < count ? x[c] : 0;
}

/* The state before row t, when m->S holds those after the rows from `from` on. */
static const float *before(const delta_back *j, const room *m, const slice *s, int32_t from, int32_t t) {
    int32_t parent = j->b->feed->parent_row[t];
    size_t K = (size_t)j->d->key_width, V = (size_t)j->d->value_width;
    if (parent >= from) return m->S + (size_t)(parent - from) * K * SLICE;
    if (parent >= 0) return m->border + (size_t)(from / j->rows) * K * SLICE;
    const float *kept = mt_back_kept(j->b, t);
    if (!kept) return m->zeros;
    for (size_t i = 0; i < K; i++) load(kept + ((size_t)s->head * K + i) * V + s->first, s->count, m->kept + i * SLICE);
    return m->kept;
}

/* States after rows from .. to again, as the executor computes them. */
static void states(const delta_back *j, const room *m, const slice *s, int32_t from, int32_t to) {
    int32_t width = j->d->key_width;
    size_t K = (size_t)width;
    const float *x = j->b->x[0];
    for (int32_t t = from; t < to; t++) {
        const float *restrict old = before(j, m, s, from, t);
        float *restrict S = m->S + (size_t)(t - from) * K * SLICE, *restrict r = m->r + (size_t)(t - from) * SLICE;
        float v[SLICE], error[SLICE], sum[SLICE] = {0};
        gates w = gates_of(j, t, s->head);
        mt_unit(x + place_of(j, t, s, 1), m->k, width, 1);
        load(x + place_of(j, t, s, 2), s->count, v);
        for (size_t i = 0; i < K; i++)
            for (size_t c = 0; c < SLICE; c++) {
                S[i * SLICE + c] = old[i * SLICE + c] * w.decay;
                sum[c] += S[i * SLICE + c] * m->k[i];
            }
        for (size_t c = 0; c < SLICE; c++) r[c] = v[c] - sum[c], error[c] = r[c] * w.beta;
        for (size_t i = 0; i < K; i++)
            for (size_t c = 0; c < SLICE; c++) S[i * SLICE + c] += m->k[i] * error[c];
    }
}

static float sum_of(const float lane[4]) {
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/* dx of y = scale x / sqrt(x . x + 1e-6), the gradient of y being dy. */
static void unit_back(const float *x, const float *dy, int32_t n, float scale, float *dx) {
    float square = 0, along = 0;
    for (int32_t i = 0; i < n; i++) square += x[i] * x[i], along += x[i] * dy[i];
    square += MT_UNIT_EPS;
    float factor = scale / sqrtf(square);
    for (int32_t i = 0; i < n; i++) dx[i] += factor * (dy[i] - x[i] * (along / square));
}

/* Row t: `G` becomes the gradient of the state before it; dq and dk are written. Returns sum of (G - k m') * S'. */
static float row_back(size_t K, const room *m, const gates *w, const float *restrict old, const float *restrict S,
                      const float *restrict r, const float *restrict dy, float *restrict G, float dr[SLICE]) {
    float error[SLICE], along[SLICE] = {0}, ddecay[4] = {0};
    for (size_t c = 0; c < SLICE; c++) error[c] = r[c] * w->beta;
    for (size_t i = 0; i < K; i++) {
        float q = m->q[i], k = m->k[i], dq[4] = {0}, dk[4] = {0};
        for (size_t c = 0; c < SLICE; c += 4)
            for (size_t l = 0; l < 4; l++) {
                float now = G[i * SLICE + c + l] + q * dy[c + l];
                G[i * SLICE + c + l] = now;
                along[c + l] += now * k;
                dq[l] += S[i * SLICE + c + l] * dy[c + l];
                dk[l] += now * error[c + l];
            }
        m->dq[i] = sum_of(dq);
        m->dk[i] = sum_of(dk);
    }
    for (size_t c = 0; c < SLICE; c++) dr[c] = along[c];
    for (size_t i = 0; i < K; i++) {
        float k = m->k[i], dk[4] = {0};
        for (size_t c = 0; c < SLICE; c += 4)
            for (size_t l = 0; l < 4; l++) {
                float change = dr[c + l] * w->beta, was = old[i * SLICE + c + l];
                float now = G[i * SLICE + c + l] - k * change;
                dk[l] += was * change;
                ddecay[l] += now * was;
                G[i * SLICE + c + l] = now * w->decay;
            }
        m->dk[i] -= w->decay * sum_of(dk);
    }
    return sum_of(ddecay);
}

static void rows_back(const delta_back *j, const room *m, const slice *s, int32_t from, int32_t to) {
    const mt_back *b = j->b;
    const mt_delta *d = j->d;
    int32_t width = d->key_width;
    size_t K = (size_t)width;
    float unit = 1 / sqrtf((float)width);
    for (int32_t t = to; t-- > from;) {
        int32_t parent = b->feed->parent_row[t];
        size_t at = (size_t)t * (size_t)d->value_heads + (size_t)s->head;
        const float *xq = b->x[0] + place_of(j, t, s, 0), *xk = b->x[0] + place_of(j, t, s, 1);
        const float *r = m->r + (size_t)(t - from) * SLICE;
        float *G = m->G + (j->tree ? (size_t)t * K * SLICE : 0), dy[SLICE], dr[SLICE];
        gates w = gates_of(j, t, s->head);
        mt_unit(xq, m->q, width, unit);
        mt_unit(xk, m->k, width, 1);
        load(b->dy + at * (size_t)d->value_width + (size_t)s->first, s->count, dy);
        float ddecay =
            row_back(K, m, &w, before(j, m, s, from, t), m->S + (size_t)(t - from) * K * SLICE, r, dy, G, dr);
        if (b->dx[0]) {
            float *dv = b->dx[0] + place_of(j, t, s, 2);
            for (int32_t c = 0; c < s->count; c++) dv[c] += dr[c] * w.beta;
            unit_back(xq, m->dq, width, unit, b->dx[0] + place_of(j, t, s, 0));
            unit_back(xk, m->dk, width, 1, b->dx[0] + place_of(j, t, s, 1));
        }
        float dbeta = 0;
        for (size_t c = 0; c < SLICE; c++) dbeta += dr[c] * r[c];
        if (b->dx[1]) b->dx[1][at] += dbeta * w.beta * (1 - w.beta);
        float dg = ddecay * w.decay, da = dg * d->A[s->head] * (w.a > 20 ? 1 : 1 / (1 + expf(-w.a)));
        if (b->dx[2]) b->dx[2][at] += da;
        if (j->dbias) j->dbias[s->head] += da;
        if (j->dA) j->dA[s->head] += dg * w.step;
        if (j->tree && parent >= 0) {
            float *to_parent = m->G + (size_t)parent * K * SLICE;
            for (size_t i = 0; i < K * SLICE; i++) to_parent[i] += G[i];
        } else if (parent < 0) {
            memset(G, 0, K * SLICE * sizeof *G);
        }
    }
}

static void slice_back(const delta_back *j, const room *m, const slice *s) {
    const int32_t *parent = j->b->feed->parent_row;
    size_t state = (size_t)j->d->key_width * SLICE;
    for (int32_t row = j->rows; row < j->T; row += j->rows) {
        if (parent[row] < 0) continue;
        int32_t from = row - 1;
        while (parent[from] >= 0 && from > row - j->rows) from--;
        states(j, m, s, from, row);
        memcpy(m->border + (size_t)(row / j->rows) * state, m->S + (size_t)(row - 1 - from) * state,
               state * sizeof *m->S);
    }
    memset(m->G, 0, (j->tree ? (size_t)j->T : 1) * state * sizeof *m->G);
    for (int32_t from = (j->T - 1) / j->rows * j->rows; from >= 0; from -= j->rows) {
        int32_t to = from + j->rows < j->T ? from + j->rows : j->T;
        states(j, m, s, from, to);
        rows_back(j, m, s, from, to);
    }
}

static void delta_part(void *arg, int part, int parts) {
    const delta_back *j = arg;
    const mt_delta *d = j->d;
    room m = room_of(j, part);
    memset(m.zeros, 0, (size_t)d->key_width * SLICE * sizeof *m.zeros);
    for (int32_t h = 0; h < d->value_heads; h++) {
        int32_t key_head = (int32_t)((int64_t)h * d->key_heads / d->value_heads);
        if ((int64_t)key_head * parts / d->key_heads != part) continue;
        for (int32_t c = 0; c < d->value_width; c += SLICE) {
            int32_t left = d->value_width - c;
            slice_back(j, &m, &(slice){h, key_head, c, left < SLICE ? left : SLICE});
        }
    }
}

void mt_back_delta(const mt_back *b) {
    const mt_delta *d = b->n->extra;
    delta_back j = {.b = b, .d = d, .T = b->n->dims[0], .rows = rows_of(b->n->dims[0])};
    j.dA = b->grad(b->arg, d->A);
    j.dbias = b->grad(b->arg, d->dt_bias);
    int parts = parts_of(d);
    if (j.T <= 0) return;
    if (mt_back_is_tree(b)) {
        j.tree = true;
        j.rows = j.T;
        for (int part = 0; part < parts; part++) delta_part(&j, part, parts);
        return;
    }
    mt_pool_run_parts(mt_back_pool(b, mt_node_elements(b->n) * (size_t)d->key_width), delta_part, &j, parts);
}
